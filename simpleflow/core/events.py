"""The 54 events of an execution's history, decoded by msgspec as one tagged union.

Every attribute is kept, so that the engine, `history` and the tools that show a history read the same values.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from . import attributes as a
from . import errors


class Base(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="eventType"):
    """What every event has. ``tag_field`` makes the class name the event's type on the wire."""

    #: position in the history, from 1
    id: int = msgspec.field(name="eventId")
    #: epoch seconds, by the service's clock
    timestamp: float = msgspec.field(name="eventTimestamp")


class WorkflowExecutionStarted(Base, frozen=True):
    attributes: a.WorkflowExecutionStarted = msgspec.field(name="workflowExecutionStartedEventAttributes")


class WorkflowExecutionCancelRequested(Base, frozen=True):
    attributes: a.WorkflowExecutionCancelRequested = msgspec.field(
        name="workflowExecutionCancelRequestedEventAttributes"
    )


class WorkflowExecutionCompleted(Base, frozen=True):
    attributes: a.WorkflowExecutionCompleted = msgspec.field(name="workflowExecutionCompletedEventAttributes")


class CompleteWorkflowExecutionFailed(Base, frozen=True):
    attributes: a.CompleteWorkflowExecutionFailed = msgspec.field(name="completeWorkflowExecutionFailedEventAttributes")


class WorkflowExecutionFailed(Base, frozen=True):
    attributes: a.WorkflowExecutionFailed = msgspec.field(name="workflowExecutionFailedEventAttributes")


class FailWorkflowExecutionFailed(Base, frozen=True):
    attributes: a.CompleteWorkflowExecutionFailed = msgspec.field(name="failWorkflowExecutionFailedEventAttributes")


class WorkflowExecutionTimedOut(Base, frozen=True):
    attributes: a.WorkflowExecutionTimedOut = msgspec.field(name="workflowExecutionTimedOutEventAttributes")


class WorkflowExecutionCanceled(Base, frozen=True):
    attributes: a.WorkflowExecutionCanceled = msgspec.field(name="workflowExecutionCanceledEventAttributes")


class CancelWorkflowExecutionFailed(Base, frozen=True):
    attributes: a.CompleteWorkflowExecutionFailed = msgspec.field(name="cancelWorkflowExecutionFailedEventAttributes")


class WorkflowExecutionContinuedAsNew(Base, frozen=True):
    attributes: a.WorkflowExecutionContinuedAsNew = msgspec.field(name="workflowExecutionContinuedAsNewEventAttributes")


class ContinueAsNewWorkflowExecutionFailed(Base, frozen=True):
    attributes: a.CompleteWorkflowExecutionFailed = msgspec.field(
        name="continueAsNewWorkflowExecutionFailedEventAttributes"
    )


class WorkflowExecutionTerminated(Base, frozen=True):
    attributes: a.WorkflowExecutionTerminated = msgspec.field(name="workflowExecutionTerminatedEventAttributes")


class DecisionTaskScheduled(Base, frozen=True):
    attributes: a.DecisionTaskScheduled = msgspec.field(name="decisionTaskScheduledEventAttributes")


class DecisionTaskStarted(Base, frozen=True):
    attributes: a.DecisionTaskStarted = msgspec.field(name="decisionTaskStartedEventAttributes")


class DecisionTaskCompleted(Base, frozen=True):
    attributes: a.DecisionTaskCompleted = msgspec.field(name="decisionTaskCompletedEventAttributes")


class DecisionTaskTimedOut(Base, frozen=True):
    attributes: a.DecisionTaskTimedOut = msgspec.field(name="decisionTaskTimedOutEventAttributes")


class ActivityTaskScheduled(Base, frozen=True):
    attributes: a.ActivityTaskScheduled = msgspec.field(name="activityTaskScheduledEventAttributes")


class ScheduleActivityTaskFailed(Base, frozen=True):
    attributes: a.ScheduleActivityTaskFailed = msgspec.field(name="scheduleActivityTaskFailedEventAttributes")


class ActivityTaskStarted(Base, frozen=True):
    attributes: a.DecisionTaskStarted = msgspec.field(name="activityTaskStartedEventAttributes")


class ActivityTaskCompleted(Base, frozen=True):
    attributes: a.ActivityTaskCompleted = msgspec.field(name="activityTaskCompletedEventAttributes")


class ActivityTaskFailed(Base, frozen=True):
    attributes: a.ActivityTaskFailed = msgspec.field(name="activityTaskFailedEventAttributes")


class ActivityTaskTimedOut(Base, frozen=True):
    attributes: a.ActivityTaskTimedOut = msgspec.field(name="activityTaskTimedOutEventAttributes")


class ActivityTaskCanceled(Base, frozen=True):
    attributes: a.ActivityTaskCanceled = msgspec.field(name="activityTaskCanceledEventAttributes")


class ActivityTaskCancelRequested(Base, frozen=True):
    attributes: a.ActivityTaskCancelRequested = msgspec.field(name="activityTaskCancelRequestedEventAttributes")


class RequestCancelActivityTaskFailed(Base, frozen=True):
    attributes: a.RequestCancelActivityTaskFailed = msgspec.field(name="requestCancelActivityTaskFailedEventAttributes")


