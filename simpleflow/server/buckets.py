"""Amazon SWF's token buckets, all in one table, and what the service asks of them.

Size and refill per second, by account and region, from the quota page of the developer guide. On with
``--limits aws`` and in the conformance suite; otherwise ``Unlimited``: 200 starts per second would cap a laptop for
nothing.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Protocol

import msgspec

from simpleflow.core import clock as clocks

from . import errors


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

    def action(self, action: str) -> None:
        """Take a token of an action; raises ThrottlingException when there is none."""

    def execution(self, action: str, run_id: str) -> None:
        """Take a token of an action on one execution; raises ThrottlingException when there is none."""

    def decision(self, decision_type: str) -> bool:
        """Take a token of a decision type; False: it fails with its ..._RATE_EXCEEDED cause."""

    def activity(self, domain: str, task_list: str) -> bool:
        """Take a token of a task list for one activity task; False: ACTIVITY_CREATION_RATE_EXCEEDED."""


class Unlimited:
    """Rates without a limit."""

    def action(self, action: str) -> None:
        return None

    def execution(self, action: str, run_id: str) -> None:
        return None

    def decision(self, decision_type: str) -> bool:
        return True

    def activity(self, domain: str, task_list: str) -> bool:
        return True


class AwsRates:
    """The buckets of one account and region, full at first. Time is the clock's monotonic reading."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        #: key -> (tokens left, when that was so)
        self._levels: dict[Hashable, tuple[float, float]] = {}
        self._executions: dict[Hashable, tuple[float, float]] = {}

    def action(self, action: str) -> None:
        bucket = ACTIONS.get(action)
        if bucket is not None and not self._take(self._levels, action, bucket):
            raise errors.throttled()

    def execution(self, action: str, run_id: str) -> None:
        bucket = EXECUTIONS.get(action)
        if bucket is not None and not self._take(self._executions, (action, run_id), bucket):
            raise errors.throttled()

    def decision(self, decision_type: str) -> bool:
        bucket = DECISIONS.get(decision_type)
        return bucket is None or self._take(self._levels, ("decision", decision_type), bucket)

    def activity(self, domain: str, task_list: str) -> bool:
        return self._take(self._executions, (domain, task_list), TASK_LIST)

    def _take(self, levels: dict[Hashable, tuple[float, float]], key: Hashable, bucket: Bucket) -> bool:
        now = self._clock.monotonic()
        left, since = levels.get(key, (float(bucket.size), now))
        left = min(bucket.size, left + (now - since) * bucket.refill)
        if left < 1:
            levels[key] = (left, now)
            return False
        levels[key] = (left - 1, now)
        if levels is self._executions and len(levels) > _KEPT:
            self._forget(now)
        return True

    def _forget(self, now: float) -> None:
        """Forget levels that have been full again for long: the slowest of these buckets fills in two seconds."""
        self._executions = {key: level for key, level in self._executions.items() if now - level[1] < 2.0}


def of(limits: str, clock: clocks.Clock) -> Rates:
    """Return the rates that ``--limits`` names: ``aws``, or none for ``data`` and ``none``."""
    return AwsRates(clock) if limits == "aws" else Unlimited()
