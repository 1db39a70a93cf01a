"""Run one workflow in this process (0.36's local executor), through the real service, engine and worker step."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from simpleflow import dispatch, utils
from simpleflow.core import errors
from simpleflow.runtime import execute, stores, values

from . import inline


class WorkflowFailed(errors.SimpleflowError):
    """The workflow closed as something else than completed; the message says how."""


class Executor:
    """``Executor(MyWorkflow).run({"args": [1], "kwargs": {}})`` returns what the workflow returns.

    ``run`` goes through the service: arguments are serialised, signals, timers, children and retries work. A task
    that is submitted outside ``run`` is executed at once. Raises WorkflowFailed when the workflow does not complete.
    """

    def __init__(
        self, workflow_class: Any, middlewares: Mapping[str, list[str]] | None = None, *, virtual_time: bool = False
    ) -> None:
        self._workflow_class = workflow_class
        middlewares = middlewares or {}
        self._pre = tuple(middlewares.get("pre", ()))
        self._post = tuple(middlewares.get("post", ()))
        self._virtual_time = virtual_time
        self.workflow_id = f"local_{workflow_class.name}"
        self.run_id = uuid.uuid4().hex
        #: reason and details of a run that failed
        self.reason: str | None = None
        self.details: str | None = None

    def run(self, input: Mapping[str, Any] | None = None) -> Any:
        """Run the workflow to its end and return its result."""
        given = input or {}
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
            status, last = place.outcome(self.workflow_id, place.run_until_closed(self.workflow_id, self.run_id))
            if status == "COMPLETED":
                return None if last.result is None else place.load(last.result)
            self.reason, self.details = getattr(last, "reason", None), getattr(last, "details", None)
            raise WorkflowFailed(f"workflow {self._workflow_class.name} {status.lower()}: {self.reason or 'no reason'}")

    def execute(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Run one activity at once through the worker's own task function, and return its result.

        Arguments and result are serialised as between machines. Raises WorkflowFailed when it fails.
        """
        payloads = stores.payloads()
        task = values.Task(
            activity_id=f"activity-{name}-1",
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
        ).handle(task)
        match answer:
            case values.Completed(result=text):
                return None if text is None else payloads.decode(text)
            case values.Failed(reason=reason, details=details):
                self.reason, self.details = reason, details
                raise WorkflowFailed(f"activity {name} failed: {reason}")
            case _:
                raise WorkflowFailed(f"activity {name} was canceled")
