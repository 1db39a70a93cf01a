"""SIGTERM and SIGINT as levels: the first drains, the second hurries."""

from __future__ import annotations

import _thread
import contextlib
import itertools
import logging
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from . import pausing

logger = logging.getLogger(__name__)

#: seconds that the main thread waits for anything at a time. The system may give a signal to another thread while the
#: main one waits for a lock; Python runs its handler only when the main thread goes on
LOOK = 0.5


def reset_signal_handlers() -> None:
    """Give SIGTERM, SIGINT and SIGCHLD back their defaults, as a fresh program has them."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let SIGINT and SIGTERM be handled at the end of the block, so that what it makes is known to who must end it.

    Does nothing outside of the main thread, where no handler runs, and for a signal without a handler in Python.
    """
    came: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(handler := signal.getsignal(number)):
                handlers[number] = handler
                signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for each in dict.fromkeys(came):
            signal.raise_signal(each)


def describe_exit(status: int) -> str:
    """Say in words how a child ended; ``status`` as ``subprocess`` reports it (negative: killed by that signal)."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}"


def tell_status(status: Callable[[], str]) -> None:
    """Log what ``status`` says at each SIGUSR1. Does nothing outside of the main thread."""

    def tell() -> None:
        logger.info("Status: %s", status(), extra={"action": "status"})

    if threading.current_thread() is threading.main_thread():
        # Not in the handler, which may have interrupted who holds the log's lock; not a Thread, which takes locks.
        signal.signal(signal.SIGUSR1, lambda number, frame: _thread.start_new_thread(tell, ()) and None)


class Stop:
    """How urgently this process shall end. Thread safe; may be raised from a signal handler.

    ``level`` is 0 while it runs, 1 to drain (finish what was begun, take nothing new), 2 to hurry (end it now).
    """

    RUN, DRAIN, HURRY = 0, 1, 2

    def __init__(self) -> None:
        self._level = 0
        #: a SimpleQueue may be filled by a handler that interrupts its own reader; an Event's lock may not
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._listeners: list[Callable[[], None]] = []
        self._signals = itertools.count(1)

    def listen(self, function: Callable[[], None]) -> None:
        """Call a function whenever the level is raised; it may run inside a signal handler, so it must not lock."""
        self._listeners.append(function)

    @property
    def level(self) -> int:
        return self._level

    @property
    def draining(self) -> bool:
        return self._level >= self.DRAIN

    @property
    def hurried(self) -> bool:
        return self._level >= self.HURRY

    def request(self, level: int = DRAIN) -> None:
        """Raise the level; it never goes down."""
        self._level = max(self._level, level)
        self._wake.put(None)
        for function in self._listeners:
            function()

    def wait(self, timeout: float | None = None) -> int:
        """Sleep until the level rises above what it was, or ``timeout`` seconds; return the level. One waiter only."""
        seen = self._level
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._level == seen:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            try:
                self._wake.get(timeout=LOOK if left is None else min(left, LOOK))
            except queue.Empty:
                continue
            if self._level == seen:
                break
        return self._level

    def wake(self) -> None:
        """End the present wait early without raising the level."""
        self._wake.put(None)

    def install(self) -> None:
        """Handle SIGTERM and SIGINT: each one raises the level by one. Ctrl-Z stops the child processes, too.

        Main thread only.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("signal handlers can be installed by the main thread only")
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGINT, self._handle)
        pausing.install()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        # Another signal's handler may interrupt this one before the level is raised: the count tells.
        self.request(min(max(self._level + 1, next(self._signals)), self.HURRY))
