"""The book: what the history says so far, folded event by event, each event once.

``fold`` only books. What happens to the program is queued in ``arrived`` and delivered one by one by the evaluation.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from simpleflow.core import events

from . import identity, marker_records, records, throttle, timer_records

_Record, _CONTROL = records.Record, identity.CONTROL_PREFIX
#: the most frequent ones, as globals of this module
_ActivityTaskScheduled, _ActivityTaskStarted = events.ActivityTaskScheduled, events.ActivityTaskStarted
_ActivityTaskCompleted = events.ActivityTaskCompleted
_DecisionTaskStarted, _DecisionTaskCompleted = events.DecisionTaskStarted, events.DecisionTaskCompleted

#: timers of ours that the program never sees
WAKE_UP = "_simpleflow_wake_up_timer"
DIVERGED = "_simpleflow_diverged"
QUARANTINED = "_simpleflow_quarantined"
RESERVED_TIMERS = frozenset({WAKE_UP, DIVERGED, QUARANTINED})
#: larger than any event id
NOW = 1 << 60

#: whose ``deliver`` is called with the event once its turn comes
Target = Any


class DecidedElsewhere(Exception):
    """Another decider decided meanwhile: the history holds what this evaluation did not submit. It must be re-run."""


class Decisions:
    """Completed decisions, and the one being answered: what positional reads speak of."""

    __slots__ = ("_before", "completed", "started", "timestamps")

    def __init__(self) -> None:
        #: id of the DecisionTaskStarted event, its time, id of the DecisionTaskCompleted event (NOW: being answered)
        self.started: list[int] = []
        self.timestamps: list[float] = []
        self.completed: list[int] = []
        #: completed last before those
        self._before = 0

    def add(self, started: int, timestamp: float, completed: int) -> None:
        self.started.append(started)
        self.timestamps.append(timestamp)
        self.completed.append(completed)

    def reopen(self) -> None:
        """Forget all: a suspended program only moves on. What is new follows."""
        if len(self.completed) > 1:
            self._before = self.completed[-2]
        self.started.clear()
        self.timestamps.clear()
        self.completed.clear()

    def last_completed(self, position: int) -> int:
        """DecisionTaskCompleted event of the last decision before this event; 0: none."""
        place = bisect.bisect_left(self.completed, position)
        return self.completed[place - 1] if place else self._before

    def at(self, position: int) -> int:
        """Place of the first decision whose start follows this event."""
        return min(bisect.bisect_right(self.started, position), len(self.started) - 1)


class Book:
    """Everything that the history says and the engine still needs."""

    def __init__(self) -> None:
        self.last_id = 0
        self.started_event: events.WorkflowExecutionStarted | None = None
        self.decisions = Decisions()
        self.last_context: str | None = None
        #: what happened and was not delivered yet, in event order
        self.arrived: deque[tuple[Target, Any]] = deque()
        #: an evaluation that is suspended knows each of its tasks: another one means that it is not its history
        self.resumed = False
        #: something that a whole-history read saw has changed
        self.stale = False
        self.activities = records.Register("activity")
        self.children = records.Register("workflow")
        self.timers = timer_records.Timers()
        self.signals_out = timer_records.Outgoing()
        self.markers = marker_records.Markers()
        self.throttle = throttle.Throttle()
        self.wake_up_open = False
        self.diverged_open = False
        #: reserved timers in a row, with nothing decided between
        self.diverged_count = 0
        self.cancel_requested_id = 0
        #: by signal name: events not delivered yet; last one delivered or not
        self.signals_waiting: dict[str, int] = {}
        self.signals_last: dict[str, Any] = {}
        self.watched_signals: dict[str, None] = {}
        #: who is told of signals and of a cancel request: set by the evaluation
        self.on_signal: Target = None
        self.on_cancel: Target = None
        self._decision_started: tuple[int, float] = (0, 0.0)

    # -- folding

    def fold(self, new: Iterable[events.Event], started_event_id: int) -> None:
        """Book the events up to the start of the decision being answered; those that were seen are skipped."""
        handlers = HANDLERS
        last = self.last_id
        register = self.activities
        by_event, by_id, arrived = register.by_event, register.by_id, self.arrived
        row = register.row
        decisions = self.decisions
        whole = not self.resumed
        event: Any
        for event in new:
            if event.id <= last:
                continue
            last = event.id
            kind = type(event)
            if kind is _ActivityTaskCompleted:  # the most frequent case, written out
                record = by_event.pop(event.attributes.scheduled_event_id, None)
                if record is not None:
                    record.outcome = kind
                    record.closed_id = last
                    record.started = False
                    arrived.append((record, event))
                    if record.watched:
                        self.stale = True
                continue
            if kind is _ActivityTaskScheduled and whole:
                attributes = event.attributes
                identifier, control = attributes.activity_id, attributes.control
                if identifier not in by_id and control is not None and control.startswith(_CONTROL):
                    record = by_id[identifier] = _Record(
                        identifier, attributes.activity_type.name, control, attributes, 1, last
                    )
                    row.append(record)
                    by_event[last] = record
                    if len(by_event) > register.peak:
                        register.peak = len(by_event)
                    self.diverged_count = 0
                    if self.throttle.count:
                        self.throttle.succeeded(attributes.decision_task_completed_event_id)
                    continue
            elif kind is _ActivityTaskStarted:
                record = by_event.get(event.attributes.scheduled_event_id)
                if record is not None:
                    record.started = True
                    if record.watched == records.EVERY:
                        self.stale = True
                continue
            elif kind is _DecisionTaskStarted:
                self._decision_started = (last, event.timestamp)
                continue
            elif kind is _DecisionTaskCompleted:
                attributes = event.attributes
                decisions.started.append(attributes.started_event_id or self._decision_started[0])
                decisions.timestamps.append(self._decision_started[1])
                decisions.completed.append(last)
                if attributes.execution_context is not None:
                    self.last_context = attributes.execution_context
                continue
            handler = handlers.get(kind)
            if handler is not None:
                handler(self, event)
        self.last_id = last
        started, timestamp = self._decision_started
        self.decisions.add(started or started_event_id, timestamp, NOW)

    def begin_resume(self) -> None:
        """New events follow those that the suspended program has seen."""
        self.decisions.reopen()
        self.resumed = True

    def missing_before(self, new: tuple[events.Event, ...]) -> bool:
        """Whether an event between the last one seen and these is not there."""
        expected = self.last_id + 1
        for event in new:
            if event.id > expected:
                return True
            if event.id == expected:
                expected += 1
        return False

    def _started(self, event: events.WorkflowExecutionStarted) -> None:
        self.started_event = event

    # -- activities

    def _activity_scheduled(self, event: events.ActivityTaskScheduled) -> None:
        attributes = event.attributes
        register = self.activities
        record = register.by_id.get(attributes.activity_id)
        if record is None:
            if self.resumed:
                raise DecidedElsewhere(f"activity {attributes.activity_id}")
            record = register.new(attributes.activity_id, attributes.activity_type.name, attributes.control, attributes)
        elif record.call is None and record.attributes is None:
            register.scheduled_late(record, attributes)
        record.scheduled += 1
        record.open_id = event.id
        if record.scheduled > 1 or record.refused is not None:
            record.outcome = record.refused = None
        register.opened(event.id, record)
        self.diverged_count = 0
        if self.throttle.count:
            self.throttle.succeeded(attributes.decision_task_completed_event_id)

    def _activity_closed(self, event: Any) -> None:
        register = self.activities
        record = register.by_event.pop(event.attributes.scheduled_event_id, None)
        if record is not None:
            record.close(event)
            self.arrived.append((record, event))
            if record.watched:
                self.stale = True

    def _schedule_failed(self, event: events.ScheduleActivityTaskFailed) -> None:
        attributes = event.attributes
        register = self.activities
        record = register.by_id.get(attributes.activity_id)
        if record is None:
            if self.resumed:
                raise DecidedElsewhere(f"activity {attributes.activity_id}")
            record = register.unscheduled(attributes.activity_id, attributes.activity_type.name)
        self._not_opened(register, record, event, attributes.cause, attributes.decision_task_completed_event_id)

    def _not_opened(self, register: Any, record: records.Record, event: Any, cause: str, decision: int) -> None:
        record.refused = cause
        if "LIMIT_EXCEEDED" in cause and register.open > 0:
            register.cap = min(register.cap, register.open)
        elif "LIMIT_EXCEEDED" in cause or "RATE_EXCEEDED" in cause:
            self.throttle.failed(cause, decision, event.id)
        self.arrived.append((record, event))

    def _activity_cancel(self, event: Any) -> None:
        record = self.activities.by_id.get(event.attributes.activity_id)
        if record is not None:
            record.cancel_seen = True

    # -- children

    def _child_initiated(self, event: events.StartChildWorkflowExecutionInitiated) -> None:
        attributes = event.attributes
        register = self.children
        record = register.by_id.get(attributes.workflow_id)
        if record is None:
            if self.resumed:
                raise DecidedElsewhere(f"child workflow {attributes.workflow_id}")
            record = register.new(attributes.workflow_id, attributes.workflow_type.name, attributes.control, attributes)
        elif record.call is None and record.attributes is None:
            register.scheduled_late(record, attributes)
        record.schedule(event.id)
        register.opened(event.id, record)
        self.diverged_count = 0
        self.throttle.succeeded(attributes.decision_task_completed_event_id)

    def _child_started(self, event: events.ChildWorkflowExecutionStarted) -> None:
        record = self.children.by_event.get(event.attributes.initiated_event_id)
        if record is not None:
            record.started = True
            record.runs = [*(record.runs or ()), [event.id, 0, event.attributes.workflow_execution.run_id]]
            if record.watched == records.EVERY:
                self.stale = True

    def _child_closed(self, event: Any) -> None:
        register = self.children
        record = register.by_event.pop(event.attributes.initiated_event_id, None)
        if record is not None:
            if record.started and record.runs:
                record.runs[-1][1] = event.id
            record.close(event)
            self.arrived.append((record, event))
            if record.watched:
                self.stale = True

    def _child_failed(self, event: events.StartChildWorkflowExecutionFailed) -> None:
        attributes = event.attributes
        register = self.children
        record = register.by_event.pop(attributes.initiated_event_id, None)
        if record is not None:  # initiated, and then refused
            record.scheduled -= 1
        else:
            record = register.by_id.get(attributes.workflow_id)
        if record is None:
            if self.resumed:
                raise DecidedElsewhere(f"child workflow {attributes.workflow_id}")
            record = register.unscheduled(attributes.workflow_id, attributes.workflow_type.name)
        self._not_opened(register, record, event, attributes.cause, attributes.decision_task_completed_event_id)

    def _child_cancel(self, event: events.RequestCancelExternalWorkflowExecutionInitiated) -> None:
        record = self.children.by_id.get(event.attributes.workflow_id)
        if record is not None:
            record.cancel_seen = True

    # -- timers

    def _timer_started(self, event: events.TimerStarted) -> None:
        attributes = event.attributes
        if attributes.timer_id in RESERVED_TIMERS:
            if attributes.timer_id == WAKE_UP:
                self.wake_up_open = True
                self.throttle.timer_started(attributes.decision_task_completed_event_id)
            elif attributes.timer_id == DIVERGED:
                self.diverged_open = True
                self.diverged_count += 1
            return
        record = self.timers.started(attributes.timer_id, event, self.resumed)
        if record is None:
            raise DecidedElsewhere(f"timer {attributes.timer_id}")
        self.diverged_count = 0
        if record.watched == records.EVERY or attributes.timer_id in self.timers.watched:
            self.stale = True

    def _timer_closed(self, event: Any) -> None:
        timer_id = event.attributes.timer_id
        if timer_id in RESERVED_TIMERS:
            if timer_id == WAKE_UP:
                self.wake_up_open = False
                self.throttle.timer_fired()
            elif timer_id == DIVERGED:
                self.diverged_open = False
            return
        record = self.timers.closed(event)
        if record is not None:
            self.arrived.append((record, event))
            if record.watched or timer_id in self.timers.watched:
                self.stale = True

    def _timer_failed(self, event: events.StartTimerFailed) -> None:
        attributes = event.attributes
        if attributes.timer_id in RESERVED_TIMERS:
            return
        record = self.timers.failed(attributes.timer_id, event, self.resumed)
        if record is None:
            raise DecidedElsewhere(f"timer {attributes.timer_id}")
        self._not_opened(self.timers, record, event, attributes.cause, attributes.decision_task_completed_event_id)

    def _timer_cancel_failed(self, event: events.CancelTimerFailed) -> None:
        record = self.timers.latest.get(event.attributes.timer_id)
        if record is not None:
            record.cancel_seen = True
            self.arrived.append((record, event))

    # -- signals, markers, the cancel request

    def _signaled(self, event: events.WorkflowExecutionSignaled) -> None:
        name = event.attributes.signal_name
        self.signals_waiting[name] = self.signals_waiting.get(name, 0) + 1
        self.signals_last[name] = event
        self.arrived.append((self.on_signal, event))
        if name in self.watched_signals:
            self.stale = True

    def _cancel_requested(self, event: events.WorkflowExecutionCancelRequested) -> None:
        if not self.cancel_requested_id:
            self.cancel_requested_id = event.id
            self.arrived.append((self.on_cancel, event))

    def _marker(self, event: events.MarkerRecorded) -> None:
        record = self.markers.recorded(event)
        if record.local:
            # It was delivered while its decision was made: before what happened after that decision's start.
            record.closed_id = self.decisions.started[-1] - 1
            # Several of one decision keep their order.
            later = []
            while self.arrived and self.arrived[-1][1].id > self.decisions.started[-1]:
                if getattr(self.arrived[-1][0], "local", False):
                    break
                later.append(self.arrived.pop())
            self.arrived.append((record, event))
            self.arrived.extend(reversed(later))
        else:
            self.arrived.append((record, event))
        if self.markers.watched or record.watched:
            self.stale = True

    def _marker_failed(self, event: events.RecordMarkerFailed) -> None:
        record = self.markers.failed(event)
        self.arrived.append((record, event))
        if record.watched:
            self.stale = True

    def _signal_out(self, event: events.SignalExternalWorkflowExecutionInitiated) -> None:
        if not self.signals_out.initiated(event, self.resumed):
            raise DecidedElsewhere(f"signal {event.attributes.signal_name}")

    def _signal_out_closed(self, event: Any) -> None:
        record = self.signals_out.closed(event)
        if record is not None:
            self.arrived.append((record, event))
            if record.watched:
                self.stale = True


#: one table for all executions: a bound method for each would weigh three kilobytes in every one
HANDLERS: dict[type, Callable[[Book, Any], None]] = {
    events.WorkflowExecutionStarted: Book._started,
    events.ActivityTaskScheduled: Book._activity_scheduled,
    events.ActivityTaskCompleted: Book._activity_closed,
    events.ActivityTaskFailed: Book._activity_closed,
    events.ActivityTaskTimedOut: Book._activity_closed,
    events.ActivityTaskCanceled: Book._activity_closed,
    events.ScheduleActivityTaskFailed: Book._schedule_failed,
    events.ActivityTaskCancelRequested: Book._activity_cancel,
    events.RequestCancelActivityTaskFailed: Book._activity_cancel,
    events.StartChildWorkflowExecutionInitiated: Book._child_initiated,
    events.ChildWorkflowExecutionStarted: Book._child_started,
    events.ChildWorkflowExecutionCompleted: Book._child_closed,
    events.ChildWorkflowExecutionFailed: Book._child_closed,
    events.ChildWorkflowExecutionTimedOut: Book._child_closed,
    events.ChildWorkflowExecutionCanceled: Book._child_closed,
    events.ChildWorkflowExecutionTerminated: Book._child_closed,
    events.StartChildWorkflowExecutionFailed: Book._child_failed,
    events.RequestCancelExternalWorkflowExecutionInitiated: Book._child_cancel,
    events.TimerStarted: Book._timer_started,
    events.TimerFired: Book._timer_closed,
    events.TimerCanceled: Book._timer_closed,
    events.StartTimerFailed: Book._timer_failed,
    events.CancelTimerFailed: Book._timer_cancel_failed,
    events.WorkflowExecutionSignaled: Book._signaled,
    events.WorkflowExecutionCancelRequested: Book._cancel_requested,
    events.MarkerRecorded: Book._marker,
    events.RecordMarkerFailed: Book._marker_failed,
    events.SignalExternalWorkflowExecutionInitiated: Book._signal_out,
    events.ExternalWorkflowExecutionSignaled: Book._signal_out_closed,
    events.SignalExternalWorkflowExecutionFailed: Book._signal_out_closed,
}
