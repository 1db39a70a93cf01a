"""The rate at which a worker begins tasks."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

from simpleflow.core import errors

_RATE = re.compile(r"(?P<count>\d+(?:\.\d+)?)/(?P<unit>[smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def parse(text: str) -> float:
    """Return the tasks per second of ``10/s``, ``90/m`` or ``100/h``. Raises UsageError."""
    found = _RATE.fullmatch(text.strip())
    rate = float(found["count"]) / _SECONDS[found["unit"]] if found else 0.0
    if not rate:
        raise errors.UsageError(f"--rate {text!r} is not a rate: write tasks per second, minute or hour: 10/s, 90/m")
    return rate


class Rate:
    """Limits tasks to ``per_second`` on average. As many as one second allows (at least one) may begin at once.

    Thread safe.
    """

    def __init__(self, per_second: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._most = self._left = max(1.0, per_second)
        self._now = now
        self._seen = now()
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Return the seconds until a task may begin; 0: now."""
        with self._lock:
            self._fill()
            return max(0.0, (1.0 - self._left) / self._per_second)

    def take(self) -> None:
        """Count a task that begins."""
        with self._lock:
            self._fill()
            self._left -= 1.0

    def _fill(self) -> None:
        now = self._now()
        self._left = min(self._most, self._left + (now - self._seen) * self._per_second)
        self._seen = now
