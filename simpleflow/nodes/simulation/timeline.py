"""Virtual time: what happens when, in order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from simpleflow.core import clock as clocks


class Timeline:
    """A clock that is moved from event to event."""

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
        """The moment of the next event; None when nothing is to come."""
        return self._events[0][0] if self._events else None

    def at(self, moment: float, call: Callable[..., None], *about: Any) -> None:
        """Have something called at a moment; what is due at the same one comes in the order of these calls."""
        self._number += 1
        heapq.heappush(self._events, (moment, self._number, call, about))

    def until(self, moment: float) -> None:
        """Let everything happen up to a moment."""
        while self._events and self._events[0][0] <= moment:
            at, _, call, about = heapq.heappop(self._events)
            self.clock.advance_to(at)
            call(*about)
        self.clock.advance_to(moment)
