"""What Amazon SWF's 39 actions answer, one Struct each, and how a body becomes one.

Source: the service model (api version 2012-01-25); names are snake_case here and camelCase on the wire. Members that a
later SWF adds are skipped. A list that is absent is empty, a moment is in epoch seconds.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any

import msgspec

from simpleflow.core import attributes, events

_NOBODY = attributes.Execution(workflow_id="", run_id="")
_NO_TYPE = attributes.Type(name="", version="")


class Shape(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """Base of all answers and of what stands in them."""


class Nothing(Shape, frozen=True):
    """The answer of actions that say no more than that they were carried out."""


# -- domains


class DomainInfo(Shape, frozen=True):
    name: str
    #: REGISTERED or DEPRECATED
    status: str
    description: str | None = None
    arn: str | None = None


class DomainConfiguration(Shape, frozen=True):
    #: days, or NONE
    workflow_execution_retention_period_in_days: str


class DomainDetail(Shape, frozen=True):
    domain_info: DomainInfo
    configuration: DomainConfiguration


class DomainInfos(Shape, frozen=True):
    domain_infos: list[DomainInfo]
    next_page_token: str | None = None


class ResourceTag(Shape, frozen=True):
    key: str
    value: str | None = None


class ResourceTags(Shape, frozen=True):
    tags: list[ResourceTag]


# -- types


class ActivityTypeInfo(Shape, frozen=True):
    activity_type: attributes.Type
    #: REGISTERED or DEPRECATED
    status: str
    creation_date: float
    description: str | None = None
    deprecation_date: float | None = None


class ActivityTypeConfiguration(Shape, frozen=True):
    """Defaults of the type: seconds as text, or NONE; None where it has none."""

    default_task_start_to_close_timeout: str | None = None
    default_task_heartbeat_timeout: str | None = None
    default_task_list: attributes.Name | None = None
    default_task_priority: str | None = None
    default_task_schedule_to_start_timeout: str | None = None
    default_task_schedule_to_close_timeout: str | None = None


class ActivityTypeDetail(Shape, frozen=True):
    type_info: ActivityTypeInfo
    configuration: ActivityTypeConfiguration


class ActivityTypeInfos(Shape, frozen=True):
    type_infos: list[ActivityTypeInfo]
    next_page_token: str | None = None


class WorkflowTypeInfo(Shape, frozen=True):
    workflow_type: attributes.Type
    #: REGISTERED or DEPRECATED
    status: str
    creation_date: float
    description: str | None = None
    deprecation_date: float | None = None


class WorkflowTypeConfiguration(Shape, frozen=True):
    """Defaults of the type: seconds as text, or NONE; None where it has none."""

    default_task_start_to_close_timeout: str | None = None
    default_execution_start_to_close_timeout: str | None = None
    default_task_list: attributes.Name | None = None
    default_task_priority: str | None = None
    default_child_policy: str | None = None
    default_lambda_role: str | None = None


class WorkflowTypeDetail(Shape, frozen=True):
    type_info: WorkflowTypeInfo
    configuration: WorkflowTypeConfiguration


class WorkflowTypeInfos(Shape, frozen=True):
    type_infos: list[WorkflowTypeInfo]
    next_page_token: str | None = None


# -- executions


class ExecutionInfo(Shape, frozen=True):
    execution: attributes.Execution
    workflow_type: attributes.Type
    start_timestamp: float
    #: OPEN or CLOSED
    execution_status: str
    close_timestamp: float | None = None
    #: COMPLETED, FAILED, CANCELED, TERMINATED, CONTINUED_AS_NEW or TIMED_OUT; None while it is open
    close_status: str | None = None
    parent: attributes.Execution | None = None
    tag_list: list[str] = []
    cancel_requested: bool = False


class ExecutionInfos(Shape, frozen=True):
    execution_infos: list[ExecutionInfo]
    next_page_token: str | None = None


class ExecutionConfiguration(Shape, frozen=True):
    task_start_to_close_timeout: str
    execution_start_to_close_timeout: str
    task_list: attributes.Name
    child_policy: str
    task_priority: str | None = None
    lambda_role: str | None = None


class OpenCounts(Shape, frozen=True):
    open_activity_tasks: int
    #: 0 or 1
    open_decision_tasks: int
    open_timers: int
    open_child_workflow_executions: int
    open_lambda_functions: int = 0


class ExecutionDetail(Shape, frozen=True):
    execution_info: ExecutionInfo
    execution_configuration: ExecutionConfiguration
    open_counts: OpenCounts
    latest_activity_task_timestamp: float | None = None
    latest_execution_context: str | None = None


class History(Shape, frozen=True):
    events: list[events.Event]
    next_page_token: str | None = None


class Count(Shape, frozen=True):
    count: int
    #: there are more than ``count``
    truncated: bool = False


class Run(Shape, frozen=True):
    run_id: Annotated[str, msgspec.Meta(min_length=1)]


# -- tasks


class ActivityTask(Shape, frozen=True):
    """What a poll brought; an empty ``task_token`` means that it brought nothing, and the rest is empty too."""

    started_event_id: int
    task_token: str = ""
    activity_id: str = ""
    workflow_execution: attributes.Execution = _NOBODY
    activity_type: attributes.Type = _NO_TYPE
    input: str | None = None


class DecisionTask(Shape, frozen=True):
    """What a poll brought; an empty ``task_token`` means that it brought nothing, and the rest is empty too."""

    started_event_id: int
    task_token: str = ""
    workflow_execution: attributes.Execution = _NOBODY
    workflow_type: attributes.Type = _NO_TYPE
    events: list[events.Event] = []
    next_page_token: str | None = None
    previous_started_event_id: int = 0


class ActivityTaskStatus(Shape, frozen=True):
    cancel_requested: bool


#: action -> the Struct of its answer
RESPONSES: dict[str, type[Shape]] = {
    "CountClosedWorkflowExecutions": Count,
    "CountOpenWorkflowExecutions": Count,
    "CountPendingActivityTasks": Count,
    "CountPendingDecisionTasks": Count,
    "DeleteActivityType": Nothing,
    "DeleteWorkflowType": Nothing,
    "DeprecateActivityType": Nothing,
    "DeprecateDomain": Nothing,
    "DeprecateWorkflowType": Nothing,
    "DescribeActivityType": ActivityTypeDetail,
    "DescribeDomain": DomainDetail,
    "DescribeWorkflowExecution": ExecutionDetail,
    "DescribeWorkflowType": WorkflowTypeDetail,
    "GetWorkflowExecutionHistory": History,
    "ListActivityTypes": ActivityTypeInfos,
    "ListClosedWorkflowExecutions": ExecutionInfos,
    "ListDomains": DomainInfos,
    "ListOpenWorkflowExecutions": ExecutionInfos,
    "ListTagsForResource": ResourceTags,
    "ListWorkflowTypes": WorkflowTypeInfos,
    "PollForActivityTask": ActivityTask,
    "PollForDecisionTask": DecisionTask,
    "RecordActivityTaskHeartbeat": ActivityTaskStatus,
    "RegisterActivityType": Nothing,
    "RegisterDomain": Nothing,
    "RegisterWorkflowType": Nothing,
    "RequestCancelWorkflowExecution": Nothing,
    "RespondActivityTaskCanceled": Nothing,
    "RespondActivityTaskCompleted": Nothing,
    "RespondActivityTaskFailed": Nothing,
    "RespondDecisionTaskCompleted": Nothing,
    "SignalWorkflowExecution": Nothing,
    "StartWorkflowExecution": Run,
    "TagResource": Nothing,
    "TerminateWorkflowExecution": Nothing,
    "UndeprecateActivityType": Nothing,
    "UndeprecateDomain": Nothing,
    "UndeprecateWorkflowType": Nothing,
    "UntagResource": Nothing,
}
_NOTHING = Nothing()


class _Events(msgspec.Struct, gc=False):
    events: msgspec.Raw = msgspec.Raw(b"[]")


@functools.cache
def _decoder(action: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(RESPONSES[action])


def decode(action: str, body: bytes | bytearray) -> Any:
    """Return the answer that a response body holds.

    Raises ``core.events.UnknownEvent`` for an event type of a later SWF, ``msgspec.DecodeError`` for what is not an
    answer of this action: a member that is always there is missing, or something stands where nothing belongs.
    """
    if RESPONSES[action] is Nothing:
        if body and body.strip() not in (b"", b"{}"):
            raise msgspec.ValidationError(f"{len(body)} bytes came where the service says nothing")
        return _NOTHING
    try:
        return _decoder(action).decode(body)
    except msgspec.ValidationError:
        if action in ("GetWorkflowExecutionHistory", "PollForDecisionTask"):
            events.decode(msgspec.json.decode(body, type=_Events).events)
        raise
