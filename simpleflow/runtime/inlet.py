"""What a task runner reads from its worker, and on which thread.

The main thread reads while it is idle: no other thread has to wake it for a task. While a task runs a second thread
reads, so that a cancellation or the worker's death reaches a task that does not ask for it. It takes over only from a
task that runs for longer than a moment: handing each short one over would cost more than the task.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

from . import frames

#: seconds between two looks whether a task runs for long, and looks without a task after which there are none
TICK: Final = 0.05
REST: Final = 20
#: what the main thread works
Given: TypeAlias = frames.Run | frames.Clean


class Inlet:
    """Reads a pipe for one main thread, which calls ``next`` alone."""

    def __init__(
        self,
        pipe: frames.Pipe,
        *,
        take: Callable[[frames.Frame | None], Given | None],
        lost: Callable[[frames.Closed], object],
        idle: Callable[[], object],
    ) -> None:
        """``take`` sees to each frame, on either thread, and returns those that the main thread is to work.

        ``lost`` is called on the second thread when the pipe ends while the main thread is busy; where it is idle
        ``next`` raises. ``idle`` is called there when the main thread has had nothing to do for a moment.
        """
        self._pipe = pipe
        self._take = take
        self._lost = lost
        self._idle = idle
        self._lock = threading.Lock()
        self._tasks: queue.SimpleQueue[Given] = queue.SimpleQueue()
        #: whether the main thread reads when it is idle, and the number of what it works: 0 while it is idle
        self._own = True
        self._working = -1
        #: the second thread looks; it reads as soon as it can
        self._begun = threading.Event()
        self._wanted = threading.Event()

    def start(self) -> None:
        """Begin to look after the main thread, which counts as busy until it calls ``next``."""
        self._begun.set()
        threading.Thread(target=self._watch, name="listen", daemon=True).start()

    def next(self) -> Given:
        """Wait for what is to be worked next, which the main thread is busy with then. Raises ``frames.Closed``."""
        with self._lock:
            self._working = 0
            own = self._own and self._tasks.empty()  # the second thread may have read it before this was called
        if own:
            given = self._read()
        else:
            self._idle()
            given = self._tasks.get()
        with self._lock:
            self._working = given.number
        if not self._begun.is_set():
            self._begun.set()
        return given

    def hurry(self) -> None:
        """What comes while the main thread is busy is waited for. Thread safe."""
        self._wanted.set()

    def _read(self) -> Given:
        while (given := self._take(self._pipe.receive())) is None:
            pass
        return given

    def _watch(self) -> None:
        while True:
            self._begun.wait()
            if not self._take_over():
                continue
            try:
                given = self._read()
            except frames.Closed as error:
                self._lost(error)
                return
            with self._lock:
                self._own = True
                self._tasks.put(given)

    def _take_over(self) -> bool:
        """Wait until the main thread is busy for long; False when it has been idle for long."""
        before = quiet = 0
        while quiet < REST:
            self._wanted.wait(TICK)
            with self._lock:
                working, wanted = self._working, self._wanted.is_set()
                self._wanted.clear()
                if working and (wanted or working == before):
                    self._own = False
                    return True
                if not working:
                    self._idle()
            before = working
            quiet = 0 if working else quiet + 1
        with self._lock:
            if not self._working:
                self._begun.clear()
        return False
