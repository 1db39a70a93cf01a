"""Suspended evaluations: the recently used ones are kept, within a number and a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from . import contract, evaluation, hooks

#: what a suspended execution costs at least, and each task, child or timer that it still refers to
BASE_BYTES = 18_000
EACH_BYTES = 900
#: a submission that is remembered only to count equal ones
SEEN_BYTES = 8


class Entry:
    """One suspended evaluation, and the decision that it answered."""

    __slots__ = ("acknowledged", "answered", "began", "evaluation", "outcome", "seen", "size", "working_on")

    def __init__(self, suspended: evaluation.Evaluation) -> None:
        self.evaluation = suspended
        #: DecisionTaskStarted event of the decision being worked on: ``Needs`` was the last answer
        self.working_on = 0
        #: the one that was answered last, and the last whose answer was accepted
        self.answered = 0
        #: timestamp of its DecisionTaskStarted event
        self.began: float | None = None
        self.acknowledged = 0
        #: how the last answer closes the execution, and the history for the hooks after it
        self.outcome: contract.Outcome | None = None
        self.seen: hooks.LazyHistory | None = None
        self.size = 0

    def measure(self) -> int:
        """Estimate the bytes it holds, from counts that are known anyway."""
        suspended = self.evaluation
        book = suspended.book
        referred = (
            len(book.activities.by_id)
            + len(book.children.by_id)
            + len(book.timers.latest)
            + len(book.markers.known)
            + len(suspended.calls.shared)
            + len(suspended.outbox)
            + len(suspended.unread)
        )
        return BASE_BYTES + EACH_BYTES * referred + SEEN_BYTES * len(suspended.ordinals)


class Cache:
    """Least recently used entries go first. Evicted evaluations are ended."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self.bytes = 0
        #: evaluations whose strands did not end when they were killed
        self.would_not_end = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def get(self, run_id: str) -> Entry | None:
        entry = self._entries.get(run_id)
        if entry is not None:
            self._entries.move_to_end(run_id)
        return entry

    def put(self, run_id: str, entry: Entry) -> None:
        """Keep an entry, or measure it again; others may have to go for it."""
        before = self._entries.pop(run_id, None)
        if before is not None:
            self.bytes -= before.size
            if before is not entry:
                self._end(before)
        entry.size = entry.measure()
        self._entries[run_id] = entry
        self.bytes += entry.size
        while len(self._entries) > 1 and (len(self._entries) > self._most or self.bytes > self._most_bytes):
            self.evict(next(iter(self._entries)))

    def evict(self, run_id: str) -> None:
        entry = self._entries.pop(run_id, None)
        if entry is not None:
            self.bytes -= entry.size
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        if not entry.evaluation.kill():
            self.would_not_end += 1
        entry.evaluation.release()
