"""The parent's side of task runners: processes started ahead, reused, recycled, and ended with all they started."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

from simpleflow.process import Child, describe_exit

from . import frames, values


class RunnerDied(Exception):
    """The runner ended while it had a task; the message says how."""


class Runner:
    """One task runner. Not thread safe but for ``end``, ``cancel`` and ``busy``."""

    #: seconds that a fresh interpreter may take to be ready
    START_LIMIT = 60.0

    def __init__(self, setup: frames.Setup, *, env: Mapping[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._child = Child(
                [sys.executable, "-m", "simpleflow.runtime.runner", str(theirs.fileno())],
                env=env,
                pass_fds=(theirs.fileno(),),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._pipe = frames.Pipe(ours)
        self._grace = setup.grace
        self._ended = False
        #: tasks that it finished, and bytes that it held after the last one
        self.tasks = 0
        self.memory = 0
        self._setup = setup

    @property
    def pid(self) -> int:
        return self._child.pid

    def ready(self) -> None:
        """Wait until the runner can take a task; raises RunnerDied when it cannot."""
        try:
            self._pipe.send(self._setup)
            if self._pipe.receive(self.START_LIMIT) is None:
                raise RunnerDied(f"task runner {self.pid} was not ready after {self.START_LIMIT:.0f} s")
        except frames.Closed:
            raise RunnerDied(self._how()) from None

    def start(self, task: values.Task) -> None:
        """Hand the runner a task; raises RunnerDied."""
        try:
            self._pipe.send(frames.Run(task=task))
        except frames.Closed:
            raise RunnerDied(self._how()) from None

    def receive(self, timeout: float) -> frames.Frame | None:
        """Return the runner's next frame, None after ``timeout`` seconds; raises RunnerDied."""
        try:
            frame = self._pipe.receive(timeout)
        except frames.Closed:
            raise RunnerDied(self._how()) from None
        if isinstance(frame, frames.Done):
            self.tasks += 1
            self.memory = frame.memory
        return frame

    def cancel(self) -> None:
        """Tell the activity that its cancellation is requested."""
        try:
            self._pipe.send(frames.Cancel())
        except frames.Closed:
            return

    def _how(self) -> str:
        status = self._child.wait(5.0)
        return f"task runner {self.pid} " + ("closed its pipe" if status is None else describe_exit(status))

    def end(self, *, wait: float | None = None) -> None:
        """End the runner with everything it started: SIGTERM, the grace, SIGKILL. Idempotent."""
        self._ended = True
        self._child.end(wait=self._grace if wait is None else wait)

    def dismiss(self) -> None:
        """Let the runner go: an idle one ends when its pipe closes; what its tasks left behind goes too."""
        self._pipe.close()
        if not self._ended:
            self._child.wait(2.0)
        self._child.end(wait=0)

    @property
    def ended(self) -> bool:
        """True once ``end`` was called: its death is no accident."""
        return self._ended


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for runners: this process's, and ``extra``."""
    return {**os.environ, **(extra or {})}
