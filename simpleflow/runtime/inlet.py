"""What a task runner reads from its worker, and on which thread.

While the main thread is idle it reads the pipe itself, so no other thread has to wake it for a task. While a task runs
a second thread reads, so that a cancellation or the worker's death interrupts the task. The second thread begins to
read only when a task runs for longer than ``TICK``: a change of threads would cost more than a short task.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

from . import frames

#: seconds between two checks whether a task runs for long; after ``REST`` checks without a task the checks stop
TICK: Final = 0.05
REST: Final = 20
#: frames that the main thread handles
Given: TypeAlias = frames.Run | frames.Go | frames.Clean


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
        """``take`` handles each frame, on either thread. It returns the frames that the main thread must handle.

        ``lost`` is called on the second thread when the pipe ends while the main thread is busy; while the main thread
        is idle, ``next`` raises instead. ``idle`` is called when the main thread has nothing to do: on the second
        thread at each check, on the main thread before it waits for the second one.
        """
        self._pipe = pipe
        self._take = take
        self._lost = lost
        self._idle = idle
        self._lock = threading.Lock()
        self._tasks: queue.SimpleQueue[Given] = queue.SimpleQueue()
        #: whether the main thread reads while it is idle; the number of the frame that it handles, 0 while it is idle
        self._own = True
        self._working = -1
        #: set: the second thread makes its checks; set: it begins to read at its next check
        self._begun = threading.Event()
        self._wanted = threading.Event()

    def start(self) -> None:
        """Start the second thread. The main thread counts as busy until it calls ``next``."""
        self._begun.set()
        threading.Thread(target=self._watch, name="listen", daemon=True).start()

    def next(self) -> Given:
        """Wait for the next frame for the main thread, which counts as busy from then on. Raises ``frames.Closed``."""
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
        """Have the second thread read at once while the main thread is busy. Thread safe."""
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
        """Wait until the main thread has been busy for long; return False when it has been idle for long."""
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
