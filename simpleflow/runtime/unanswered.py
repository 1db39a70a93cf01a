"""What a task runner has to tell the service when its worker is gone, and how it does that.

A worker that is killed leaves answers that it has not sent, tasks that it has not begun, and perhaps tasks that the
service gave it at that very moment. Each of its runners notes what the worker would have told. When the pipe closes,
the runner ends what its tasks started and is replaced by a small program (``last_answers.py``): no code of a task runs
in the process any more when that program hands tasks back.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import tempfile
import time
from typing import IO

import msgspec

from simpleflow.core import attempt, interpreter
from simpleflow.process import tree

from . import failures, frames, values

#: a task that failed in so many seconds before its worker's end was seen counts as interrupted: nobody read what it
#: printed, say
RECENTLY = 2.0
#: an answer that is sent
Answer = values.Completed | values.Failed | values.Canceled


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A task that was ended, and is answered once the clean-up that its activity declares has run."""

    task: values.Task
    answer: values.Failed


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What the program is given."""

    setup: frames.Setup
    reach: frames.Reach
    #: names the call that may have brought tasks which the worker did not hand on; '': none did
    claim: str
    #: tokens and answers
    answers: list[tuple[str, Answer]]
    ended: Ended | None = None


class Unanswered:
    """Notes what one runner knows of its worker's tasks. One thread changes it but for ``progress`` and ``forget``."""

    def __init__(self, setup: frames.Setup) -> None:
        self._setup = setup
        self._claim = setup.claim
        #: tokens of the tasks that wait behind the running one
        self._behind: dict[str, None] = {}
        #: answers that the worker may not have sent yet, by their tokens
        self._answers: dict[str, Answer] = {}
        #: the running task, its latest progress, and whether its activity declares a clean-up
        self._running: values.Task | None = None
        self._progress: str | None = None
        self.cleanup = False
        #: the task that failed last, and when (``time.monotonic()``)
        self._failed = "", 0.0
        #: whether its activity was called, or could be
        self._begun = False
        # A task may change all of these for itself.
        self._environment = dict(os.environ)
        self._folder = os.getcwd()
        self._command = interpreter.command("simpleflow.runtime.last_answers")

    def begin(self, task: values.Task, batch: frames.Batch | None, *, held: bool = False) -> None:
        """Take note of a task that begins, or is ``held`` until ``go``."""
        self.go(batch)
        self._begun = not held
        self._behind.pop(task.token, None)
        self._running, self._progress, self.cleanup = task, None, False

    def go(self, batch: frames.Batch | None) -> None:
        """Take note that the task which is held begins; ``batch``: what waits behind it, where that has changed."""
        self._begun = True
        if batch is not None:
            self._claim = batch.claim
            self._behind = dict.fromkeys(batch.behind)
            self._answers.clear()

    def progress(self, details: str | None) -> None:
        """Take note of what the running task reported. Thread safe."""
        self._progress = details

    def forget(self, token: str) -> None:
        """Another runner begins this task. Thread safe."""
        self._behind.pop(token, None)

    def end(self, answer: values.Answer) -> None:
        """Take note of the running task's answer."""
        task, self._running = self._running, None
        if task is not None and not isinstance(answer, values.Later):
            self._answers[task.token] = answer
            if isinstance(answer, values.Failed):
                self._failed = task.token, time.monotonic()

    def left(self) -> Left | None:
        """Return what the service is to be told; None when there is nothing."""
        reach = self._setup.reach
        if reach is None:
            return None
        answers, ended = dict(self._answers), None
        token, moment = self._failed
        if token in answers and time.monotonic() - moment < RECENTLY:
            answers[token] = self._interrupted()
        if self._running is not None and self.cleanup and self._begun:
            ended = Ended(task=self._running, answer=self._interrupted())
        elif self._running is not None:
            answers[self._running.token] = self._interrupted() if self._begun else not_begun()
        for token in list(self._behind):
            answers[token] = not_begun()
        claim = "" if reach.endpoint_url is None else self._claim
        if not (claim or answers or ended):
            return None
        setup = msgspec.structs.replace(self._setup, reach=None)
        return Left(setup=setup, reach=reach, claim=claim, answers=list(answers.items()), ended=ended)

    def _interrupted(self) -> values.Failed:
        failed = failures.of_words("Interrupted", "the worker was killed", reason=values.INTERRUPTED)
        if self._progress is None:
            return failed
        return msgspec.structs.replace(failed, details=attempt.with_report(failed.details, self._progress))

    def tell(self, log: int) -> None:
        """Replace this process by the program that tells the service; returns when there is nothing to tell.

        Ends all that the tasks started first. ``log``: descriptor of the worker's log.
        """
        _raise_limits()
        left = self.left()
        if left is None:
            return
        with _unnamed_file() as file:
            file.write(msgspec.msgpack.encode(left))
            file.seek(0)
            tree.end_others(self._environment.get(tree.MARK, ""))
            for number, source in enumerate((file.fileno(), log, log)):
                os.set_inheritable(number, True) if number == source else os.dup2(source, number)
            with contextlib.suppress(OSError):
                os.chdir(self._folder)
            for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):  # exec keeps them
                signal.setitimer(timer, 0)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
            os.execve(self._command[0], self._command, self._environment)  # noqa: S606


def _raise_limits() -> None:
    """Take back what the task may have denied its process."""
    for limit in ("AS", "CPU", "DATA", "FSIZE", "NOFILE"):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            number = getattr(resource, f"RLIMIT_{limit}")
            _, hard = resource.getrlimit(number)
            resource.setrlimit(number, (hard, hard))


def _unnamed_file() -> IO[bytes]:
    """Return an empty file; in memory where the system can: the disk may be full, or its folder be changed."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("left"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def not_begun() -> values.Failed:
    """Return the answer that hands a task back, which another worker begins then."""
    return failures.of_words("NotBegun", "its worker was killed before it began", reason=values.INTERRUPTED)
