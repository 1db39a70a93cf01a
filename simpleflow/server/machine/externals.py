"""Signals and cancel requests from one execution to another."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from simpleflow.server.state import execution
from simpleflow.server.state import session as sessions

from . import child_executions, decision_tasks


def _taken(asked: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: asked[name] for name in names if asked.get(name) is not None and (name != "runId" or asked[name])}


def signal(session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int) -> str | None:
    """SignalExternalWorkflowExecution; return the cause when it fails before it is initiated."""
    if not session.limit.rates.take_decision("SignalExternalWorkflowExecution"):
        return "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED"
    attributes = _taken(asked, "workflowId", "runId", "signalName", "input", "control")
    attributes["decisionTaskCompletedEventId"] = completed
    initiated = run.append("SignalExternalWorkflowExecutionInitiated", attributes)
    if initiated:
        session.outbox.append(functools.partial(_signal, session, run, asked, completed, initiated))
    return None


def _signal(
    session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int, initiated: int
) -> None:
    target = session.by_id(run.config.domain, asked["workflowId"], asked.get("runId"))
    if target is None:
        signal_failed(run, asked, "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION", completed, initiated=initiated)
    else:
        attributes = _taken(asked, "signalName", "input")
        received(target, {**attributes, "externalInitiatedEventId": initiated, "externalWorkflowExecution": run.wire})
        run.append(
            "ExternalWorkflowExecutionSignaled", {"initiatedEventId": initiated, "workflowExecution": target.wire}
        )
    decision_tasks.request(run)


def received(target: execution.Execution, attributes: dict[str, Any]) -> None:
    """Record a signal in the execution that it was sent to."""
    target.append("WorkflowExecutionSignaled", attributes)
    decision_tasks.request(target)


def signal_failed(
    run: execution.Execution, asked: Mapping[str, Any], cause: str, completed: int, *, initiated: int = 0
) -> None:
    """Record SignalExternalWorkflowExecutionFailed."""
    attributes = _taken(asked, "workflowId", "runId", "control")
    attributes |= {"cause": cause, "decisionTaskCompletedEventId": completed, "initiatedEventId": initiated}
    run.append("SignalExternalWorkflowExecutionFailed", attributes)


def cancel(session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int) -> str | None:
    """RequestCancelExternalWorkflowExecution; return the cause when it fails before it is initiated."""
    if not session.limit.rates.take_decision("RequestCancelExternalWorkflowExecution"):
        return "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED"
    attributes = _taken(asked, "workflowId", "runId", "control")
    attributes["decisionTaskCompletedEventId"] = completed
    initiated = run.append("RequestCancelExternalWorkflowExecutionInitiated", attributes)
    if initiated:
        session.outbox.append(functools.partial(_cancel, session, run, asked, completed, initiated))
    return None


def _cancel(
    session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int, initiated: int
) -> None:
    target = session.by_id(run.config.domain, asked["workflowId"], asked.get("runId"))
    if target is None:
        cancel_failed(run, asked, "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION", completed, initiated=initiated)
    else:
        child_executions.request_cancel(
            target, {"externalInitiatedEventId": initiated, "externalWorkflowExecution": run.wire}
        )
        run.append(
            "ExternalWorkflowExecutionCancelRequested",
            {"initiatedEventId": initiated, "workflowExecution": target.wire},
        )
    decision_tasks.request(run)


def cancel_failed(
    run: execution.Execution, asked: Mapping[str, Any], cause: str, completed: int, *, initiated: int = 0
) -> None:
    """Record RequestCancelExternalWorkflowExecutionFailed."""
    attributes = _taken(asked, "workflowId", "runId", "control")
    attributes |= {"cause": cause, "decisionTaskCompletedEventId": completed, "initiatedEventId": initiated}
    run.append("RequestCancelExternalWorkflowExecutionFailed", attributes)
