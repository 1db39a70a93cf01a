"""The moment of a call and what it changed: shared by the service's memory and each of its executions."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Changed = TypeVar("Changed")


class Changes(Generic[Changed]):
    """The moment of a call, and what it changed in executions (``Changed``). One thread."""

    def __init__(self) -> None:
        self.now = 0.0
        #: executions that the call changed, by their keys
        self.dirty: dict[int, Changed] = {}
        #: deliveries to other executions, in order; they are carried out at the end of the call
        self.outbox: collections.deque[Callable[[], None]] = collections.deque()
        #: task lists on which a task or a poll began to wait: (table, list)
        self.ready: dict[tuple[str, str], None] = {}
        #: task lists on which no task waits, as far as it is known
        self.empty: set[tuple[str, str]] = set()
        #: open items of the executions in memory
        self.items_held = 0
        #: ends an execution whose history has no room for another event; the service sets it
        self.on_overflow: Callable[[Changed], Any] = _no_end
        #: sticky task lists whose decider is gone: (table, list)
        self.abandoned: dict[tuple[str, str], None] = {}
        self._seq = 0

    def offer(self, place: tuple[str, str]) -> None:
        """Note that a task waits on a task list."""
        self.ready[place] = None
        self.empty.discard(place)

    def next_seq(self) -> int:
        """Return a number above all before it: first come, first served, also across restarts."""
        self._seq = max(self._seq + 1, int(self.now * 1_000_000))
        return self._seq


def _no_end(changed: object) -> None:
    raise AssertionError("the service sets on_overflow before its first call")
