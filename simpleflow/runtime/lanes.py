"""A decider's loops: lanes that poll, and the one thread that owns the engine."""

from __future__ import annotations

import collections
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from simpleflow import logging_context
from simpleflow.core import text
from simpleflow.process import LOOK, NamedMixin, Stop, tell_status
from simpleflow.swf import errors
from simpleflow.swf.transport import base

from . import decider, forked, pollers, watchdog

logger = logging.getLogger(__name__)
T = TypeVar("T")
#: seconds that a drain waits for local activities that run; their decisions are put off then
DRAIN_SECONDS = 10.0


class _Call:
    """A function to be called on the engine's thread, and its result. Costs a tenth of a concurrent Future."""

    __slots__ = ("done", "error", "function", "result")

    def __init__(self, function: Callable[[], Any], *, awaited: bool) -> None:
        self.function = function
        self.result: Any = None
        self.error: BaseException | None = None
        #: held until it ran; None when nobody waits
        self.done = threading.Lock() if awaited else None
        if self.done is not None:
            self.done.acquire()


class EngineThread:
    """Runs functions of other threads on the thread that calls ``run``, one after another, in order."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._put_off: collections.deque[_Call] = collections.deque()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function there and return what it returns; raises what it raises. Blocks the calling thread."""
        call = _Call(function, awaited=True)
        self._inbox.put(call)
        assert call.done is not None
        call.done.acquire()
        if call.error is not None:
            raise call.error
        result: T = call.result
        return result

    def post(self, function: Callable[[], Any]) -> None:
        """Run a function there after everything that was asked before; what it raises is logged."""
        self._put_off.append(_Call(function, awaited=False))
        self._inbox.put(None)

    def put_off(self, function: Callable[[], Any]) -> None:
        """Run a function there before anything that is asked after this: waking the thread for it alone costs more
        than the function."""
        self._put_off.append(_Call(function, awaited=False))

    def wake(self) -> None:
        """Let ``run`` look at its condition again. May be called by a signal handler."""
        self._inbox.put(None)

    def run(self, until: Callable[[], bool]) -> None:
        """Serve until the condition holds and nothing is left; it is looked at after each function and ``wake``."""
        while not (until() and self._inbox.empty()):
            try:
                call = self._inbox.get(timeout=LOOK)
            except queue.Empty:
                continue
            while self._put_off:
                self._run(self._put_off.popleft())
            if call is not None:
                self._run(call)

    @staticmethod
    def _run(call: _Call) -> None:
        try:
            call.result = forked.in_parent(call.function)
        except BaseException as error:
            call.error = error
            if call.done is None:
                logger.exception("What followed a decision failed; the decision itself was taken.")
            if not isinstance(error, Exception):
                raise
        finally:
            if call.done is not None:
                call.done.release()


class InFlight:
    """Runs that a lane is busy with: the next decision of a run waits until its predecessor is acknowledged.

    The service hands out the next task as soon as it took the response, which may be before its answer arrived here;
    an evaluation that does not know yet that it was acknowledged would be thrown away and run again. The lane that got
    the next task leaves it to the one that is busy with the run, and polls on: two lanes that wait for each other cost
    three times the CPU of the decision. Thread safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: run -> tasks that came meanwhile
        self._runs: dict[str, list[Any]] = {}

    def take(self, run_id: str, answer: Any) -> bool:
        """Return whether the caller shall decide this task now; else the lane that is busy with the run will."""
        with self._lock:
            left = self._runs.get(run_id)
            if left is None:
                self._runs[run_id] = []
                return True
            left.append(answer)
            return False

    def waits(self, run_id: str) -> bool:
        """Return whether a task was left for the run's lane."""
        return bool(self._runs.get(run_id))

    def left(self) -> list[Any]:
        """Return the tasks that wait for the lanes that are busy with their runs."""
        with self._lock:
            return [answer for answers in self._runs.values() for answer in answers]

    @property
    def count(self) -> int:
        """How many runs are in flight."""
        return len(self._runs)

    def next(self, run_id: str) -> Any | None:
        """Return a task that was left for the run's lane; with None the run is no longer in flight."""
        with self._lock:
            left = self._runs[run_id]
            if left:
                return left.pop(0)
            del self._runs[run_id]
            return None


