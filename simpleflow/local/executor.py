"""Run one workflow in this process (0.36's local executor), through the real service, engine and worker step."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Generic, TypeVar, cast, overload

from simpleflow import base, utils
from simpleflow.base import Result
from simpleflow.client import executions
from simpleflow.core import errors

from . import at_once, inline


class WorkflowFailed(errors.SimpleflowError):
    """The workflow closed as something else than completed, and not by an exception; the message says how."""


T = TypeVar("T")


class Executor(at_once.AtOnce, Generic[Result]):
    """``Executor(MyWorkflow).run({"args": [1], "kwargs": {}})`` returns what the workflow returns.

    ``run`` goes through the service: arguments are serialised, signals, timers, children and retries work. A task
    that is submitted outside ``run`` is executed at once. A subclass with its own ``submit`` gets every task that the
    workflow submits: then ``run`` executes the workflow at once, too, as 0.36 does.

    Args:
        workflow_class: the class of the workflow.
        middlewares: ``{"pre": [...], "post": [...]}``, dotted names of functions that are called around each activity.
        virtual_time: timers take no time, instead of real seconds.
    """

    @overload
    def __init__(
        self: Executor[T],
        workflow_class: type[base.Runs[Coroutine[Any, Any, T]]],
        middlewares: Mapping[str, list[str]] | None = None,
        *,
        virtual_time: bool = False,
    ) -> None: ...

    @overload
    def __init__(
        self,
        workflow_class: type[base.Runs[Result]],
        middlewares: Mapping[str, list[str]] | None = None,
        *,
        virtual_time: bool = False,
    ) -> None: ...

    def __init__(
        self, workflow_class: Any, middlewares: Mapping[str, list[str]] | None = None, *, virtual_time: bool = False
    ) -> None:
        super().__init__(workflow_class, middlewares)
        self._virtual_time = virtual_time
        #: reason and details of a run that failed
        self.reason: str | None = None
        self.details: str | None = None

    def run(self, input: Mapping[str, Any] | None = None) -> Result:
        """Run the workflow to its end and return its result.

        Raises what the workflow's ``run()`` raises: TaskFailed for a task that failed. Raises WorkflowFailed when it is
        canceled, times out, or calls ``fail()``.
        """
        given = input or {}
        if type(self).submit is not Executor.submit:
            return cast("Result", self.run_at_once(given))
        envelope = {
            "args": list(given.get("args", ())),
            "kwargs": dict(given.get("kwargs", {})),
            "__extra": {"class": utils.full_object_name(self._workflow_class)},
        }
        with inline.Inline(
            virtual_time=self._virtual_time,
            workflows=[self._workflow_class],
            pre=self._pre,
            post=self._post,
            patience=0.0 if self._virtual_time else inline.PATIENCE,
        ) as place:
            self.run_id = place.start(self._workflow_class, envelope, workflow_id=self.workflow_id)
            ended = place.run_until_closed(self.workflow_id, self.run_id)
            status, last = place.outcome(self.workflow_id, ended)
            if status == "COMPLETED":
                return cast("Result", None if last.result is None else place.load(last.result))
            self.reason, self.details = executions.why(last), getattr(last, "details", None)
            if status == "FAILED" and ended in place.raised:
                raise place.raised.pop(ended)
            raise WorkflowFailed(f"workflow {self._workflow_class.name} {status.lower()}: {self.reason or 'no reason'}")
