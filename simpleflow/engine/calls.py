"""Calls: what the program submitted. Here those that become tasks of others: activities and child workflows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simpleflow.core import attributes, decisions, errors, events, limits, types

from . import demand, failures, futures, identity, records, slots

if TYPE_CHECKING:
    from . import evaluation as evaluations

#: reason of a task whose machine went away: scheduled again outside the retry budget, so often at most
INTERRUPTED = "simpleflow.node.interrupted"
INTERRUPTIONS = 10


class _Unset:
    """Nothing was said: not the same as None, which means no priority."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()
#: refused for a reason that passes
_PASSING = ("LIMIT_EXCEEDED", "RATE_EXCEEDED")


class Item:
    """Something that waits to be sent. Sent in order of submission."""

    __slots__ = ("queued", "seq")

    #: which cap of the coordinator it counts for
    cap: str = ""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.queued = False

    def decision(self) -> decisions.Decision | None:
        """Return the decision, and book that it was sent; None when it is not wanted any more."""
        raise errors.Misuse("not an item of the outbox")

    @property
    def waited_for(self) -> bool:
        """Whether the program waits for its event, which alone causes no decision."""
        return False


class TaskCall(Item):
    """An activity or a child workflow. Settles the futures of all that hold it."""

    __slots__ = (
        "_dependencies",
        "_missing",
        "_template",
        "attempts",
        "branch",
        "control",
        "done",
        "ends",
        "evaluation",
        "failed",
        "futures",
        "id",
        "interrupted",
        "name",
        "record",
        "retry",
        "shared",
        "text",
        "type_missing",
        "watched",
    )

    kind = ""

    def __init__(
        self, evaluation: evaluations.Evaluation, name: str, retry: Any, branch: identity.Branch, raises: bool
    ) -> None:
        super().__init__(evaluation.next_seq())
        self.evaluation = evaluation
        self.name = name
        self.retry = retry
        self.branch = branch
        self.futures: list[futures.Future[Any]] = [futures.Future(evaluation, self, raises)]
        self.record: records.Record | None = None
        self.id = ""
        self.control = ""
        self.text = ""
        #: how often it was scheduled, this time included
        self.attempts = 1
        self.failed = 0
        self.interrupted = 0
        self.done = False
        self.watched = records.NOT
        self.type_missing = False
        #: its id is its identity: others may hold it too
        self.shared = False
        #: of those that wait for the end of a cancelled task
        self.ends: list[futures.Future[Any]] = []
        self._template: slots.Template | None = None
        self._dependencies: list[futures.Future[Any]] | None = None
        self._missing = 0

    # -- arguments

    def take(self, args: Any, kwargs: Any) -> futures.Future[Any]:
        """Encode the arguments; what is not there yet is waited for, not by the program."""
        future = self.futures[0]
        found: list[futures.Future[Any]] = []
        args, kwargs = slots.find(args, found), slots.find(kwargs, found)
        text = self.encode(args, kwargs)
        if not found:
            self.ready(text)
            return future
        self._template = slots.Template(text, len(found), self.evaluation.payloads)
        self._dependencies = found
        missing = [other for other in found if other._kind == futures.OPEN]
        self._missing = len(missing)
        for other in missing:
            other._subscribe(self._one_more)
        if not missing:
            self._fill()
        return future

    def encode(self, args: Any, kwargs: Any) -> str:
        return slots.envelope(args, kwargs, self.evaluation.payloads)

    def _one_more(self) -> None:
        self._missing -= 1
        if self._missing == 0 and not self.done:
            self._fill()

    def _fill(self) -> None:
        dependencies, self._dependencies = self._dependencies or [], None
        texts = []
        for other in dependencies:
            if other._kind == futures.FAILED and other._raises:
                return self._finish_failed(other._content)
            if other._kind == futures.CANCELED:
                return self._finish_failed(errors.TaskCanceled(f"an argument of {self.name} was cancelled"))
            texts.append(other._slot())
        assert self._template is not None
        text = self._template.fill(texts)
        self._template = None
        return self.ready(text)

    def ready(self, text: str) -> None:
        """The argument text is complete: find out which task of the history this is."""
        self.text = text
        evaluation = self.evaluation
        evaluation.check_length("input", self.wire_input(), limits.DATA, self.name)
        branch = self.branch
        digest = identity.digest(text)
        ordinal = evaluation.ordinals.next((branch.path, self.kind, self.name, digest))
        self.control = identity.control(branch, digest, ordinal)
        identifier = self.own_id()
        if identifier is not None:
            self.shared = True
            self.id = identifier
            other = evaluation.shared.get((self.kind, identifier))
            if other is not None:
                return self._join(other)
            evaluation.shared[(self.kind, identifier)] = self
        book = self.book
        if evaluation.submitted is not None:
            evaluation.submitted.append((self.kind, self))
        record = book.claim(self.history_name, self.control, text, identifier)
        if record is None:
            evaluation.outbox.push(self)
        else:
            self.claimed(record)
        return None

    def claimed(self, record: records.Record) -> None:
        self.record = record
        self.id = record.id
        record.call = self
        record.said = None
        record.watched = max(record.watched, self.watched)
        waiting, record.undelivered = record.undelivered, None
        for event in waiting or ():
            self.deliver(event)
        if record.scheduled == 0 and not self.done and not self.queued:
            self.evaluation.outbox.push(self)

    def _join(self, other: TaskCall) -> None:
        """Another submission is the same task: one task, one outcome, every holder its own future."""
        future = self.futures[0]
        future._source = other
        first = next((holder for holder in other.futures if holder._kind != futures.CANCELED), None)
        self.done = True
        if first is None:
            future._cancel(None)
        elif first._kind == futures.OPEN:
            other.futures.append(future)
        elif first._kind == futures.FAILED:
            future._fail(first._content)
        else:
            future._text, future._content = first._text, first._content
            future._settle(first._kind)

    def acknowledged(self) -> futures.Future[Any]:
        """Return the future of the end of a cancelled task, however it ends."""
        future: futures.Future[Any] = futures.Future(self.evaluation, self, False)
        self.ends.append(future)
        return future

    # -- what each kind says

    @property
    def book(self) -> records.Book:
        raise errors.Misuse("not a task")

    @property
    def history_name(self) -> str:
        """Name of the type that the history shows."""
        return self.name

    def own_id(self) -> str | None:
        """The id, where it is the identity."""
        return None

    def new_id(self) -> str:
        raise errors.Misuse("not a task")

    def wire_input(self) -> str:
        return self.text

    def identity(self) -> str:
        digest, _, rest = self.control[len(self.branch.prefix) :].partition('","ordinal":')
        if not digest:
            return f"{self.kind}:{self.name}:@{self.seq}"
        return f"{self.kind}:{self.name}:{digest}:{rest.partition(',')[0]}"

    # -- what happens

    def deliver(self, event: Any) -> None:
        kind = type(event)
        if kind in _REFUSALS:
            self._refused(event)
        elif self.done:
            ends, self.ends = self.ends, []
            for future in ends:
                future._complete(None)
        elif kind in _COMPLETIONS:
            self._finish_text(event.attributes.result)
        elif kind in _CANCELLATIONS:
            self._close_record()
            for future in self.futures:
                future._cancel(event.attributes.details)
        else:
            self._failed(event)

    def _finish_text(self, text: str | None) -> None:
        self._close_record()
        for future in self.futures:
            future._complete_with_text(text)
        self._let_go()

    def _finish_failed(self, error: BaseException) -> None:
        self._close_record()
        for future in self.futures:
            future._fail(error)
        self._let_go()

    def _close_record(self) -> None:
        self.done = True
        if self.record is not None:
            self.book.drop(self.record)

    def _let_go(self) -> None:
        # A settled task is free again once the program drops its future; a shared one answers later submissions.
        if not self.shared:
            self.futures = []

    def _failed(self, event: Any) -> None:
        error = failures.of_event(self.name, event, self.declared_timeout)
        reason = getattr(event.attributes, "reason", None)
        if reason == INTERRUPTED and self.interrupted < INTERRUPTIONS:
            self.interrupted += 1
            self.again()
            return
        hooks = self.evaluation.hooks
        if hooks.handles_failures:
            hooks.task_failed(self, event, error)
        else:
            self.apply_policy(error)

    def apply_policy(self, error: BaseException) -> None:
        """Schedule it again while its budget lasts, else fail its futures."""
        self.failed += 1
        delay = failures.next_delay(self.retry, self.failed, error, self.evaluation, self.id)
        if delay is None:
            self._finish_failed(error)
        else:
            self.again(delay)

    def again(self, delay: float = 0) -> None:
        """Schedule the same task again, with the same id, after so many seconds."""
        if delay > 0:
            timer = self.evaluation.retry_timer(self.id, self.failed, delay, self.text)
            timer._subscribe(self._retry_now)
        else:
            self._retry_now()

    def _retry_now(self) -> None:
        if self.done:
            return
        self.attempts += 1
        record = self.record
        if record is None or record.scheduled < self.attempts:
            self.evaluation.outbox.push(self)

    def _refused(self, event: Any) -> None:
        cause = event.attributes.cause
        record = self.record
        if self.done or record is None or record.scheduled >= self.attempts:
            return
        if cause.endswith("TYPE_DOES_NOT_EXIST"):
            self.type_missing = True
        elif not any(word in cause for word in _PASSING):
            self._finish_failed(errors.TaskFailed(self.name, cause, failures.ADVICE.get(cause)))
            return
        if not self.queued:
            self.evaluation.outbox.push(self)

    def missing_type(self) -> types.RegisteredType | None:
        return None

    @property
    def declared_timeout(self) -> Mapping[str, Any]:
        return {}

    # -- reads

    def state(self, future: futures.Future[Any]) -> str:
        evaluation = self.evaluation
        record = self.record
        if evaluation.asynchronous:
            if record is None or not self._over_before(evaluation.started_as_of()):
                return futures.PENDING
        else:
            self.watched = max(self.watched, records.FINAL if evaluation.only_final else records.EVERY)
            evaluation.observed = True
            if record is None:
                return futures.PENDING
            record.watched = max(self.watched, record.watched)
        outcome = record.outcome
        if outcome is None:
            return futures.RUNNING if record.started else futures.PENDING
        if outcome in _CANCELLATIONS:
            evaluation.raise_floor(record.closed_id)
            return futures.CANCELLED
        if outcome in records.FAILURES and not self._exhausted(record):
            return futures.PENDING
        evaluation.raise_floor(record.closed_id)
        return futures.FINISHED

    def _exhausted(self, record: records.Record) -> bool:
        return record.failures > failures.budget(self.retry)

    def _over_before(self, started: int) -> bool:
        record = self.record
        if record is None or record.outcome is None or record.closed_id > started:
            return False
        return record.outcome not in records.FAILURES or self._exhausted(record)

    def cancel(self, future: futures.Future[Any]) -> bool:
        if self._over_before(self.evaluation.started_as_of()):
            return False
        future._cancel()
        if any(other._kind == futures.OPEN for other in self.futures):
            return True
        self.done = True
        record = self.record
        if record is not None and record.scheduled and not record.cancel_seen and record.outcome is None:
            self.evaluation.outbox.push(Cancellation(self))
        return True

    def cancel_decision(self) -> decisions.Decision:
        raise errors.Misuse("not a task")