class WorkflowExecutionSignaled(Base, frozen=True):
    attributes: a.WorkflowExecutionSignaled = msgspec.field(name="workflowExecutionSignaledEventAttributes")


class MarkerRecorded(Base, frozen=True):
    attributes: a.MarkerRecorded = msgspec.field(name="markerRecordedEventAttributes")


class RecordMarkerFailed(Base, frozen=True):
    attributes: a.RecordMarkerFailed = msgspec.field(name="recordMarkerFailedEventAttributes")


class TimerStarted(Base, frozen=True):
    attributes: a.TimerStarted = msgspec.field(name="timerStartedEventAttributes")


class StartTimerFailed(Base, frozen=True):
    attributes: a.StartTimerFailed = msgspec.field(name="startTimerFailedEventAttributes")


class TimerFired(Base, frozen=True):
    attributes: a.TimerFired = msgspec.field(name="timerFiredEventAttributes")


class TimerCanceled(Base, frozen=True):
    attributes: a.TimerCanceled = msgspec.field(name="timerCanceledEventAttributes")


class CancelTimerFailed(Base, frozen=True):
    attributes: a.StartTimerFailed = msgspec.field(name="cancelTimerFailedEventAttributes")


class StartChildWorkflowExecutionInitiated(Base, frozen=True):
    attributes: a.StartChildWorkflowExecutionInitiated = msgspec.field(
        name="startChildWorkflowExecutionInitiatedEventAttributes"
    )


class StartChildWorkflowExecutionFailed(Base, frozen=True):
    attributes: a.StartChildWorkflowExecutionFailed = msgspec.field(
        name="startChildWorkflowExecutionFailedEventAttributes"
    )


class ChildWorkflowExecutionStarted(Base, frozen=True):
    attributes: a.ChildWorkflowExecutionStarted = msgspec.field(name="childWorkflowExecutionStartedEventAttributes")


class ChildWorkflowExecutionCompleted(Base, frozen=True):
    attributes: a.ChildWorkflowExecutionCompleted = msgspec.field(name="childWorkflowExecutionCompletedEventAttributes")


class ChildWorkflowExecutionFailed(Base, frozen=True):
    attributes: a.ChildWorkflowExecutionFailed = msgspec.field(name="childWorkflowExecutionFailedEventAttributes")


class ChildWorkflowExecutionTimedOut(Base, frozen=True):
    attributes: a.ChildWorkflowExecutionTimedOut = msgspec.field(name="childWorkflowExecutionTimedOutEventAttributes")


class ChildWorkflowExecutionCanceled(Base, frozen=True):
    attributes: a.ChildWorkflowExecutionCanceled = msgspec.field(name="childWorkflowExecutionCanceledEventAttributes")


class ChildWorkflowExecutionTerminated(Base, frozen=True):
    attributes: a.ChildWorkflowExecutionTerminated = msgspec.field(
        name="childWorkflowExecutionTerminatedEventAttributes"
    )


class SignalExternalWorkflowExecutionInitiated(Base, frozen=True):
    attributes: a.SignalExternalWorkflowExecutionInitiated = msgspec.field(
        name="signalExternalWorkflowExecutionInitiatedEventAttributes"
    )


class SignalExternalWorkflowExecutionFailed(Base, frozen=True):
    attributes: a.SignalExternalWorkflowExecutionFailed = msgspec.field(
        name="signalExternalWorkflowExecutionFailedEventAttributes"
    )


class ExternalWorkflowExecutionSignaled(Base, frozen=True):
    attributes: a.ExternalWorkflowExecutionSignaled = msgspec.field(
        name="externalWorkflowExecutionSignaledEventAttributes"
    )


class RequestCancelExternalWorkflowExecutionInitiated(Base, frozen=True):
    attributes: a.RequestCancelExternalWorkflowExecutionInitiated = msgspec.field(
        name="requestCancelExternalWorkflowExecutionInitiatedEventAttributes"
    )


class RequestCancelExternalWorkflowExecutionFailed(Base, frozen=True):
    attributes: a.SignalExternalWorkflowExecutionFailed = msgspec.field(
        name="requestCancelExternalWorkflowExecutionFailedEventAttributes"
    )


class ExternalWorkflowExecutionCancelRequested(Base, frozen=True):
    attributes: a.ExternalWorkflowExecutionSignaled = msgspec.field(
        name="externalWorkflowExecutionCancelRequestedEventAttributes"
    )


class LambdaFunctionScheduled(Base, frozen=True):
    attributes: a.LambdaFunctionScheduled = msgspec.field(name="lambdaFunctionScheduledEventAttributes")


class LambdaFunctionStarted(Base, frozen=True):
    attributes: a.LambdaFunctionStarted = msgspec.field(name="lambdaFunctionStartedEventAttributes")


class LambdaFunctionCompleted(Base, frozen=True):
    attributes: a.LambdaFunctionCompleted = msgspec.field(name="lambdaFunctionCompletedEventAttributes")


