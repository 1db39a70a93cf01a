"""Tasks: what a workflow submits, as objects."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar, overload

from simpleflow import base
from simpleflow.activity import ActivityTask, NonPythonicActivityTask, Task, activity_with, get_actual_value
from simpleflow.base import Result
from simpleflow.core import numbers
from simpleflow.engine import api, failure_context
from simpleflow.engine.program import futures
from simpleflow.engine.tasks import children, tasks

__all__ = [
    "ActivityTask",
    "CancelTimerTask",
    "CancelWorkflowTask",
    "ChildWorkflowTask",
    "ContinueAsNewTask",
    "MarkerTask",
    "NonPythonicActivityTask",
    "SignalTask",
    "Task",
    "TaskFailureContext",
    "TimerTask",
    "WorkflowTask",
    "activity_with",
    "get_actual_value",
]

TaskFailureContext = failure_context.TaskFailureContext
T = TypeVar("T")


class WorkflowTask(Task[Result]):
    """A child workflow with its arguments."""

    @overload
    def __init__(
        self: WorkflowTask[T],
        executor: Any,
        workflow: type[base.Runs[Coroutine[Any, Any, T]]],
        *args: Any,
        workflow_task_list: str | None = None,
        **kwargs: Any,
    ) -> None: ...

    @overload
    def __init__(
        self,
        executor: Any,
        workflow: type[base.Runs[Result]],
        *args: Any,
        workflow_task_list: str | None = None,
        **kwargs: Any,
    ) -> None: ...

    def __init__(
        self, executor: Any, workflow: Any, *args: Any, workflow_task_list: str | None = None, **kwargs: Any
    ) -> None:
        self.executor = executor
        self.workflow = workflow
        self.args = list(args)
        self.kwargs = kwargs
        self.workflow_task_list = workflow_task_list
        #: overrides what the class declares
        self.raises_on_failure: bool | None = None

    @property
    def name(self) -> str:
        """``workflow-`` and the name of the class."""
        return f"workflow-{self.workflow.name}"

    def execute(self) -> Any:
        """Call ``run()`` of an instance here and now, by the task's executor."""
        return self.workflow(self.executor).run(*self.resolve_args(*self.args), **self.resolve_kwargs(**self.kwargs))

    @property
    def idempotent(self) -> bool:
        """Whether equal arguments are one child."""
        return bool(getattr(self.workflow, "idempotent", False))

    def workflow_id_for(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        """Return the workflow id that the class chooses for these arguments, None where it leaves that to us."""
        chosen: str | None = children.got(self.workflow, "get_workflow_id", args, kwargs)
        return chosen

    def submit_to(
        self, executor: Any, *, priority: Any = tasks.UNSET, raises: bool | None = None
    ) -> futures.Future[Result]:
        return api.child(
            executor,
            self.workflow,
            self.args,
            self.kwargs,
            task_list=self.workflow_task_list,
            priority=priority,
            raises=self.raises_on_failure if raises is None else raises,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow.__name__}, args={self.args}, kwargs={self.kwargs})"


class ChildWorkflowTask(WorkflowTask[Result]):
    """A child workflow; needs no executor."""

    @overload
    def __init__(
        self: ChildWorkflowTask[T],
        workflow: type[base.Runs[Coroutine[Any, Any, T]]],
        *args: Any,
        workflow_task_list: str | None = None,
        **kwargs: Any,
    ) -> None: ...

    @overload
    def __init__(
        self, workflow: type[base.Runs[Result]], *args: Any, workflow_task_list: str | None = None, **kwargs: Any
    ) -> None: ...

    def __init__(self, workflow: Any, *args: Any, workflow_task_list: str | None = None, **kwargs: Any) -> None:
        super().__init__(None, workflow, *args, workflow_task_list=workflow_task_list, **kwargs)


