"""The parent's side of task runners: processes started ahead, reused, recycled, and ended with all they started."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping

import msgspec

from simpleflow.core import interpreter
from simpleflow.process import Child, describe_exit, descriptors, tree

from . import code_versions, frames, task_output, values

logger = logging.getLogger(__name__)

#: seconds that a clean-up may take
CLEANUP_SECONDS = 10.0


class RunnerDied(Exception):
    """The runner ended while it had a task; the message says how."""


class Runner:
    """One task runner. Not thread safe but for ``end``, ``cancel`` and ``forget``."""

    #: seconds that a fresh interpreter may take to be ready, and one that answered a task to put back what it changed
    START_LIMIT, REST_LIMIT = 60.0, 5.0

    def __init__(
        self,
        setup: frames.Setup,
        versions: code_versions.Versions | None = None,
        *,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """``versions``: which version of each module of the user's it runs; shared with its owner's other runners."""
        ours, theirs = socket.socketpair()
        try:
            self._output = task_output.TaskOutput()
        except BaseException:
            ours.close()
            theirs.close()
            raise
        try:
            self._child = Child(
                interpreter.command("simpleflow.runtime.runner", str(theirs.fileno())),
                env=_environment(env),
                pass_fds=(theirs.fileno(),),
                tied=False,  # the pair tells it of this process's death
                stdout=self._output.writer,  # stderr stays the worker's: the runner's own log goes there
            )
        except BaseException:
            ours.close()
            self._output.close()
            raise
        finally:
            theirs.close()
            self._output.close_writer()
        self._pidfd = descriptors.of_process(self._child.pid)
        self._pipe = frames.Pipe(ours, frames.Death(self._pidfd, lambda: self._child.poll() is not None), self._output)
        self._number = 0
        self._grace = setup.grace
        self._ended = False
        #: tasks that it finished, and bytes that it held after the last one
        self.tasks = 0
        self.memory = 0
        #: what its last task left behind that cannot be put back
        self.left: tuple[str, ...] = ()
        #: the task that it answered and still puts back the changes of
        self._resting: values.Task | None = None
        self._task: values.Task | None = None
        #: token of the task that it prepared and did not begin
        self._held: str | None = None
        self._setup = setup
        self._versions = versions or code_versions.Versions()
        #: how many of the modules of ``versions`` it was told
        self._told = 0

    @property
    def pid(self) -> int:
        return self._child.pid

    def ready(self) -> None:
        """Wait until the runner can take a task; raises RunnerDied when it cannot."""
        try:
            self._pipe.send(msgspec.structs.replace(self._setup, code=self._news()))
            if self._next(time.monotonic() + self.START_LIMIT) is None:
                raise RunnerDied(f"task runner {self.pid} was not ready after {self.START_LIMIT:.0f} s")
        except frames.Closed as error:
            raise RunnerDied(self._how(error)) from None

    def start(self, task: values.Task, *, early: bool = True, batch: frames.Batch | None = None) -> None:
        """Hand the runner a task; raises RunnerDied. After a task ``rest`` comes first.

        ``early``: answer before what the task changed is put back. ``batch``: what the runner has to know in case that
        this process dies, where that has changed.
        """
        if self._held is None:
            self._hand(task, early=early, held=False, batch=batch)
            return
        assert self.may_start(task)
        self._held = None
        self._send(frames.Go(number=self._number, batch=batch))

    def prepare(self, task: values.Task) -> None:
        """Have the runner do all that comes before the activity is called; raises RunnerDied.

        ``start`` with the same task comes then, or ``end``.
        """
        self._hand(task, early=True, held=True)
        self._held = task.token

    @property
    def holds(self) -> bool:
        """Whether it prepared a task that it did not begin."""
        return self._held is not None

    def may_start(self, task: values.Task) -> bool:
        """Whether it did not prepare another task than this one."""
        return self._held is None or self._held == task.token

    def _hand(self, task: values.Task, *, early: bool, held: bool, batch: frames.Batch | None = None) -> None:
        self._number += 1
        self._task = task
        self._output.of_task(task)
        self._send(frames.Run(number=self._number, task=task, code=self._news(), early=early, held=held, batch=batch))

    def _send(self, frame: frames.Frame) -> None:
        try:
            self._pipe.send(frame)
        except frames.Closed as error:
            raise RunnerDied(self._how(error)) from None

    def receive(self, timeout: float) -> frames.Frame | None:
        """Return the next frame about the runner's task, None after ``timeout`` seconds; raises RunnerDied."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                frame = self._next(deadline)
            except frames.Closed as error:
                self._output.finish()
                raise RunnerDied(self._how(error)) from None
            if frame is None or getattr(frame, "number", 0) == self._number:
                break
        if isinstance(frame, frames.Done):
            self._output.finish()
            self.tasks += 1
            self._resting = self._task
            if frame.rested is not None:
                self._take(frame.rested)
        return frame

    def rest(self) -> None:
        """Wait until what the last task changed is put back. A runner that cannot do that is not ``alive`` then."""
        task = self._resting
        if task is None or self._ended:
            return
        frame: frames.Frame | None = None
        deadline = time.monotonic() + self.REST_LIMIT
        try:
            while not isinstance(frame, frames.Rested) and (left_time := deadline - time.monotonic()) > 0:
                frame = self.receive(left_time)  # a thread that the task left may still report progress
        except RunnerDied as error:
            logger.info("After task %s: %s", task.id, error)
            self.end(wait=0)
            return
        if not isinstance(frame, frames.Rested):
            left = (f"something that takes more than {self.REST_LIMIT:g} s to end",)
            frame = frames.Rested(number=self._number, memory=self.memory, left=left)
        self._take(frame)

    def _take(self, rested: frames.Rested) -> None:
        """Learn what the last task left behind."""
        task, self._resting = self._resting, None
        self.memory, self.left = rested.memory, rested.left
        if self.left and task is not None:
            logger.warning(
                "%s leaves behind what cannot be put back (%s): its runner ends with it, the next task gets a new one.",
                task.name,
                ", ".join(self.left),
                extra={**task.where, "action": "left_over"},
            )

    def _next(self, deadline: float) -> frames.Frame | None:
        """Return the next frame, None at the deadline; a runner that asks which version of a module to run is told."""
        while True:
            frame = self._pipe.receive(max(0.0, deadline - time.monotonic()))
            if not isinstance(frame, frames.Imports):
                return frame
            self._pipe.send(frames.Import(module=self._versions.settle(frame.module)))

    def _news(self) -> tuple[code_versions.Module, ...]:
        """Return the modules that it was not told of yet."""
        news = self._versions.after(self._told)
        self._told += len(news)
        return news

    def clean_up(self, task: values.Task, limit: float) -> str:
        """Have it run a task's clean-up; return why that failed, '' when it did not. Raises RunnerDied."""
        self._number += 1
        self._output.of_task(task)
        self._send(frames.Clean(number=self._number, task=task))
        frame = self.receive(limit)
        return frame.error if isinstance(frame, frames.Cleaned) else f"it took more than {limit:.0f} s"

    @property
    def ended(self) -> bool:
        """Whether ``end`` was called."""
        return self._ended

    def holds_more(self, limit: int) -> bool:
        """Whether the runner and all that its task started hold more bytes than this now."""
        return tree.memory(self.pid) > limit and tree.memory(self.pid, shared_once=True) > limit

    def cancel(self) -> None:
        """Tell the activity that its cancellation is requested."""
        try:
            self._pipe.send(frames.Cancel(number=self._number))
        except frames.Closed:
            return

    def forget(self, token: str) -> None:
        """Say that another runner begins a task which waits behind this one's. Thread safe."""
        with contextlib.suppress(frames.Closed):
            self._pipe.send(frames.Forget(token=token))

    def _how(self, error: frames.Closed) -> str:
        """Say how the runner went: it ended, or it lives and cannot be understood any more."""
        name = f"task runner {self.pid}"
        if isinstance(error, frames.Garbled):
            return f"{name} cannot be understood ({error}): its activity writes to a descriptor that it did not open"
        status = self._child.wait(1.0)
        if status is None:
            return (
                f"{name} lives and has no connection to its worker: its activity replaced the process (os.exec), "
                "which loses the answer. Start programs with subprocess"
            )
        if status == frames.EXIT_DISCONNECTED:
            return (
                f"task runner {self.pid} could not answer: its activity closed a descriptor that it did not open "
                "(os.closerange up to the limit, say). Close only what the activity opened"
            )
        return f"{name} {describe_exit(status)}"

    def end(self, *, wait: float | None = None) -> None:
        """End the runner with everything it started: SIGTERM, the grace, SIGKILL. Idempotent."""
        self._ended = True
        self._child.end(wait=self._grace if wait is None else wait)

    def dismiss(self) -> None:
        """Let the runner go: an idle one ends when its pipe closes; what its tasks left behind goes too."""
        with contextlib.suppress(frames.Closed):
            self._pipe.send(frames.Leave())
        self._pipe.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        if not self._ended:
            self._child.wait(2.0)
        self._child.end(wait=0)
        self._output.finish()
        self._output.close()

    @property
    def alive(self) -> bool:
        """Whether it may be given a task: no other task shows in it, ``end`` was not called, its process lives."""
        return not (self._ended or self.left) and self._child.poll() is None


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    """Return what a runner's environment is: not what names the worker to others, which a task's programs inherit."""
    found = dict(os.environ if env is None else env)
    found.pop("SIMPLEFLOW_STATUS_SOCKET", None)
    return found