class LambdaFunctionFailed(Base, frozen=True):
    attributes: a.LambdaFunctionFailed = msgspec.field(name="lambdaFunctionFailedEventAttributes")


class LambdaFunctionTimedOut(Base, frozen=True):
    attributes: a.LambdaFunctionTimedOut = msgspec.field(name="lambdaFunctionTimedOutEventAttributes")


class ScheduleLambdaFunctionFailed(Base, frozen=True):
    attributes: a.ScheduleLambdaFunctionFailed = msgspec.field(name="scheduleLambdaFunctionFailedEventAttributes")


class StartLambdaFunctionFailed(Base, frozen=True):
    attributes: a.StartLambdaFunctionFailed = msgspec.field(name="startLambdaFunctionFailedEventAttributes")


Event: TypeAlias = (
    WorkflowExecutionStarted
    | WorkflowExecutionCancelRequested
    | WorkflowExecutionCompleted
    | CompleteWorkflowExecutionFailed
    | WorkflowExecutionFailed
    | FailWorkflowExecutionFailed
    | WorkflowExecutionTimedOut
    | WorkflowExecutionCanceled
    | CancelWorkflowExecutionFailed
    | WorkflowExecutionContinuedAsNew
    | ContinueAsNewWorkflowExecutionFailed
    | WorkflowExecutionTerminated
    | DecisionTaskScheduled
    | DecisionTaskStarted
    | DecisionTaskCompleted
    | DecisionTaskTimedOut
    | ActivityTaskScheduled
    | ScheduleActivityTaskFailed
    | ActivityTaskStarted
    | ActivityTaskCompleted
    | ActivityTaskFailed
    | ActivityTaskTimedOut
    | ActivityTaskCanceled
    | ActivityTaskCancelRequested
    | RequestCancelActivityTaskFailed
    | WorkflowExecutionSignaled
    | MarkerRecorded
    | RecordMarkerFailed
    | TimerStarted
    | StartTimerFailed
    | TimerFired
    | TimerCanceled
    | CancelTimerFailed
    | StartChildWorkflowExecutionInitiated
    | StartChildWorkflowExecutionFailed
    | ChildWorkflowExecutionStarted
    | ChildWorkflowExecutionCompleted
    | ChildWorkflowExecutionFailed
    | ChildWorkflowExecutionTimedOut
    | ChildWorkflowExecutionCanceled
    | ChildWorkflowExecutionTerminated
    | SignalExternalWorkflowExecutionInitiated
    | SignalExternalWorkflowExecutionFailed
    | ExternalWorkflowExecutionSignaled
    | RequestCancelExternalWorkflowExecutionInitiated
    | RequestCancelExternalWorkflowExecutionFailed
    | ExternalWorkflowExecutionCancelRequested
    | LambdaFunctionScheduled
    | LambdaFunctionStarted
    | LambdaFunctionCompleted
    | LambdaFunctionFailed
    | LambdaFunctionTimedOut
    | ScheduleLambdaFunctionFailed
    | StartLambdaFunctionFailed
)

#: every event class by its type on the wire
TYPES: dict[str, type[Base]] = {cls.__name__: cls for cls in Base.__subclasses__()}


class UnknownEvent(errors.SimpleflowError):
    """A history holds an event of a type that this version does not know."""


class _Tag(msgspec.Struct, gc=False):
    eventType: str
    eventId: int


_EVENTS = msgspec.json.Decoder(list[Event])
_ONE = msgspec.json.Decoder(Event)
_RAW = msgspec.json.Decoder(list[msgspec.Raw])
_TAG = msgspec.json.Decoder(_Tag)


def type_name(event: Base) -> str:
    """The event's type as SWF writes it."""
    return type(event).__name__


def decode(text: bytes | str) -> list[Event]:
    """Decode a JSON array of events.

    Raises ``UnknownEvent``, naming type and id, when Amazon has added an event type since this version: a decision
    made without understanding the history would be a guess. Raises ``msgspec.ValidationError`` on anything else.
    """
    try:
        return _EVENTS.decode(text)
    except msgspec.ValidationError:
        for raw in _RAW.decode(text):
            tag = _TAG.decode(raw)
            if tag.eventType not in TYPES:
                raise UnknownEvent(
                    f"event {tag.eventId} is of type {tag.eventType!r}, which this version of simpleflow does not "
                    "know: upgrade simpleflow on the deciders; until then the execution is left as it is"
                ) from None
            _ONE.decode(raw)
        raise


def from_builtins(events: list[dict[str, object]]) -> list[Event]:
    """Turn events as boto3 or ``json.load`` give them (wire names, numbers or datetimes) into values."""
    return decode(msgspec.json.encode([_plain(event) for event in events]))


def _plain(event: dict[str, object]) -> dict[str, object]:
    timestamp = event.get("eventTimestamp")
    if hasattr(timestamp, "timestamp"):
        return {**event, "eventTimestamp": timestamp.timestamp()}
    return event


def to_builtins(event: Base) -> dict[str, object]:
    """Return the event with SWF's own names, absent attributes left out."""
    plain: dict[str, object] = msgspec.to_builtins(event)
    return {key: _without_none(value) for key, value in plain.items()}


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
