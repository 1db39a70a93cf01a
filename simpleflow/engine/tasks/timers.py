"""Timers of the program, and those that stand behind timeouts and retries."""

from __future__ import annotations

from typing import Any

from simpleflow.core import decisions, errors, events, numbers
from simpleflow.engine.history import identity, records, timer_records
from simpleflow.engine.program import futures, run

from . import failures, outbox


class TimerCall(outbox.Sent):
    """One timer: opened by the program, settled when it fires."""

    __slots__ = ("cancelling", "control", "delay", "done", "evaluation", "future", "id", "ordinal", "record", "watched")

    cap = "timer"
    sort = "work"

    def __init__(self, evaluation: run.Run, timer_id: str, delay: Any, control: str | None) -> None:
        super().__init__(evaluation.next_seq())
        self.evaluation = evaluation
        self.id = timer_id
        #: whole seconds
        self.delay = numbers.duration(f"timeout of timer {timer_id!r}", delay)
        self.control = control
        self.done = False
        self.watched = records.NOT
        self.future: futures.Future[Any] = futures.Future(evaluation, self)
        #: futures of ``cancel_timer``, settled once the service says that it is cancelled
        self.cancelling: list[futures.Future[Any]] = []
        other = evaluation.calls.timers.get(timer_id)
        if other is not None:
            raise errors.Misuse(
                f"a timer {timer_id!r} is open: choose another id, or cancel it first (SWF refuses a second one)"
            )
        evaluation.calls.timers[timer_id] = self
        self.ordinal = evaluation.calls.timer_counts.get(timer_id, 0)
        if not timer_id.startswith(timer_records.OURS):  # each of those has an id of its own
            evaluation.calls.timer_counts[timer_id] = self.ordinal + 1
        evaluation.note(self)
        self.record: records.Record | None = evaluation.book.timers.claim(timer_id)
        copied = evaluation.given.copied
        if copied.timers and (self.record is None or not 1 < self.record.open_id <= copied.events + 1):
            copied.met(timer_id, self.seq)
        if self.record is None:
            self._push()
        else:
            self.record.attach(self)
            if not self.record.scheduled and not self.done and not self.queued:
                self._push()

    def _push(self) -> None:
        evaluation = self.evaluation
        if evaluation.scopes is not None and not evaluation.scopes.admits(evaluation.current, self.seq):
            self.withdraw()
        else:
            evaluation.outbox.push(self)

    def withdraw(self) -> None:
        self._closed()
        self.future._cancel(futures.WITHDRAWN)
        self._cancelled()

    def cut(self) -> None:
        """Its evaluation is gone."""
        if self.record is not None:
            self.record.call = None
        self.cancelling = []
        self.future._callbacks = None

    def identity(self) -> str:
        return f"timer:{self.id}::{self.ordinal}"

    def deliver(self, event: Any) -> None:
        kind = type(event)
        if kind is events.TimerFired:
            self._closed()
            self.future._complete(None)
            if not self.cancelling:
                self._let_go()
        elif kind is events.TimerCanceled:
            self._closed()
            self.future._cancel()
            self._cancelled()
        elif kind is events.CancelTimerFailed:
            self._cancelled()
        elif kind is events.StartTimerFailed and not self.done:
            cause = event.attributes.cause
            if records.passes(cause):
                if self.record is not None and not self.record.scheduled and not self.queued:
                    self._push()
                return
            self._closed()
            self.future._fail(errors.TaskFailed(f"timer {self.id}", cause, failures.ADVICE.get(cause)))

    def _let_go(self) -> None:
        """Nothing more will be said of it."""
        if self.record is not None:
            self.evaluation.book.timers.drop(self.record)

    def _cancelled(self) -> None:
        self._let_go()
        waiting, self.cancelling = self.cancelling, []
        for future in waiting:
            future._complete(None)

    def _closed(self) -> None:
        self.done = True
        if self.evaluation.calls.timers.get(self.id) is self:
            del self.evaluation.calls.timers[self.id]

    def state(self, future: futures.Future[Any]) -> str:
        if future is not self.future:
            return futures.PENDING
        record = self.record
        evaluation = self.evaluation
        if evaluation.facts.asynchronous:
            fired = record is not None and 0 < record.closed_id <= evaluation.started_as_of()
            return futures.FINISHED if fired else futures.PENDING
        evaluation.reads.observed = True
        self.watched = max(self.watched, records.FINAL if evaluation.reads.only_final else records.EVERY)
        if record is None:
            return futures.PENDING
        record.watched = max(self.watched, record.watched)
        if record.outcome is None:
            return futures.RUNNING if record.scheduled else futures.PENDING
        evaluation.raise_floor(record.closed_id)
        return futures.FINISHED if record.outcome is events.TimerFired else futures.CANCELLED

    def cancel(self, future: futures.Future[Any], why: str | None = None) -> bool:
        evaluation = self.evaluation
        record = self.record
        if future is not self.future or future._kind != futures.OPEN:
            return False
        if record is not None and 0 < record.closed_id <= evaluation.started_as_of():
            return False
        if record is not None and record.decision and record.decision >= evaluation.completed_as_of():
            # Emitted by a later decision than this one: it belongs to a later timer of this id.
            evaluation.book.timers.give_back(record)
            if self.id in evaluation.calls.timer_counts:
                evaluation.calls.timer_counts[self.id] -= 1
            self.record = record = None
        self._closed()
        self.future._cancel(why)
        if record is not None and record.scheduled and not record.cancel_seen and record.outcome is None:
            evaluation.outbox.push(CancelTimer(self))
        return True

    def decision(self) -> decisions.Decision | None:
        if self.done:
            return None
        self.record = self.evaluation.book.timers.emitted(self, self.id)
        self.record.watched = self.watched
        evaluation, seconds = self.evaluation, self.delay
        if evaluation.given.copied.ends:
            seconds = evaluation.given.copied.seconds(self.seq, seconds, evaluation.book.decisions.timestamps[-1])
        return decisions.StartTimer(timer_id=self.id, start_to_fire_timeout=str(seconds), control=self.control)

    def cancel_decision(self) -> decisions.Decision:
        return decisions.CancelTimer(timer_id=self.id)


