"""Calls: what the program submitted. Here those that become tasks of others: activities and child workflows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from simpleflow.core import decisions, errors, events, interrupts, limits, types
from simpleflow.engine.history import identity, records
from simpleflow.engine.program import futures

from . import arguments, failures, outbox, timers

#: how often a task whose machine went away is scheduled again outside the retry budget
INTERRUPTIONS = 10


class _Unset:
    """Nothing was said: not the same as None, which means no priority."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()


class TaskCall(msgspec.Struct, eq=False):
    """An activity or a child workflow. Settles the futures of all that hold it.

    A Struct, because it is made for each task of each replay.
    """

    evaluation: Any
    seq: int
    name: str
    branch: identity.Branch
    #: futures of all that hold it
    holders: tuple[futures.Future[Any], ...] = ()
    queued: bool = False
    record: records.Record | None = None
    id: str = ""
    #: how many equal ones were submitted before
    ordinal: int = 0
    text: str = ""
    #: how often it was scheduled, this time included
    attempts: int = 1
    failed: int = 0
    interrupted: int = 0
    done: bool = False
    #: whole-history reads that depend on it
    watched: int = records.NOT
    type_missing: bool = False
    #: its id is its identity: others may hold it too
    shared: bool = False
    #: of those that wait for the end of a cancelled task
    ends: tuple[futures.Future[Any], ...] = ()
    template: arguments.Template | None = None
    dependencies: list[futures.Future[Any]] | None = None
    missing: int = 0
    #: the event whose delivery made it ready to be sent
    since: int = -1
    #: and the one whose delivery let it be cancelled
    cancelled: int = 0
    #: whether its id may be its identity
    identified: bool = True

    kind: ClassVar[str] = ""
    cap: ClassVar[str] = ""
    sort: ClassVar[str] = "work"
    waited_for: ClassVar[bool] = False

    @property
    def retry(self) -> Any:
        """The declared retry: a number or a RetryPolicy."""
        return 0

    # -- arguments

    def take(self, args: Any, kwargs: Any) -> futures.Future[Any]:
        """Encode the arguments; what is not there yet is waited for, not by the program."""
        future = self.holders[0]
        for value in args:
            if type(value) not in arguments.PLAIN:
                break
        else:
            if not kwargs:
                self.ready(self.encode(args, kwargs))
                return future
        found: list[futures.Future[Any]] = []
        try:
            args, kwargs = arguments.find(args, found), arguments.find(kwargs, found)
        except TypeError as error:
            raise TypeError(f"arguments of {self.name} cannot be serialised: {error}") from error
        text = self.encode(args, kwargs)
        if not found:
            self.ready(text)
            return future
        self.template = arguments.Template(text, len(found), self.evaluation.payloads)
        self.dependencies = found
        self.ordinal = self.branch.count(f"open {self.kind} {self.name}")
        missing = [other for other in found if other._kind == futures.OPEN]
        self.missing = len(missing)
        for other in missing:
            other._subscribe(self._one_more)
        self.foreseen()
        if not missing:
            self._fetch()
            self._fill()
        return future

    def encode(self, args: Any, kwargs: Any) -> str:
        try:
            return arguments.envelope(args, kwargs, self.evaluation.payloads)
        except TypeError as error:
            raise TypeError(f"arguments of {self.name} cannot be serialised: {error}") from error

    def foreseen(self) -> None:
        """It waits for its arguments, or is to be sent again."""

    def _one_more(self) -> None:
        self.missing -= 1
        if self.missing == 0 and not self.done:
            self._fill_later()

    def _fill_later(self) -> None:
        """Go on where no code of the program can catch what its own getters raise: the task fails with it."""
        self._or_fail(self._fill)

    def _or_fail(self, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException as error:
            if interrupts.from_outside(error):
                raise
            self._finish_failed(error)

    def push(self) -> None:
        """Have it sent, once what its declaration computes is there."""
        evaluation = self.evaluation
        if evaluation.scopes is not None and not evaluation.scopes.admits(evaluation.current, self.seq):
            self.withdraw()
            return
        self.prepare()
        evaluation.outbox.push(self)

    def withdraw(self) -> None:
        self._close_record()
        if self.shared and self.record is None:
            self.evaluation.calls.shared.pop((self.kind, self.id), None)  # a clean-up may submit an equal one
        for future in self.holders:
            future._cancel(futures.WITHDRAWN)
        self._let_go()

    def prepare(self) -> None:
        """Ask the declaration for what the decision needs of it: when the decision is made it is too late to fail."""

    def _fill(self) -> None:
        if self.needs_values:
            pointers = [pointer for other in self.dependencies or () for pointer in other._pointers()]
            if not self.evaluation.blobs.have(pointers, self._fill_later):
                return None
        dependencies, self.dependencies = self.dependencies or [], None
        texts = []
        for other in dependencies:
            if other._kind == futures.FAILED and other._raises:
                return self._finish_failed(other._content)
            if other._kind == futures.CANCELED:
                return self._finish_failed(errors.TaskCanceled(f"an argument of {self.name} was cancelled"))
            texts.append(self.slot_of(other))
        assert self.template is not None
        text = self.template.fill(texts)
        self.template = None
        return self.ready(text)

    def _fetch(self) -> None:
        """Have the values that go out in full before anything else is submitted: equal tasks are counted in order."""
        evaluation = self.evaluation
        if self.needs_values and evaluation.current.let is not None:  # a hook cannot wait: its task goes on later
            for other in self.dependencies or ():
                for pointer in other._pointers():
                    evaluation.load(pointer)

    #: its consumer cannot follow references: they are resolved before it is scheduled
    @property
    def reads_blobs(self) -> bool:
        return False

    @property
    def needs_values(self) -> bool:
        """Whether values in blobs must be here before it is known which task this is."""
        return self.reads_blobs

    def slot_of(self, other: futures.Future[Any]) -> str:
        """Return what enters the slot of a future."""
        return other._full_slot() if self.reads_blobs else other._slot()

    def ready(self, text: str) -> None:
        """The argument text is complete: find out which task of the history this is."""
        self.text = text
        evaluation = self.evaluation
        if len(text) > limits.DATA - 4_096:
            evaluation.check_length("input", self.wire_input(), limits.DATA, self.name)
        ordinal = evaluation.ordinals.next(self.branch, self.kind, self.name, text)
        self.ordinal = ordinal
        identifier = self.own_id() if self.identified else None
        if identifier is not None:
            self.shared = True
            self.id = identifier
            other = evaluation.calls.shared.get((self.kind, identifier))
            if other is not None:
                return self._join(other)
            evaluation.calls.shared[(self.kind, identifier)] = self
        if evaluation.submitted is not None:
            evaluation.submitted.append(self)
        record = self.find(text, identifier)
        if record is None:
            self.since = evaluation.position
            self.push()
        else:
            self.claimed(record)
        return None

    def find(self, text: str, identifier: str | None) -> records.Record | None:
        """Return the record of this submission: exact control first, then the id, then what has no control."""
        register, name = self.register, self.history_name
        if identifier is not None:
            return register.claim_by_id(identifier)
        if not register.by_id:
            return None
        record = register.claim(name, self.branch.prefix, self.ordinal, self.wire_input())
        if record is None and register.index:
            record = register.claim_by_control(name, self.own_control())
        if record is None and register.legacy:
            record = register.claim_legacy(name, text)
        return record

    def own_control(self) -> str:
        """The control text; hashed only when it is asked for."""
        return identity.control(self.branch, identity.digest(self.text), self.ordinal)

    def claimed(self, record: records.Record) -> None:
        self.record = record
        self.id = record.id
        record.attributes = record.control = None
        record.watched = max(record.watched, self.watched)
        record.attach(self)
        if record.scheduled == 0 and not self.done and not self.queued:
            self.push()

    def _join(self, other: TaskCall) -> None:
        """Another submission is the same task: one task, one outcome, every holder its own future."""
        future = self.holders[0]
        future._source = other
        future._held = f"@{identity.digest(self.branch.path)[:8]}.{self.ordinal}"
        if self.evaluation.scopes is not None:
            self.evaluation.scopes.note_shield(self.evaluation.current, other.seq)
        first = next((holder for holder in other.holders if holder._kind != futures.CANCELED), None)
        self.done = True
        if first is None:
            future._cancel(None)
        elif first._kind == futures.OPEN:
            other.holders = (*other.holders, future)
        else:
            future._settle_as(first)

    def acknowledged(self) -> futures.Future[Any]:
        """Return the future of the end of a cancelled task, however it ends."""
        future: futures.Future[Any] = futures.Future(self.evaluation, self, False)
        self.ends = (*self.ends, future)
        return future

    # -- what each kind says

    @property
    def register(self) -> records.Register:
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
        if not self.text:
            # It never had its arguments: its place among those of its branch that waited for some.
            return f"{self.kind}:{self.name}:@{identity.digest(self.branch.path)[:8]}:{self.ordinal}"
        return f"{self.kind}:{self.name}:{identity.digest(self.text)}:{self.ordinal}"

    # -- what happens

    def deliver(self, event: Any) -> None:
        kind = type(event)
        if kind in records.REFUSALS:
            self._refused(event)
        elif self.done:
            if self.record is not None:
                self.register.drop(self.record)
            ends, self.ends = self.ends, ()
            for future in ends:
                future._complete(None)
        elif kind in _COMPLETIONS:
            self.completed(event.attributes.result)
        elif kind in _CANCELLATIONS:
            self._close_record()
            for future in self.holders:
                future._cancel(event.attributes.details)
        else:
            self._failed(event)

    def _finish_failed(self, error: BaseException) -> None:
        self._close_record()
        for future in self.holders:
            future._fail(error)
        self._let_go()

    def _close_record(self) -> None:
        self.done = True
        if self.record is not None:
            self.register.drop(self.record)

    def _let_go(self) -> None:
        # A settled task is free again once the program drops its future; a shared one answers later submissions.
        if not self.shared:
            self.holders = ()

    def completed(self, text: str | None) -> None:
        """Settle with a result; the way that most tasks go."""
        self._close_record()
        for future in self.holders:
            future._complete_with_text(text)
        self._let_go()

    def _failed(self, event: Any) -> None:
        error = failures.of_event(self.name, event, self.declared_timeout)
        reason = getattr(event.attributes, "reason", None)
        if reason == records.INTERRUPTED and self.interrupted < INTERRUPTIONS:
            self.interrupted += 1
            self.again()
            return
        if self.evaluation.hooks.handles_failures:
            self.evaluation.task_failed(self, event, error)
        else:
            self.apply_policy(error)

    def apply_policy(self, error: BaseException) -> None:
        """Schedule it again while its budget lasts, else fail its futures."""
        self.failed += 1
        delay = failures.next_delay(self.retry, self.failed, error, self.evaluation.given.seed, self.id)
        if delay is None:
            self._finish_failed(error)
        else:
            self.again(delay)

    def again(self, delay: float = 0) -> None:
        """Schedule the same task again, with the same id, after so many seconds."""
        if self.evaluation.scopes is not None and self.evaluation.scopes.bars(self.seq):
            self.withdraw()
            return
        if delay > 0:
            name = f"__simpleflow_task_{self.id}" + (f"-{self.failed}" if self.failed > 1 else "")
            control = self.text if len(self.text) <= limits.DATA else None
            timer = timers.TimerCall(self.evaluation, identity.fitting(name), delay, control)
            timer.future._subscribe(self._retry_now)
        else:
            self._retry_now()

    def _retry_now(self) -> None:
        if self.done:
            return
        self.attempts += 1
        record = self.record
        if record is None or record.scheduled < self.attempts:
            self._or_fail(self.push)

    def _refused(self, event: Any) -> None:
        cause = event.attributes.cause
        record = self.record
        if self.done or record is None or record.scheduled >= self.attempts:
            return
        if cause.endswith("TYPE_DOES_NOT_EXIST"):
            self.type_missing = True
        elif not records.passes(cause):
            self._finish_failed(errors.TaskFailed(self.name, cause, failures.ADVICE.get(cause)))
            return
        self.foreseen()
        if not self.queued:
            self._or_fail(self.push)

    def missing_type(self) -> types.RegisteredType | None:
        return None

    @property
    def declared_timeout(self) -> Mapping[str, tuple[Any, str]]:
        return {}

    # -- reads

    def state(self, future: futures.Future[Any]) -> str:
        evaluation = self.evaluation
        record = self.record
        if evaluation.facts.asynchronous:
            if record is None or not self._over_before(evaluation.started_as_of()):
                return futures.PENDING
        else:
            self.watched = max(self.watched, records.FINAL if evaluation.reads.only_final else records.EVERY)
            evaluation.reads.observed = True
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
        # What a hook will make of a failure only its turn shows.
        if self.evaluation.hooks.handles_failures:
            return False
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
        if any(other._kind == futures.OPEN for other in self.holders):
            return True
        self.done = True
        self.cancelled = self.evaluation.position
        record = self.record
        if record is not None and record.scheduled and not record.cancel_seen and record.outcome is None:
            self.evaluation.outbox.push(outbox.Cancellation(self))
        return True

    def cancel_decision(self) -> decisions.Decision:
        raise errors.Misuse("not a task")


_COMPLETIONS = frozenset({events.ActivityTaskCompleted, events.ChildWorkflowExecutionCompleted})
_CANCELLATIONS = frozenset({events.ActivityTaskCanceled, events.ChildWorkflowExecutionCanceled})
