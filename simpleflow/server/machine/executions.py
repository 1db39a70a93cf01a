"""Calls about one execution: start, signal, cancel, terminate, describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from simpleflow.server.requests import errors
from simpleflow.server.state import execution
from simpleflow.server.state import session as sessions
from simpleflow.server.state import state as states
from simpleflow.server.store import base

from . import child_executions, closing, externals, history, starting


def start(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """StartWorkflowExecution."""
    name, kind = request["domain"], request["workflowType"]
    domain = session.domain(name)
    found = session.type(name, "workflow", kind["name"], kind["version"])
    words = f"WorkflowType=[name={kind['name']}, version={kind['version']}]"
    if found is None:
        raise errors.unknown_resource(f"Unknown type: {words}")
    if found.deprecated is not None or domain.deprecated:
        raise errors.modelled("TypeDeprecatedFault", words)
    options, missing = starting.options(request, found)
    if missing is not None:
        raise errors.modelled("DefaultUndefinedFault", f"{missing} of {words}")
    if session.by_id(name, request["workflowId"]) is not None:
        raise errors.modelled("WorkflowExecutionAlreadyStartedFault", f"Already Started: {request['workflowId']}")
    limit = session.limit.open_executions
    if limit is not None and session.count_open(name) >= limit:
        raise errors.modelled("LimitExceededFault", f"domain {name} has {limit} open executions, which is its limit")
    run = starting.begin(session, name, request["workflowId"], (kind["name"], kind["version"]), options)
    return {"runId": run.config.run_id}


def _open(session: sessions.Session, request: Mapping[str, Any]) -> execution.Execution:
    session.domain(request["domain"])
    run = session.by_id(request["domain"], request["workflowId"], request.get("runId"))
    if run is None:
        raise history.unknown(request["workflowId"], request.get("runId"))
    return run


def _given(request: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: request[name] for name in names if name in request}


def signal(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """SignalWorkflowExecution."""
    run = _open(session, request)
    externals.received(run, {**_given(request, "signalName", "input"), "externalInitiatedEventId": 0})
    return {}


def request_cancel(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """RequestCancelWorkflowExecution."""
    child_executions.request_cancel(_open(session, request), {"externalInitiatedEventId": 0})
    return {}


def terminate(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """TerminateWorkflowExecution."""
    closing.terminate(
        session,
        _open(session, request),
        cause="OPERATOR_INITIATED",
        given=_given(request, "reason", "details"),
        child_policy=request.get("childPolicy"),
    )
    return {}


class _Context(msgspec.Struct):
    execution_context: str | None = msgspec.field(name="executionContext", default=None)


class _Completed(msgspec.Struct):
    attributes: _Context = msgspec.field(name="decisionTaskCompletedEventAttributes")


_decode_completed = msgspec.json.Decoder(_Completed).decode


def describe(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """DescribeWorkflowExecution. The counts of a closed execution are those of the moment at which it closed."""
    session.domain(request["domain"])
    asked = request["execution"]
    run = session.any_run(request["domain"], asked["workflowId"], asked["runId"])
    if run is None:
        raise history.unknown(asked["workflowId"], asked["runId"])
    config, state = run.config, run.state
    counts = run.counts() if run.final is None else run.final.counts
    configuration: dict[str, Any] = {
        "childPolicy": config.child_policy,
        "executionStartToCloseTimeout": config.execution_timeout,
        "taskList": {"name": config.task_list},
        "taskStartToCloseTimeout": config.task_timeout,
    }
    if config.task_priority is not None:
        configuration["taskPriority"] = config.task_priority
    if config.lambda_role is not None:
        configuration["lambdaRole"] = config.lambda_role
    answer: dict[str, Any] = {
        "executionConfiguration": configuration,
        "executionInfo": info(
            config, closed=run.closed, status=run.close_status, cancel_requested=state.cancel_requested
        ),
        "openCounts": {
            "openActivityTasks": counts[0],
            "openTimers": counts[1],
            "openChildWorkflowExecutions": counts[2],
            "openDecisionTasks": counts[3],
            "openLambdaFunctions": 0,
        },
    }
    if state.latest_activity is not None:
        answer["latestActivityTaskTimestamp"] = state.latest_activity
    if state.context:
        body = session.store.event(run.key << base.EVENT_BITS | state.context)
        answer["latestExecutionContext"] = _decode_completed(body).attributes.execution_context
    return answer


def info(config: states.Config, *, closed: float | None, status: str | None, cancel_requested: bool) -> dict[str, Any]:
    """Return WorkflowExecutionInfo of an execution's configuration and its end."""
    found: dict[str, Any] = {
        "execution": {"workflowId": config.workflow_id, "runId": config.run_id},
        "workflowType": {"name": config.type_name, "version": config.type_version},
        "startTimestamp": config.started,
        "executionStatus": "OPEN" if closed is None else "CLOSED",
        # As recorded on Amazon SWF: it is false for a closed execution, even when it was cancelled on request.
        "cancelRequested": cancel_requested and closed is None,
    }
    if closed is not None:
        found["closeTimestamp"] = closed
        found["closeStatus"] = status
    if config.parent is not None:
        found["parent"] = {"workflowId": config.parent.workflow_id, "runId": config.parent.run_id}
    if config.tags:
        found["tagList"] = list(config.tags)
    return found
