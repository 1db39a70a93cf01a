"""A history as hooks and tools see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from . import events as events_


class History:
    """The events of one execution, oldest first, with the views that hooks ask for."""

    def __init__(self, events: Sequence[events_.Event]) -> None:
        self._events = tuple(events)

    @property
    def events(self) -> tuple[events_.Event, ...]:
        return self._events

    def __iter__(self) -> Iterator[events_.Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def of_type(self, *names: str) -> list[Any]:
        """Return the events of these types, by SWF's names."""
        return [event for event in self.events if events_.type_name(event) in names]

    @property
    def started(self) -> Any:
        """The WorkflowExecutionStarted event."""
        return self.events[0]

    @property
    def last_event_id(self) -> int:
        return self.events[-1].id if self.events else 0

    @property
    def is_cancel_requested(self) -> bool:
        return bool(self.of_type("WorkflowExecutionCancelRequested"))

    cancel_requested = is_cancel_requested

    @property
    def started_decision_id(self) -> int:
        """Id of the last DecisionTaskStarted event, 0 for none."""
        found = self.of_type("DecisionTaskStarted")
        return found[-1].id if found else 0

    @property
    def completed_decision_id(self) -> int:
        """Id of the last DecisionTaskCompleted event, 0 for none."""
        found = self.of_type("DecisionTaskCompleted")
        return found[-1].id if found else 0

    @property
    def activities(self) -> dict[str, dict[str, Any]]:
        """Activity id -> what the history says of the task: id, name, version, state, input, result, reason, details,
        retry, and ids and times of its events."""
        return _tasks(self.events, _ACTIVITY)

    @property
    def child_workflows(self) -> dict[str, dict[str, Any]]:
        """Workflow id -> the same of a child workflow."""
        return _tasks(self.events, _CHILD)

    @property
    def signals(self) -> dict[str, list[dict[str, Any]]]:
        """Signal name -> every signal of that name, oldest first."""
        found: dict[str, list[dict[str, Any]]] = {}
        for event in self.of_type("WorkflowExecutionSignaled"):
            said = event.attributes
            found.setdefault(said.signal_name, []).append(signal_details(event))
        return found

    @property
    def markers(self) -> dict[str, list[dict[str, Any]]]:
        """Marker name -> every marker of that name, oldest first."""
        found: dict[str, list[dict[str, Any]]] = {}
        for event in self.of_type("MarkerRecorded"):
            found.setdefault(event.attributes.marker_name, []).append(marker_details(event))
        return found

    @property
    def timers(self) -> dict[str, dict[str, Any]]:
        """Timer id -> what the history says of the newest timer of that id."""
        found: dict[str, dict[str, Any]] = {}
        for event in self.of_type("TimerStarted", "TimerFired", "TimerCanceled"):
            said = event.attributes
            if events_.type_name(event) == "TimerStarted":
                found[said.timer_id] = timer_details(event, None)
            elif said.timer_id in found:
                found[said.timer_id] |= timer_details(None, event)
        return found


def signal_details(event: Any) -> dict[str, Any]:
    said = event.attributes
    external = said.external_workflow_execution
    return {
        "type": "signal",
        "name": said.signal_name,
        "state": "signaled",
        "input": said.input,
        "external_workflow_id": external.workflow_id if external else None,
        "external_run_id": external.run_id if external else None,
        "external_initiated_event_id": said.external_initiated_event_id,
        "event_id": event.id,
        "timestamp": event.timestamp,
    }


def marker_details(event: Any) -> dict[str, Any]:
    return {
        "type": "marker",
        "name": event.attributes.marker_name,
        "state": "recorded",
        "details": event.attributes.details,
        "event_id": event.id,
        "timestamp": event.timestamp,
    }


def timer_details(started: Any, closed: Any) -> dict[str, Any]:
    """Return what the events of one timer say; either may be None."""
    said: dict[str, Any] = {}
    if started is not None:
        said = {
            "type": "timer",
            "id": started.attributes.timer_id,
            "state": "started",
            "start_to_fire_timeout": int(started.attributes.start_to_fire_timeout),
            "control": started.attributes.control,
            "started_event_id": started.id,
            "started_event_timestamp": started.timestamp,
        }
    if closed is not None:
        state = "fired" if events_.type_name(closed) == "TimerFired" else "canceled"
        said |= {"state": state, f"{state}_event_id": closed.id, f"{state}_event_timestamp": closed.timestamp}
    return said


#: event type -> state; how the id of the task and the event that opened it are read
_ACTIVITY = {
    "ActivityTaskScheduled": "scheduled",
    "ActivityTaskStarted": "started",
    "ActivityTaskCompleted": "completed",
    "ActivityTaskFailed": "failed",
    "ActivityTaskTimedOut": "timed_out",
    "ActivityTaskCanceled": "canceled",
}
_CHILD = {
    "StartChildWorkflowExecutionInitiated": "start_initiated",
    "ChildWorkflowExecutionStarted": "started",
    "ChildWorkflowExecutionCompleted": "completed",
    "ChildWorkflowExecutionFailed": "failed",
    "ChildWorkflowExecutionTimedOut": "timed_out",
    "ChildWorkflowExecutionCanceled": "canceled",
    "ChildWorkflowExecutionTerminated": "terminated",
}


def _tasks(events: Sequence[Any], states: dict[str, str]) -> dict[str, dict[str, Any]]:
    opening = next(iter(states))
    tasks: dict[str, dict[str, Any]] = {}
    by_event: dict[int, dict[str, Any]] = {}
    for event in events:
        kind = events_.type_name(event)
        state = states.get(kind)
        if state is None:
            continue
        said = event.attributes
        if kind == opening:
            activity = states is _ACTIVITY
            key = said.activity_id if activity else said.workflow_id
            of_type = said.activity_type if activity else said.workflow_type
            task = tasks.setdefault(key, {"id": key, "retry": -1})
            task |= {"name": of_type.name, "version": of_type.version, "input": said.input, "control": said.control}
            task["task_list"] = said.task_list.name
            task["retry"] += 1
            by_event[event.id] = task
        else:
            opened = said.scheduled_event_id if states is _ACTIVITY else said.initiated_event_id
            if opened not in by_event:
                continue
            task = by_event[opened]
            for name in ("result", "reason", "details", "timeout_type", "identity"):
                value = getattr(said, name, None)
                if value is not None:
                    task[name] = value
        task["state"] = state
        task[f"{state}_id"] = event.id
        task[f"{state}_timestamp"] = event.timestamp
    return tasks
