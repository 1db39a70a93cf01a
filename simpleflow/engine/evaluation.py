"""One evaluation of a workflow: ``run()`` of a fresh instance, fed with what has happened, one settlement at a time.

A full replay and a resumed one are the same code: the first is fed everything, the second what is new.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import greenlet  # type: ignore[import-untyped]  # it ships no types

from simpleflow.core import errors, events, limits, numbers, payloads, text

from . import (
    activities,
    calls,
    closing,
    contract,
    declared,
    demand,
    derived,
    feeding,
    futures,
    hooks,
    identity,
    inputs,
    ledger,
    marker_records,
    markers,
    outbox,
    records,
    signals,
    slots,
    strands,
    strict,
    timers,
)


class Evaluation:
    """The engine's side of one ``run()``; also what a Workflow instance knows as its ``executor``."""

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
        self.cls = cls
        self.payloads = coder
        self.encode, self.decode = coder.encode, coder.decode
        self.domain = task.domain
        self.workflow_id = task.workflow_id
        self.run_id = task.run_id
        self.workflow_name = task.workflow_name
        self.workflow_version = task.workflow_version
        #: values over a limit are replaced by pointers before a response is sent: by the caller
        self.offloads = offloads
        self.read_only = read_only
        self.ledger = ledger.Ledger()
        self.outbox = outbox.Outbox()
        self.signals = signals.Queue(self)
        self.ordinals = identity.Ordinals()
        self.ready: deque[Callable[[], object]] = deque()
        #: exceptions that nobody has read, in order; by identity, for a program's own may have no hash
        self.unread: dict[int, BaseException] = {}
        self.open_timers: dict[str, timers.TimerCall] = {}
        self.timer_counts: dict[str, int] = {}
        self.marker_calls: dict[tuple[str, str], markers.MarkerCall] = {}
        self.shared: dict[tuple[str, str], calls.TaskCall] = {}
        self.children: dict[int, Any] = {}
        self.patches: dict[str, None] = {}
        self.demand = demand.Demand(self)
        self.diagnostics: list[str] = []
        #: the event delivered last; whole-history reads raise the floor of positional ones above it
        self.position = 0
        self.floor = 0
        #: a whole-history read was answered
        self.observed = False
        #: the read that is made now does not ask whether a task runs
        self.only_final = False
        self.dead = False
        chosen = getattr(cls, "strict", None)
        self.strict = strict.Guard() if (watched if chosen is None else chosen) else None
        self.current: strands.Strand | None = None
        #: the greenlet that feeds it
        self.hub: Any = None
        #: what each activity needs at each submission, looked up once
        self.plans: dict[Any, activities.Plan] = {}
        self.strands: dict[strands.Strand, None] = {}
        #: blobs whose text is known, and those that a strand waits for
        self.blobs: dict[str, str] = {}
        self.missing_blobs: dict[str, None] = {}
        self.hungry: strands.Strand | None = None
        #: those that started the hungry one, from the inside out
        self.stalled: list[strands.Strand] = []
        #: what goes on once these blobs are there, without a strand
        self.parked: list[tuple[list[str], Callable[[], object]]] = []
        self.local_results: dict[str, contract.LocalResult] = {}
        self.local_open: dict[str, Any] = {}
        #: how it ended: None while it runs or is blocked
        self.outcome: Any = None  # a hooks.Outcome; set by calls that mypy does not see behind
        #: raise ExecutionBlocked was the program's own: only a re-run goes on
        self.gave_up = False
        #: something was read that is not followed: the next decision re-runs
        self.single_use = False
        self.task = task
        self.root = identity.Branch()
        self.hooks = hooks.Hooks(self)
        self.seed = task.run_id
        self._seq = 0
        self.asynchronous = inspect.iscoroutinefunction(cls.run)
        self.ledger.on_signal = self.signals
        self.ledger.activities.finder = self.ledger.children.finder = self._find_submission
        self.ledger.markers.finder = self._find_marker
        self.ledger.on_cancel = hooks.CancelRequest(self)
        self.instance: Any = None
        self.scopes: Any = None
        self.input_extra: Mapping[str, Any] = {}
        #: a cancel request was taken up by a scope; the class refused one
        self.cancelling = False
        self.refused_cancel = False
        #: what a complete replay submitted, for the diff; None once it was compared
        self.submitted: list[Any] | None = []
        self._advised: dict[str, None] = {}
        #: the diff of a divergence in spite of which it goes on
        self.warned: str | None = None
        self.main: strands.Strand | None = None

    def _find_submission(self, record: Any) -> bool:
        """A refused task names only its type: the first of that type that was ready when its decision started."""
        if record.said is not None:
            return False  # it was scheduled later: its control says which submission it is
        book = self.ledger.activities if self.ledger.activities.by_id.get(record.id) is record else self.ledger.children
        if not book.numbered(record):
            return False
        made = self.ledger.decisions
        completed = made.last_completed(self.position)
        started = made.started[made.completed.index(completed)] if completed in made.completed else ledger.NOW
        call = self.outbox.first(book.kind, record.name, started)
        if call is None:
            return False
        book.claim_refused(record)
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

    # -- life

    def begin(self, task: contract.DecisionTask) -> None:
        """Book the whole history and let ``run()`` go up to where it first blocks."""
        self.task = task
        self.ledger.fold(task.events, task.started_event_id)
        started = self.ledger.started_event
        if started is None:
            raise errors.Misuse("the history does not begin with WorkflowExecutionStarted")
        self.position = started.id
        self.started = started.attributes
        self.main = strands.Strand(self, self.root, self._run, None)
        self.strands[self.main] = None
        self.ready.append(self.main.resume)

    def resume(self, task: contract.DecisionTask) -> None:
        """Book what is new. Raises ``ledger.Foreign`` when another program decided meanwhile."""
        self.task = task
        self.ledger.begin_resume()
        self.ledger.fold(task.events, task.started_event_id)

    def _run(self) -> Any:
        declared.check_workflow(self.cls)
        arguments = inputs.of(self)
        self.seed = arguments.seed or self.run_id
        self.input_extra = arguments.extra
        self.instance = self.cls(self)
        self.hooks.before_replay()
        args, kwargs = self.payloads.arguments(self.instance.run, arguments.args, arguments.kwargs)
        value = self.instance.run(*args, **kwargs)
        if inspect.iscoroutine(value):
            assert self.main is not None
            value = self.main.drive(value)
        return closing.result_text(self, value)

    def advance(self) -> contract.Needs | None:
        """Deliver what arrived, one by one, each after all that the one before set off. Return what is missing."""
        return feeding.advance(self)

    def have(self, pointers: list[str], then: Callable[[], object]) -> bool:
        """Whether the texts of these blobs are here; if not, ``then`` is called once they are."""
        if all(pointer in self.blobs for pointer in pointers):
            return True
        self.parked.append((pointers, then))
        return False

    def kill(self) -> bool:
        """End every strand; return whether all of them ended."""
        self.dead = True
        self.ready.clear()
        self.ledger.arrived.clear()
        gone = [strand.kill() for strand in list(self.strands)]
        self.strands.clear()
        return all(gone)

    def release(self) -> None:
        """Cut the cycles of a dead evaluation: it goes at once, not when the garbage collector comes by.

        That would cost as much as the decisions of a short execution.
        """
        for book in (self.ledger.activities, self.ledger.children):
            for record in book.by_id.values():
                call, record.call = record.call, None
                if isinstance(call, calls.TaskCall):
                    call.holders = ()
        for timer in self.open_timers.values():
            timer.cut()
        self.__dict__.clear()
        self.dead = True

    def die(self) -> NoReturn:
        """Raise GreenletExit in the strand of a dead program."""
        strand = strands.current()
        if strand is not None:
            strand.die()
        raise greenlet.GreenletExit

    def check_alive(self) -> None:
        """Every call of the program comes by here: a dead one must not go on."""
        if self.dead:
            self.die()
        if self.current is None:
            if self.read_only:
                raise errors.Misuse("a query only reads: it cannot submit or cancel")
            raise errors.Misuse("nothing can be submitted outside run() and its callbacks")

    # -- strands

    @property
    def branch(self) -> identity.Branch:
        return self.root if self.current is None else self.current.branch

    def spawn(
        self,
        branch: identity.Branch,
        function: Callable[[], Any],
        future: futures.Future[Any],
        scope: Any = None,
        *,
        barred: bool = False,
    ) -> strands.Strand:
        """Make a strand; whoever queues its ``resume`` starts it."""
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
                self.gave_up = True  # of this branch; a re-run asks it again
            elif text.is_a(error, errors.TaskCanceled):
                strand.future._cancel(error.details)  # type: ignore[attr-defined]  # is_a narrows nothing
            else:
                strand.future._fail(error)
            return
        if error is None:
            self.outcome = self.hooks.returned(value)
        elif text.is_a(error, errors.ExecutionBlocked):
            self.gave_up = True
        else:
            self.outcome = self.hooks.failed(error)

    def waiting_for(self, waited: tuple[futures.Future[Any], ...], count: int) -> futures.Wait:
        """Subscribe the current strand to these futures: it goes on once ``count`` of them are settled."""
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
        """Block the current strand until the future is settled."""
        if self.dead:
            self.die()
        strand = self.current
        if strand is None:
            raise errors.ExecutionBlocked
        if strand.driven:
            raise errors.Misuse("in async def run write 'await future' where it may not be done, not future.result")
        if future._callbacks is None:
            arrived = self.ledger.arrived
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

    def block(self, waited: tuple[futures.Future[Any], ...], count: int) -> None:
        """Block the current strand until so many of these are settled; stale subscriptions are taken back."""
        if self.dead:
            self.die()
        if self.current is None:
            raise errors.ExecutionBlocked
        wait = self.waiting_for(waited, count)
        self.current.block(wait)
        if count < len(waited):
            wait.drop()

    # -- values

    def value_of(self, said: str) -> Any:
        """Return the value of a result text; a jumbo value's text is asked of the caller first."""
        if said.startswith(identity.POINTER):
            said = self.load(said)
        return self.payloads.decode(said)

    def load(self, pointer: str) -> str:
        while pointer not in self.blobs:
            if self.dead:
                self.die()
            strand = self.current
            if strand is None:
                if self.read_only:
                    raise hooks.NeedBlob(pointer)
                raise errors.Misuse(f"{pointer!r} was not fetched: read it in run() first")
            self.missing_blobs[pointer] = None
            self.hungry = strand
            strand.fetch()
        return self.blobs[pointer]

    def slot_text(self, said: str | None) -> str:
        return slots.slot_text(said, self.payloads)

    def check_length(self, field: str, said: str, limit: int, of: str) -> None:
        if len(said) > limit and not (self.offloads and field in ("input", "result", "details")):
            raise errors.ValueTooLong(
                f"{field} of {of} holds {len(said)} characters, over SWF's limit of {limit}: pass less, or set "
                "SIMPLEFLOW_JUMBO_FIELDS_BUCKET to a bucket (or file:///FOLDER) where such values go"
            )

    # -- positional reads

    def place(self) -> int:
        return self.ledger.decisions.at(max(self.position, self.floor))

    def started_as_of(self) -> int:
        """The DecisionTaskStarted event that positional reads speak of."""
        return self.ledger.decisions.started[self.place()]

    def completed_as_of(self) -> int:
        return self.ledger.decisions.completed[self.place()]

    def timestamp_as_of(self) -> float:
        return self.ledger.decisions.timestamps[self.place()]

    def answering(self) -> bool:
        """Whether this position belongs to the decision that is being answered now."""
        return self.completed_as_of() == ledger.NOW

    def raise_floor(self, event_id: int) -> None:
        """A whole-history read was answered by this settlement."""
        if event_id > self.position:
            self.floor = max(self.floor, event_id)

    def state_of(self, future: futures.Future[Any]) -> str:
        state: str = future.source.state(future)
        return state

    # -- submitting: what is common

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def check_name(self, field: str, name: object) -> str:
        """Return a name or id as it is sent. Raises Misuse for an empty one, ValueTooLong for a long one."""
        said = text.safe(name)
        if not said:
            raise errors.Misuse(f"{field} is empty: give it 1 to {limits.NAME} characters")
        if len(said) > limits.NAME:
            raise errors.ValueTooLong(
                f"{field} holds {len(said)} characters, over SWF's limit of {limits.NAME}: choose a shorter one "
                f"than {text.shown(said)}"
            )
        return said

    def advise(self, sentence: str) -> None:
        """Have a sentence logged with this decision, once in the life of this evaluation."""
        if sentence not in self._advised:
            self._advised[sentence] = None
            self.diagnostics.append(sentence)

    def plan(self, activity: Any) -> activities.Plan:
        """Return what each submission of an activity needs."""
        special = bool(activity.idempotent) or bool(activity.meta) or hasattr(activity.callable, "get_task_id")
        book = self.ledger.activities
        plan = self.plans[activity] = activities.Plan(
            activity.name,
            self.demand.cell(activity),
            special,
            book,
            len(activity.name) + records.BESIDE,
            self.payloads.result_hint(activity.callable),
        )
        return plan

    def call_of(self, record: Any, future: futures.Future[Any]) -> activities.ActivityCall:
        """Return the call behind a future that was made for a record alone."""
        return activities.of_record(self, record, future)

    def note(self, call: Any) -> None:
        if self.submitted is not None:
            self.submitted.append(call)

    def task_list_of(self, activity: Any) -> str | None:
        name: str | None = activity.task_list
        return name

    def priority_of(self, given: Any, declared: Any) -> str | None:
        """Return the priority of a submission: what was given, else the task's own, else the workflow's."""
        for priority in (
            given,
            getattr(declared, "task_priority", calls.UNSET),
            getattr(self.cls, "task_priority", None),
        ):
            if priority is not calls.UNSET:
                return numbers.priority("task_priority", priority)
        return None

    def end(self, outcome: hooks.Outcome) -> None:
        """Close the execution; the strand that calls never goes on."""
        self.outcome = outcome
        assert self.current is not None
        while True:
            self.current.block(None)

    def propagate(self, event: Any) -> None:
        """Hand a signal on to open children and the parent, unless it came from there or says no."""
        signals.propagate(self, event)

    def retry_timer(self, task_id: str, attempt: int, delay: float, control: str) -> futures.Future[Any]:
        """Return the future of the timer before another attempt."""
        name = f"__simpleflow_task_{task_id}" + (f"-{attempt}" if attempt > 1 else "")
        return self.timer(identity.fitting(name), delay, control if len(control) <= limits.DATA else None)

    def timer(self, timer_id: str, delay: Any, control: str | None = None) -> futures.Future[Any]:
        return timers.TimerCall(self, timer_id, delay, control).future

    # -- callbacks

    def then(self, source: futures.Future[Any], function: Callable[[Any], Any]) -> futures.Future[Any]:
        """Return the future of ``function(result)``, called once the source completed."""
        return derived.then(self, source, function)

    def when_done(self, source: futures.Future[Any], function: Callable[[Any], Any]) -> None:
        derived.when_done(self, source, function)
