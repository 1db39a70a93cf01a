"""Flushes to the disk on a thread beside the loop that serves calls."""

from __future__ import annotations

import asyncio
import collections
import queue
import statistics
import threading
import time
from collections.abc import Callable
from typing import Final

#: a flush of fewer seconds costs less than handing it to a thread
_QUICK: Final = 0.0005
#: one of so many flushes of a slow disk is made on the loop, to see whether the disk is still slow
_TRY_AGAIN: Final = 16
#: a flush of more seconds means a slow disk: the loop never waits for it
_SLOW: Final = 0.05


class Disk:
    """One thread that makes commits durable, one flush at a time, each for everything committed before it began.

    ``done`` is called on the loop when a flush is over, with what it raised, if anything.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, flush: Callable[[], None], done: Callable[[BaseException | None], None]
    ) -> None:
        self._loop = loop
        self._flush = flush
        self._done = done
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        #: a flush is under way
        self.busy = False
        #: seconds that the last flushes took; the shortest counts, since other processes may hold one up
        self._seconds: collections.deque[float] = collections.deque(maxlen=8)
        self._slow = 0

    def begin(self) -> None:
        """Start a flush; the one before must be over."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="swf-disk", daemon=True)
            self._thread.start()
        self.busy = True
        self._asked.put(True)

    def quick(self) -> bool:
        """Return whether the loop should flush itself instead of waiting for the thread.

        Now and then yes, whatever was measured: a thread also measures how long it waits for the interpreter.
        """
        best = min(self._seconds, default=_QUICK)
        if best < _QUICK:
            return True
        if best > _SLOW:
            return False
        self._slow = (self._slow + 1) % _TRY_AGAIN
        return self._slow == 0

    def usual(self) -> float:
        """Return how many seconds a flush takes, as far as the last ones tell."""
        return statistics.median(self._seconds) if self._seconds else 0.0

    def flush_here(self) -> None:
        """Flush on the calling thread, and call ``done`` before this returns."""
        self.busy = True
        self._over(self._timed())

    def stop(self) -> None:
        """End the thread; a flush that is under way is finished first, and ``done`` is not called for it."""
        if self._thread is not None:
            self._asked.put(False)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while self._asked.get():
            self._loop.call_soon_threadsafe(self._over, self._timed())

    def _timed(self) -> BaseException | None:
        begun = time.perf_counter()
        try:
            self._flush()
        except BaseException as raised:  # ``done`` gets the error and decides.
            return raised
        finally:
            self._seconds.append(time.perf_counter() - begun)
        return None

    def _over(self, error: BaseException | None) -> None:
        self.busy = False
        self._done(error)
