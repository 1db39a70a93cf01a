"""One place for a task: a runner that waits, the task that it got, its heartbeats, its answer."""

from __future__ import annotations

import collections
import logging
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from simpleflow import logging_context
from simpleflow.core import attempt, documents, interceptors, retries

from . import answering, employer, failures, frames, heartbeat, pool, retrying, values

logger = logging.getLogger(__name__)

#: seconds between two looks at the memory of a task that has a limit
WEIGH_EVERY = 1.0
#: seconds between two looks at a task that runs on unheard
LOOK_SECONDS = 60.0
#: seconds that tasks which came together wait for one of them: until another slot may take them, and until they are
#: handed back
SHARE_SECONDS, TURN_SECONDS = 0.05, 0.5


class Slot:
    """Runs one task at a time, on a thread of its own. ``give``, ``interrupt`` and ``shown`` are thread safe."""

    def __init__(self, worker: employer.Employer, number: int) -> None:
        self._worker = worker
        self._box: queue.SimpleQueue[employer.Given | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"slot-{number}", daemon=True)
        self._runner: pool.Runner | None = None
        self._interrupted = False
        #: the answer of a poll for which the runner got ready, and its task
        self._expected: tuple[Any, Any] = None, None
        #: tasks that came together with the one that runs, and answers that are not sent yet
        self._waiting: collections.deque[employer.Given] = collections.deque()
        self._answers = answering.Answering(worker, ahead=self.prepare)
        #: whether a poll went with its last answer
        self._joined = False
        #: the names of the calls that bring it tasks
        self._names = retrying.PollNames(f"{worker.name}-{number}")
        #: the runner was not told of the tasks that came
        self._untold = True
        #: when the running task began, and whether those that wait behind it are lent to other slots
        self._begun = 0.0
        self._lent = False
        #: when the memory of the task was looked at
        self._weighed = float("-inf")
        self._closing = False
        #: activities whose last task left behind what cannot be put back: the next one may do so, too
        self._untidy: set[str] = set()
        #: what activities declare, as runners told; a fresh runner may have a newer version of the code
        self._declared: dict[str, frames.Started] = {}
        #: what the status channel shows of the task; None while idle
        self.shown: documents.RunningTask | None = None
        #: completed tasks by type; replaced, never changed in place
        self.finished: dict[str, documents.Finished] = {}

    @property
    def names(self) -> retrying.PollNames:
        return self._names

    def start(self) -> None:
        self._thread.start()

    def give(self, answer: Any, opened: float) -> None:
        """Take a task: the answer of a poll, and when that was opened (``time.monotonic()``)."""
        self._box.put(self.show(answer, opened))

    def show(self, answer: Any, opened: float) -> employer.Given:
        """Show from now on the task that a poll brought, and return it."""
        given = self._given(answer, opened)
        self._show(given[0])
        return given

    def _given(self, answer: Any, opened: float) -> employer.Given:
        expected, task = self._expected
        if expected is not answer:
            options = self._worker.options
            task = values.Task.of(answer, domain=options.domain, task_list=options.task_list)
        return task, answer.task_token, opened

    def _show(self, task: values.Task) -> None:
        self.shown = documents.RunningTask(id=task.id, started=self._worker.time.now(), activity=task.name)

    def prepare(self, answer: Any) -> None:
        """Have the runner get ready for a task that a poll is about to return. On the slot's own thread."""
        runner = self._runner
        if runner is None or runner.holds or self._interrupted or not self._usable(runner):
            return
        try:
            self._expected = answer, self._given(answer, 0.0)[0]
            runner.prepare(self._expected[1])
        except Exception as error:  # the task itself will meet it
            logger.debug("A task is not prepared: %s", error)

    def interrupt(self) -> None:
        """End the task, if one runs, as failed because of the machine."""
        self._interrupted = True
        runner = self._runner
        if runner is not None:
            runner.end()

    def close(self) -> None:
        """Let the runner go and end the thread."""
        self._closing = True
        self._box.put(None)
        if self._thread.ident is not None:
            self._thread.join(10.0)
        if self._runner is not None:
            self._runner.end(wait=0)

    def _run(self) -> None:
        backoff = retries.Backoff(longest=60.0)
        worked = False
        while not self._closing:
            if worked and self._worker.stop.draining:
                break  # no task comes any more: a runner started now might outlive the worker for a moment
            try:
                self._fresh()
            except Exception as error:  # a slot that ends would leave the worker alive and idle
                delay = backoff.next()
                logger.error("A task runner did not start (%s); next attempt after %.1f s.", error, delay)
                self._rest(delay)
                continue
            backoff.reset()
            given = self._worker.take(self) or self._box.get()
            if given is None:
                break
            worked = True
            self._came([given])
            while self._waiting or self._collects() or self._helps():
                self._worked(self._waiting.popleft())
        if self._runner is not None:
            self._runner.dismiss()
            self._runner = None

    def _collects(self) -> bool:
        """Take the task that comes behind the last answer."""
        if not self._joined:
            return False
        self._joined = False
        given = self._worker.collect(self)
        if given is None:
            return False
        self._came([given])
        return True

    def _helps(self) -> bool:
        """Take over a task that waits behind a long one, of this slot or another."""
        taken = self._worker.spare.take()
        if taken is None:
            return False
        owner, given = taken
        owner.lent(given)
        self._came([given])
        return True

    def lent(self, given: employer.Given) -> None:
        """Another slot has taken this task of its own. Thread safe."""
        runner = self._runner
        if runner is not None:
            runner.forget(given[1])

    def _came(self, tasks: Iterable[employer.Given]) -> None:
        """Have these tasks wait. The answers before them are sent."""
        self._waiting += tasks
        self._untold = True

    def _worked(self, given: employer.Given) -> None:
        """Work one task; those that come with the acknowledgement of its answer wait then."""
        try:
            with logging_context.within(**given[0].where):
                try:
                    self._work(*given)
                finally:
                    if given[0].name in self._untidy:  # The next task is to have a runner that takes it.
                        self._tidy(given[0].name)
                    self._send()
        except Exception:
            logger.exception("The slot's task was not answered; it will time out.")
        self._worker.versions.look()
        if not self._waiting:
            self.shown = None
        self._worker.changed.set()
        self._tidy(given[0].name)

    def _tidy(self, name: str) -> None:
        """Wait until the runner has put back what a task of this activity changed."""
        runner = self._runner
        if runner is None:
            return
        runner.rest()
        if runner.left:
            self._untidy.add(name)
        else:
            self._untidy.discard(name)

    def _send(self) -> None:
        """Send the answers, unless the tasks that wait are about to be answered, too."""
        wait = self._answers.wait
        if wait is None:
            return
        # A runner that is not used again would keep the next task waiting for a new one.
        usable = self._runner is not None and self._usable(self._runner)
        if self._waiting and wait > 0 and usable:
            return
        wants = usable and not self._waiting and not self._worker.spare
        poller = self._worker.joined(self) if wants else None
        self._joined = poller is not None
        wanted = self._worker.following(self._names.name) if wants and poller is None else None
        opened = self._worker.time.monotonic()
        brought = self._answers.send(wanted, poller)
        if wanted is not None:
            self._worker.alone = not brought
        if brought:
            self._names.answered()
            self._came(self._given(answer, opened) for answer in brought)

    def _rest(self, seconds: float) -> None:
        try:
            given = self._box.get(timeout=seconds)
        except queue.Empty:
            return
        self._box.put(given)

    def _fresh(self) -> None:
        """Have a living runner that is not due to be recycled."""
        runner = self._runner
        if runner is not None:
            if self._usable(runner):
                return
            self._runner = None
            runner.dismiss()
        self._declared.clear()
        setup = msgspec.structs.replace(self._worker.options.setup, claim=self._names.name)
        self._untold = True
        self._runner = pool.Runner(setup, self._worker.versions)
        try:
            self._runner.ready()
        except BaseException:
            self._runner.dismiss()
            self._runner = None
            raise

    def _usable(self, runner: pool.Runner) -> bool:
        options = self._worker.options
        return runner.alive and runner.tasks < options.max_tasks and runner.memory < options.max_mib << 20

    def _work(self, task: values.Task, token: str, opened: float) -> None:
        begun = self._begun = self._worker.time.monotonic()
        self._lent = False
        if self._interrupted:
            self._answers.add(task, token, _interrupted())
            return
        self._show(task)
        received = task.received() if self._worker.mounted else None
        if received is not None:
            self._tell(lambda mounted: mounted.task_received(received))
        try:
            answer = self._answer_of(task, token, opened)
        except BaseException:
            # Its runner may still work: its next frame would be taken for the answer to another task.
            if self._runner is not None:
                self._runner.end(wait=0)
            raise
        if isinstance(answer, values.Later):
            self._tell_left_open(task)
        elif answer is not None:
            self._answers.add(task, token, answer)
        seconds = self._worker.time.monotonic() - begun
        if isinstance(answer, values.Completed):
            self._count(task.name, seconds)
        if received is not None:
            outcome = task.answered(answer, seconds)
            self._tell(lambda mounted: mounted.task_answered(outcome))

    def _tell(self, say: Callable[[interceptors.SlotInterceptor], None]) -> None:
        for interceptor in self._worker.mounted:
            try:
                say(interceptor)
            except Exception:
                logger.exception("An interceptor failed (%s); the task goes on.", type(interceptor).__name__)

    def _tell_left_open(self, task: values.Task) -> None:
        declared = self._declared.get(task.name)
        kinds = ("start_to_close", "schedule_to_close", "heartbeat")
        known = {kind: getattr(declared, kind) for kind in kinds if getattr(declared, kind, None) is not None}
        limits_text = ", ".join(f"{kind}_timeout {value:g} s" for kind, value in known.items())
        logger.info(
            "Task %s is left open: whoever has its token completes it (activity.complete)%s.",
            task.id,
            f" within the limits that its activity declares: {limits_text}" if limits_text else "",
            extra={"action": "left_open"},
        )

    def _count(self, name: str, seconds: float) -> None:
        before = self.finished.get(name, documents.Finished(activity=name, count=0, seconds=0.0))
        after = documents.Finished(
            activity=name,
            count=before.count + 1,
            seconds=round(before.seconds + seconds, 3),
            longest=round(max(before.longest, seconds), 3),
        )
        self.finished = {**self.finished, name: after}

    def _answer_of(self, task: values.Task, token: str, opened: float) -> values.Answer | None:
        """Run the task to its end and return its answer; None when the service has closed the task."""
        beat = heartbeat.Heartbeat(
            self._worker.transport, token, every=self._worker.options.heartbeat, time=self._worker.time
        )
        if task.name in self._declared:
            self._know(task, self._declared[task.name], beat)
        refusal = self._refusal(task, beat, opened)
        if refusal is not heartbeat.Verdict.GO_ON:
            return values.Canceled() if refusal is heartbeat.Verdict.CANCEL else None
        if self._runner is not None and not self._runner.may_start(task):
            self._runner.end(wait=0)
        try:
            self._fresh()  # an idle runner may have died
        except Exception as error:
            logger.error("A task runner did not start (%s): task %s is handed back.", error, task.id)
            return failures.of_words("RunnerNotStarted", str(error), reason=values.INTERRUPTED)
        runner = self._runner
        assert runner is not None
        answer = self._attend(runner, task, beat)
        if isinstance(answer, values.Failed) and beat.details is not None:
            answer = msgspec.structs.replace(answer, details=attempt.with_report(answer.details, beat.details))
        declared = self._declared.get(task.name)
        if declared is not None and declared.cleanup and (runner.ended or isinstance(answer, values.Canceled)):
            self._clean_up(task)
        return answer

    def _clean_up(self, task: values.Task) -> None:
        """Run the clean-up that the activity declares, in a fresh process: the task's own may have been killed."""
        try:
            if self._runner is not None:
                self._runner.end()
            self._fresh()
            assert self._runner is not None
            failure = self._runner.clean_up(task, pool.CLEANUP_SECONDS)
            self._runner.end(wait=0)
        except Exception as error:
            failure = str(error)
        if failure:
            logger.error("The clean-up of task %s failed: %s", task.id, failure, extra={"action": "cleanup_failed"})

    def _refusal(self, task: values.Task, beat: heartbeat.Heartbeat, opened: float) -> heartbeat.Verdict:
        """Ask whether the task is still its own when it may have been taken long ago.

        A process that was stopped, or whose machine slept, cannot tell when the poll's answer came: what counts is
        when the poll was opened.
        """
        if self._worker.time.monotonic() - opened <= beat.interval:
            return heartbeat.Verdict.GO_ON
        verdict = beat.ask(lambda seconds: answering.patiently(self._worker.stop, seconds))
        if verdict is heartbeat.Verdict.GONE:
            logger.warning("Task %s is not this worker's any more; it is not begun.", task.id)
        return verdict

    def _attend(self, runner: pool.Runner, task: values.Task, beat: heartbeat.Heartbeat) -> values.Answer | None:
        """Have the runner run the task, and keep it alive meanwhile."""
        cancelled_at: float | None = None
        released = False
        try:
            runner.start(task, early=not self._waiting, batch=self._batch())
            while True:
                frame = runner.receive(self._turn(LOOK_SECONDS if released else self._patience(beat, cancelled_at)))
                match frame:
                    case frames.Done(answer=answer):
                        self._worker.paces.note(task.name, task.version, frame.seconds)
                        return None if released else answer
                    case frames.Started():
                        self._declared[frame.name] = frame
                        self._know(task, frame, beat)
                    case frames.Beat(details=details):
                        beat.report(details)
                self._relieve()
                if self._over_memory(runner):
                    runner.end(wait=0)
                    limit = f"{self._worker.options.task_mib} MiB"
                    return failures.of_words(
                        "OutOfMemory", f"the task's processes held more than {limit} (--task-memory)"
                    )
                if cancelled_at is not None:
                    if self._worker.time.monotonic() - cancelled_at >= self._worker.options.setup.grace:
                        runner.end(wait=0)
                        return values.Canceled()
                    continue
                if released or beat.wait > 0:
                    continue
                verdict = beat.beat()
                if verdict is heartbeat.Verdict.GONE and self._survives(task):
                    logger.warning("Task %s is closed at the service; it runs on, as its activity says.", task.id)
                    released = True
                    continue
                if verdict is heartbeat.Verdict.GONE:
                    logger.warning("Task %s is closed at the service; its processes are ended.", task.id)
                    runner.end()
                    return None
                if verdict is heartbeat.Verdict.OVER:
                    logger.warning("Task %s ran for longer than its limit; its processes are ended.", task.id)
                    runner.end()
                    return failures.of_words("TimedOut", "the task ran for longer than the limit that it declares")
                if verdict is heartbeat.Verdict.CANCEL:
                    cancelled_at = self._worker.time.monotonic()
                    runner.cancel()
        except pool.RunnerDied as error:
            if cancelled_at is not None:
                runner.end(wait=0)
                return values.Canceled()
            interrupted = self._interrupted
            runner.end(wait=0)
            if interrupted:
                return _interrupted()
            return failures.of_words("RunnerDied", str(error))

    def _batch(self) -> frames.Batch | None:
        """Return what the runner tells the service in case that this process dies; None when it knows that."""
        if not self._untold:
            return None
        self._untold = False
        return frames.Batch(claim=self._names.name, behind=tuple(token for _, token, _ in self._waiting))

    def _turn(self, patience: float) -> float:
        """Return the seconds to wait for the running task before ``_relieve`` is to be called, too."""
        wait = self._answers.wait
        if wait is not None:
            patience = min(patience, wait)
        if self._waiting or self._lent:
            due = self._begun + (TURN_SECONDS if self._lent else SHARE_SECONDS)
            patience = min(patience, max(0.0, due - self._worker.time.monotonic()))
        return patience

    def _relieve(self) -> None:
        """Keep other tasks from waiting for the running one.

        Sends the held answers, and lends or hands back the tasks behind it.
        """
        passed = self._worker.time.monotonic() - self._begun
        if self._waiting and passed >= SHARE_SECONDS:
            self._worker.spare.lend(self, self._waiting)
            self._waiting.clear()
            self._lent = True
        if self._lent and passed >= TURN_SECONDS:
            self._lent = False
            for task, token, _ in self._worker.spare.reclaim(self):
                logger.info("Task %s, which waits behind a long one, is handed back.", task.id)
                message = "another task of its worker took long, and this one was not begun"
                self._answers.add(task, token, failures.of_words("NotBegun", message, reason=values.INTERRUPTED))
        if self._answers.wait == 0:
            self._answers.try_to_send()

    def _survives(self, task: values.Task) -> bool:
        declared = self._declared.get(task.name)
        return declared is not None and declared.survives_close

    def _know(self, task: values.Task, declared: frames.Started, beat: heartbeat.Heartbeat) -> None:
        beat.limits(declared.heartbeat, declared.start_to_close, declared.schedule_to_close)
        self.shown = documents.RunningTask(
            id=task.id,
            started=self._worker.time.now(),
            start_to_close=declared.start_to_close,
            activity=task.name,
        )
        self._worker.changed.set()

    def _over_memory(self, runner: pool.Runner) -> bool:
        """Whether the task holds more than it may; looks once a second."""
        limit, now = self._worker.options.task_mib, self._worker.time.monotonic()
        if limit is None or now < self._weighed + WEIGH_EVERY:
            return False
        self._weighed = now
        return runner.holds_more(limit << 20)

    def _patience(self, beat: heartbeat.Heartbeat, cancelled_at: float | None) -> float:
        if cancelled_at is None:
            return beat.wait if self._worker.options.task_mib is None else min(beat.wait, WEIGH_EVERY)
        return max(0.0, cancelled_at + self._worker.options.setup.grace - self._worker.time.monotonic())


def _interrupted() -> values.Failed:
    return failures.of_words("Interrupted", "the worker was ended", reason=values.INTERRUPTED)
