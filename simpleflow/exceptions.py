"""Every exception under 0.36's names. They live in ``simpleflow.core.errors``."""

from __future__ import annotations

from typing import Any

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


class ExecutionTimeoutError(SimpleflowError):
    """A program that an activity ran took too long."""

    def __init__(self, command: Any, timeout_value: float | None) -> None:
        super().__init__(command, timeout_value)
        self.timeout_command = command
        self.timeout_value = timeout_value

    def __str__(self) -> str:
        return f"{type(self).__name__} after {self.timeout_value} seconds ({self.timeout_command})"

    __repr__ = __str__


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
