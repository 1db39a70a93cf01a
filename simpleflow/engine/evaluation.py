"""One evaluation of a workflow: ``run()`` of a fresh instance, fed with what has happened, one settlement at a time.

A full replay and a resumed one are the same code: the first is fed everything, the second what is new.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from typing import Any

import greenlet  # type: ignore[import-untyped]  # it ships no types

from simpleflow.core import errors, events, payloads, text

from . import answer, contract, declared, failure_context, hooks, inputs
from .history import copied, fold, identity, marker_records
from .program import futures, run, strands, strict
from .tasks import activities, demand, local_activities, markers, outbox, signals, tasks

_Future, _Typed, _Wait, _COMPLETED = futures.Future, futures.Typed, futures.Wait, events.ActivityTaskCompleted


class Evaluation(run.Run):
    """Puts the parts together; what a Workflow instance knows as its ``executor``."""

    __slots__ = ()

    def __init__(
        self,
        cls: Any,
        task: contract.DecisionTask,
        coder: payloads.Payloads,
        *,
        offloads: bool = False,
        read_only: bool = False,
        watched: bool = False,
    ) -> None:
        facts = run.Facts.of(cls, task, offloads=offloads, read_only=read_only)
        chosen = getattr(cls, "strict", None)
        guard = strict.Guard() if (watched if chosen is None else chosen) else None
        super().__init__(facts, task, coder, outbox=outbox.Outbox(), strict=guard)
        self.demand = demand.Demand()
        self.signals = self.book.on_signal = signals.Queue(self)
        self.hooks = hooks.Hooks(self)
        self.book.on_cancel = hooks.CancelRequest(self)
        self.book.activities.finder = self.book.children.finder = self._find_submission
        self.book.markers.finder = self._find_marker

    def _find_submission(self, record: Any) -> bool:
        """A refused task names only its type: the first of that type that was ready when its decision started."""
        if record.attributes is not None:
            return False  # it was scheduled later: its control says which submission it is
        register = self.book.activities if self.book.activities.by_id.get(record.id) is record else self.book.children
        if not register.numbered(record):
            return False
        made = self.book.decisions
        completed = made.last_completed(self.position)
        started = made.started[made.completed.index(completed)] if completed in made.completed else fold.NOW
        call = self.outbox.first(register.kind, record.name, started)
        if call is None:
            return False
        register.claim_refused(record)
        call.record, call.id, record.call = record, record.id, call
        record.watched = max(record.watched, call.watched)
        return True

    def _find_marker(self, record: Any) -> bool:
        """A refused marker names no details: it was the first of that name that waits to be sent."""
        if record.name.startswith(marker_records.OURS):
            markers.refused(self, record.name)
            return False
        call = self.outbox.first_marker(record.name)
        if call is None:
            return False
        call.record, record.call = record, call
        return True

    def begin(self, task: contract.DecisionTask, taken: copied.Copied = copied.NOTHING) -> None:
        """Book the whole history and let ``run()`` go up to where it first blocks."""
        self.task = task
        self.given.copied = taken
        self.book.fold(task.events, task.started_event_id)
        started = self.book.started_event
        if started is None:
            raise errors.Misuse("the history does not begin with WorkflowExecutionStarted")
        self.position = started.id
        self.given.started = started.attributes
        if taken.pointers and not self.facts.read_only:
            markers.keep(self, taken)
        self.main = strands.Strand(self, identity.Branch(), self._run, None)
        self.strands[self.main] = None
        self.ready.append(self.main.resume)

    def resume(self, task: contract.DecisionTask) -> None:
        """Book what is new. Raises ``fold.DecidedElsewhere`` when another decider decided meanwhile."""
        self.task = task
        self.book.begin_resume()
        self.book.fold(task.events, task.started_event_id)

    def _run(self) -> Any:
        declared.check_workflow(self.facts.cls)
        declared.check_run(self.facts.cls)
        arguments = inputs.of(self)
        self.given.seed = arguments.seed or self.facts.run_id
        self.given.extra = arguments.extra
        self.instance = self.facts.cls(self)
        self.hooks.before_replay()
        args, kwargs = self.payloads.arguments(self.instance.run, arguments.args, arguments.kwargs)
        value = self.instance.run(*args, **kwargs)
        if inspect.iscoroutine(value):
            assert self.main is not None
            value = self.main.drive(value)
        return answer.result_text(self, value)

    def advance(self) -> contract.Needs | None:
        """Deliver what arrived, one by one, each after all that the one before set off.

        Goes on until nothing can; returns what is missing, None when the run is blocked or has ended.
        """
        self.hub = greenlet.getcurrent()
        blobs = self.blobs
        if blobs.asking is not None:
            strand, blobs.asking = blobs.asking, None
            blobs.missing.clear()
            strand.resume()
            while blobs.stopped and blobs.asking is None:
                blobs.stopped.pop(0).resume()
        return _advance(self)

    def kill(self) -> bool:
        """End every strand; return whether all of them ended."""
        self.dead = True
        self.ready.clear()
        self.book.arrived.clear()
        gone = [strand.kill() for strand in list(self.strands)]
        self.strands.clear()
        return all(gone)

    def release(self) -> None:
        """Cut the cycles of a dead evaluation: it goes at once, not when the garbage collector comes by.

        That would cost as much as the decisions of a short execution.
        """
        for register in (self.book.activities, self.book.children):
            for record in register.by_id.values():
                call, record.call = record.call, None
                if isinstance(call, tasks.TaskCall):
                    call.holders = ()
        for timer in self.calls.timers.values():
            timer.cut()
        for name in run.Run.__slots__:
            if name != "dead" and hasattr(self, name):
                delattr(self, name)

    # -- what 0.36's programs ask their executor

    @property
    def workflow(self) -> Any:
        return self.instance

    @property
    def workflow_class(self) -> Any:
        return self.facts.cls

    @property
    def domain(self) -> Any:
        return self.facts.domain

    @property
    def workflow_id(self) -> str:
        return self.facts.workflow_id

    @property
    def run_id(self) -> str:
        return self.facts.run_id

    @property
    def history(self) -> hooks.LazyHistory:
        """The whole history, as hooks get it."""
        self.reads.single_use = self.reads.observed = True
        seen: hooks.LazyHistory = self.hooks.history()
        return seen

    def submit(self, submittable: Any, *args: Any, **kwargs: Any) -> Any:
        return self.instance.submit(submittable, *args, **kwargs)

    def get_run_context(self) -> Any:
        return self.instance.get_run_context()

    # -- what Run declares

    def spawn(
        self,
        branch: identity.Branch,
        function: Callable[[], Any],
        future: futures.Future[Any],
        scope: Any = None,
        *,
        barred: bool = False,
    ) -> strands.Strand:
        strand = strands.Strand(self, branch, function, future, scope)
        strand.barred = barred
        self.strands[strand] = None
        return strand

    def strand_ended(self, strand: strands.Strand, value: Any, error: BaseException | None) -> None:
        self.strands.pop(strand, None)
        if strand is not self.main:
            assert strand.future is not None
            if error is None:
                strand.future._complete(value)
            elif text.is_a(error, errors.ExecutionBlocked):
                self.reads.gave_up = True  # of this branch; a re-run asks it again
            elif text.is_a(error, errors.TaskCanceled):
                strand.future._cancel(error.details)  # type: ignore[attr-defined]  # is_a narrows nothing
            else:
                strand.future._fail(error)
            return
        if error is None:
            self.outcome = self.hooks.returned(value)
        elif text.is_a(error, errors.ExecutionBlocked):
            self.reads.gave_up = True
        else:
            self.outcome = self.hooks.failed(error)

    def waiting_for(self, waited: tuple[futures.Future[Any], ...], count: int) -> futures.Wait:
        self.check_alive()
        assert self.current is not None
        wait = futures.Wait(self.current, waited, count)
        for future in waited:
            if future._callbacks is None and future._kind == futures.OPEN:
                future._callbacks = wait
            else:
                future._subscribe(wait)
        return wait

    def block_on(self, future: futures.Future[Any]) -> None:
        if self.dead:
            self.die()
        strand = self.current
        if strand is None:
            raise errors.ExecutionBlocked
        if strand.driven:
            raise errors.Misuse("in async def run write 'await future' where it may not be done, not future.result")
        if future._callbacks is None:
            arrived = self.book.arrived
            if (
                arrived
                and arrived[0][0].call is future
                and type(arrived[0][1]) is events.ActivityTaskCompleted
                and not self.ready
                and not self.scopes
                and self.strict is None
                and strand.let.parent is self.hub
            ):
                # What happened next is what it waits for, and nobody else is woken by it: no need to leave.
                record, event = arrived.popleft()
                record.call = None
                self.position = future._at = event.id
                future._text = event.attributes.result
                future._kind = futures.TEXT
                return
            wait = futures.Wait(strand, (future,), 1)
            future._callbacks = wait
        else:
            wait = futures.Wait(strand, (future,), 1)
            future._subscribe(wait)
        strand.block(wait)

    def call_of(self, record: Any, future: futures.Future[Any]) -> activities.ActivityCall:
        return activities.of_record(self, record, future)

    def task_failed(self, call: Any, event: Any, error: BaseException) -> None:
        failure_context.handle(self.hooks, call, event, error)


def _advance(evaluation: run.Run) -> contract.Needs | None:
    ready, arrived, blobs = evaluation.ready, evaluation.book.arrived, evaluation.blobs
    while evaluation.outcome is None:
        if blobs.asking is not None or (blobs.parked and not _unpark(blobs)):
            return contract.Needs(blobs=tuple(blobs.missing))
        if ready:
            ready.popleft()()
            continue
        if blobs.parked:
            continue
        if not arrived:
            if not evaluation.calls.local or local_activities.put_off(evaluation):
                return None
            needs = local_activities.settle(evaluation)
            if needs is not None:
                return needs
            continue
        _deliver(evaluation, ready, arrived)
    return None


def _deliver(evaluation: run.Run, ready: deque[Callable[[], object]], arrived: deque[tuple[Any, Any]]) -> None:
    """Deliver what arrived, up to the first that may set something off."""
    while arrived:
        target, event = arrived.popleft()
        evaluation.position = event.id
        if type(event) is not _COMPLETED:
            target.deliver(event)
            return
        call = target.call
        if type(call) is not _Future and type(call) is not _Typed:
            if call is None:
                target.deliver(event)
            elif not call.done:
                call.completed(event.attributes.result)
            else:
                call.deliver(event)
            return
        # The most frequent case, written out. The record is not needed any more: without its reference to the future
        # the two do not form a cycle.
        target.call = None
        if call._kind != futures.OPEN:
            continue
        call._text = event.attributes.result
        call._kind = futures.TEXT
        call._at = event.id
        callbacks = call._callbacks
        if callbacks is None:
            continue
        call._callbacks = None
        if type(callbacks) is _Wait and callbacks.remaining > 1:
            callbacks.remaining -= 1  # all that its turn would do
            continue
        if type(callbacks) is list:
            ready.extend(callbacks)
        else:
            ready.append(callbacks)  # type: ignore[arg-type]  # it is not a list here
        return


def _unpark(blobs: run.Blobs) -> bool:
    """Go on with what waited for blobs; False when some are missing still."""
    parked, blobs.parked = blobs.parked, []
    missing = [pointer for pointers, _ in parked for pointer in pointers if pointer not in blobs.texts]
    if missing:
        blobs.parked = parked
        blobs.missing = dict.fromkeys(missing)
        return False
    for _, then in parked:
        then()
    return True
