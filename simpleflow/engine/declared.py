"""What the engine reads of authors' declarations, and the checks of the names and numbers in them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from simpleflow.core import errors, limits, numbers, text

from .tasks import failures


class Activity(Protocol):
    """What the engine reads of an activity; ``simpleflow.activity.Activity`` is one."""

    name: str
    version: str | None
    task_list: str | None
    task_priority: Any
    #: a number of retries or a RetryPolicy
    retry: Any
    raises_on_failure: bool
    #: equal arguments are one task
    idempotent: bool | None
    #: travels with the input
    meta: dict[str, Any] | None
    #: seconds as a number or text, None or 0: left out
    task_start_to_close_timeout: Any
    task_schedule_to_close_timeout: Any
    task_schedule_to_start_timeout: Any
    task_heartbeat_timeout: Any

    @property
    def callable(self) -> Any:
        """What workers call; ``get_task_id`` of it names its tasks."""


class WorkflowClass(Protocol):
    """What the engine reads of every Workflow class.

    Read where a class has it: retry, raises_on_failure, task_list, task_priority, execution_timeout,
    decision_tasks_timeout, child_policy, tag_list, INHERIT_TAG_LIST, idempotent, max_open_activity_count,
    propagate_signals_to_parent, on_divergence, strict, resumable, and the getters get_workflow_id, get_task_list and
    get_tag_list.
    """

    name: str
    version: str
    __module__: str
    __name__: str
    __qualname__: str

    def run(self, *args: Any, **kwargs: Any) -> Any: ...


def check_text(field: str, value: Any, most: int = limits.NAME) -> None:
    """Raise Misuse unless a name, version or task list can be sent as it is; None is left out."""
    if value is None:
        return
    given = value if isinstance(value, str) else text.safe(value)
    if given != text.encodable(given) or not 0 < len(given) <= most:
        raise errors.Misuse(f"{field} is {text.shown(value)}: write 1 to {most} characters that UTF-8 can hold")


def check_version(field: str, value: Any) -> None:
    check_text(field, value, limits.VERSION)


def check_retry(field: str, value: Any) -> None:
    """Raise BadNumber unless it is a number of retries or a RetryPolicy, which checks itself."""
    if not isinstance(value, failures.RetryPolicy):
        numbers.retries(field, value)


def check_execution_timeout(field: str, value: Any) -> None:
    """Raise BadNumber unless it is a timeout that has an end."""
    numbers.timeout(field, value, unlimited=False)


def _check_open(field: str, value: Any) -> None:
    if value:
        numbers.count(field, value, instead="write how many activities may be open at once, or None for SWF's limit")


#: numbers that a Workflow class may declare
WORKFLOW_NUMBERS: Mapping[str, Callable[[str, Any], object]] = {
    "retry": check_retry,
    "task_priority": numbers.priority,
    "execution_timeout": check_execution_timeout,
    "decision_tasks_timeout": numbers.timeout,
    "max_open_activity_count": _check_open,
    "max_open_activities": _check_open,
}


def is_computed(value: Any) -> bool:
    """Whether a class attribute is a property or the like: the instance has the value."""
    return not isinstance(value, type) and hasattr(type(value), "__get__")


def check_workflow(cls: Any) -> None:
    """Raise BadNumber for a number of a Workflow class that cannot be meant."""
    for name, check in WORKFLOW_NUMBERS.items():
        value = getattr(cls, name, None)
        if value is not None and not is_computed(value):
            check(f"{name} of workflow {cls.__name__}", value)


def check_run(cls: Any) -> None:
    """Raise Misuse for a ``run()`` that would do nothing when it is called."""
    if inspect.isgeneratorfunction(cls.run) or inspect.isasyncgenfunction(cls.run):
        raise errors.Misuse(
            f"run() of workflow {cls.__name__} holds a yield, so calling it runs nothing: leave yield out; .result "
            "(or await in async def run) waits for what was submitted"
        )
