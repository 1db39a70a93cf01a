"""The root of every exception that this package raises on purpose, and those that the engine raises.

SimpleflowError
    UsageError
    ExecutionBlocked            a future that is not done was read outside an evaluation
    ExecutionFailure            what tasks and children end with
        TaskFailed TaskTerminated TimeoutError
    TaskCanceled                the task, or the wait, was cancelled
    AggregateException          of a group
    TaskException WorkflowException
    ValueTooLong NotDeterministic Misuse BadNumber
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import text


class SimpleflowError(Exception):
    """Something that simpleflow refuses or reports; the message says what to do next."""


class UsageError(SimpleflowError):
    """Bad input of a person: names the field, the value and what to write instead. Exit code 64."""


class ExecutionBlocked(SimpleflowError):
    """The value is not there yet. Inside an evaluation nothing of ours raises it; a program that does blocks."""


class ExecutionFailure(SimpleflowError):
    """Something that was submitted did not complete; ``task_name`` is the name of the task or child workflow."""

    #: name of the task or child workflow
    task_name: str | None = None


class TaskFailed(ExecutionFailure):
    """A task or child workflow failed."""

    def __init__(self, name: str, reason: str | None, details: str | None = None) -> None:
        super().__init__(name, reason, details)
        self.name = name
        self.reason = reason
        #: JSON text with error, error_type, message and traceback, when a worker of ours wrote it
        self.details = details

    def __repr__(self) -> str:
        return f'{type(self).__name__} ({self.name}, "{self.reason}")'


class TimeoutError(ExecutionFailure):
    """A task or child workflow took longer than one of its timeouts."""

    def __init__(self, timeout_type: str = "unknown timeout", timeout_value: Any = None, *, origin: str = "") -> None:
        super().__init__(timeout_type, timeout_value)
        #: START_TO_CLOSE, SCHEDULE_TO_CLOSE, SCHEDULE_TO_START or HEARTBEAT
        self.timeout_type = timeout_type
        #: seconds, as the task declared them
        self.timeout_value = timeout_value
        #: where the seconds come from, when the task did not declare them
        self.origin = origin

    def __str__(self) -> str:
        left_to = f" ({self.origin})" if self.origin else ""
        if self.timeout_value is None:
            return f"{self.timeout_type} timeout{left_to}"
        return f"{self.timeout_type} timeout of {self.timeout_value} s{left_to}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.timeout_type})"


class TaskTerminated(ExecutionFailure):
    """A child workflow was terminated."""


class TaskCanceled(SimpleflowError):
    """The task, the child workflow or the wait was cancelled."""

    def __init__(self, details: str | None = None) -> None:
        super().__init__(details)
        self.details = details

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.details is None else self.details})"


class TaskException(SimpleflowError):
    """A task failed; ``exception`` says how."""

    def __init__(self, task: Any, exception: BaseException | None = None) -> None:
        super().__init__(task, exception)
        self.task = task
        self.exception = exception

    @property
    def payload(self) -> Any:
        """The task itself."""
        return self.task

    def __repr__(self) -> str:
        return f"{type(self).__name__}(task={self.task!r}, exception={self.exception!r})"


class WorkflowException(SimpleflowError):
    """A child workflow failed; ``exception`` says how."""

    def __init__(self, workflow: Any, exception: BaseException | None = None) -> None:
        super().__init__(workflow, exception)
        self.workflow = workflow
        self.exception = exception

    @property
    def payload(self) -> Any:
        """The workflow itself."""
        return self.workflow

    def __repr__(self) -> str:
        return f"{type(self).__name__}(workflow={self.workflow!r}, exception={self.exception!r})"


class AggregateException(SimpleflowError):
    """What the members of a group raised: one entry for each member, None where it raised nothing."""

    def __init__(self, exceptions: Sequence[BaseException | None] = ()) -> None:
        super().__init__(exceptions)
        self.exceptions: list[BaseException | None] = list(exceptions)

    def append(self, exception: BaseException | None) -> None:
        """Add one; None for a member that did not fail."""
        self.exceptions.append(exception)

    def handle(self, handler: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call ``handler(exception, *args, **kwargs)`` for each exception; those for which it returns false are raised
        again, together."""
        left = [e for e in self.exceptions if e is not None and not handler(e, *args, **kwargs)]
        if left:
            raise AggregateException(left)

    def flatten(self) -> AggregateException:
        """Return one without nesting and without None."""
        return AggregateException(list(self._leaves()))

    def _leaves(self) -> Iterator[BaseException]:
        for exception in self.exceptions:
            if isinstance(exception, AggregateException):
                yield from exception._leaves()
            elif exception is not None:
                yield exception

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AggregateException) and self.exceptions == other.exceptions

    __hash__ = SimpleflowError.__hash__

    def __str__(self) -> str:
        return f"{type(self).__name__}({[text.safe(each) for each in self.exceptions]})"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {[text.shown(each) for each in self.exceptions]}>"


class ValueTooLong(SimpleflowError, ValueError):
    """A value is over one of SWF's limits; the message names field, size, limit and the setting that mends it."""


class NotDeterministic(SimpleflowError):
    """``run()`` did something that would differ in a re-run; the message names the replacement."""


class Misuse(SimpleflowError):
    """The program asks for something that has no meaning here; the message says what to write instead."""


class BadNumber(Misuse, ValueError):
    """A number that an author gives is none, or out of its range; the message says what to write instead."""