class SignalTask(Task[None]):
    """A signal to an execution; without a workflow id to this one."""

    def __init__(
        self,
        name: str,
        *args: Any,
        workflow_id: str | None = None,
        run_id: str | None = None,
        propagate: bool = True,
        **kwargs: Any,
    ) -> None:
        self._name = name
        self.args = list(args)
        self.kwargs = kwargs
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.propagate = propagate

    @property
    def name(self) -> str:
        """The signal's name."""
        return self._name

    def execute(self) -> None:
        """Do nothing: outside an execution nobody hears it."""

    def submit_to(
        self, executor: Any, *, priority: Any = tasks.UNSET, raises: bool | None = None
    ) -> futures.Future[None]:
        return api.signal(
            executor,
            self._name,
            self.args,
            self.kwargs,
            workflow_id=self.workflow_id,
            run_id=self.run_id,
            propagate=self.propagate,
        )


class MarkerTask(Task[Any]):
    """A marker in the history: recorded once per name and details."""

    def __init__(self, name: str, details: Any = None) -> None:
        self._name = name
        self.details = details
        self.args, self.kwargs = [details], dict[str, Any]()

    @property
    def name(self) -> str:
        """The marker's name."""
        return self._name

    def execute(self) -> None:
        """Do nothing: outside an execution there is no history."""

    def submit_to(
        self, executor: Any, *, priority: Any = tasks.UNSET, raises: bool | None = None
    ) -> futures.Future[Any]:
        return api.marker(executor, self._name, self.details)


class TimerTask(Task[None]):
    """A durable timer; ``timeout`` in seconds, or a timedelta."""

    def __init__(self, timer_id: str, timeout: numbers.Duration, control: Any = None) -> None:
        numbers.duration(f"timeout of timer {timer_id!r}", timeout)
        self.timer_id = timer_id
        self.timeout = timeout
        self.control = control
        self.args, self.kwargs = (), dict[str, Any]()

    @property
    def name(self) -> str:
        """The timer's id."""
        return self.timer_id

    @property
    def id(self) -> str:
        """The timer's id."""
        return self.timer_id

    def execute(self) -> None:
        """Sleep so long, here and now."""
        time.sleep(float(numbers.duration(f"timeout of timer {self.timer_id!r}", self.timeout)))

    def submit_to(
        self, executor: Any, *, priority: Any = tasks.UNSET, raises: bool | None = None
    ) -> futures.Future[None]:
        return api.timer(executor, self.timer_id, self.timeout, self.control)


class CancelTimerTask(Task[None]):
    """Cancels an open timer."""

    def __init__(self, timer_id: str) -> None:
        self.timer_id = timer_id
        self.args, self.kwargs = (), dict[str, Any]()

    @property
    def name(self) -> str:
        """The timer's id."""
        return self.timer_id

    @property
    def id(self) -> str:
        """The timer's id."""
        return self.timer_id

    def execute(self) -> None:
        """Do nothing: outside an execution no timer is open."""

    def submit_to(
        self, executor: Any, *, priority: Any = tasks.UNSET, raises: bool | None = None
    ) -> futures.Future[None]:
        return api.cancel_timer(executor, self.timer_id)


class ContinueAsNewTask(Task[Any]):
    """Closes this run and starts a new one with these arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = list(args)
        self.kwargs = kwargs

    @property
    def name(self) -> str:
        """``continue_as_new``."""
        return "continue_as_new"

    def submit_to(
        self, executor: Any, *, priority: Any = tasks.UNSET, raises: bool | None = None
    ) -> futures.Future[Any]:
        return api.continue_as_new(executor, self.args, self.kwargs)


class CancelWorkflowTask(Task[Any]):
    """Asks all open tasks to cancel and closes this run as CANCELED."""

    @property
    def name(self) -> str:
        """``cancel``."""
        return "cancel"

    def submit_to(
        self, executor: Any, *, priority: Any = tasks.UNSET, raises: bool | None = None
    ) -> futures.Future[Any]:
        api.cancel_workflow(executor)
        raise AssertionError("the run is closed")


failure_context.SHOWN.update(
    activity=lambda activity, args, kwargs: ActivityTask(activity, *args, **kwargs),
    workflow=lambda workflow, args, kwargs: WorkflowTask(None, workflow, *args, **kwargs),
)
