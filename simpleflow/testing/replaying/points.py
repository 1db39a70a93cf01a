"""Decision points of a history: where decisions were made, and which ones the history shows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from simpleflow import engine as engines
from simpleflow.core import attributes, decisions, errors, events

#: type and identity of one decision
Key = tuple[str, str]

#: event -> (the decision that caused it, the attribute that names its object)
_CAUSED: dict[str, Key] = {
    "ActivityTaskScheduled": ("ScheduleActivityTask", "activity_id"),
    "ScheduleActivityTaskFailed": ("ScheduleActivityTask", "activity_id"),
    "ActivityTaskCancelRequested": ("RequestCancelActivityTask", "activity_id"),
    "RequestCancelActivityTaskFailed": ("RequestCancelActivityTask", "activity_id"),
    "MarkerRecorded": ("RecordMarker", "marker_name"),
    "RecordMarkerFailed": ("RecordMarker", "marker_name"),
    "TimerStarted": ("StartTimer", "timer_id"),
    "StartTimerFailed": ("StartTimer", "timer_id"),
    "TimerCanceled": ("CancelTimer", "timer_id"),
    "CancelTimerFailed": ("CancelTimer", "timer_id"),
    "StartChildWorkflowExecutionInitiated": ("StartChildWorkflowExecution", "workflow_id"),
    "SignalExternalWorkflowExecutionInitiated": ("SignalExternalWorkflowExecution", "signal_name"),
    "RequestCancelExternalWorkflowExecutionInitiated": ("RequestCancelExternalWorkflowExecution", "workflow_id"),
    "WorkflowExecutionCompleted": ("CompleteWorkflowExecution", ""),
    "CompleteWorkflowExecutionFailed": ("CompleteWorkflowExecution", ""),
    "WorkflowExecutionFailed": ("FailWorkflowExecution", ""),
    "FailWorkflowExecutionFailed": ("FailWorkflowExecution", ""),
    "WorkflowExecutionCanceled": ("CancelWorkflowExecution", ""),
    "CancelWorkflowExecutionFailed": ("CancelWorkflowExecution", ""),
    "WorkflowExecutionContinuedAsNew": ("ContinueAsNewWorkflowExecution", ""),
    "ContinueAsNewWorkflowExecutionFailed": ("ContinueAsNewWorkflowExecution", ""),
}
#: decision -> the member of its attributes that names its object
_NAMED = {kind: name for kind, name in _CAUSED.values() if name}
#: name of the markers that record results of local activities
_LOCAL = "simpleflow.local_activity"
_SIDE_EFFECT = "simpleflow.side_effect"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One decision, made again."""

    #: the DecisionTaskStarted event that it answers
    started_event_id: int
    #: in SWF's own shape, as RespondDecisionTaskCompleted takes them
    decisions: tuple[dict[str, Any], ...]
    #: the diff, when the code went another way than the history
    divergence: str | None = None
    #: a side effect ran, whose value the history knows only after this decision
    drew_anew: bool = False


def point(started: int, decided: engines.Decided) -> Point:
    """Return an engine's answer as a point."""
    return Point(
        started_event_id=started,
        decisions=tuple(decisions.to_wire(decision) for decision in decided.decisions),
        divergence=decided.divergence or decided.warned,  # who asks for a replay wants to know
        drew_anew=drew_anew(decided.decisions),
    )


def drew_anew(made: Iterable[decisions.Decision]) -> bool:
    """Whether one of these decisions records what a side effect returned just now."""
    return any(isinstance(one, decisions.RecordMarker) and one.marker_name == _SIDE_EFFECT for one in made)


def workflow_type(history: Sequence[events.Event]) -> attributes.Type:
    """Return the type of the execution; raises UsageError when its first event is missing."""
    if not history or not isinstance(history[0], events.WorkflowExecutionStarted):
        raise errors.UsageError(
            "the history does not begin with WorkflowExecutionStarted: save it from its first event"
        )
    return history[0].attributes.workflow_type


