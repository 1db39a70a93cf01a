"""Events of a parent about its child executions, and cancel requests from another execution."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from simpleflow.server.state import execution
from simpleflow.server.state import session as sessions
from simpleflow.server.state import state as states

from . import decision_tasks, starting


def start(session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int) -> str | None:
    """StartChildWorkflowExecution; return the cause when it fails before it is initiated."""
    config, kind = run.config, asked["workflowType"]
    found = session.type(config.domain, "workflow", kind["name"], kind["version"])
    if found is None:
        return "WORKFLOW_TYPE_DOES_NOT_EXIST"
    if found.deprecated is not None:
        return "WORKFLOW_TYPE_DEPRECATED"
    limit = session.limit
    if limit.open_child_executions is not None and run.child_executions >= limit.open_child_executions:
        return "OPEN_CHILDREN_LIMIT_EXCEEDED"
    beginning = session.promised[config.domain]
    if limit.open_executions is not None and session.count_open(config.domain) + beginning >= limit.open_executions:
        return "OPEN_WORKFLOWS_LIMIT_EXCEEDED"
    options, missing = starting.options(asked, found)
    if missing is not None:
        return starting.CAUSES[missing]
    if not limit.rates.take_decision("StartChildWorkflowExecution"):
        return "CHILD_CREATION_RATE_EXCEEDED"
    attributes = {**options, "decisionTaskCompletedEventId": completed, "workflowId": asked["workflowId"]}
    attributes["workflowType"] = kind
    if "control" in asked:
        attributes["control"] = asked["control"]
    initiated = run.append("StartChildWorkflowExecutionInitiated", attributes)
    child = states.Child(
        workflow_id=asked["workflowId"],
        run_id="",
        type_name=kind["name"],
        type_version=kind["version"],
        initiated=initiated,
    )
    run.open(initiated, child)
    session.promised[config.domain] += 1
    session.outbox.append(functools.partial(_begin, session, run, child, options, asked, completed))
    return None


def _begin(
    session: sessions.Session,
    run: execution.Execution,
    child: states.Child,
    options: dict[str, Any],
    asked: Mapping[str, Any],
    completed: int,
) -> None:
    session.promised[run.config.domain] -= 1
    if run.close_status in ("TERMINATED", "TIMED_OUT"):
        return
    if session.by_id(run.config.domain, child.workflow_id) is not None:
        failed(run, asked, "WORKFLOW_ALREADY_RUNNING", completed, initiated=child.initiated)
        run.end(child.initiated)
        decision_tasks.request(run)
        return
    parent = states.Parent(
        key=run.key, workflow_id=run.config.workflow_id, run_id=run.config.run_id, initiated=child.initiated
    )
    begun = starting.begin(
        session, run.config.domain, child.workflow_id, (child.type_name, child.type_version), options, parent=parent
    )
    child.run_id = begun.config.run_id
    child.started = run.append(
        "ChildWorkflowExecutionStarted",
        {"initiatedEventId": child.initiated, "workflowExecution": begun.wire, "workflowType": begun.wire_type},
    )
    if child.initiated in run.items and not run.ended():
        run.keep(child.initiated)
    decision_tasks.request(run)


def failed(
    run: execution.Execution, asked: Mapping[str, Any], cause: str, completed: int, *, initiated: int = 0
) -> None:
    """Record StartChildWorkflowExecutionFailed. Only WORKFLOW_ALREADY_RUNNING follows an initiated event."""
    attributes = {
        "cause": cause,
        "decisionTaskCompletedEventId": completed,
        "initiatedEventId": initiated,
        "workflowId": asked["workflowId"],
        "workflowType": asked["workflowType"],
    }
    if "control" in asked:
        attributes["control"] = asked["control"]
    run.append("StartChildWorkflowExecutionFailed", attributes)


#: last event of a child -> the event of its parent, and the attributes that are copied
_ENDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "WorkflowExecutionCompleted": ("ChildWorkflowExecutionCompleted", ("result",)),
    "WorkflowExecutionFailed": ("ChildWorkflowExecutionFailed", ("reason", "details")),
    "WorkflowExecutionCanceled": ("ChildWorkflowExecutionCanceled", ("details",)),
    "WorkflowExecutionTimedOut": ("ChildWorkflowExecutionTimedOut", ("timeoutType",)),
    "WorkflowExecutionTerminated": ("ChildWorkflowExecutionTerminated", ()),
}


def _as_parent_sees(
    session: sessions.Session, run: execution.Execution
) -> tuple[execution.Execution, states.Child] | None:
    parent = run.config.parent
    above = None if parent is None else session.by_key(parent.key)
    if parent is None or above is None:
        return None
    child = above.items.get(parent.initiated)
    return (above, child) if type(child) is states.Child else None


def closed(session: sessions.Session, run: execution.Execution, kind: str, last: Mapping[str, Any]) -> None:
    """Record in the parent, when it is open, how its child ended."""
    seen = _as_parent_sees(session, run)
    if seen is None:
        return
    parent, child = seen
    word, taken = _ENDS[kind]
    attributes: dict[str, Any] = {name: last[name] for name in taken if name in last}
    attributes["initiatedEventId"] = child.initiated
    attributes["startedEventId"] = child.started
    attributes["workflowExecution"] = run.wire
    attributes["workflowType"] = run.wire_type
    parent.append(word, attributes)
    parent.end(child.initiated)
    decision_tasks.request(parent)


def continued(session: sessions.Session, run: execution.Execution, successor: execution.Execution) -> None:
    """Make the run that continues this one the child of the parent."""
    seen = _as_parent_sees(session, run)
    if seen is not None:
        parent, child = seen
        child.run_id = successor.config.run_id
        child.type_version = successor.config.type_version
        parent.keep(child.initiated)


def request_cancel(run: execution.Execution, attributes: dict[str, Any]) -> None:
    """Record a cancel request, and schedule a decision task for it."""
    run.append("WorkflowExecutionCancelRequested", attributes)
    if not run.ended():
        if not run.state.cancel_requested:
            run.state.cancel_requested = run.newly_canceled = True
        decision_tasks.request(run)
