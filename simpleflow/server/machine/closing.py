"""The end of an execution: its last event, the message to its parent, and the child policy."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from simpleflow.server.state import execution
from simpleflow.server.state import session as sessions
from simpleflow.server.state import state as states

from . import child_executions


def close(session: sessions.Session, run: execution.Execution, kind: str, attributes: Mapping[str, Any]) -> None:
    """Record the last event of an execution; everything open in it ends without an event."""
    if run.ended():
        return
    counts = run.counts()
    run.append(kind, dict(attributes))
    run.closed = run.state.last_at
    run.close_status = execution.CLOSING[kind]
    run.state.decision_due = None
    run.final = states.Final(state=run.state, counts=counts)
    session.closed_one(run.config.domain)
    if run.config.parent is not None and kind != "WorkflowExecutionContinuedAsNew":
        session.outbox.append(functools.partial(child_executions.closed, session, run, kind, attributes))


def terminate(
    session: sessions.Session,
    run: execution.Execution,
    *,
    cause: str,
    given: Mapping[str, Any] | None = None,
    child_policy: str | None = None,
) -> None:
    """Terminate an execution; ``given`` is the operator's reason and details."""
    policy = child_policy or run.config.child_policy
    close(session, run, "WorkflowExecutionTerminated", {**(given or {}), "cause": cause, "childPolicy": policy})
    _apply(session, run, policy)


def time_out(session: sessions.Session, run: execution.Execution) -> None:
    """End an execution whose own timeout has passed."""
    policy = run.config.child_policy
    close(session, run, "WorkflowExecutionTimedOut", {"childPolicy": policy, "timeoutType": "START_TO_CLOSE"})
    _apply(session, run, policy)


def _apply(session: sessions.Session, run: execution.Execution, policy: str) -> None:
    if policy == "ABANDON":
        return
    for _, item in run.open_items():
        if type(item) is states.Child and item.started:
            session.outbox.append(functools.partial(_treat, session, run.config.domain, item, policy))


def _treat(session: sessions.Session, domain: str, child: states.Child, policy: str) -> None:
    run = session.by_run(domain, child.workflow_id, child.run_id)
    if run is None:
        return
    if policy == "TERMINATE":
        terminate(session, run, cause="CHILD_POLICY_APPLIED")
    else:
        child_executions.request_cancel(run, {"cause": "CHILD_POLICY_APPLIED", "externalInitiatedEventId": 0})