class Lane:
    """One thread that polls a list and answers what it gets."""

    #: seconds that it may wait for what the engine asks for before another takes its place at the list
    PATIENCE = 0.25

    def __init__(self, task_list: str, poller: pollers.Poller) -> None:
        self.task_list = task_list
        self.poller = poller
        self.replaced = False
        self._since: float | None = None
        #: held while it begins or ends to wait for the engine, and while another takes its place
        self.lock = threading.Lock()

    def aside(self, function: Callable[[], T]) -> T:
        """Run what may take long on the lane's own thread."""
        self._since = time.monotonic()
        try:
            return function()
        finally:
            with self.lock:
                self._since = None

    @property
    def stuck(self) -> bool:
        """Whether it waits for so long that its list should be polled by another one."""
        since = self._since
        return not self.replaced and since is not None and time.monotonic() - since > self.PATIENCE


class DeciderProcess(NamedMixin):
    """Polls the shared and the sticky list side by side, and answers until ``stop`` says so.

    ``run`` blocks; it makes the calling thread the engine's. A network error or a restarted service never ends it.
    """

    named_mixin_title = "DeciderPoller"
    named_mixin_properties = ("task_list",)

    def __init__(
        self,
        transport: base.Transport,
        step: decider.Decider,
        *,
        stop: Stop | None = None,
        dog: watchdog.Watchdog | None = None,
        lanes: int = 2,
        end_local: Callable[[], object] = lambda: None,
    ) -> None:
        """``end_local`` ends the local activities that run; it is called when a drain waits for long."""
        self._end_local = end_local
        self.task_list = step.options.task_list
        self._transport = transport
        self._step = step
        self._stop = stop or Stop()
        self._dog = dog
        self._engine = EngineThread()
        self._in_flight = InFlight()
        if dog is not None:
            dog.rescue = self._rescue
        #: tasks that the engine has not decided yet, and the one that it evaluates
        self._undecided: dict[int, Any] = {}
        self._evaluated: Any = None
        self._open: set[str] = set()
        #: the service of our own sees by it which polls are this process's
        self._name = uuid.uuid4().hex
        lists = [self.task_list] * lanes
        if step.options.sticky_list is not None:
            lists += [step.options.sticky_list] * lanes
        #: threads that poll, and those that finish what they took when another took their place
        self._threads: dict[threading.Thread, Lane] = dict(map(self._new_lane, lists))
        self._stop.listen(self._engine.wake)

    def run(self) -> None:
        self.set_process_name()
        tell_status(self.status_text)
        self._step.polling()
        if self._dog is not None:
            self._dog.start()
        for thread in self._threads:
            thread.start()
        self._engine.run(self._served)
        self._step.drain()
        try:
            threading.Thread(target=self._revoke, name="revoke", daemon=True).start()
        except RuntimeError as error:  # No thread could be started.
            logger.warning("The open polls are not ended at once (%s): they end by themselves.", error)
        self._engine.run(lambda: self._stop.hurried or not any(thread.is_alive() for thread in self._threads))
        self._step.stopping()
        if self._dog is not None:
            self._dog.close()

    def status_text(self) -> str:
        """Say in one line what this decider does. Thread safe."""
        what = "draining" if self._stop.draining else "deciding"
        lanes = sum(not lane.replaced for lane in list(self._threads.values()))
        polls = f"{len(self._open)} of {lanes} polls open"
        return f"decider of {self.task_list}, {what}, {polls}, {text.count(self._in_flight.count, 'run')} in flight"

    def _revoke(self) -> None:
        begun, waits = time.monotonic(), True
        while any(thread.is_alive() for thread in self._threads):
            for poll_id in list(self._open):
                try:
                    self._transport.revoke(poll_id)
                except errors.SwfError as error:
                    logger.debug("Revoking an open poll failed: %s", error)
            if waits and time.monotonic() - begun > DRAIN_SECONDS:
                waits = False
                self._end_local()
            threading.Event().wait(0.1)
        self._engine.wake()

    def _new_lane(self, task_list: str) -> tuple[threading.Thread, Lane]:
        prefix = f"{self._name}/{uuid.uuid4().hex}-decider"
        lane = Lane(task_list, self._step.poller(task_list, prefix, self._open))
        return threading.Thread(target=self._serve, args=(lane,), name=f"lane of {task_list}", daemon=True), lane

    def _served(self) -> bool:
        self._replace_stuck()
        return self._stop.draining

    def _replace_stuck(self) -> None:
        """Have each list polled by as many lanes as it is due, whatever local activities and blobs take."""
        for lane in list(self._threads.values()):
            with lane.lock:
                if not lane.stuck:
                    continue
                thread, fresh = self._new_lane(lane.task_list)
                if lane.poller.open:
                    fresh.poller, lane.poller = lane.poller, fresh.poller
                try:
                    thread.start()
                except RuntimeError as error:  # No thread could be started.
                    logger.debug("A lane that waits is not replaced: %s", error)
                    fresh.poller, lane.poller = lane.poller, fresh.poller
                    return
                lane.replaced = True
            self._threads = {old: of for old, of in self._threads.items() if old.is_alive()} | {thread: fresh}

    def _serve(self, lane: Lane) -> None:
        while lane.poller.open or not (self._stop.draining or lane.replaced):
            pace = lane.poller.pace
            pace.opened()
            try:
                answer = self._step.poll_with(lane.poller)
            except Exception as error:  # an event type of a later SWF, say: the lane goes on with other executions
                self._rest(pace.failed(error))
                continue
            self._rest(pace.answered(empty=answer is None))
            if answer is not None:
                self._answer(answer, lane)

    def _rest(self, seconds: float) -> None:
        waited = threading.Event()
        while seconds > 0 and not self._stop.draining:
            waited.wait(min(0.2, seconds))
            seconds -= 0.2

    def _answer(self, answer: Any, lane: Lane) -> None:
        run_id = answer.workflow_execution.run_id
        if not self._in_flight.take(run_id, answer):
            return
        left: Any | None = answer
        while left is not None:
            self._decide(left, lane)
            left = self._in_flight.next(run_id)

    def _decide(self, answer: Any, lane: Lane) -> None:
        execution = answer.workflow_execution

        def send(action: str, request: dict[str, Any]) -> None:
            """Send a response, and the lane's next poll with it."""
            poller = lane.poller
            busy = poller.open or lane.replaced or self._stop.draining or self._in_flight.waits(execution.run_id)
            if busy or not poller.joins:
                self._transport.call(action, request)
            else:
                poller.answer(action, request)

        try:
            with logging_context.within(
                workflow_id=execution.workflow_id, run_id=execution.run_id, event_id=answer.started_event_id
            ):
                self._step.handle(
                    answer,
                    on_engine=lambda function: self._on_engine(answer, function),
                    later=lambda function: self._engine.put_off(self._watched(answer, function)),
                    at_end=lambda function: self._engine.post(self._watched(answer, function)),
                    aside=lane.aside,
                    send=send,
                )
        except Exception:
            logger.exception(
                "The decision of %s %s was not answered; the service hands it out again.",
                execution.workflow_id,
                execution.run_id,
                extra={"action": "decision_failed"},
            )

    def _on_engine(self, answer: Any, function: Callable[[], T]) -> T:
        self._undecided[id(answer)] = answer
        try:
            return self._engine.call(self._watched(answer, function))
        finally:
            del self._undecided[id(answer)]

    def _rescue(self, reason: str) -> None:
        """Hand back every task that will not be decided here: the engine's thread hangs, and the process ends."""
        hung = self._evaluated
        tasks = [task for task in (*self._undecided.copy().values(), *self._in_flight.left()) if task is not hung]
        for task in (*tasks, hung):
            try:
                self._step.hand_back(task, reason, hung=task is hung)
            except Exception as error:  # the others may be taken
                logger.error("A decision of %s is not handed back (%s).", task.workflow_execution.workflow_id, error)

    def _watched(self, answer: Any, function: Callable[[], T]) -> Callable[[], T]:
        dog = self._dog
        if dog is None:
            return function

        def run() -> T:
            self._evaluated = answer
            dog.enter(f"{answer.workflow_type.name} {answer.workflow_execution.workflow_id}")
            try:
                return function()
            finally:
                dog.leave()

        return run
