"""Decisions as SWF takes them: each becomes the events that it causes, or the event that says why it failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from simpleflow.core import attributes as a
from simpleflow.core import decisions as d
from simpleflow.core import limits

from . import state

#: decision type -> the event that says that it closed the execution
_CLOSED = {
    "CompleteWorkflowExecution": "WorkflowExecutionCompleted",
    "FailWorkflowExecution": "WorkflowExecutionFailed",
    "CancelWorkflowExecution": "WorkflowExecutionCanceled",
    "ContinueAsNewWorkflowExecution": "WorkflowExecutionContinuedAsNew",
}


def apply(history: state.Growing, completed: int, made: Iterable[d.Decision]) -> None:
    """Write what these decisions cause. One that fails schedules a new decision task, as one that fails on SWF may."""
    failed = False
    for decision in made:
        if history.open.closed is not None:
            raise AssertionError(f"{type(decision).__name__} after the decision that closed the execution")
        kind = type(decision).__name__
        causes = history.open.refusals.get(kind)
        cause = causes.pop(0) if causes else None
        if isinstance(decision, d.CLOSING):
            failed |= _close(history, completed, decision, cause)
        else:
            failed |= _APPLY[type(decision)](history, completed, decision, cause)
    if failed:
        history.schedule_decision()


def _close(history: state.Growing, completed: int, decision: Any, cause: str | None) -> bool:
    kind = type(decision).__name__
    if cause is None and history.open.waiting_decision is not None:
        cause = "UNHANDLED_DECISION"
    if cause is not None:
        history.add(f"{kind}Failed", cause=cause, decision_task_completed_event_id=completed)
        return True
    fields = {name: getattr(decision, name) for name in decision.__struct_fields__}
    if isinstance(decision, d.ContinueAsNewWorkflowExecution):
        fields.pop("workflow_type_version")
        fields |= {
            "new_execution_run_id": f"{history.run_id}-next",
            "workflow_type": history.type,
            "task_list": decision.task_list or a.Name(name=history.task_list),
            "child_policy": decision.child_policy or "TERMINATE",
            "tag_list": list(decision.tag_list) if decision.tag_list else None,
        }
    history.close(_CLOSED[kind], decision_task_completed_event_id=completed, **fields)
    return False


def _schedule(history: state.Growing, completed: int, decision: d.ScheduleActivityTask, cause: str | None) -> bool:
    tasks = history.open.activities
    if cause is None and decision.activity_id in tasks:
        cause = "ACTIVITY_ID_ALREADY_IN_USE"
    if cause is None and len(tasks) >= history.open.activity_limit:
        cause = "OPEN_ACTIVITIES_LIMIT_EXCEEDED"
    if cause is not None:
        history.add(
            "ScheduleActivityTaskFailed",
            activity_type=decision.activity_type,
            activity_id=decision.activity_id,
            cause=cause,
            decision_task_completed_event_id=completed,
        )
        return True
    fields = {name: getattr(decision, name) for name in decision.__struct_fields__}
    fields["task_list"] = decision.task_list or a.Name(name="default")
    scheduled = history.add("ActivityTaskScheduled", decision_task_completed_event_id=completed, **fields)
    tasks[decision.activity_id] = state.OpenActivity(
        name=decision.activity_type.name, scheduled=scheduled, input=decision.input
    )
    return False


def _request_cancel(
    history: state.Growing, completed: int, decision: d.RequestCancelActivityTask, cause: str | None
) -> bool:
    task = history.open.activities.get(decision.activity_id)
    fields: dict[str, Any] = {"activity_id": decision.activity_id, "decision_task_completed_event_id": completed}
    if task is None or cause is not None:
        history.add("RequestCancelActivityTaskFailed", cause=cause or "ACTIVITY_ID_UNKNOWN", **fields)
        return True
    task.cancel_requested = history.add("ActivityTaskCancelRequested", **fields)
    if task.started:
        return False  # its worker learns it with its next heartbeat
    del history.open.activities[decision.activity_id]
    history.add(
        "ActivityTaskCanceled",
        scheduled_event_id=task.scheduled,
        latest_cancel_requested_event_id=task.cancel_requested,
    )
    return True


def _record_marker(history: state.Growing, completed: int, decision: d.RecordMarker, cause: str | None) -> bool:
    fields: dict[str, Any] = {"marker_name": decision.marker_name, "decision_task_completed_event_id": completed}
    if cause is not None:
        history.add("RecordMarkerFailed", cause=cause, **fields)
        return True
    history.add("MarkerRecorded", details=decision.details, **fields)
    return False


def _start_timer(history: state.Growing, completed: int, decision: d.StartTimer, cause: str | None) -> bool:
    timers = history.open.timers
    fields: dict[str, Any] = {"timer_id": decision.timer_id, "decision_task_completed_event_id": completed}
    if cause is None and decision.timer_id in timers:
        cause = "TIMER_ID_ALREADY_IN_USE"
    if cause is None and len(timers) >= limits.OPEN_TIMERS:
        cause = "OPEN_TIMERS_LIMIT_EXCEEDED"
    if cause is not None:
        history.add("StartTimerFailed", cause=cause, **fields)
        return True
    started = history.add(
        "TimerStarted", start_to_fire_timeout=decision.start_to_fire_timeout, control=decision.control, **fields
    )
    timers[decision.timer_id] = state.OpenTimer(
        started=started, due=history.now + float(decision.start_to_fire_timeout), control=decision.control
    )
    return False


def _cancel_timer(history: state.Growing, completed: int, decision: d.CancelTimer, cause: str | None) -> bool:
    timer = history.open.timers.get(decision.timer_id)
    fields: dict[str, Any] = {"timer_id": decision.timer_id, "decision_task_completed_event_id": completed}
    if timer is None or cause is not None:
        history.add("CancelTimerFailed", cause=cause or "TIMER_ID_UNKNOWN", **fields)
        return True
    del history.open.timers[decision.timer_id]
    history.add("TimerCanceled", started_event_id=timer.started, **fields)
    return False


def _execution(history: state.Growing, workflow_id: str, run_id: str | None) -> a.Execution:
    return a.Execution(workflow_id=workflow_id, run_id=run_id or f"{workflow_id}-run")


def _signal(
    history: state.Growing, completed: int, decision: d.SignalExternalWorkflowExecution, cause: str | None
) -> bool:
    initiated = history.add(
        "SignalExternalWorkflowExecutionInitiated",
        workflow_id=decision.workflow_id,
        run_id=decision.run_id,
        signal_name=decision.signal_name,
        input=decision.input,
        control=decision.control,
        decision_task_completed_event_id=completed,
    )
    if cause is not None:
        history.add(
            "SignalExternalWorkflowExecutionFailed",
            workflow_id=decision.workflow_id,
            run_id=decision.run_id,
            cause=cause,
            initiated_event_id=initiated,
            control=decision.control,
            decision_task_completed_event_id=completed,
        )
        return True
    history.open.outgoing.append(
        state.Outgoing(
            execution=_execution(history, decision.workflow_id, decision.run_id),
            initiated=initiated,
            signal=decision.signal_name,
            input=decision.input,
        )
    )
    return False


def _cancel_external(
    history: state.Growing, completed: int, decision: d.RequestCancelExternalWorkflowExecution, cause: str | None
) -> bool:
    fields: dict[str, Any] = {
        "workflow_id": decision.workflow_id,
        "run_id": decision.run_id,
        "control": decision.control,
        "decision_task_completed_event_id": completed,
    }
    initiated = history.add("RequestCancelExternalWorkflowExecutionInitiated", **fields)
    if cause is not None:
        history.add("RequestCancelExternalWorkflowExecutionFailed", cause=cause, initiated_event_id=initiated, **fields)
        return True
    history.open.outgoing.append(
        state.Outgoing(execution=_execution(history, decision.workflow_id, decision.run_id), initiated=initiated)
    )
    return False


def _start_child(
    history: state.Growing, completed: int, decision: d.StartChildWorkflowExecution, cause: str | None
) -> bool:
    children = history.open.children
    if cause is None and decision.workflow_id in children:
        cause = "WORKFLOW_ALREADY_RUNNING"
    if cause is None and len(children) >= limits.OPEN_CHILDREN:
        cause = "OPEN_CHILDREN_LIMIT_EXCEEDED"
    fields = {name: getattr(decision, name) for name in decision.__struct_fields__}
    if cause is not None:
        history.add(
            "StartChildWorkflowExecutionFailed",
            workflow_type=decision.workflow_type,
            cause=cause,
            workflow_id=decision.workflow_id,
            initiated_event_id=0,
            decision_task_completed_event_id=completed,
            control=decision.control,
        )
        return True
    fields["task_list"] = decision.task_list or a.Name(name=history.task_list)
    fields["child_policy"] = decision.child_policy or "TERMINATE"
    fields["tag_list"] = list(decision.tag_list) if decision.tag_list else None
    initiated = history.add(
        "StartChildWorkflowExecutionInitiated", decision_task_completed_event_id=completed, **fields
    )
    children[decision.workflow_id] = state.Child(
        execution=_execution(history, decision.workflow_id, f"{decision.workflow_id}-{initiated}"),
        type=decision.workflow_type,
        initiated=initiated,
        input=decision.input,
    )
    return False


_APPLY: dict[type, Callable[[state.Growing, int, Any, str | None], bool]] = {
    d.ScheduleActivityTask: _schedule,
    d.RequestCancelActivityTask: _request_cancel,
    d.RecordMarker: _record_marker,
    d.StartTimer: _start_timer,
    d.CancelTimer: _cancel_timer,
    d.SignalExternalWorkflowExecution: _signal,
    d.RequestCancelExternalWorkflowExecution: _cancel_external,
    d.StartChildWorkflowExecution: _start_child,
}
