"""Workflows: a class whose ``run()`` says what to do; everything durable goes through its methods.

    class Render(Workflow):
        name, version, task_list = "render", "1", "render-decisions"

        def run(self, scene: str, frames: int) -> list[str]:
            return futures.wait(*[self.submit(render, scene, n) for n in range(frames)])

``submit`` returns a future at once; its ``result`` blocks the decision, not a thread.
"""

from __future__ import annotations

import contextlib
import datetime
import uuid
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, overload

from simpleflow import activity, base, canvas, marker, settings, task
from simpleflow import signal as signals
from simpleflow.core import errors, numbers
from simpleflow.engine import api, declared, evaluation, hooks
from simpleflow.engine.program import run, scopes
from simpleflow.engine.program.futures import Future
from simpleflow.engine.tasks.signals import SignalFuture

T = TypeVar("T")
_Activity = activity.Activity
_Evaluation = evaluation.Evaluation
Run = run.Run

if TYPE_CHECKING:
    #: what is submitted with its arguments: an activity (mypy sees the class of a class activity), or a workflow class
    Callee = activity.Activity[..., T] | type[base.Runs[T]] | type[base.Executes[T]]


class _DefaultVersion:
    """The version of a class that says none: a setting, read when it is asked for."""

    def __get__(self, instance: object, owner: type | None = None) -> str:
        return str(settings.WORKFLOW_DEFAULT_VERSION)


