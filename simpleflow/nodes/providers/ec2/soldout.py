"""Pools (type, zone, market) without capacity, and until when EC2 is not asked for them again."""

from __future__ import annotations

import threading
from typing import NamedTuple

from simpleflow.core import clock as clocks


class Pool(NamedTuple):
    """EC2 counts capacity by instance type, zone and market."""

    instance_type: str
    zone: str
    market: str


class SoldOut:
    """Remembers refusals for minutes, doubling while they go on. Thread safe. A new manager begins without any."""

    def __init__(self, clock: clocks.Clock, shortest: float, longest: float) -> None:
        self._clock = clock
        self._shortest = shortest
        self._longest = longest
        self._lock = threading.Lock()
        #: pool -> (until, seconds of the last wait), monotonic
        self._pools: dict[Pool, tuple[float, float]] = {}

    def refused(self, pool: Pool) -> None:
        """A launch found the pool empty: skip it for a while, twice as long as the last time."""
        with self._lock:
            now = self._clock.monotonic()
            before = self._pools.get(pool)
            # A refusal long after the last one begins anew.
            again = before is not None and now - before[0] < self._longest
            wait = min(before[1] * 2, self._longest) if before is not None and again else self._shortest
            self._pools[pool] = (now + wait, wait)

    def served(self, pool: Pool) -> None:
        """A launch succeeded there."""
        with self._lock:
            self._pools.pop(pool, None)

    def skips(self, pool: Pool) -> bool:
        """Tell whether the pool is skipped now."""
        with self._lock:
            known = self._pools.get(pool)
            return known is not None and self._clock.monotonic() < known[0]
