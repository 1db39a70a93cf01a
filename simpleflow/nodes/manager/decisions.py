"""The newest decisions of managers with their reasons, in ``decisions.json``, for `sfnodes why`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import config
from simpleflow.nodes.policy import decide

#: decisions that are kept; 1,000 are about 200 kB
MOST = 1_000
#: counts and amounts change at every pass; the rest of the text does not
_NUMBERS = re.compile(r"[0-9.]+")


class Log:
    """Adds the decisions of one manager to those of the managers before it."""

    def __init__(self, store: blobs.BlobStore, cluster: str) -> None:
        self._store = store
        self._cluster = cluster
        self._kept: list[documents.Decision] | None = None
        #: the last texts about kept machines and notes; a text is written when it changes
        self._logged: frozenset[tuple[str, ...]] = frozenset()

    def note(
        self,
        plan: decide.Plan,
        intents: Iterable[documents.Intent],
        now: float,
        unasked: Iterable[decide.Item] = (),
    ) -> None:
        """Store what is new in a plan. Raises BlobStoreError; the next call stores it again.

        ``unasked``: machines that ended though nobody drained or ended them.
        """
        lasting = list(_lasting(plan, now))
        keys = frozenset(_key(each) for each in lasting)
        gone = (
            documents.Decision(
                at=now, kind="note", profile=each.profile, instances=(each.instance,), reason=each.reason
            )
            for each in unasked
        )
        new = [*gone, *_events(plan, intents, now), *(each for each in lasting if _key(each) not in self._logged)]
        if not new:
            self._logged = keys
            return
        if self._kept is None:
            self._kept = list(read(self._store, self._cluster))
        kept = [*self._kept, *new][-MOST:]
        document = documents.DecisionsDocument(cluster=self._cluster, decisions=tuple(kept))
        self._store.put(documents.DECISIONS_KEY, msgspec.json.encode(document))
        self._kept, self._logged = kept, keys


def read(store: blobs.BlobStore, cluster: str) -> tuple[documents.Decision, ...]:
    """Return the stored decisions of a cluster, oldest first; none of another cluster's or a bad document."""
    got = store.get(documents.DECISIONS_KEY)
    if got is None:
        return ()
    try:
        found = msgspec.json.decode(got[0], type=documents.DecisionsDocument)
    except msgspec.DecodeError:
        return ()
    return found.decisions if found.cluster == cluster else ()


def _key(each: documents.Decision) -> tuple[str, ...]:
    return each.kind, each.profile, _NUMBERS.sub("", each.reason)


def _events(plan: decide.Plan, intents: Iterable[documents.Intent], now: float) -> Iterator[documents.Decision]:
    for intent in intents:
        yield documents.Decision(
            at=now, kind="launch", profile=intent.profile, attempt=intent.id, units=intent.units, reason=intent.reason
        )
    kinds: dict[Literal["drain", "unmark", "cancel", "terminate"], Iterable[decide.Item]]
    kinds = {"drain": plan.drains, "unmark": plan.unmarks, "cancel": plan.cancels, "terminate": plan.terminates}
    for kind, items in kinds.items():
        for item in items:
            yield documents.Decision(
                at=now, kind=kind, profile=item.profile, instances=(item.instance,), reason=item.reason
            )


def _lasting(plan: decide.Plan, now: float) -> Iterator[documents.Decision]:
    """Return what holds for many passes: the machines that are kept, by reason, and the notes."""
    groups: dict[tuple[str, str], list[decide.Item]] = {}
    for item in plan.keeps:
        groups.setdefault((item.profile, _NUMBERS.sub("", item.reason)), []).append(item)
    for (profile, _), items in groups.items():
        yield documents.Decision(
            at=now,
            kind="keep",
            profile=profile,
            units=len(items),
            instances=tuple(each.instance for each in items[:20]),
            reason=items[0].reason,
        )
    for note in plan.notes:
        yield documents.Decision(at=now, kind="note", reason=note)


# --- why --------------------------------------------------------------------------------------------------------------


def about(cluster: config.ClusterConfig, store: blobs.BlobStore, subject: str) -> tuple[documents.Decision, ...]:
    """The decisions about a machine, a task list or a profile, oldest first; raises UsageError for any other name."""
    found = read(store, cluster.cluster)
    if subject in cluster.task_lists or subject in cluster.profiles:
        profile = cluster.task_lists[subject].profile if subject in cluster.task_lists else subject
        words = re.compile(rf"(?<![\w-]){re.escape(subject)}(?![\w-])|(?<![\w-]){re.escape(profile)}(?![\w-])")
        return tuple(
            each for each in found if each.profile == profile or (each.kind == "note" and words.search(each.reason))
        )
    attempt = _attempt_of(store, subject)
    # A list that the cluster does not serve is named by notes alone.
    if attempt is None and (
        notes := tuple(each for each in found if each.kind == "note" and f"'{subject}'" in each.reason)
    ):
        return notes
    if attempt is None and not any(subject in each.instances for each in found):
        names = sorted({*cluster.task_lists, *cluster.profiles, *_machines(store, found)})
        raise core_errors.UsageError(
            f"'{subject}' is none of this cluster's machines, task lists and profiles; known: {', '.join(names)}"
        )
    return tuple(each for each in found if subject in each.instances or (attempt and each.attempt == attempt))


class _Launched(msgspec.Struct, frozen=True):
    instance: str
    attempt: str


class _Rows(msgspec.Struct, frozen=True):
    rows: tuple[_Launched, ...] = ()


def _attempt_of(store: blobs.BlobStore, machine: str) -> str | None:
    """Return the attempt that launched a machine; None for an unknown machine."""
    for each in _rows(store):
        if each.instance == machine:
            return each.attempt
    got = store.get(f"{documents.LEDGER_PREFIX}{machine}.json") if re.fullmatch(r"[\w.-]+", machine) else None
    return None if got is None else msgspec.json.decode(got[0], type=_Launched).attempt


def _rows(store: blobs.BlobStore) -> Sequence[_Launched]:
    got = store.get(documents.CONTROL_KEY)
    return () if got is None else msgspec.json.decode(got[0], type=_Rows).rows


def _machines(store: blobs.BlobStore, found: Iterable[documents.Decision]) -> set[str]:
    return {each.instance for each in _rows(store)} | {name for each in found for name in each.instances}
