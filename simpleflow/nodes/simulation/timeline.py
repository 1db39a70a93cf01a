"""Virtual time: planned calls, made in the order of their moments."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from simpleflow.core import clock as clocks


class Timeline:
    """A clock that moves from event to event."""

    def __init__(self) -> None:
        self.clock = clocks.VirtualClock()
        self.start = self.clock.now()
        self._number = 0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    @property
    def now(self) -> float:
        """Epoch seconds."""
        return self.clock.now()

    @property
    def following(self) -> float | None:
        """The moment of the next event; None without one."""
        return self._events[0][0] if self._events else None

    def at(self, moment: float, call: Callable[..., None], *about: Any) -> None:
        """Plan a call at a moment. Calls at the same moment are made in the order in which they were planned."""
        self._number += 1
        heapq.heappush(self._events, (moment, self._number, call, about))

    def until(self, moment: float) -> None:
        """Make all planned calls up to a moment, and move the clock there."""
        while self._events and self._events[0][0] <= moment:
            at, _, call, about = heapq.heappop(self._events)
            self.clock.advance_to(at)
            call(*about)
        self.clock.advance_to(moment)
