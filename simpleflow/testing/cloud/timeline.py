"""What happens later: boots, evaluations of alarms, replacements. One heap, moved by a thread or by the test."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable

from simpleflow.core import clock as clocks

logger = logging.getLogger(__name__)


class Timeline:
    """Runs what is due. With a virtual clock nothing runs until ``advance``; with a real one a thread looks.

    Args:
        clock: the cloud's clock.
        lock: held while something runs, so that a due event and a call never interleave.
    """

    def __init__(self, clock: clocks.Clock, lock: threading.RLock) -> None:
        self._clock = clock
        self._lock = lock
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def virtual(self) -> bool:
        """Whether time stands still between calls of ``advance``."""
        return isinstance(self._clock, clocks.VirtualClock)

    def start(self) -> None:
        """Start the thread, where the clock is real."""
        if not self.virtual:
            self._thread = threading.Thread(target=self._run, name="emulated-cloud-timeline", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Forget what is due and end the thread."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Plan something for an epoch time; what is due at once runs at the next look."""
        with self._changed:
            if not self._closed:
                heapq.heappush(self._due, (moment, next(self._order), action))
                self._changed.notify_all()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan something for so many seconds from now."""
        self.at(self._clock.now() + seconds, action)

    def advance(self, seconds: float) -> None:
        """Move a virtual clock forward and run what falls due on the way, in order; TypeError on a real clock."""
        if not isinstance(self._clock, clocks.VirtualClock):
            raise TypeError("only a cloud with a VirtualClock is moved by hand; pass clock=VirtualClock()")
        goal = self._clock.now() + seconds
        while (moment := self._next()) is not None and moment <= goal:
            self._clock.advance_to(moment)
            self._run_due()
        self._clock.advance_to(goal)

    def _next(self) -> float | None:
        with self._changed:
            return self._due[0][0] if self._due else None

    def _pop(self) -> Callable[[], None] | None:
        with self._changed:
            if self._due and self._due[0][0] <= self._clock.now():
                return heapq.heappop(self._due)[2]
            return None

    def _run_due(self) -> None:
        while (action := self._pop()) is not None:
            try:
                with self._lock:
                    action()
            except Exception:
                logger.exception("an event of the emulated cloud failed", extra={"action": "cloud.event"})

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                wait = self._due[0][0] - self._clock.now() if self._due else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
            self._run_due()
