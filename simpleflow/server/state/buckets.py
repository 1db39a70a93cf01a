"""Amazon SWF's token buckets, all in one table, and what the service asks of them.

Size and refill per second, by account and region, from the quota page of the developer guide. On with
``--limits aws`` and in the conformance suite; otherwise ``Unlimited``: 200 starts per second would cap a laptop for
nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final, Protocol

import msgspec

from simpleflow.core import clock as clocks


class Bucket(msgspec.Struct, frozen=True):
    """The size of a bucket and how many tokens flow into it per second."""

    size: int
    refill: float


_MAIN = Bucket(2000, 200)
_TYPES = Bucket(200, 60)
_SLOW = Bucket(200, 6)
_DOMAINS = Bucket(100, 6)
_TAGS = Bucket(50, 30)
_LOOK = Bucket(2000, 6)

#: one bucket for each action
ACTIONS: Final[dict[str, Bucket]] = {
    "CountClosedWorkflowExecutions": _LOOK,
    "CountOpenWorkflowExecutions": _LOOK,
    "CountPendingActivityTasks": _SLOW,
    "CountPendingDecisionTasks": _SLOW,
    "DeleteActivityType": _SLOW,
    "DeleteWorkflowType": _SLOW,
    "DeprecateActivityType": _SLOW,
    "DeprecateDomain": _DOMAINS,
    "DeprecateWorkflowType": _SLOW,
    "DescribeActivityType": _LOOK,
    "DescribeDomain": _SLOW,
    "DescribeWorkflowExecution": _LOOK,
    "DescribeWorkflowType": _LOOK,
    "GetWorkflowExecutionHistory": Bucket(2000, 60),
    "ListActivityTypes": _SLOW,
    "ListClosedWorkflowExecutions": _SLOW,
    "ListDomains": _DOMAINS,
    "ListOpenWorkflowExecutions": Bucket(200, 48),
    "ListTagsForResource": _TAGS,
    "ListWorkflowTypes": _SLOW,
    "PollForActivityTask": _MAIN,
    "PollForDecisionTask": _MAIN,
    "RecordActivityTaskHeartbeat": Bucket(2000, 160),
    "RegisterActivityType": _TYPES,
    "RegisterDomain": _DOMAINS,
    "RegisterWorkflowType": _TYPES,
    "RequestCancelWorkflowExecution": Bucket(2000, 30),
    "RespondActivityTaskCanceled": _MAIN,
    "RespondActivityTaskCompleted": _MAIN,
    "RespondActivityTaskFailed": _MAIN,
    "RespondDecisionTaskCompleted": _MAIN,
    "SignalWorkflowExecution": Bucket(2000, 30),
    "StartWorkflowExecution": _MAIN,
    "TagResource": _TAGS,
    "TerminateWorkflowExecution": Bucket(2000, 60),
    "UndeprecateActivityType": _SLOW,
    "UndeprecateDomain": _DOMAINS,
    "UndeprecateWorkflowType": _SLOW,
    "UntagResource": _TAGS,
}
#: one bucket for each of these decisions; an empty one fails the decision with a ..._RATE_EXCEEDED cause
DECISIONS: Final[dict[str, Bucket]] = {
    "RequestCancelExternalWorkflowExecution": Bucket(1200, 120),
    "ScheduleActivityTask": Bucket(1000, 200),
    "SignalExternalWorkflowExecution": Bucket(1200, 120),
    "StartChildWorkflowExecution": Bucket(500, 12),
    "StartTimer": Bucket(2000, 200),
}
#: one bucket for each of these actions and each execution
EXECUTIONS: Final[dict[str, Bucket]] = {
    "GetWorkflowExecutionHistory": Bucket(400, 200),
    "RecordActivityTaskHeartbeat": Bucket(1000, 1000),
    "RequestCancelWorkflowExecution": Bucket(200, 200),
    "SignalWorkflowExecution": Bucket(1000, 1000),
}
#: activity tasks of one task list
TASK_LIST: Final = Bucket(2000, 2000)
#: levels that are kept of executions and task lists before the full ones are forgotten
_KEPT = 10_000


class Rates(Protocol):
    """Whether a call or a decision may go on, as to how many there were. Called on the service's own thread only."""

    def take(self, action: str, request: Mapping[str, Any], run_id: str = "") -> bool:
        """Take a token of an action, and one of its execution where there is such a bucket.

        ``run_id`` names the execution where the request does not (a heartbeat). False: ThrottlingException.
        """

    def take_decision(self, decision_type: str) -> bool:
        """Take a token of a decision type; False: it fails with its ..._RATE_EXCEEDED cause."""

    def take_activity(self, domain: str, task_list: str) -> bool:
        """Take a token of a task list for one activity task; False: ACTIVITY_CREATION_RATE_EXCEEDED."""


class Unlimited:
    """Rates without a limit."""

    def take(self, action: str, request: Mapping[str, Any], run_id: str = "") -> bool:
        return True

    def take_decision(self, decision_type: str) -> bool:
        return True

    def take_activity(self, domain: str, task_list: str) -> bool:
        return True


_Levels = dict[Hashable, tuple[float, float]]


class Buckets:
    """The buckets of one account and region, full at first. Time is the clock's monotonic reading."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        #: key -> (tokens left, when that was so)
        self._levels: _Levels = {}
        self._executions: _Levels = {}

    def take(self, action: str, request: Mapping[str, Any], run_id: str = "") -> bool:
        bucket = ACTIONS.get(action)
        if bucket is not None and not self._take(self._levels, action, bucket):
            return False
        bucket = EXECUTIONS.get(action)
        return bucket is None or self._take(self._executions, (action, run_id or _execution(request)), bucket)

    def take_decision(self, decision_type: str) -> bool:
        bucket = DECISIONS.get(decision_type)
        return bucket is None or self._take(self._levels, ("decision", decision_type), bucket)

    def take_activity(self, domain: str, task_list: str) -> bool:
        return self._take(self._executions, (domain, task_list), TASK_LIST)

    def _take(self, levels: _Levels, key: Hashable, bucket: Bucket) -> bool:
        now = self._clock.monotonic()
        left, since = levels.get(key, (float(bucket.size), now))
        left = min(bucket.size, left + (now - since) * bucket.refill)
        taken = left >= 1
        levels[key] = (left - 1 if taken else left, now)
        if levels is self._executions and len(levels) > _KEPT:
            self._forget(now)
        return taken

    def _forget(self, now: float) -> None:
        """Forget levels that are full again: the slowest of these buckets fills in two seconds."""
        self._executions = {key: level for key, level in self._executions.items() if now - level[1] < 2.0}


def _execution(request: Mapping[str, Any]) -> Hashable:
    """What names the execution that a request is about."""
    execution = request.get("execution") or request
    return request.get("domain"), execution.get("workflowId"), request.get("taskToken")


def of(limits: str, clock: clocks.Clock) -> Rates:
    """Return the rates that ``--limits`` names: buckets for ``aws``, none for ``data`` and ``none``."""
    return Buckets(clock) if limits == "aws" else Unlimited()
