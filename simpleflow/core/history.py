"""A history as hooks and tools see it, in 0.36's shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from . import event_views

Entry = dict[str, Any]


class History:
    """The events of one execution, oldest first, and what they say of its tasks, signals, markers and timers.

    ``history``: events of ours, SWF's own dictionaries, a response of GetWorkflowExecutionHistory, or anything that has
    ``events``. ``decode`` turns the text of inputs and controls into values.
    """

    def __init__(self, history: Any = (), *, decode: event_views.Decode = event_views.parsed) -> None:
        self._given = history
        self._decode = decode
        self._found: Found | None = None

    @property
    def swf_history(self) -> Any:
        """What it was made of."""
        return self._given

    @property
    def events(self) -> list[event_views.Event]:
        """Every event, with SWF's fields as attributes."""
        return self._parsed().events

    def parse(self) -> None:
        """Read the events; whatever asks for something does it, so that calling it is not needed."""
        self._parsed()

    def _events(self) -> Iterable[Any]:
        given = self._given
        if isinstance(given, Mapping):
            given = given["events"]
        found: Iterable[Any] = getattr(given, "events", given)
        return found

    def _parsed(self) -> Found:
        if self._found is None:
            self._found = Found([event_views.of(event, self._decode) for event in self._events()])
        return self._found

    def __iter__(self) -> Iterator[event_views.Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    @property
    def last_event_id(self) -> int | None:
        """Number of the last event, None of an empty history."""
        events = self.events
        return events[-1].id if events else None

    @property
    def started_decision_id(self) -> int | None:
        """Id of the last DecisionTaskStarted event."""
        return self._parsed().started_decision_id

    @property
    def completed_decision_id(self) -> int | None:
        """Id of the last DecisionTaskCompleted event."""
        return self._parsed().completed_decision_id

    @property
    def workflow(self) -> Entry:
        """What the history says of the execution itself."""
        return self._parsed().workflow

    @property
    def activities(self) -> dict[str, Entry]:
        """Activity id -> the task: type, id, name, version, state, input, result, reason, details, retry (failures
        before the last, absent without any), ids and times of its events."""
        return self._parsed().activities

    @property
    def child_workflows(self) -> dict[str, Entry]:
        """Workflow id -> the same of a child workflow."""
        return self._parsed().child_workflows

    @property
    def signals(self) -> dict[str, Entry]:
        """Signal name -> the newest signal of that name."""
        return {name: found[-1] for name, found in self.signal_lists.items()}

    @property
    def signal_lists(self) -> dict[str, list[Entry]]:
        """Signal name -> every signal of that name, oldest first."""
        return self._parsed().signal_lists

    def get_signal_events(self, signal_name: str) -> list[Entry]:
        """Return every signal of a name, oldest first."""
        return self.signal_lists.get(signal_name, [])

    @property
    def markers(self) -> dict[str, list[Entry]]:
        """Marker name -> every marker of that name, oldest first."""
        return self._parsed().markers

    @property
    def timers(self) -> dict[str, Entry]:
        """Timer id -> the newest timer of that id."""
        return self._parsed().timers

    @property
    def tasks(self) -> list[Entry]:
        """Activities, child workflows and signals, in the order in which they began."""
        return self._parsed().tasks

    @property
    def external_workflows_signaling(self) -> dict[int, Entry]:
        """Event id -> a signal that was sent to another execution."""
        return self._parsed().signaling

    @property
    def external_workflows_canceling(self) -> dict[str, Entry]:
        """Workflow id -> the cancellation that was asked of another execution."""
        return self._parsed().canceling

    @property
    def signaled_workflows(self) -> dict[str, list[Entry]]:
        """Signal name -> the signals of that name that arrived at other executions."""
        return self._parsed().signaled

    @property
    def cancel_requested(self) -> Entry | None:
        """The last cancel request of this execution."""
        return self._parsed().cancel_requested

    @property
    def is_cancel_requested(self) -> bool:
        """Whether somebody requested the cancellation."""
        return self.cancel_requested is not None

    @property
    def cancel_requested_id(self) -> int | None:
        """Event of the cancel request, None without one."""
        return self.cancel_requested["event_id"] if self.cancel_requested else None

    @property
    def cancel_failed(self) -> Entry | None:
        """The last refusal of the decision to cancel this execution."""
        return self._parsed().cancel_failed

    @property
    def cancel_failed_decision_task_completed_event_id(self) -> int | None:
        """Decision whose cancellation of the execution failed, None without one."""
        return self.cancel_failed["decision_task_completed_event_id"] if self.cancel_failed else None

    @staticmethod
    def get_event_id(event: Mapping[str, Any]) -> int | None:
        """Return the id of the event that began an entry."""
        names = ("scheduled_id", "initiated_event_id", "event_id", "started_event_id", "cancel_failed_event_id")
        return next((event[name] for name in names if event.get(name)), None)


class Found:
    """What the events say, read once in their order."""

    def __init__(self, events: list[event_views.Event]) -> None:
        self.events = events
        self.by_id = {event.id: event for event in events}
        self.started_decision_id: int | None = None
        self.completed_decision_id: int | None = None
        self.workflow: Entry = {}
        self.activities: dict[str, Entry] = {}
        self.child_workflows: dict[str, Entry] = {}
        self.signal_lists: dict[str, list[Entry]] = {}
        self.markers: dict[str, list[Entry]] = {}
        self.timers: dict[str, Entry] = {}
        self.tasks: list[Entry] = []
        self.signaling: dict[int, Entry] = {}
        self.canceling: dict[str, Entry] = {}
        self.signaled: defaultdict[str, list[Entry]] = defaultdict(list)
        self.cancel_requested: Entry | None = None
        self.cancel_failed: Entry | None = None
        for event in events:
            reader = _READERS.get(event.type)
            if reader is not None:
                reader(self, event)

    def task(self, kind: dict[str, Entry], key: str, entry: Entry) -> None:
        """Add what is said of a task; a later attempt keeps what earlier ones left."""
        if key not in kind:
            kind[key] = {}
            self.tasks.append(kind[key])
        kind[key] |= entry


def _decision(found: Found, event: event_views.Event) -> None:
    if event.state == "started":
        found.started_decision_id = event.id
    elif event.state == "completed":
        found.completed_decision_id = event.id


def _activity(found: Found, event: event_views.Event) -> None:
    state = event.state
    if state == "scheduled":
        entry = {
            "type": "activity",
            "id": event.activity_id,
            "name": event.activity_type["name"],
            "version": event.activity_type["version"],
            "state": state,
            "scheduled_id": event.id,
            "scheduled_timestamp": event.timestamp,
            "input": event.input,
            "task_list": event.task_list["name"],
            "control": event.control,
            "decision_task_completed_event_id": event.get("decision_task_completed_event_id"),
        }
        found.task(found.activities, event.activity_id, entry)
    elif state == "schedule_failed":
        entry = {"type": "activity", "state": state, "cause": event.cause, "activity_type": dict(event.activity_type)}
        found.task(found.activities, event.activity_id, entry | {"schedule_failed_timestamp": event.timestamp})
    elif state == "cancel_requested":
        entry = {"type": "activity", "id": event.activity_id, "state": state, f"{state}_timestamp": event.timestamp}
        entry["cancel_decision_task_completed_event_id"] = event.get("decision_task_completed_event_id")
        found.task(found.activities, event.activity_id, entry)
    elif event.get("scheduled_event_id") is not None:
        scheduled = found.by_id.get(event.scheduled_event_id)
        if scheduled is not None:
            _went_on(found.activities[scheduled.activity_id], scheduled, event)


def _went_on(entry: Entry, opened: event_views.Event, event: event_views.Event) -> None:
    """Add what became of an activity or child workflow that was opened."""
    state = event.state
    entry |= {"state": state, f"{state}_id": event.id, f"{state}_timestamp": event.timestamp}
    if state == "started":
        execution = event.get("workflow_execution")
        if execution is None:
            entry["identity"] = event.get("identity")
        else:
            entry |= {"run_id": execution["runId"], "workflow_id": execution["workflowId"]}
    elif state == "completed":
        entry["result"] = event.get("result")
    elif state == "failed":
        entry |= {"reason": event.get("reason"), "details": event.get("details")}
    elif state == "timed_out":
        entry["timeout_type"] = event.timeout_type
        entry["timeout_value"] = opened.get(f"{event.timeout_type.lower()}_timeout")
    elif state == "canceled":
        entry["details"] = event.get("details")
        entry["cancelled_timestamp"] = event.timestamp
    if state in ("failed", "timed_out"):
        entry["retry"] = entry.get("retry", -1) + 1


def _child(found: Found, event: event_views.Event) -> None:
    state = event.state
    if state in ("start_initiated", "start_failed"):
        entry = {
            "type": "child_workflow",
            "id": event.workflow_id,
            "state": state,
            "name": event.workflow_type["name"],
            "version": event.workflow_type["version"],
            "control": event.control,
            "decision_task_completed_event_id": event.get("decision_task_completed_event_id"),
        }
        if state == "start_failed":
            entry |= {"cause": event.cause, "start_failed_id": event.id, "start_failed_timestamp": event.timestamp}
        else:
            entry |= {
                "initiated_event_id": event.id,
                "initiated_event_timestamp": event.timestamp,
                "raw_input": event.get("input"),
                "input": event.input,
                "child_policy": event.child_policy,
                "tag_list": event.get("tag_list"),
                "task_list": event.task_list["name"],
            }
        found.task(found.child_workflows, event.workflow_id, entry)
        return
    opened = found.by_id.get(event.initiated_event_id)
    if opened is not None:
        _went_on(found.child_workflows[opened.workflow_id], opened, event)


#: state of the execution -> the fields that its entry gets
_OF_WORKFLOW = {
    "started": (
        "child_policy",
        "workflow_type",
        "continued_execution_run_id",
        "execution_start_to_close_timeout",
        "lambda_role",
        "parent_initiated_event_id",
        "parent_workflow_execution",
        "tag_list",
        "task_priority",
        "task_start_to_close_timeout",
    ),
    "continued_as_new": (
        "new_execution_run_id",
        "workflow_type",
        "execution_start_to_close_timeout",
        "lambda_role",
        "tag_list",
        "task_priority",
        "task_start_to_close_timeout",
    ),
    "completed": ("initiated_event_id", "result"),
    "canceled": ("initiated_event_id", "decision_task_completed_event_id", "details"),
    "failed": ("initiated_event_id", "decision_task_completed_event_id", "reason", "details"),
    "terminated": ("initiated_event_id", "cause", "details"),
    "timed_out": ("initiated_event_id", "timeout_type"),
}


def _workflow(found: Found, event: event_views.Event) -> None:
    state = event.state
    fields = _OF_WORKFLOW.get(state)
    if fields is not None:
        found.workflow |= {"state": state, f"{state}_id": event.id, f"{state}_timestamp": event.timestamp}
        found.workflow |= {field: event.get(field) for field in fields}
        if state in ("started", "continued_as_new"):
            found.workflow |= {"task_list": event.task_list["name"], "input": event.input}
        if state == "continued_as_new":
            decision = event.get("decision_task_completed_event_id")
            found.workflow["continued_as_new_decision_task_completed_event_id"] = decision
    elif state == "signaled":
        signal = signal_details(event)
        found.signal_lists.setdefault(event.signal_name, []).append(signal)
        found.tasks.append(signal)
    elif state == "cancel_requested":
        found.cancel_requested = {"type": state, "cause": event.get("cause"), **_from_outside(event)}
    elif state == "cancel_failed":
        found.cancel_failed = {
            "type": state,
            "cause": event.get("cause"),
            "event_id": event.id,
            "decision_task_completed_event_id": event.get("decision_task_completed_event_id"),
            "timestamp": event.timestamp,
        }


def _from_outside(event: event_views.Event) -> Entry:
    execution = event.get("external_workflow_execution") or {}
    return {
        "external_initiated_event_id": event.get("external_initiated_event_id"),
        "external_run_id": execution.get("runId"),
        "external_workflow_id": execution.get("workflowId"),
        "event_id": event.id,
        "timestamp": event.timestamp,
    }


def _external(found: Found, event: event_views.Event) -> None:
    state = event.state
    if state.endswith("_initiated"):
        entry = {
            "type": "external_workflow",
            "id": event.workflow_id,
            "run_id": event.get("run_id"),
            "state": state,
            "control": event.control,
            "initiated_event_id": event.id,
            "initiated_event_timestamp": event.timestamp,
        }
        if state.startswith("signal"):
            found.signaling[event.id] = entry | {"signal_name": event.signal_name, "input": event.input}
        else:
            found.canceling.setdefault(event.workflow_id, {}).update(entry)
        return
    opened = found.by_id.get(event.initiated_event_id)
    known = found.signaling.get(event.initiated_event_id)
    if known is None and opened is not None:
        known = found.canceling.get(opened.workflow_id)
    if known is None:
        return
    if state.endswith("_failed"):
        what = "signal_failed" if state.startswith("signal") else "request_cancel_failed"
        known |= {"state": state, "cause": event.cause, f"{what}_timestamp": event.timestamp}
        return
    execution = event.workflow_execution
    what = "signaled" if state == "execution_signaled" else "cancel_requested"
    known |= {"state": state, "run_id": execution["runId"], "workflow_id": execution["workflowId"]}
    known |= {f"{what}_event_id": event.id, f"{what}_timestamp": event.timestamp}
    if what == "signaled":
        found.signaled[known["signal_name"]].append(known)


def _marker(found: Found, event: event_views.Event) -> None:
    entry = marker_details(event)
    if event.state != "recorded":
        entry = {"type": "marker", "name": event.marker_name, "state": event.state, "cause": event.cause}
        entry |= {"record_failed_event_id": event.id, "record_failed_event_timestamp": event.timestamp}
    found.markers.setdefault(event.marker_name, []).append(entry)


def _timer(found: Found, event: event_views.Event) -> None:
    decision = event.get("decision_task_completed_event_id")
    if event.state == "started":
        entry = timer_details(event, None)
        found.timers[event.timer_id] = entry | {"decision_task_completed_event_id": decision}
        return
    timer = found.timers.setdefault(event.timer_id, {"type": "timer", "id": event.timer_id})
    timer |= timer_details(None, event)
    if event.get("cause") is not None:
        timer["cause"] = event.cause
    if event.state in ("canceled", "cancel_failed"):
        timer["cancel_decision_task_completed_event_id"] = decision


_READERS: Mapping[str, Callable[[Found, event_views.Event], None]] = {
    "ActivityTask": _activity,
    "ChildWorkflowExecution": _child,
    "DecisionTask": _decision,
    "ExternalWorkflowExecution": _external,
    "Marker": _marker,
    "Timer": _timer,
    "WorkflowExecution": _workflow,
}


def signal_details(given: Any) -> Entry:
    """Return what an event says of a signal; of ours or a view."""
    event = event_views.of(given)
    entry: Entry = {"type": "signal", "name": event.signal_name, "state": "signaled", "input": event.input}
    return entry | _from_outside(event)


def marker_details(given: Any) -> Entry:
    """Return what an event says of a marker."""
    event = event_views.of(given)
    return {
        "type": "marker",
        "name": event.marker_name,
        "state": "recorded",
        "details": event.get("details"),
        "event_id": event.id,
        "timestamp": event.timestamp,
    }


def timer_details(started: Any, closed: Any) -> Entry:
    """Return what the events of one timer say; either may be None."""
    entry: Entry = {}
    if started is not None:
        event = event_views.of(started)
        entry = {
            "type": "timer",
            "id": event.timer_id,
            "state": "started",
            "start_to_fire_timeout": int(event.start_to_fire_timeout),
            "control": event.control,
            "started_event_id": event.id,
            "started_event_timestamp": event.timestamp,
        }
    if closed is not None:
        event = event_views.of(closed)
        state = event.state
        entry |= {"state": state, f"{state}_event_id": event.id, f"{state}_event_timestamp": event.timestamp}
    return entry
