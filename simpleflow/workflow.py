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
    """A workflow: a subclass defines ``run()`` and these attributes.

    Each evaluation makes a fresh instance; nothing that is kept on ``self`` reaches the next one. Attributes:

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
        """The object that runs this instance: an evaluation of the engine, or a local executor."""
        return self._executor

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work: a subclass defines it, with ``def`` or ``async def``.

        Its arguments are those of the start. Its return value is the result of the workflow; an exception that leaves
        it fails the workflow.
        """
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
        """Submit ``submittable`` and return the future of its result, without waiting.

        It is an Activity or a Workflow class with its arguments, or a task, WaitForSignal, group, chain or step. An
        argument may be a future; the task is then scheduled once that is done. ``__priority=5`` sets the priority of
        the task. Raises TypeError for anything else.
        """
        if type(submittable) is _Activity and type(self._executor) is _Evaluation and not kwargs:
            return api.activity(self._executor, submittable, args, kwargs)  # the most frequent case, written out
        return canvas.submit(self, submittable, args, kwargs)

    @overload
    def map(self, submittable: Callee[Coroutine[Any, Any, T]], iterable: Iterable[Any]) -> list[Future[T]]: ...

    @overload
    def map(self, submittable: Callee[T], iterable: Iterable[Any]) -> list[Future[T]]: ...

    def map(self, submittable: Any, iterable: Iterable[Any]) -> list[Future[Any]]:
        """Submit ``submittable`` once for each item, which is its argument; return the futures in order."""
        return self.starmap(submittable, ((item,) for item in iterable))

    @overload
    def starmap(
        self, submittable: Callee[Coroutine[Any, Any, T]], iterable: Iterable[Iterable[Any]]
    ) -> list[Future[T]]: ...

    @overload
    def starmap(self, submittable: Callee[T], iterable: Iterable[Iterable[Any]]) -> list[Future[T]]: ...

    def starmap(self, submittable: Any, iterable: Iterable[Iterable[Any]]) -> list[Future[Any]]:
        """Submit ``submittable`` once for each tuple of arguments; return the futures in order."""
        group = canvas.Group(*((submittable, *arguments) for arguments in iterable))
        submitted: list[Future[Any]] = group.submit(self).futures
        return submitted

    def fail(self, reason: str, details: Any = None) -> None:
        """Close the execution as FAILED; this call does not return.

        ``reason`` is a text. ``details`` is a text, or a value that is serialised as JSON.
        """
        if not isinstance(self._executor, Run):
            self._executor.fail(reason, details)
        api.fail(self._executor, reason, details)

    def cancel(self) -> task.CancelWorkflowTask:
        """Return a task. Once submitted, it asks all open tasks to cancel and closes the execution as CANCELED."""
        return task.CancelWorkflowTask()

    def continue_as_new(self, *args: Any, **kwargs: Any) -> task.ContinueAsNewTask:
        """Return a task. Once submitted, it closes this run and starts a new one with these arguments."""
        return task.ContinueAsNewTask(*args, **kwargs)

    @property
    def should_continue_as_new(self) -> bool:
        """Whether the history is so long, as of this line, that the workflow should continue as new."""
        return api.should_continue_as_new(self._executor)

    def auto_continue_as_new(self, *args: Any, **kwargs: Any) -> None:
        """Continue as new with these arguments if ``should_continue_as_new``; else return."""
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
        """Return a task that sends a signal with these arguments; submit it.

        ``workflow_id``, ``run_id``: the execution to signal; by default this one. ``propagate``: an execution that
        gets the signal sends it on to its open children and to its parent. The future of the task fails when no such
        execution is open.
        """
        return task.SignalTask(name, *args, workflow_id=workflow_id, run_id=run_id, propagate=propagate, **kwargs)

    def wait_signal(self, name: str, timeout: numbers.Duration | None = None) -> signals.WaitForSignal:
        """Return a wait for the next signal of that name; submit it: ``self.submit(self.wait_signal("go")).value``.

        ``value`` of its future is the value that was sent. ``timeout``: seconds, or a timedelta, after which the wait
        is cancelled.
        """
        return signals.WaitForSignal(name, timeout)

    def record_marker(self, name: str, details: Any = None) -> task.MarkerTask:
        """Return a task that writes a marker into the history; submit it. Equal name and details are written once.

        ``details`` is serialised as JSON.
        """
        return task.MarkerTask(name, details)

    def list_markers(self, all: bool = False) -> list[marker.Marker]:
        """Return the newest marker of each name; with ``all`` every marker, oldest first."""
        if not isinstance(self._executor, Run):
            found: list[marker.Marker] = self._executor.list_markers(all)
            return found
        return [marker.Marker(name, details) for name, details in api.list_markers(self._executor, all)]

    def get_event_details(self, event_type: str, event_name: str) -> dict[str, Any] | None:
        """Return the newest signal, marker or timer of that name as a dictionary; None when there is none.

        ``event_type`` is ``"signal"``, ``"marker"`` or ``"timer"``. Raises ValueError for any other.
        """
        if not isinstance(self._executor, Run):
            found: dict[str, Any] | None = self._executor.get_event_details(event_type, event_name)
            return found
        return api.event_details(self._executor, event_type, event_name)

    def start_timer(self, timer_id: str, timeout: numbers.Duration, control: Any = None) -> task.TimerTask:
        """Return a durable timer; submit it: ``self.submit(self.start_timer("pause", 60)).result``.

        ``timeout``: seconds, or a timedelta. ``control``: a value that is kept beside it in the history, as JSON.
        """
        return task.TimerTask(timer_id, timeout, control)

    def cancel_timer(self, timer_id: str) -> task.CancelTimerTask:
        """Return a task. Once submitted, the open timer of that id does not fire any more; its future is done."""
        return task.CancelTimerTask(timer_id)

    # -- where it runs

    def get_run_context(self) -> dict[str, Any]:
        """Describe this execution.

        The keys are name, version, domain_name, workflow_id, run_id, tag_list, continued_execution_run_id,
        parent_workflow_id and parent_run_id.
        """
        executor = self._executor
        context: dict[str, Any] = api.run_context(executor) if isinstance(executor, Run) else executor.get_run_context()
        return context

    #: 0.36's older name
    get_execution_context = get_run_context

    @property
    def cancel_requested(self) -> bool:
        """Whether the cancellation of this execution was requested before this line."""
        return api.cancel_requested(self._executor)

    @property
    def history_length(self) -> int:
        """The number of events in the history as of this line."""
        return api.history_length(self._executor)

    # -- determinism

    def now(self) -> datetime.datetime:
        """Return the time of the decision in which this line first ran: the same in each re-run; aware, UTC."""
        return api.now(self._executor)

    def uuid4(self) -> uuid.UUID:
        """Return a UUID that is the same in each re-run."""
        return api.uuid4(self._executor)

    def random(self) -> float:
        """Return a float in [0, 1) that is the same in each re-run."""
        return api.random(self._executor)

    def side_effect(self, id: str, function: Callable[[], T]) -> T:
        """Call ``function`` when this line first runs, and return its result; a re-run returns the recorded result.

        The result is serialised as JSON into a marker. ``id`` names the marker, and stays the same in later code.
        """
        result: T = api.side_effect(self._executor, id, function)
        return result

    def patched(self, id: str) -> bool:
        """Return whether this execution takes new code: ``if self.patched("new-rounding"): ... else: ...``.

        False for executions that passed this line with the code before. ``id`` names the change.
        """
        return api.patched(self._executor, id)

    def deprecate_patch(self, id: str) -> None:
        """Take the place of ``patched(id)`` once no open execution needs the old code.

        Remove this call when all executions that called ``patched(id)`` have ended.
        """
        api.patched(self._executor, id, deprecated=True)

    # -- cancellation

    def cancel_scope(
        self, *, shield: bool = False, wait: bool = False
    ) -> contextlib.AbstractContextManager[scopes.Scope]:
        """Open a scope: ``with self.cancel_scope() as scope: ...``. ``scope.cancel()`` cancels what is open inside.

        A cancel request raises TaskCanceled where ``run()`` waits inside the scope. ``shield``: a cancel request does
        not reach what is inside. ``wait``: leaving the scope waits until the cancelled tasks have ended.
        """
        return scopes.scope(self._executor, shield=shield, wait=wait)

    def compensate(self) -> contextlib.AbstractContextManager[scopes.Saga]:
        """Open a saga: ``with self.compensate() as saga: ...``. Call ``saga.add(undo, *args)`` after each step.

        When the block raises, what was added is submitted in reverse order, each waited for, shielded from further
        cancel requests; then the exception goes on.
        """
        return scopes.saga(self)

    @overload
    def submit_local(self, submittable: Callee[Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> Future[T]: ...

    @overload
    def submit_local(self, submittable: Callee[T], *args: Any, **kwargs: Any) -> Future[T]: ...

    def submit_local(self, submittable: Any, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a short activity in a process beside the decider, without a task at the service; return its future.

        Its result is recorded as a marker.
        """
        return api.local_activity(self._executor, submittable, args, kwargs)

    # -- hooks: each does nothing, and is called only when a class overrides it

    @hooks.default
    def before_replay(self, history: Any) -> None:
        """Override it: called before ``run()`` in each evaluation. ``history`` has the events as dictionaries."""

    @hooks.default
    def after_replay(self, history: Any) -> None:
        """Override it: called at the end of each decision, whether the run has ended or not."""

    @hooks.default
    def after_closed(self, history: Any) -> None:
        """Override it: called once after the service accepted the closing decision, whatever the close status."""

    @hooks.default
    def on_failure(self, history: Any, reason: str, details: str | None = None) -> None:
        """Override it: called before the execution closes as FAILED."""

    @hooks.default
    def on_completed(self, history: Any) -> None:
        """Override it: called once after the service accepted COMPLETED."""

    @hooks.default
    def on_canceled(self, history: Any) -> None:
        """Override it: called before the execution closes as CANCELED."""

    @hooks.default
    def should_cancel(self, history: Any) -> bool:
        """Override it: return whether a cancel request closes the execution."""
        return True

    @hooks.default
    def on_task_failure(self, failure_context: task.TaskFailureContext) -> task.TaskFailureContext | None:
        """Override it: return ``failure_context.decide_retry(60)`` or another decision about a task that failed.

        None leaves the task to its own retries.
        """


def check(submittable: Any) -> None:
    """Raise TypeError for what cannot be submitted."""
    if not isinstance(submittable, base.Submittable | base.SubmittableContainer | activity.Activity):
        raise TypeError(f"{submittable!r} cannot be submitted")


__all__ = ["Workflow", "errors"]
