"""Local activities: they run in task runners beside the decider, so that they cannot change its process."""

from __future__ import annotations

import logging
import threading
import time

from simpleflow import engine as engines
from simpleflow.core import errors, retries

from . import code_versions, execute, failures, frames, pool, values

logger = logging.getLogger(__name__)

#: runners at a time
MOST = 8
#: seconds to wait for a busy runner before one more is started: short activities end within them
SPARING = 0.05
#: a runner is recycled after this number of tasks, or when it holds this number of bytes after a task
MAX_TASKS, MAX_BYTES = 10_000, 1 << 30
#: attempts to start a runner
STARTS = 3
#: seconds that a clean-up may take
CLEANUP_SECONDS = 10.0


class Beside:
    """Runs local activities in child processes that are kept for the next one. Thread safe."""

    def __init__(self, setup: frames.Setup, *, most: int = MOST) -> None:
        self._setup = setup
        self._most = most
        self._versions = code_versions.Versions()
        self._changed = threading.Condition()
        self._idle: list[pool.Runner] = []
        self._busy: set[pool.Runner] = set()
        #: runners that live or start
        self._count = 0
        self._closed = False
        #: activities that declare a clean-up, as runners told
        self._with_cleanup: set[str] = set()

    def run(self, activity: engines.LocalActivity, task: engines.DecisionTask) -> engines.LocalResult:
        """Run one within its timeout. Raises SimpleflowError when no runner starts, and after ``close``."""
        given = _task_of(activity, task)
        runner = self._take()
        try:
            answer = self._attend(runner, given, activity.timeout)
        finally:
            self._give(runner)
        return _result_of(answer)

    def close(self) -> None:
        """End every runner with all that it started; running activities get no answer."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = tuple(self._busy)
            self._changed.notify_all()
        for runner in busy:
            runner.end(wait=0)
        for runner in idle:
            runner.dismiss()

    def _take(self) -> pool.Runner:
        """Return a runner that can take a task: one that waits, one that is free in a moment, or a new one."""
        gone: list[pool.Runner] = []
        runner: pool.Runner | None = None
        spare = time.monotonic() + SPARING
        with self._changed:
            while runner is None:
                self._check_open()
                while self._idle and not self._idle[-1].alive:
                    gone.append(self._idle.pop())
                    self._count -= 1
                left = spare - time.monotonic()
                if self._idle:
                    runner = self._idle.pop()
                    self._busy.add(runner)
                elif self._count == 0 or (self._count < self._most and left <= 0):
                    self._count += 1
                    break
                else:
                    self._changed.wait(left if left > 0 and self._count < self._most else None)
        for each in gone:
            each.dismiss()
        return runner or self._new()

    def _new(self) -> pool.Runner:
        """Start a runner; its place was counted before."""
        try:
            runner = self._started()
        except BaseException:
            with self._changed:
                self._count -= 1
                self._changed.notify()
            raise
        with self._changed:
            if not self._closed:
                self._busy.add(runner)
                return runner
            self._count -= 1
        runner.dismiss()
        raise _ended()

    def _started(self) -> pool.Runner:
        backoff = retries.Backoff()
        while True:
            try:
                runner = pool.Runner(self._setup, self._versions)
                try:
                    runner.ready()
                except BaseException:
                    runner.dismiss()
                    raise
                return runner
            except Exception as error:
                if backoff.attempts >= STARTS - 1:
                    raise errors.SimpleflowError(f"no runner for local activities starts: {error}") from error
                time.sleep(backoff.next())

    def _give(self, runner: pool.Runner) -> None:
        """Take a runner back, or end it when no other task may use it."""
        runner.rest()
        usable = runner.alive and runner.tasks < MAX_TASKS and runner.memory < MAX_BYTES
        with self._changed:
            self._busy.discard(runner)
            usable = usable and not self._closed
            if usable:
                self._idle.append(runner)
                self._changed.notify()
        if usable:
            return
        runner.dismiss()
        with self._changed:
            self._count -= 1
            self._changed.notify()

    def _attend(self, runner: pool.Runner, task: values.Task, limit: float | None) -> values.Answer:
        """Have a runner run the task; its processes are ended when it takes longer than ``limit`` seconds."""
        deadline = None if limit is None else time.monotonic() + limit
        try:
            runner.start(task, early=False)
            while True:
                left = 3600.0 if deadline is None else max(0.0, deadline - time.monotonic())
                frame = runner.receive(left)
                match frame:
                    case frames.Done(answer=answer):
                        return answer
                    case frames.Started():
                        if frame.cleanup:
                            self._with_cleanup.add(frame.name)
                if deadline is not None and time.monotonic() >= deadline:
                    answer = _over(task, limit)
                    runner.end()
                    break
        except pool.RunnerDied as error:
            runner.end(wait=0)
            answer = failures.of_words("RunnerDied", str(error))
        except BaseException:
            # It may still work: its next frame would be taken for the answer to another task.
            runner.end(wait=0)
            raise
        with self._changed:
            self._check_open()
        if task.name in self._with_cleanup:
            self._clean_up(task)
        return answer

    def _clean_up(self, task: values.Task) -> None:
        """Run the clean-up that the activity declares, in a fresh process."""
        try:
            runner = self._started()
            try:
                failure = runner.clean_up(task, CLEANUP_SECONDS)
            finally:
                runner.end(wait=0)
                runner.dismiss()
        except Exception as error:
            failure = str(error)
        if failure:
            logger.error("The clean-up of %s failed: %s", task.name, failure, extra={"action": "cleanup_failed"})

    def _check_open(self) -> None:
        if self._closed:
            raise _ended()


class Inline:
    """Runs local activities in this process and on this thread: for the one thread of a virtual environment."""

    def __init__(self, executor: execute.Executor) -> None:
        self._executor = executor

    def run(self, activity: engines.LocalActivity, task: engines.DecisionTask) -> engines.LocalResult:
        """Run one; never raises."""
        return _result_of(self._executor.handle(_task_of(activity, task)))


def _task_of(activity: engines.LocalActivity, task: engines.DecisionTask) -> values.Task:
    return values.Task(
        activity_id=activity.key,
        name=activity.name,
        version="",
        workflow_id=task.workflow_id,
        run_id=task.run_id,
        domain=task.domain,
        task_list="",
        started_event_id=task.started_event_id,
        input=activity.input,
        module=activity.module,
    )


def _result_of(answer: values.Answer) -> engines.LocalResult:
    match answer:
        case values.Completed(result=result):
            return engines.LocalResult(result="null" if result is None else result)
        case values.Failed(reason=reason, details=details):
            return engines.LocalResult(reason=reason, details=details)
        case values.Canceled(details=details):
            return engines.LocalResult(reason="canceled", details=details)
        case values.Later():  # It has no token: the activity raised this itself.
            failed = failures.of_words("Misuse", "a local activity cannot be completed later: submit it as a task")
            return engines.LocalResult(reason=failed.reason, details=failed.details)


def _ended() -> errors.SimpleflowError:
    return errors.SimpleflowError("the decider ends: its local activities run again at the next attempt")


def _over(task: values.Task, limit: float | None) -> values.Failed:
    logger.warning("Local activity %s ran for longer than %g s; its processes are ended.", task.name, limit)
    return failures.of_words(
        "TimedOut",
        f"the local activity ran for longer than {limit:g} s: declare a longer start_to_close_timeout (a decision, "
        "with its local activities, must end within decision_tasks_timeout), or submit it as a task of its own",
    )
