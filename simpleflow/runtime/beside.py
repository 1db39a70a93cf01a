"""Local activities: run beside the decider, on the lane's thread, by the worker's own task function."""

from __future__ import annotations

from simpleflow import dispatch
from simpleflow import engine as engines
from simpleflow.core import payloads as core_payloads

from . import execute, values


class Beside:
    """Runs local activities in this process. Thread safe; what they return or raise is persisted with the decision."""

    def __init__(
        self,
        *,
        payloads: core_payloads.Payloads,
        store: execute.Store,
        dispatcher: execute.Dispatcher | None = None,
    ) -> None:
        self._executor = execute.Executor(
            dispatcher=dispatcher or dispatch.Dispatcher(), payloads=payloads, store=store
        )

    def run(self, activity: engines.LocalActivity, task: engines.DecisionTask) -> engines.LocalResult:
        """Run one; never raises."""
        answer = self._executor.handle(
            values.Task(
                activity_id=activity.key,
                name=activity.name,
                version="",
                workflow_id=task.workflow_id,
                run_id=task.run_id,
                domain=task.domain,
                task_list="",
                started_event_id=task.started_event_id,
                input=activity.input,
            )
        )
        match answer:
            case values.Completed(result=result):
                return engines.LocalResult(result="null" if result is None else result)
            case values.Failed(reason=reason, details=details):
                return engines.LocalResult(reason=reason, details=details)
            case values.Canceled(details=details):
                return engines.LocalResult(reason="canceled", details=details)