class ActivityCall(TaskCall):
    """One activity task."""

    __slots__ = ("_cell", "_stage", "activity", "arguments", "plain", "priority")

    kind = "activity"
    cap = "activity"

    def __init__(
        self,
        evaluation: evaluations.Evaluation,
        activity: Any,
        branch: identity.Branch,
        *,
        raises: bool,
        priority: Any,
        arguments: tuple[Sequence[Any], Mapping[str, Any]],
        plain: bool = False,
    ) -> None:
        super().__init__(evaluation, activity.name, activity.retry, branch, raises)
        self.activity = activity
        self.priority = priority
        #: only kept where ``get_task_id`` asks for them
        self.arguments = arguments if hasattr(activity.callable, "get_task_id") else ((), {})
        #: without the envelope, for workers in other languages
        self.plain = plain
        self._cell = evaluation.demand.cell(activity)
        self._stage: int | None = demand.FORESEEN
        self._cell[demand.FORESEEN] += 1

    def _move(self, stage: int | None) -> None:
        """Count it in another column of the demand, or in none any more."""
        if self._stage != stage:
            if self._stage is not None:
                self._cell[self._stage] -= 1
            if stage is not None:
                self._cell[stage] += 1
            self._stage = stage

    def claimed(self, record: records.Record) -> None:
        if record.scheduled:
            self._move(demand.SCHEDULED)
        super().claimed(record)

    def _close_record(self) -> None:
        super()._close_record()
        self._move(None)

    def _join(self, other: TaskCall) -> None:
        self._move(None)
        super()._join(other)

    def cancel(self, future: futures.Future[Any]) -> bool:
        cancelled = super().cancel(future)
        if self.done:
            self._move(None)
        return cancelled

    @property
    def book(self) -> records.Book:
        return self.evaluation.ledger.activities

    def encode(self, args: Any, kwargs: Any) -> str:
        if self.plain:
            return self.evaluation.payloads.encode(args or kwargs)
        return super().encode(args, kwargs)

    def wire_input(self) -> str:
        meta = self.activity.meta
        if not meta or self.plain:
            return self.text
        return f'{self.text[:-1]},"meta":{self.evaluation.payloads.encode(meta)}}}'

    def own_id(self) -> str | None:
        activity = self.activity
        getter = getattr(activity.callable, "get_task_id", None)
        if getter is not None:
            args, kwargs = self.arguments
            args, kwargs = self.evaluation.settled_values(args), self.evaluation.settled_values(kwargs)
            return identity.fitting(f"activity-{self.name}-{getter(self.evaluation.instance, *args, **kwargs)}")
        if activity.idempotent:
            return identity.fitting(f"activity-{self.name}-{identity.md5(self.text)}")
        return None

    def new_id(self) -> str:
        return identity.fitting(f"activity-{self.name}-{self.book.next_number(self.name)}")

    def decision(self) -> decisions.Decision | None:
        if self.done:
            return None
        if not self.id:
            self.id = self.new_id()
        if self.record is None:
            self.record = self.book.emitted(self, self.id, self.name)
            self.record.watched = self.watched
        self._move(demand.SCHEDULED)
        activity = self.activity
        task_list = self.evaluation.task_list_of(activity)
        return decisions.ScheduleActivityTask(
            activity_type=attributes.Type(name=activity.name, version=str(activity.version)),
            activity_id=self.id,
            control=self.control,
            input=self.wire_input(),
            schedule_to_close_timeout=seconds(activity.task_schedule_to_close_timeout),
            task_list=None if task_list is None else attributes.Name(name=task_list),
            task_priority=self.evaluation.priority_of(self.priority, activity),
            schedule_to_start_timeout=seconds(activity.task_schedule_to_start_timeout),
            start_to_close_timeout=seconds(activity.task_start_to_close_timeout),
            heartbeat_timeout=seconds(activity.task_heartbeat_timeout),
        )

    def cancel_decision(self) -> decisions.Decision:
        return decisions.RequestCancelActivityTask(activity_id=self.id)

    def missing_type(self) -> types.RegisteredType | None:
        if not self.type_missing:
            return None
        self.type_missing = False
        return types.RegisteredType(kind="activity", name=self.name, version=str(self.activity.version))

    @property
    def declared_timeout(self) -> Mapping[str, Any]:
        activity = self.activity
        return {
            "START_TO_CLOSE": activity.task_start_to_close_timeout,
            "SCHEDULE_TO_CLOSE": activity.task_schedule_to_close_timeout,
            "SCHEDULE_TO_START": activity.task_schedule_to_start_timeout,
            "HEARTBEAT": activity.task_heartbeat_timeout,
        }


class Cancellation(Item):
    """The wish that a task that was scheduled be cancelled."""

    __slots__ = ("call",)

    def __init__(self, call: Any) -> None:
        super().__init__(call.evaluation.next_seq())
        self.call = call

    def decision(self) -> decisions.Decision | None:
        record = self.call.record
        if record is None or record.outcome is not None or record.cancel_seen:
            return None
        record.cancel_seen = True
        decided: decisions.Decision = self.call.cancel_decision()
        return decided


def seconds(value: Any) -> str | None:
    """Return a declared timeout as SWF wants it; None: it is left out."""
    if not value:
        return None
    if isinstance(value, float):
        value = int(value) if value == int(value) else int(value) + 1
    return str(value)


_COMPLETIONS = frozenset({events.ActivityTaskCompleted, events.ChildWorkflowExecutionCompleted})
_CANCELLATIONS = frozenset({events.ActivityTaskCanceled, events.ChildWorkflowExecutionCanceled})
_REFUSALS = frozenset({events.ScheduleActivityTaskFailed, events.StartChildWorkflowExecutionFailed})