class CancelTimer(outbox.Cancellation):
    """The wish that a timer be cancelled; its event alone causes no decision."""

    __slots__ = ()

    @property
    def waited_for(self) -> bool:
        return any(future._callbacks for future in self.call.cancelling)


def cancel(evaluation: run.Run, timer_id: str) -> futures.Future[Any]:
    """Cancel the open timer of this id; the future is done once the service has cancelled it."""
    call = evaluation.calls.timers.get(timer_id)
    if call is None:
        done: futures.Future[Any] = futures.Future(evaluation, Settled(f"timer:{timer_id}::cancel"))
        done._complete(None)
        return done
    future: futures.Future[Any] = futures.Future(evaluation, call)
    if not call.cancel(call.future, futures.STOPPED) or call.record is None or not call.record.scheduled:
        future._complete(None)
    elif call.record.outcome is events.TimerCanceled or call.record.cancel_seen:
        # The history holds the answer already: it is delivered when its turn comes, if it was not yet.
        if 0 < call.record.closed_id <= evaluation.position:
            future._complete(None)
        else:
            call.cancelling.append(future)
    else:
        call.cancelling.append(future)
    return future


class Settled:
    """Source of futures that nothing will settle: they are done."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def identity(self) -> str:
        return self._name

    def state(self, future: futures.Future[Any]) -> str:
        return futures.PENDING

    def cancel(self, future: futures.Future[Any]) -> bool:
        return False


def timeout_id(branch: identity.Branch, kind: str, name: str) -> str:
    """Return the id of the timer behind a timeout: a function of where in the program it stands."""
    number = branch.count(f"timeout {kind} {name}")
    return f"__simpleflow_timeout_{kind}_{identity.digest(f'{branch.path}|{name}')[:16]}-{number}"
