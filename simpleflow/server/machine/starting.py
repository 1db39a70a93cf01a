"""Starts of executions: by a call, as a child, or as the continuation of another run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from simpleflow.server.state import execution
from simpleflow.server.state import session as sessions
from simpleflow.server.state import state as states

from . import decision_tasks

#: members that the request or the type must give: wire name -> name of the type's default
DEFAULTS: Final = {
    "executionStartToCloseTimeout": "defaultExecutionStartToCloseTimeout",
    "taskList": "defaultTaskList",
    "taskStartToCloseTimeout": "defaultTaskStartToCloseTimeout",
    "childPolicy": "defaultChildPolicy",
}
#: the default that is missing -> failure cause
CAUSES: Final = {
    "defaultExecutionStartToCloseTimeout": "DEFAULT_EXECUTION_START_TO_CLOSE_TIMEOUT_UNDEFINED",
    "defaultTaskList": "DEFAULT_TASK_LIST_UNDEFINED",
    "defaultTaskStartToCloseTimeout": "DEFAULT_TASK_START_TO_CLOSE_TIMEOUT_UNDEFINED",
    "defaultChildPolicy": "DEFAULT_CHILD_POLICY_UNDEFINED",
}


def options(asked: Mapping[str, Any], kind: states.Type) -> tuple[dict[str, Any], str | None]:
    """Return the options of a start, the type's defaults filled in, and the default that is missing, if one is."""
    chosen: dict[str, Any] = {}
    for name, default in DEFAULTS.items():
        value = asked.get(name) or kind.defaults.get(default)
        if value is None:
            return chosen, default
        chosen[name] = value
    for name, default in (("taskPriority", "defaultTaskPriority"), ("lambdaRole", "defaultLambdaRole")):
        value = asked.get(name) or kind.defaults.get(default)
        if value:
            chosen[name] = value
    if asked.get("tagList"):
        chosen["tagList"] = list(asked["tagList"])
    if "input" in asked:
        chosen["input"] = asked["input"]
    return chosen, None


def begin(
    session: sessions.Session,
    domain: str,
    workflow_id: str,
    kind: tuple[str, str],
    chosen: Mapping[str, Any],
    *,
    parent: states.Parent | None = None,
    continues: str | None = None,
) -> execution.Execution:
    """Make an execution with its first two events."""

    def config(run_id: str) -> states.Config:
        return states.Config(
            domain=domain,
            workflow_id=workflow_id,
            run_id=run_id,
            type_name=kind[0],
            type_version=kind[1],
            task_list=chosen["taskList"]["name"],
            task_priority=chosen.get("taskPriority"),
            execution_timeout=chosen["executionStartToCloseTimeout"],
            task_timeout=chosen["taskStartToCloseTimeout"],
            child_policy=chosen["childPolicy"],
            tags=tuple(chosen.get("tagList", ())),
            lambda_role=chosen.get("lambdaRole"),
            parent=parent,
            started=session.now,
        )

    run = session.create(config)
    attributes: dict[str, Any] = {**chosen, "parentInitiatedEventId": 0, "workflowType": run.wire_type}
    if parent is not None:
        attributes["parentInitiatedEventId"] = parent.initiated
        attributes["parentWorkflowExecution"] = {"workflowId": parent.workflow_id, "runId": parent.run_id}
    if continues is not None:
        attributes["continuedExecutionRunId"] = continues
    run.append("WorkflowExecutionStarted", attributes)
    decision_tasks.request(run)
    return run
