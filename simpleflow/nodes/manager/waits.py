"""What open runs wait for: the manager writes it into control.json, their deciders put it into their logs."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import config
from simpleflow.nodes.policy import decide

logger = logging.getLogger(__name__)

#: runs that one line of the log names
_NAMED = 3
#: counts and amounts change at every pass; the rest of the text does not
_NUMBERS = re.compile(r"[0-9.]+")


def found(
    cluster: config.ClusterConfig,
    plan: decide.Plan,
    refused: Mapping[str, str],
    undecided: Mapping[str, str],
    rows: Mapping[str, documents.RunRow],
    nodes: Iterable[documents.NodeDocument] = (),
) -> Iterator[documents.Wait]:
    """Yield what the runs of ``rows`` wait for.

    ``refused``: profile -> why the provider did not launch it. ``undecided``: run id -> why nobody decides it; the run
    that started it waits for the same. ``nodes``: the machines that are not drained.
    """
    lists = {name: tuple(each for each, _ in cluster.lists_of(name)) for name in cluster.profiles}
    for note in plan.notes:
        if (profile := note.partition(":")[0]) in lists:
            yield documents.Wait(reason=note, task_lists=lists[profile])
    for profile, reason in refused.items():
        yield documents.Wait(reason=reason, task_lists=lists.get(profile, ()))
    for profile, reason in _sick(nodes).items():
        yield documents.Wait(reason=reason, task_lists=lists.get(profile, ()))
    scheduled: dict[str, int] = {}
    for row in rows.values():
        for each in row.tasks:
            if each.state == "scheduled":
                scheduled[each.task_list] = scheduled.get(each.task_list, 0) + each.count
    for name, count in sorted(scheduled.items()):
        for reason in decide.unserved(cluster, {name: count}):
            yield documents.Wait(reason=reason, task_lists=(name,))
    for run_id, reason in undecided.items():
        waiting = rows.get(run_id)
        # What its decider says of a run stands in that decider's log already.
        if waiting is not None and not waiting.trouble:
            yield documents.Wait(reason=reason, runs=tuple(filter(None, (run_id, waiting.parent))))


def _sick(nodes: Iterable[documents.NodeDocument]) -> dict[str, str]:
    """Return profile -> what its machines say, of profiles whose machines all have a fault and do nothing."""
    found: dict[str, str] = {}
    well: set[str] = set()
    for each in nodes:
        if each.health == "ok" or any(one.polling or one.running for one in each.task_lists):
            well.add(each.profile)
        else:
            found.setdefault(each.profile, f"no machine of profile '{each.profile}' works; {each.node}: {each.health}")
    return {profile: reason for profile, reason in found.items() if profile not in well}


def kept(before: Iterable[documents.Wait], now: Iterable[documents.Wait]) -> tuple[documents.Wait, ...]:
    """Return ``now`` with the old text where only numbers changed: control.json is not replaced for these."""
    known = {_key(each): each for each in before}
    return tuple(known.get(_key(each), each) for each in now)


def _key(each: documents.Wait) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return _NUMBERS.sub("", each.reason), each.task_lists, each.runs


class Teller:
    """Logs, in a decider, why its runs wait: each reason once for a run, and again when it came back."""

    def __init__(self, store: blobs.BlobStore, every: float, monotonic: Callable[[], float]) -> None:
        """``every``: seconds between two looks at control.json."""
        self._store = store
        self._every = every
        self._monotonic = monotonic
        self._next = -float("inf")
        self._told: set[tuple[object, ...]] = set()

    def look(self, rows: Mapping[str, documents.RunRow]) -> None:
        """Log what is new for these open runs. A document that cannot be read is read at the next look."""
        if self._monotonic() < self._next:
            return
        self._next = self._monotonic() + self._every
        try:
            got = self._store.get(documents.CONTROL_KEY)
            waits = () if got is None else msgspec.json.decode(got[0], type=_Waits).waits
        except (core_errors.SimpleflowError, msgspec.DecodeError):
            return
        told: set[tuple[object, ...]] = set()
        for wait in waits:
            runs = [row for row in rows.values() if not row.closed and _waits(row, wait)]
            told |= {(_key(wait), row.run_id) for row in runs}
            new = [row for row in runs if (_key(wait), row.run_id) not in self._told]
            if new:
                logger.warning("%s: %s", _names(new), wait.reason, extra={"action": "waits", "runs": len(new)})
        self._told = told


class _Waits(msgspec.Struct, frozen=True):
    """The part of control.json that a decider reads."""

    waits: tuple[documents.Wait, ...] = ()


def _waits(row: documents.RunRow, wait: documents.Wait) -> bool:
    return row.run_id in wait.runs or any(
        each.state == "scheduled" and each.task_list in wait.task_lists for each in row.tasks
    )


def _names(runs: list[documents.RunRow]) -> str:
    names = ", ".join(f"'{row.workflow_id}'" for row in runs[:_NAMED])
    if len(runs) == 1:
        return f"run {names} waits"
    return f"runs {names}{f' and {len(runs) - _NAMED} more' if len(runs) > _NAMED else ''} wait"