class Workflow:
    """One definition. Each evaluation gets a fresh instance; what is kept on ``self`` does not leak into the next.

    A class says in its attributes:

    - name, version: the type, as it is registered;
    - task_list: where its decisions go;
    - task_priority: of its decisions, and of its tasks that have none; None for none;
    - retry: of a child, how many failures are answered by another attempt, or a RetryPolicy;
    - raises_on_failure: of a child, whether its failure is raised where its result is read;
    - tag_list: at most five tags; ``INHERIT_TAG_LIST``: a child takes its parent's;
    - execution_timeout, decision_tasks_timeout: seconds, or a timedelta, of a run and of one decision;
    - child_policy: what becomes of open children when it is terminated: TERMINATE, REQUEST_CANCEL or ABANDON;
    - idempotent: children with equal arguments are one;
    - max_open_activities: activities that may be open at once (0.36's max_open_activity_count is the same);
    - propagate_signals_to_parent: False does not send the signals that it gets on to its parent;
    - get_tag_list, get_task_list, get_workflow_id(cls, *args, **kwargs): compute the three from the arguments;
    - strict: refuse in ``run()`` what would differ in a re-run; None: in tests only (``testing.Environment``);
    - on_divergence: what follows when code and history disagree: ``wait`` for other code, ``fail_workflow``, or
      ``warn`` and go on; None: wait, or warn for executions that simpleflow 0.36 began;
    - resumable: True keeps it suspended between decisions although it overrides ``before_replay``, ``after_replay`` or
      ``should_cancel``.
    """

    #: as the type is registered
    name: ClassVar[str]
    version: ClassVar[str] = cast("str", _DefaultVersion())
    #: where its decisions go
    task_list: ClassVar[str]
    task_priority: ClassVar[Any] = None
    #: when it runs as a child
    retry: ClassVar[Any] = 0
    raises_on_failure: ClassVar[bool] = True
    #: as ``tag_list``: a child takes its parent's tags
    INHERIT_TAG_LIST: ClassVar[Any] = "INHERIT_TAG_LIST"
    #: refuse in run() what differs in a re-run; None: as the engine's owner says (testing.Environment: True)
    strict: ClassVar[bool | None] = None
    #: wait | fail_workflow | warn; None: wait, warn for executions that simpleflow 0.36 began
    on_divergence: ClassVar[str | None] = None
    #: keep it suspended although it overrides before_replay, after_replay or should_cancel
    resumable: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared.check_workflow(cls)

    def __init__(self, executor: Any) -> None:
        self._executor = executor

    @property
    def executor(self) -> Any:
        """Who runs this instance: the engine's evaluation, or a local executor."""
        return self._executor

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """What to do; ``async def`` as well. What it returns is the workflow's result."""
        raise TypeError(f"{type(self).__name__} has no run()")

    # -- submitting

    @overload
    def submit(self, submittable: Callee[Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> Future[T]: ...

    @overload
    def submit(self, submittable: Callee[T], *args: Any, **kwargs: Any) -> Future[T]: ...

    @overload
    def submit(self, submittable: signals.WaitForSignal) -> SignalFuture: ...

    @overload
    def submit(self, submittable: canvas.Chain) -> canvas.ChainFuture: ...

    @overload
    def submit(self, submittable: canvas.Group) -> canvas.GroupFuture: ...

    @overload
    def submit(self, submittable: base.Submittable[T] | base.SubmittableContainer[T], **kwargs: Any) -> Future[T]: ...

    # ``submit(Foo(bar))``: type checkers see an instance, or what the activity returns in a unit test
    @overload
    def submit(self, submittable: base.Executes[Coroutine[Any, Any, T]], **kwargs: Any) -> Future[T]: ...

    @overload
    def submit(self, submittable: base.Executes[T], **kwargs: Any) -> Future[T]: ...

    @overload
    def submit(self, submittable: Coroutine[Any, Any, T], **kwargs: Any) -> Future[T]: ...

    @overload
    def submit(self, submittable: T, **kwargs: Any) -> Future[T]: ...

    def submit(self, submittable: Any, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit and return the future of the result.

        Takes an Activity or Workflow class with its arguments, or a task, WaitForSignal, group, chain or step.
        Arguments may be futures. ``__priority`` sets the task's priority. Raises TypeError for anything else.
        """
        if type(submittable) is _Activity and type(self._executor) is _Evaluation and not kwargs:
            return api.activity(self._executor, submittable, args, kwargs)  # the most frequent case, written out
        return canvas.submit(self, submittable, args, kwargs)

    @overload
    def map(self, submittable: Callee[Coroutine[Any, Any, T]], iterable: Iterable[Any]) -> list[Future[T]]: ...

    @overload
    def map(self, submittable: Callee[T], iterable: Iterable[Any]) -> list[Future[T]]: ...

    def map(self, submittable: Any, iterable: Iterable[Any]) -> list[Future[Any]]:
        """Submit it once for each item; return the futures."""
        return self.starmap(submittable, ((item,) for item in iterable))

    @overload
    def starmap(
        self, submittable: Callee[Coroutine[Any, Any, T]], iterable: Iterable[Iterable[Any]]
    ) -> list[Future[T]]: ...

    @overload
    def starmap(self, submittable: Callee[T], iterable: Iterable[Iterable[Any]]) -> list[Future[T]]: ...

    def starmap(self, submittable: Any, iterable: Iterable[Iterable[Any]]) -> list[Future[Any]]:
        """Submit it once for each tuple of arguments; return the futures."""
        group = canvas.Group(*((submittable, *arguments) for arguments in iterable))
        submitted: list[Future[Any]] = group.submit(self).futures
        return submitted

    def fail(self, reason: str, details: Any = None) -> None:
        """Fail the workflow; does not return."""
        if not isinstance(self._executor, Run):
            self._executor.fail(reason, details)
        api.fail(self._executor, reason, details)

    def cancel(self) -> task.CancelWorkflowTask:
        """Submit it: everything that is open is asked to cancel, and the execution closes as CANCELED."""
        return task.CancelWorkflowTask()

    def continue_as_new(self, *args: Any, **kwargs: Any) -> task.ContinueAsNewTask:
        """Submit it: this run closes and a new one begins with these arguments."""
        return task.ContinueAsNewTask(*args, **kwargs)

    @property
    def should_continue_as_new(self) -> bool:
        """Whether the history, as of here, is so long that a new run should go on."""
        return api.should_continue_as_new(self._executor)

    def auto_continue_as_new(self, *args: Any, **kwargs: Any) -> None:
        """Continue as new with these arguments when it is due, else return."""
        if self.should_continue_as_new:
            self.submit(self.continue_as_new(*args, **kwargs))

    # -- signals, markers, timers

    def signal(
        self,
        name: str,
        *args: Any,
        workflow_id: str | None = None,
        run_id: str | None = None,
        propagate: bool = True,
        **kwargs: Any,
    ) -> task.SignalTask:
        """Submit it: signal an execution, without an id this one."""
        return task.SignalTask(name, *args, workflow_id=workflow_id, run_id=run_id, propagate=propagate, **kwargs)

    def wait_signal(self, name: str, timeout: numbers.Duration | None = None) -> signals.WaitForSignal:
        """Submit it: the future of the next signal of that name; its ``value`` is what was sent, whoever sent it.

        ``timeout``: seconds, or a timedelta, until the wait is cancelled.
        """
        return signals.WaitForSignal(name, timeout)

    def record_marker(self, name: str, details: Any = None) -> task.MarkerTask:
        """Submit it: a marker, once for each name and details."""
        return task.MarkerTask(name, details)

    def list_markers(self, all: bool = False) -> list[marker.Marker]:
        """Return the newest marker of each name, or all."""
        if not isinstance(self._executor, Run):
            found: list[marker.Marker] = self._executor.list_markers(all)
            return found
        return [marker.Marker(name, details) for name, details in api.list_markers(self._executor, all)]

    def get_event_details(self, event_type: str, event_name: str) -> dict[str, Any] | None:
        """Return what the history says of the newest signal, marker or timer of that name, None for none.

        ``event_type``: signal, marker or timer; ValueError for any other.
        """
        if not isinstance(self._executor, Run):
            found: dict[str, Any] | None = self._executor.get_event_details(event_type, event_name)
            return found
        return api.event_details(self._executor, event_type, event_name)

    def start_timer(self, timer_id: str, timeout: numbers.Duration, control: Any = None) -> task.TimerTask:
        """Submit it: a durable timer of so many seconds, or of a timedelta."""
        return task.TimerTask(timer_id, timeout, control)

    def cancel_timer(self, timer_id: str) -> task.CancelTimerTask:
        """Submit it: the open timer of that id does not fire any more; its future is done."""
        return task.CancelTimerTask(timer_id)

    # -- where it runs

    def get_run_context(self) -> dict[str, Any]:
        """Return name, version, domain_name, workflow_id, run_id, tag_list, continued_execution_run_id,
        parent_workflow_id and parent_run_id."""
        executor = self._executor
        context: dict[str, Any] = api.run_context(executor) if isinstance(executor, Run) else executor.get_run_context()
        return context

    #: 0.36's older name
    get_execution_context = get_run_context

    @property
    def cancel_requested(self) -> bool:
        """Whether the execution's cancellation was requested, as of here."""
        return api.cancel_requested(self._executor)

    @property
    def history_length(self) -> int:
        """Events of the history, as of here."""
        return api.history_length(self._executor)

    # -- determinism

    def now(self) -> datetime.datetime:
        """Return the time of the decision that this line first ran in; aware, UTC."""
        return api.now(self._executor)

    def uuid4(self) -> uuid.UUID:
        """Return a UUID that is the same in each re-run."""
        return api.uuid4(self._executor)

    def random(self) -> float:
        """Return a float in [0, 1) that is the same in each re-run."""
        return api.random(self._executor)

    def side_effect(self, id: str, function: Callable[[], T]) -> T:
        """Return what the function returned when this line first ran; recorded as a marker."""
        result: T = api.side_effect(self._executor, id, function)
        return result

    def patched(self, id: str) -> bool:
        """Return whether this execution takes the new way: older ones, that passed here before, do not."""
        return api.patched(self._executor, id)

    def deprecate_patch(self, id: str) -> None:
        """Say that no execution takes the old way any more; it may be left out once those with the marker ended."""
        api.patched(self._executor, id, deprecated=True)

    # -- cancellation

    def cancel_scope(
        self, *, shield: bool = False, wait: bool = False
    ) -> contextlib.AbstractContextManager[scopes.Scope]:
        """Open a scope: a cancel request raises TaskCanceled at what waits inside.

        ``shield``: not in here. ``wait``: leaving it waits until cancelled activities have acknowledged.
        """
        return scopes.scope(self._executor, shield=shield, wait=wait)

    def compensate(self) -> contextlib.AbstractContextManager[scopes.Saga]:
        """Open a saga: ``saga.add(undo, *args)`` after each step; when the block fails, undone in reverse order."""
        return scopes.saga(self)

    @overload
    def submit_local(self, submittable: Callee[Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> Future[T]: ...

    @overload
    def submit_local(self, submittable: Callee[T], *args: Any, **kwargs: Any) -> Future[T]: ...

    def submit_local(self, submittable: Any, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run an activity beside the decider, without a task of its own; recorded as a marker."""
        return api.local_activity(self._executor, submittable, args, kwargs)

    # -- hooks: each does nothing, and is called only when a class overrides it

    @hooks.default
    def before_replay(self, history: Any) -> None:
        """Called before ``run()`` in each evaluation."""

    @hooks.default
    def after_replay(self, history: Any) -> None:
        """Called at the end of each decision, finished or not."""

    @hooks.default
    def after_closed(self, history: Any) -> None:
        """Called once after the closing decision was accepted, however it closes."""

    @hooks.default
    def on_failure(self, history: Any, reason: str, details: str | None = None) -> None:
        """Called before the execution closes as FAILED."""

    @hooks.default
    def on_completed(self, history: Any) -> None:
        """Called once after COMPLETED was accepted."""

    @hooks.default
    def on_canceled(self, history: Any) -> None:
        """Called before the execution closes as CANCELED."""

    @hooks.default
    def should_cancel(self, history: Any) -> bool:
        """Return whether a cancel request closes the execution."""
        return True

    @hooks.default
    def on_task_failure(self, failure_context: task.TaskFailureContext) -> task.TaskFailureContext | None:
        """Decide what becomes of a failed task: ``failure_context.decide_...()``."""


def check(submittable: Any) -> None:
    """Raise TypeError for what cannot be submitted."""
    if not isinstance(submittable, base.Submittable | base.SubmittableContainer | activity.Activity):
        raise TypeError(f"{submittable!r} cannot be submitted")


__all__ = ["Workflow", "errors"]
