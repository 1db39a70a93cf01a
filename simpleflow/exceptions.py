"""Every exception under 0.36's names. They live in ``simpleflow.core.errors``."""

from __future__ import annotations

from simpleflow.core.errors import (
    AggregateException,
    BadNumber,
    ExecutionBlocked,
    ExecutionFailure,
    Misuse,
    NotDeterministic,
    SimpleflowError,
    TaskCanceled,
    TaskException,
    TaskFailed,
    TaskTerminated,
    TimeoutError,
    UsageError,
    ValueTooLong,
    WorkflowException,
)


class ExecutionError(SimpleflowError):
    """A program that an activity ran did not end well; the message names its exit status or signal."""


class ExecutionTimeoutError(ExecutionError):
    """A program that an activity ran took too long."""


__all__ = [
    "AggregateException",
    "BadNumber",
    "ExecutionBlocked",
    "ExecutionError",
    "ExecutionFailure",
    "ExecutionTimeoutError",
    "Misuse",
    "NotDeterministic",
    "SimpleflowError",
    "TaskCanceled",
    "TaskException",
    "TaskFailed",
    "TaskTerminated",
    "TimeoutError",
    "UsageError",
    "ValueTooLong",
    "WorkflowException",
]
