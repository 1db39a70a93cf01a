"""How tasks fail: exceptions from events, and when a failed task is scheduled again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from simpleflow.core import errors, events, limits, numbers
from simpleflow.engine.history import identity

#: what to do about a refusal that does not pass by itself
ADVICE: Mapping[str, str] = {
    "ACTIVITY_TYPE_DEPRECATED": "the activity type is deprecated: give the activity another version",
    "WORKFLOW_TYPE_DEPRECATED": "the workflow type is deprecated: give the workflow another version",
    "ACTIVITY_ID_ALREADY_IN_USE": "an open task has this id: get_task_id() must differ for tasks that run at once",
    "WORKFLOW_ALREADY_RUNNING": "an execution of this id is open: get_workflow_id() must differ for those at once",
    "DEFAULT_TASK_LIST_UNDEFINED": "the activity names no task_list and its type has no default: name one",
    "DEFAULT_START_TO_CLOSE_TIMEOUT_UNDEFINED": "give the activity a start_to_close_timeout",
    "DEFAULT_SCHEDULE_TO_CLOSE_TIMEOUT_UNDEFINED": "give the activity a schedule_to_close_timeout",
    "DEFAULT_SCHEDULE_TO_START_TIMEOUT_UNDEFINED": "give the activity a schedule_to_start_timeout",
    "DEFAULT_HEARTBEAT_TIMEOUT_UNDEFINED": "give the activity a heartbeat_timeout",
    "OPERATION_NOT_PERMITTED": "the decider's IAM policy does not allow this decision: simpleflow doctor shows it",
}


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a failed task is scheduled again.

    - max_attempts: attempts in all, the first included;
    - initial: seconds, or a timedelta, before the second attempt;
    - backoff: the factor by which each delay is longer than the one before;
    - maximum: seconds, or a timedelta, of the longest delay;
    - retry_on, give_up_on: names of exceptions (``ValueError``, ``package.Error``) or classes; empty: all, none.

    ``jitter`` is a share of each delay (0.2: up to a fifth more), derived from the run id and not random, so that a
    re-run waits as long.
    """

    #: attempts in all, the first included
    max_attempts: int = 3
    #: seconds before the second attempt
    initial: numbers.Duration = 0
    #: factor by which each delay is longer than the one before
    backoff: float = 2.0
    #: seconds of the longest delay
    maximum: numbers.Duration = 3600
    jitter: float = 0
    #: names of exceptions (``ValueError``, ``package.Error``) or classes; empty: all
    retry_on: tuple[str | type, ...] = ()
    give_up_on: tuple[str | type, ...] = ()

    def __post_init__(self) -> None:
        checked = {
            "max_attempts": numbers.count(
                "max_attempts of RetryPolicy", self.max_attempts, least=1, instead="write attempts in all, from 1"
            ),
            "initial": numbers.delay("initial of RetryPolicy", self.initial),
            "maximum": numbers.delay("maximum of RetryPolicy", self.maximum),
            "backoff": numbers.share(
                "backoff of RetryPolicy", self.backoff, instead="write a factor, 1 for equal delays, 2 to double"
            ),
            "jitter": numbers.share(
                "jitter of RetryPolicy", self.jitter, instead="write a share of the delay, from 0 to 1"
            ),
        }
        for name, value in checked.items():  # text and Decimal are numbers as well, and do not multiply
            msgspec.structs.force_setattr(self, name, value)

    def wants(self, error: BaseException) -> bool:
        """Whether a task that failed so is scheduled again, as long as attempts are left."""
        names = names_of(error)
        if any(_spelled(entry) & names for entry in self.give_up_on):
            return False
        return not self.retry_on or any(_spelled(entry) & names for entry in self.retry_on)

    def delay(self, failed: int, share: float) -> float:
        """Seconds before the next attempt, after so many failures; ``share`` in [0, 1) chooses within the jitter."""
        initial, maximum = cast("float", self.initial), cast("float", self.maximum)  # since __post_init__
        try:
            plain = min(maximum, initial * float(self.backoff) ** (failed - 1))
        except OverflowError:  # more than any float
            plain = maximum if initial else 0
        return min(plain * (1 + self.jitter * share), limits.DURATION_SECONDS)


def _spelled(entry: str | type) -> set[str]:
    if isinstance(entry, str):
        return {entry}
    return {entry.__name__, f"{entry.__module__}.{entry.__qualname__}"}


def names_of(error: BaseException) -> set[str]:
    """Return the names that an error goes by: of the exception in the worker, and of ours."""
    names = {type(error).__name__}
    if isinstance(error, errors.TimeoutError):
        names.add(error.timeout_type)
    if isinstance(error, errors.TaskFailed):
        details = details_of(error.details)
        names |= {str(details[key]) for key in ("error", "error_type") if details.get(key)}
        # What workers of ours write as reason begins with the exception's name; others may say nothing but that.
        names.add((error.reason or "").partition(":")[0].strip())
    return names


def details_of(details: str | None) -> Mapping[str, Any]:
    """Return the failure details that a worker of ours wrote, {} for any other text."""
    if not details:
        return {}
    try:
        parsed = msgspec.json.decode(details)
    except msgspec.DecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def of_event(name: str, event: Any, timeouts: Mapping[str, tuple[Any, str]]) -> BaseException:
    """Return the exception that an event of a task or child workflow stands for.

    ``timeouts``: type of a timeout -> its seconds, and where they come from when the task did not declare them.
    """
    error = _of_event(name, event, timeouts)
    error.task_name = name
    return error


def _of_event(name: str, event: Any, timeouts: Mapping[str, tuple[Any, str]]) -> errors.ExecutionFailure:
    kind = type(event)
    fields = event.attributes
    if kind is events.ActivityTaskTimedOut or kind is events.ChildWorkflowExecutionTimedOut:
        seconds, origin = timeouts.get(fields.timeout_type, (None, ""))
        return errors.TimeoutError(fields.timeout_type, seconds, origin=origin)
    if kind is events.ChildWorkflowExecutionTerminated:
        return errors.TaskTerminated(f"child workflow {fields.workflow_execution.workflow_id} was terminated")
    return errors.TaskFailed(name, fields.reason, fields.details)


def budget(retry: Any) -> int:
    """Return how many failures are answered by another attempt."""
    if isinstance(retry, RetryPolicy):
        return retry.max_attempts - 1
    return int(retry or 0)


def next_delay(retry: Any, failed: int, error: BaseException, seed: str, task_id: str) -> float | None:
    """Return the seconds before the next attempt, None when there is none.

    ``failed`` counts this failure; ``seed`` and ``task_id`` choose the jitter.
    """
    if failed > budget(retry):
        return None
    if not isinstance(retry, RetryPolicy):
        return 0
    if not retry.wants(error):
        return None
    share = int(identity.digest(f"{seed}\n{task_id}\n{failed}")[:12], 16) / (1 << 48)
    return retry.delay(failed, share)
