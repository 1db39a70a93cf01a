"""The decisions that an engine emits, and how they look on the wire.

Twelve of SWF's thirteen: Lambda functions are not scheduled.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from . import attributes as a


class Base(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """One decision; the class name is SWF's decision type. Durations are seconds as decimal text, or ``NONE``."""


class ScheduleActivityTask(Base, frozen=True):
    activity_type: a.Type
    activity_id: str
    control: str | None = None
    input: str | None = None
    schedule_to_close_timeout: str | None = None
    task_list: a.Name | None = None
    task_priority: str | None = None
    schedule_to_start_timeout: str | None = None
    start_to_close_timeout: str | None = None
    heartbeat_timeout: str | None = None


class RequestCancelActivityTask(Base, frozen=True):
    activity_id: str


class CompleteWorkflowExecution(Base, frozen=True):
    result: str | None = None


class FailWorkflowExecution(Base, frozen=True):
    reason: str | None = None
    details: str | None = None


class CancelWorkflowExecution(Base, frozen=True):
    details: str | None = None


class ContinueAsNewWorkflowExecution(Base, frozen=True):
    input: str | None = None
    execution_start_to_close_timeout: str | None = None
    task_list: a.Name | None = None
    task_priority: str | None = None
    task_start_to_close_timeout: str | None = None
    child_policy: str | None = None
    tag_list: tuple[str, ...] | None = None
    workflow_type_version: str | None = None


class RecordMarker(Base, frozen=True):
    marker_name: str
    details: str | None = None


class StartTimer(Base, frozen=True):
    timer_id: str
    start_to_fire_timeout: str
    control: str | None = None


class CancelTimer(Base, frozen=True):
    timer_id: str


class SignalExternalWorkflowExecution(Base, frozen=True):
    workflow_id: str
    signal_name: str
    run_id: str | None = None
    input: str | None = None
    control: str | None = None


class RequestCancelExternalWorkflowExecution(Base, frozen=True):
    workflow_id: str
    run_id: str | None = None
    control: str | None = None


class StartChildWorkflowExecution(Base, frozen=True):
    workflow_type: a.Type
    workflow_id: str
    control: str | None = None
    input: str | None = None
    execution_start_to_close_timeout: str | None = None
    task_list: a.Name | None = None
    task_priority: str | None = None
    task_start_to_close_timeout: str | None = None
    child_policy: str | None = None
    tag_list: tuple[str, ...] | None = None


Decision: TypeAlias = (
    ScheduleActivityTask
    | RequestCancelActivityTask
    | CompleteWorkflowExecution
    | FailWorkflowExecution
    | CancelWorkflowExecution
    | ContinueAsNewWorkflowExecution
    | RecordMarker
    | StartTimer
    | CancelTimer
    | SignalExternalWorkflowExecution
    | RequestCancelExternalWorkflowExecution
    | StartChildWorkflowExecution
)

#: decisions after which the execution is closed
CLOSING = (
    CompleteWorkflowExecution,
    FailWorkflowExecution,
    CancelWorkflowExecution,
    ContinueAsNewWorkflowExecution,
)
#: decision class -> (its type, the member that holds its attributes)
_WIRE = {
    cls: (cls.__name__, cls.__name__[0].lower() + cls.__name__[1:] + "DecisionAttributes")
    for cls in Base.__subclasses__()
}


def to_wire(decision: Decision) -> dict[str, Any]:
    """Return the decision as RespondDecisionTaskCompleted wants it: SWF's names, absent attributes left out."""
    kind, member = _WIRE[type(decision)]
    return {"decisionType": kind, member: msgspec.to_builtins(decision)}


def wire_size(decision: Decision) -> int:
    """Bytes that the decision takes in a request body."""
    return len(msgspec.json.encode(to_wire(decision)))