def started(history: Sequence[events.Event]) -> list[int]:
    """Return the ids of the DecisionTaskStarted events that were answered, and of one that still is to be."""
    ended: dict[int, bool] = {}
    begun: list[int] = []
    for event in history:
        if isinstance(event, events.DecisionTaskStarted):
            begun.append(event.id)
        elif isinstance(event, events.DecisionTaskCompleted):
            ended[event.attributes.started_event_id] = True
        elif isinstance(event, events.DecisionTaskTimedOut):
            ended[event.attributes.started_event_id] = False
    open_until_now = not any(type(event).__name__.startswith(_CLOSING) for event in history[-1:])
    return [event_id for event_id in begun if ended.get(event_id, event_id == begun[-1] and open_until_now)]


#: how the types of events begin that close an execution
_CLOSING = (
    "WorkflowExecutionCompleted",
    "WorkflowExecutionFailed",
    "WorkflowExecutionTimedOut",
    "WorkflowExecutionCanceled",
    "WorkflowExecutionContinuedAsNew",
    "WorkflowExecutionTerminated",
)


def recorded(history: Iterable[events.Event]) -> dict[int, list[Key]]:
    """Return, by DecisionTaskStarted, the decisions whose consequences the history shows, in their order."""
    shown: dict[int, list[Key]] = {}
    by_completed: dict[int, int] = {}
    for event in history:
        fields: Any = event.attributes
        if isinstance(event, events.DecisionTaskCompleted):
            by_completed[event.id] = fields.started_event_id
            shown[fields.started_event_id] = []
            continue
        caused = _CAUSED.get(events.type_name(event))
        if (
            caused is None
            and isinstance(event, events.StartChildWorkflowExecutionFailed)
            and not fields.initiated_event_id
        ):
            caused = ("StartChildWorkflowExecution", "workflow_id")
        if caused is not None and fields.decision_task_completed_event_id in by_completed:
            answered = by_completed[fields.decision_task_completed_event_id]
            shown[answered].append((caused[0], getattr(fields, caused[1]) if caused[1] else ""))
    return shown


def keys(made: Iterable[dict[str, Any]]) -> list[Key]:
    """Return type and identity of decisions in SWF's shape."""
    found: list[Key] = []
    for decision in made:
        kind = decision["decisionType"]
        fields = decision[kind[0].lower() + kind[1:] + "DecisionAttributes"]
        name = _NAMED.get(kind)
        head, *rest = (name or "").split("_")
        found.append((kind, fields[head + "".join(part.capitalize() for part in rest)] if name else ""))
    return found


def columns(left: str, lefts: Sequence[Any], right: str, rights: Sequence[Any]) -> str:
    """Show two lists side by side; lines that differ begin with ``!``."""
    lines = [f"  {left:<58} | {right}"]
    for one, other in itertools.zip_longest(lefts, rights, fillvalue=""):
        lines.append(f"{' ' if one == other else '!'} {str(one)[:58]:<58} | {str(other)[:200]}")
    return "\n".join(lines)


def has_pointers(history: Iterable[events.Event]) -> bool:
    """Whether a value of this history lies in a blob store."""
    for event in history:
        for field in ("input", "result", "details"):
            text = getattr(event.attributes, field, None)
            if text is not None and text.startswith("simpleflow+"):
                return True
    return False


class _Local(msgspec.Struct):
    """Details of a local activity's marker."""

    id: str = ""
    value: msgspec.Raw = msgspec.Raw(b"null")
    reason: str | None = None
    details: str | None = None


def local_results(history: Iterable[events.Event], after: int) -> dict[str, engines.LocalResult]:
    """Return, by key, how the local activities ended that were recorded after this event."""
    found: dict[str, engines.LocalResult] = {}
    for event in history:
        if isinstance(event, events.MarkerRecorded) and event.id > after and event.attributes.marker_name == _LOCAL:
            parsed = msgspec.json.decode(event.attributes.details or "{}", type=_Local)
            result = None if parsed.reason is not None else bytes(parsed.value).decode()
            found.setdefault(
                parsed.id, engines.LocalResult(result=result, reason=parsed.reason, details=parsed.details)
            )
    return found
