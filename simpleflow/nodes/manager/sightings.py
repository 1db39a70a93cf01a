"""Signs of life of each machine, measured on this manager's monotonic clock.

A machine, its provider and this manager each have a clock. No two of them are compared: they may differ by an hour,
and the clock of a laptop that slept jumps. A document that changed is a sign of life, whatever moment
it names; what a machine says of its own past (idle since, task begun) is measured by the same machine's ``written``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.nodes import config

#: a machine whose agent reports no fault counts as slow, for so many times as long as a sick one is waited for
_SLOW = 3


class _Machine:
    """One machine. All moments are monotonic."""

    __slots__ = ("age", "document", "first", "heard", "trouble", "well")

    def __init__(self, moment: float, age: float) -> None:
        self.first = moment
        #: its age at the first look, by the provider's clock alone
        self.age = age
        self.document: documents.NodeDocument | None = None
        #: when its document was last seen changed; without one, when the machine was first seen
        self.heard = moment
        #: since when each task list is polled or worked without a break
        self.well: dict[str, float] = {}
        #: since when each task list has been in trouble; one that was well for long enough is out of it
        self.trouble: dict[str, float] = {}


class Sightings:
    """Looks at rows and documents, once a pass, and tells how old, how silent, how sick each machine is."""

    def __init__(self, times: config.Times, clock: clocks.Clock) -> None:
        self._times = times
        self._clock = clock
        self._machines: dict[str, _Machine] = {}
        self._last: float | None = None

    def look(
        self,
        rows: Iterable[documents.Row],
        nodes: Mapping[str, documents.NodeDocument],
        now: float,
        *,
        answering: bool,
    ) -> None:
        """Take one look. ``now`` is the provider's time; ``answering`` whether the coordinator answers this manager:

        while it does not, no worker can poll, and that is not the fault of a machine.
        """
        monotonic = self._clock.monotonic()
        # After a pause of this process nobody knows what happened between two looks.
        gap = self._last is not None and monotonic - self._last > self._times.sick / 2
        self._last = monotonic
        present = {row.instance: row for row in rows}
        self._machines = {name: each for name, each in self._machines.items() if name in present}
        for name, row in present.items():
            machine = self._machine(row, now)
            document = nodes.get(name)
            if document is not None and document != machine.document:
                machine.document, machine.heard = document, monotonic
            if gap or not answering:
                machine.well.clear()
                machine.trouble.clear()
            if answering:
                self._judge(machine, row, monotonic)

    def _machine(self, row: documents.Row, now: float) -> _Machine:
        found = self._machines.get(row.instance)
        if found is None:
            found = _Machine(self._clock.monotonic(), max(now - row.since, 0.0))
            self._machines[row.instance] = found
        return found

    def _judge(self, machine: _Machine, row: documents.Row, monotonic: float) -> None:
        document = machine.document
        if document is None or document.first_polled is None or document.state != "working" or row.drain is not None:
            machine.well.clear()
            machine.trouble.clear()
            return
        for each in document.task_lists:
            if each.polling or each.running:
                since = machine.well.setdefault(each.task_list, monotonic)
                # A worker that crashes in a loop polls for a moment after each start: this does not end its trouble.
                if monotonic - since >= self._times.sick / 2:
                    machine.trouble.pop(each.task_list, None)
            else:
                machine.well.pop(each.task_list, None)
                machine.trouble.setdefault(each.task_list, monotonic)

    def age(self, row: documents.Row, now: float) -> float:
        """Return the seconds since the launch: by the provider's clock up to the first look, by our own since."""
        machine = self._machine(row, now)
        return machine.age + self._clock.monotonic() - machine.first

    def heard(self, row: documents.Row, now: float) -> float:
        """Return the seconds since the last sign of life."""
        return self._clock.monotonic() - self._machine(row, now).heard

    def sick(self, row: documents.Row) -> tuple[str, bool]:
        """Return why a machine that has polled is not capacity any more ('': it is), and whether it serves a list."""
        machine = self._machines.get(row.instance)
        if machine is None or machine.document is None or machine.document.first_polled is None:
            return "", False
        document, monotonic = machine.document, self._clock.monotonic()
        silent = monotonic - machine.heard
        if document.state == "working" and silent > self._times.silence and not _busy(document):
            return f"no sign of life for {silent:.0f} s", False
        patience = self._times.sick * (1 if document.health != "ok" else _SLOW)
        bad = {
            name: monotonic - since
            for name, since in machine.trouble.items()
            if name not in machine.well and monotonic - since >= patience
        }
        if not bad:
            return "", False
        lists = ", ".join(f"'{name}'" for name in sorted(bad))
        why = "" if document.health == "ok" else f": {document.health}"
        partly = any(each.task_list not in bad for each in document.task_lists)
        return f"task list {lists} is neither polled nor worked for {max(bad.values()):.0f} s{why}", partly

    def steady(self, row: documents.Row) -> bool:
        """Return whether a machine has polled or worked each of its lists for long enough to prove its launch sound."""
        machine = self._machines.get(row.instance)
        if machine is None or machine.document is None or not machine.document.task_lists:
            return False
        monotonic = self._clock.monotonic()
        return all(
            monotonic - machine.well.get(each.task_list, monotonic) >= self._times.sick
            for each in machine.document.task_lists
        )


def _busy(document: documents.NodeDocument) -> bool:
    return any(each.running for each in document.task_lists)
