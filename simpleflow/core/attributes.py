"""What each of Amazon SWF's events says, attribute by attribute.

Events whose attributes are the same share a class. Source: the service model (api version 2012-01-25).
"""

from __future__ import annotations

import msgspec


class Attributes(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """Base of all: decoded from SWF's camelCase; attributes that a later SWF adds are skipped."""


class Name(Attributes, frozen=True):
    """A task list."""

    name: str


class Type(Attributes, frozen=True):
    """An activity type or workflow type."""

    name: str
    version: str


class Execution(Attributes, frozen=True):
    """One run of a workflow."""

    workflow_id: str
    run_id: str


class WorkflowExecutionStarted(Attributes, frozen=True):
    child_policy: str
    task_list: Name
    workflow_type: Type
    input: str | None = None
    execution_start_to_close_timeout: str | None = None
    task_start_to_close_timeout: str | None = None
    task_priority: str | None = None
    tag_list: list[str | None] | None = None
    continued_execution_run_id: str | None = None
    parent_workflow_execution: Execution | None = None
    parent_initiated_event_id: int = 0
    lambda_role: str | None = None


class WorkflowExecutionCancelRequested(Attributes, frozen=True):
    external_workflow_execution: Execution | None = None
    external_initiated_event_id: int = 0
    cause: str | None = None


class WorkflowExecutionCompleted(Attributes, frozen=True):
    result: str | None = None
    decision_task_completed_event_id: int = 0


class CompleteWorkflowExecutionFailed(Attributes, frozen=True):
    cause: str
    decision_task_completed_event_id: int = 0


class WorkflowExecutionFailed(Attributes, frozen=True):
    reason: str | None = None
    details: str | None = None
    decision_task_completed_event_id: int = 0


class WorkflowExecutionTimedOut(Attributes, frozen=True):
    timeout_type: str
    child_policy: str


class WorkflowExecutionCanceled(Attributes, frozen=True):
    details: str | None = None
    decision_task_completed_event_id: int = 0


class WorkflowExecutionContinuedAsNew(Attributes, frozen=True):
    new_execution_run_id: str
    task_list: Name
    child_policy: str
    workflow_type: Type
    input: str | None = None
    decision_task_completed_event_id: int = 0
    execution_start_to_close_timeout: str | None = None
    task_priority: str | None = None
    task_start_to_close_timeout: str | None = None
    tag_list: list[str | None] | None = None
    lambda_role: str | None = None


class WorkflowExecutionTerminated(Attributes, frozen=True):
    child_policy: str
    reason: str | None = None
    details: str | None = None
    cause: str | None = None


class DecisionTaskScheduled(Attributes, frozen=True):
    task_list: Name
    task_priority: str | None = None
    start_to_close_timeout: str | None = None
    schedule_to_start_timeout: str | None = None


class DecisionTaskStarted(Attributes, frozen=True):
    scheduled_event_id: int
    identity: str | None = None


class DecisionTaskCompleted(Attributes, frozen=True):
    scheduled_event_id: int
    execution_context: str | None = None
    started_event_id: int = 0
    task_list: Name | None = None
    task_list_schedule_to_start_timeout: str | None = None


class DecisionTaskTimedOut(Attributes, frozen=True):
    timeout_type: str
    scheduled_event_id: int
    started_event_id: int = 0


class ActivityTaskScheduled(Attributes, frozen=True):
    activity_type: Type
    activity_id: str
    task_list: Name
    input: str | None = None
    control: str | None = None
    schedule_to_start_timeout: str | None = None
    schedule_to_close_timeout: str | None = None
    start_to_close_timeout: str | None = None
    task_priority: str | None = None
    decision_task_completed_event_id: int = 0
    heartbeat_timeout: str | None = None


class ScheduleActivityTaskFailed(Attributes, frozen=True):
    activity_type: Type
    activity_id: str
    cause: str
    decision_task_completed_event_id: int = 0


class ActivityTaskCompleted(Attributes, frozen=True):
    scheduled_event_id: int
    result: str | None = None
    started_event_id: int = 0


class ActivityTaskFailed(Attributes, frozen=True):
    scheduled_event_id: int
    reason: str | None = None
    details: str | None = None
    started_event_id: int = 0


class ActivityTaskTimedOut(Attributes, frozen=True):
    timeout_type: str
    scheduled_event_id: int
    started_event_id: int = 0
    details: str | None = None


class ActivityTaskCanceled(Attributes, frozen=True):
    scheduled_event_id: int
    details: str | None = None
    started_event_id: int = 0
    latest_cancel_requested_event_id: int = 0


class ActivityTaskCancelRequested(Attributes, frozen=True):
    activity_id: str
    decision_task_completed_event_id: int = 0


class RequestCancelActivityTaskFailed(Attributes, frozen=True):
    activity_id: str
    cause: str
    decision_task_completed_event_id: int = 0


class WorkflowExecutionSignaled(Attributes, frozen=True):
    signal_name: str
    input: str | None = None
    external_workflow_execution: Execution | None = None
    external_initiated_event_id: int = 0


class MarkerRecorded(Attributes, frozen=True):
    marker_name: str
    details: str | None = None
    decision_task_completed_event_id: int = 0


class RecordMarkerFailed(Attributes, frozen=True):
    marker_name: str
    cause: str
    decision_task_completed_event_id: int = 0


class TimerStarted(Attributes, frozen=True):
    timer_id: str
    start_to_fire_timeout: str
    control: str | None = None
    decision_task_completed_event_id: int = 0


class StartTimerFailed(Attributes, frozen=True):
    timer_id: str
    cause: str
    decision_task_completed_event_id: int = 0


class TimerFired(Attributes, frozen=True):
    timer_id: str
    started_event_id: int = 0


class TimerCanceled(Attributes, frozen=True):
    timer_id: str
    started_event_id: int = 0
    decision_task_completed_event_id: int = 0


class StartChildWorkflowExecutionInitiated(Attributes, frozen=True):
    workflow_id: str
    workflow_type: Type
    task_list: Name
    child_policy: str
    control: str | None = None
    input: str | None = None
    execution_start_to_close_timeout: str | None = None
    task_priority: str | None = None
    decision_task_completed_event_id: int = 0
    task_start_to_close_timeout: str | None = None
    tag_list: list[str | None] | None = None
    lambda_role: str | None = None


class StartChildWorkflowExecutionFailed(Attributes, frozen=True):
    workflow_type: Type
    cause: str
    workflow_id: str
    initiated_event_id: int
    decision_task_completed_event_id: int = 0
    control: str | None = None


class ChildWorkflowExecutionStarted(Attributes, frozen=True):
    workflow_execution: Execution
    workflow_type: Type
    initiated_event_id: int


class ChildWorkflowExecutionCompleted(Attributes, frozen=True):
    workflow_execution: Execution
    workflow_type: Type
    initiated_event_id: int
    result: str | None = None
    started_event_id: int = 0


class ChildWorkflowExecutionFailed(Attributes, frozen=True):
    workflow_execution: Execution
    workflow_type: Type
    initiated_event_id: int
    reason: str | None = None
    details: str | None = None
    started_event_id: int = 0


class ChildWorkflowExecutionTimedOut(Attributes, frozen=True):
    workflow_execution: Execution
    workflow_type: Type
    timeout_type: str
    initiated_event_id: int
    started_event_id: int = 0


class ChildWorkflowExecutionCanceled(Attributes, frozen=True):
    workflow_execution: Execution
    workflow_type: Type
    initiated_event_id: int
    details: str | None = None
    started_event_id: int = 0


class ChildWorkflowExecutionTerminated(Attributes, frozen=True):
    workflow_execution: Execution
    workflow_type: Type
    initiated_event_id: int
    started_event_id: int = 0


class SignalExternalWorkflowExecutionInitiated(Attributes, frozen=True):
    workflow_id: str
    signal_name: str
    run_id: str | None = None
    input: str | None = None
    decision_task_completed_event_id: int = 0
    control: str | None = None


class SignalExternalWorkflowExecutionFailed(Attributes, frozen=True):
    workflow_id: str
    cause: str
    initiated_event_id: int
    run_id: str | None = None
    decision_task_completed_event_id: int = 0
    control: str | None = None


class ExternalWorkflowExecutionSignaled(Attributes, frozen=True):
    workflow_execution: Execution
    initiated_event_id: int


class RequestCancelExternalWorkflowExecutionInitiated(Attributes, frozen=True):
    workflow_id: str
    run_id: str | None = None
    decision_task_completed_event_id: int = 0
    control: str | None = None


class LambdaFunctionScheduled(Attributes, frozen=True):
    id: str
    name: str
    control: str | None = None
    input: str | None = None
    start_to_close_timeout: str | None = None
    decision_task_completed_event_id: int = 0


class LambdaFunctionStarted(Attributes, frozen=True):
    scheduled_event_id: int


class LambdaFunctionCompleted(Attributes, frozen=True):
    scheduled_event_id: int
    started_event_id: int = 0
    result: str | None = None


class LambdaFunctionFailed(Attributes, frozen=True):
    scheduled_event_id: int
    started_event_id: int = 0
    reason: str | None = None
    details: str | None = None


class LambdaFunctionTimedOut(Attributes, frozen=True):
    scheduled_event_id: int
    started_event_id: int = 0
    timeout_type: str | None = None


class ScheduleLambdaFunctionFailed(Attributes, frozen=True):
    id: str
    name: str
    cause: str
    decision_task_completed_event_id: int = 0


class StartLambdaFunctionFailed(Attributes, frozen=True):
    scheduled_event_id: int = 0
    cause: str | None = None
    message: str | None = None
