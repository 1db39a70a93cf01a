"""The two clocks behind one Protocol: the machine's, and one that a test moves by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a room learns the time. Implementations are thread safe."""

    def now(self) -> float:
        """Wall clock: seconds since the epoch (UTC). May jump."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back; only differences mean anything."""


class RealClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class SleepClock(RealClock):
    """The machine's clocks; the monotonic one goes on while the machine sleeps, where the system has such a clock."""

    def monotonic(self) -> float:
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


#: Linux counts a suspended laptop's sleep on this clock alone
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class VirtualClock:
    """A clock that stands still until it is moved; both readings move together."""

    #: 2026-01-01T00:00:00Z, so that virtual histories read the same in every run
    DEFAULT_START = 1767225600.0

    def __init__(self, start: float = DEFAULT_START) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward by this many seconds; raises ValueError on a negative step."""
        if seconds < 0:
            raise ValueError(f"a virtual clock only moves forward; got {seconds} s")
        self._now += seconds

    def advance_to(self, moment: float) -> None:
        """Move forward to this epoch time; a moment in the past changes nothing."""
        self._now = max(self._now, moment)
