"""Tasks that run at once, in the process and the call that submits them: outside ``run()``, and under executors of a
program's own."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from simpleflow import activity, base, canvas, dispatch, futures, marker, task, utils
from simpleflow import signal as signals
from simpleflow.core import errors, numbers, text
from simpleflow.core.history import History
from simpleflow.runtime import execute, stores, values

from . import inline


class AtOnce:
    """What 0.36's local executor offers beside ``run()``. Each submitted task has ended when ``submit`` returns."""

    def __init__(self, workflow_class: Any, middlewares: Mapping[str, list[str]] | None = None) -> None:
        self._workflow_class = workflow_class
        middlewares = middlewares or {}
        self._pre = tuple(middlewares.get("pre", ()))
        self._post = tuple(middlewares.get("post", ()))
        self._workflow: Any = None
        self._markers: list[marker.Marker] = []
        self._numbers = itertools.count(1)
        #: signals that were submitted, by name
        self.signals_sent: dict[str, list[Any]] = {}
        #: (workflow id, run id) of the workflows that run within each other
        self._within = [(f"local_{workflow_class.name}".lower(), str(uuid.uuid4()))]
        self._input: Mapping[str, Any] = {}

    # -- the workflow

    @property
    def workflow_class(self) -> Any:
        """The class that it was made for."""
        return self._workflow_class

    @property
    def workflow(self) -> Any:
        """The instance whose tasks are submitted here."""
        self.create_workflow()
        return self._workflow

    def create_workflow(self) -> None:
        """Make the instance, if there is none."""
        if self._workflow is None:
            self._workflow = self._workflow_class(self)

    def initialize_history(self, input: Mapping[str, Any]) -> None:
        """Forget what ran before; tasks may be submitted from now on."""
        self._input = input
        self._markers.clear()
        self.signals_sent.clear()

    @property
    def workflow_id(self) -> str:
        """``local_`` and the name of the workflow that runs."""
        return self._within[-1][0]

    @property
    def run_id(self) -> str:
        """The run id of the workflow that runs: a UUID."""
        return self._within[-1][1]

    @run_id.setter
    def run_id(self, run_id: str) -> None:
        self._within[-1] = (self.workflow_id, run_id)

    @property
    def domain(self) -> str:
        """The name of the domain in which local runs take place."""
        return inline.DOMAIN

    @property
    def history(self) -> History:
        """The history of what runs at once: it has none, so it is empty."""
        return History(())

    def run_workflow(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``run()`` of the instance."""
        return self.workflow.run(*args, **kwargs)

    def run_at_once(self, input: Mapping[str, Any]) -> Any:
        """Call ``run()`` with its hooks; a task that is not done raises ExecutionBlocked where it is waited for."""
        self.initialize_history(input)
        self._workflow = None
        workflow = self.workflow
        workflow.before_replay(self.history)
        result = self.run_workflow(*input.get("args", ()), **input.get("kwargs", {}))
        for hook in ("after_replay", "on_completed", "after_closed"):
            getattr(workflow, hook)(self.history)
        return result

    # -- submitting

    def submit(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a task, an activity or a Workflow class at once; return its future, which is done."""
        kwargs.pop("__priority", None)
        given = self._task_of(func, args, kwargs)
        if isinstance(given, base.SubmittableContainer):
            return given.submit(self)
        future: futures.Future[Any] = futures.Future()
        try:
            future.set_finished(self._perform(given))
        except errors.TaskFailed as failed:
            if _raises(given):
                raise
            future.set_exception(failed)
        return future

    def _task_of(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if isinstance(func, activity.Activity):
            return task.ActivityTask(func, *args, **kwargs)
        if canvas.is_workflow(func):
            return task.WorkflowTask(self, func, *args, **kwargs)
        if isinstance(func, base.Submittable | base.SubmittableContainer):
            return func
        raise TypeError(
            f"invalid type {type(func).__name__} of {func!r}: submit an activity, a Workflow class or a task"
        )

    def _perform(self, given: Any) -> Any:
        if isinstance(given, task.ActivityTask):
            return self._run_activity(given)
        if isinstance(given, task.WorkflowTask):
            return self._run_child(given)
        if isinstance(given, task.SignalTask):
            self.signals_sent.setdefault(given.name, []).append({"args": given.args, "kwargs": given.kwargs})
            return None
        if isinstance(given, signals.WaitForSignal):
            if given.signal_name not in self.signals_sent:
                raise NotImplementedError(
                    f"wait_signal({given.signal_name!r}) before the signal was sent would wait for ever here: let the "
                    "executor run the workflow, run({...}), without a submit() of your own"
                )
            return self.signals_sent[given.signal_name][0]
        if isinstance(given, task.MarkerTask):
            self._markers.append(marker.Marker(given.name, given.details))
            return None
        if isinstance(given, task.TimerTask):
            time.sleep(numbers.duration(f"timeout of timer {given.timer_id!r}", given.timeout))
            return None
        if isinstance(given, task.CancelTimerTask):
            return None
        own = getattr(given, "execute", None)
        if own is None:
            raise TypeError(f"{given!r} cannot be run at once: give {type(given).__name__} an execute()")
        return own()

    def _run_activity(self, given: task.ActivityTask) -> Any:
        args, kwargs = given.resolve_args(*given.args), given.resolve_kwargs(**given.kwargs)
        return self.execute(given.activity.name, *args, **kwargs)

    def _run_child(self, given: task.WorkflowTask) -> Any:
        args, kwargs = given.resolve_args(*given.args), given.resolve_kwargs(**given.kwargs)
        chosen = given.workflow_id_for(args, kwargs)
        self._within.append((chosen or f"local_{given.workflow.name}".lower(), str(uuid.uuid4())))
        try:
            return given.workflow(self).run(*args, **kwargs)
        except Exception as error:
            raise errors.TaskFailed(given.name, utils.format_exc(error), text.details(error)) from error
        finally:
            self._within.pop()

    def execute(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Run one activity at once through the worker's own task function, and return its result.

        Arguments and result are serialised as between machines. Raises TaskFailed when it fails.
        """
        payloads = stores.payloads()
        given = values.Task(
            activity_id=f"activity-{name}-{next(self._numbers)}",
            name=name,
            version="local",
            workflow_id=self.workflow_id,
            run_id=self.run_id,
            domain=inline.DOMAIN,
            task_list="local",
            input=payloads.encode({"args": list(args), "kwargs": kwargs}),
        )
        answer = execute.Executor(
            dispatcher=dispatch.Dispatcher(),
            payloads=payloads,
            store=stores.open_store(None),
            middleware=execute.Middleware(self._pre, self._post),
        ).handle(given)
        match answer:
            case values.Completed(result=encoded):
                return None if encoded is None else payloads.decode(encoded)
            case values.Failed(reason=reason, details=details):
                raise errors.TaskFailed(f"activity-{name}", reason, details)
            case _:
                raise errors.TaskFailed(f"activity-{name}", "it was canceled")

    def map(self, callable: Any, iterable: Iterable[Any]) -> list[Any]:
        """Submit it once for each item; return the futures."""
        return [self.submit(callable, item) for item in iterable]

    def starmap(self, callable: Any, iterable: Iterable[Iterable[Any]]) -> list[Any]:
        """Submit it once for each tuple of arguments; return the futures."""
        return [self.submit(callable, *arguments) for arguments in iterable]

    # -- what a workflow asks

    def get_run_context(self) -> dict[str, Any]:
        """Return what is known of where it runs."""
        return {
            "name": self._workflow_class.name,
            "version": getattr(self._workflow_class, "version", None),
            "domain_name": inline.DOMAIN,
            "workflow_id": self.workflow_id,
            "run_id": self.run_id,
            "tag_list": [],
            "continued_execution_run_id": None,
            "parent_workflow_id": None,
            "parent_run_id": None,
        }

    def signal(self, name: str, *args: Any, **kwargs: Any) -> task.SignalTask:
        """Return the task that sends a signal, to submit."""
        return task.SignalTask(name, *args, **kwargs)

    def wait_signal(self, name: str) -> signals.WaitForSignal:
        """Return the wait for a signal, to submit."""
        return signals.WaitForSignal(name)

    def record_marker(self, name: str, details: Any = None) -> task.MarkerTask:
        """Return the task that records a marker, to submit."""
        return task.MarkerTask(name, details)

    def list_markers(self, all: bool = False) -> list[marker.Marker]:
        """Return the newest marker of each name, or all."""
        return list(self._markers) if all else list({each.name: each for each in self._markers}.values())

    def get_event_details(self, event_type: str, event_name: str) -> dict[str, Any] | None:
        """Return None: what runs at once has no history."""
        return None

    def continue_as_new(self, workflow: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a workflow anew with these arguments, and return its result."""
        self._workflow_class, self._workflow = workflow, None
        return self.run_at_once({"args": args, "kwargs": kwargs})

    def fail(self, reason: str, details: Any = None) -> None:
        """Fail what runs."""
        raise errors.TaskFailed(self._workflow_class.name, reason, details)


def _raises(given: Any) -> bool:
    declared = given.activity if isinstance(given, task.ActivityTask) else given
    return bool(getattr(declared, "raises_on_failure", False))
