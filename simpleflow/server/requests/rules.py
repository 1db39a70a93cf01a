"""The prose rules of Amazon SWF that its service model does not hold: what a well-formed value must look like.

Each rule takes a text and returns what the value must satisfy, or '' when it does. Sources: the documentation of the
members in the service model and the developer guide; the tables say where each applies. Empty texts of members whose
model allows them (the ...Optional shapes) mean that the member is absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from simpleflow.core import limits

Rule = Callable[[str], str]

_FORBIDDEN = re.compile("[:/|\u0000-\u001f\u007f-\u009f]").search
_DIGITS = re.compile("[0-9]{1,8}").fullmatch
_INTEGER = re.compile("[+-]?[0-9]{1,10}").fullmatch
#: symbols that a tag may hold besides letters, digits and whitespace
_TAG_SYMBOLS = frozenset("_.:/=+-@")


def name(value: str) -> str:
    """Names and ids: no colon, slash, bar or control character, and not the word 'arn'."""
    if _FORBIDDEN(value) is not None:
        return "Member must not contain ':', '/', '|' or control characters (\\u0000-\\u001f, \\u007f-\\u009f)"
    if value == "arn":
        return "Member must not be the literal string 'arn'"
    return ""


def trimmed(value: str) -> str:
    """Domains and task lists: a name that neither begins nor ends with whitespace."""
    if value != value.strip():
        return "Member must not start or end with whitespace"
    return name(value)


def seconds(value: str) -> str:
    """A duration that has an end."""
    if _DIGITS(value) is not None and int(value) <= limits.DURATION_SECONDS:
        return ""
    if value == "NONE":
        return f"Member must be an integer between 0 and {limits.DURATION_SECONDS}; NONE is not allowed here"
    return f"Member must be an integer between 0 and {limits.DURATION_SECONDS}"


def seconds_if_given(value: str) -> str:
    """A duration that has an end, or nothing."""
    return seconds(value) if value else ""


def seconds_or_none(value: str) -> str:
    """A duration, NONE for one without an end, or nothing."""
    if not value or value == "NONE" or (_DIGITS(value) is not None and int(value) <= limits.DURATION_SECONDS):
        return ""
    return f"Member must be NONE or an integer between 0 and {limits.DURATION_SECONDS}"


def days(value: str) -> str:
    """A retention: NONE or up to the longest."""
    if value == "NONE" or (_DIGITS(value) is not None and int(value) <= limits.RETENTION_DAYS):
        return ""
    return f"Member must be NONE or an integer between 0 and {limits.RETENTION_DAYS}"


def priority(value: str) -> str:
    """A task priority: a Java integer."""
    if _INTEGER(value) is not None and -(2**31) <= int(value) < 2**31:
        return ""
    return "Member must be an integer between -2147483648 and 2147483647"


def tag_text(value: str) -> str:
    """Keys and values of resource tags, and the tag of a filter."""
    if all(c.isalnum() or c.isspace() or c in _TAG_SYMBOLS for c in value):
        return ""
    return "Member must contain only unicode letters, digits, whitespace, and the symbols _ . : / = + - @"


#: shape -> rule wherever it is used
BY_SHAPE: Final[dict[str, Rule]] = {
    "DurationInDays": days,
    "DurationInSeconds": seconds,
    "DurationInSecondsOptional": seconds_or_none,
    "ResourceTagKey": tag_text,
    "ResourceTagValue": tag_text,
    "TaskPriority": priority,
}
#: (structure, member) -> rule of that use; documented there
BY_MEMBER: Final[dict[tuple[str, str], Rule]] = {
    ("ContinueAsNewWorkflowExecutionDecisionAttributes", "executionStartToCloseTimeout"): seconds_if_given,
    ("ContinueAsNewWorkflowExecutionDecisionAttributes", "workflowTypeVersion"): name,
    ("RegisterActivityTypeInput", "name"): name,
    ("RegisterActivityTypeInput", "version"): name,
    ("RegisterDomainInput", "name"): trimmed,
    ("RegisterWorkflowTypeInput", "defaultExecutionStartToCloseTimeout"): seconds_if_given,
    ("RegisterWorkflowTypeInput", "name"): name,
    ("RegisterWorkflowTypeInput", "version"): name,
    ("ScheduleActivityTaskDecisionAttributes", "activityId"): name,
    ("StartChildWorkflowExecutionDecisionAttributes", "executionStartToCloseTimeout"): seconds_if_given,
    ("StartChildWorkflowExecutionDecisionAttributes", "workflowId"): name,
    ("StartTimerDecisionAttributes", "timerId"): name,
    ("StartWorkflowExecutionInput", "domain"): name,
    ("StartWorkflowExecutionInput", "executionStartToCloseTimeout"): seconds_if_given,
    ("StartWorkflowExecutionInput", "workflowId"): name,
    ("TagFilter", "tag"): tag_text,
    ("TaskList", "name"): trimmed,
}

#: decisions that close the execution: only the last one of a response may be such
CLOSING: Final = frozenset(
    {
        "CancelWorkflowExecution",
        "CompleteWorkflowExecution",
        "ContinueAsNewWorkflowExecution",
        "FailWorkflowExecution",
    }
)
_CLOSED_FILTERS = ("closeStatusFilter", "executionFilter", "typeFilter", "tagFilter")
_OPEN_FILTERS = ("executionFilter", "typeFilter", "tagFilter")
#: action -> filters of which at most one may be given
FILTERS: Final[dict[str, tuple[str, ...]]] = {
    "CountClosedWorkflowExecutions": _CLOSED_FILTERS,
    "CountOpenWorkflowExecutions": _OPEN_FILTERS,
    "ListClosedWorkflowExecutions": _CLOSED_FILTERS,
    "ListOpenWorkflowExecutions": _OPEN_FILTERS,
}
_TIMES = ("startTimeFilter", "closeTimeFilter")


def whole_request(action: str, request: Any) -> str:
    """Rules about several members of one request; returns the message of the refusal, or ''."""
    if action == "RespondDecisionTaskCompleted":
        for decision in (request.get("decisions") or ())[:-1]:
            if decision["decisionType"] in CLOSING:
                return "Close must be last decision in list"
        return ""
    filters = FILTERS.get(action)
    if filters is None:
        return ""
    if filters is _CLOSED_FILTERS and sum(request.get(each) is not None for each in _TIMES) != 1:
        return "Must specify exactly one of startTimeFilter or closeTimeFilter"
    given = [each for each in filters if request.get(each) is not None]
    if len(given) > 1:
        return f"Cannot specify more than one exclusive filters in the same query: {', '.join(given)}"
    return ""
