"""Calls about one execution: start, signal, cancel, terminate, describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from . import children, closing, errors, execution, externals, history, starting
from . import ledger as ledgers
from . import state as states
from .store import base


def start(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """StartWorkflowExecution."""
    name, kind = request["domain"], request["workflowType"]
    domain = ledger.domain(name)
    found = ledger.type(name, "workflow", kind["name"], kind["version"])
    words = f"WorkflowType=[name={kind['name']}, version={kind['version']}]"
    if found is None:
        raise errors.unknown_resource(f"Unknown type: {words}")
    if found.deprecated is not None or domain.deprecated:
        raise errors.modelled("TypeDeprecatedFault", words)
    options, missing = starting.options(request, found)
    if missing is not None:
        raise errors.modelled("DefaultUndefinedFault", f"{missing} of {words}")
    if ledger.by_id(name, request["workflowId"]) is not None:
        raise errors.modelled("WorkflowExecutionAlreadyStartedFault", f"Already Started: {request['workflowId']}")
    limit = ledger.limit.open_executions
    if limit is not None and ledger.count_open(name) >= limit:
        raise errors.modelled("LimitExceededFault", f"domain {name} has {limit} open executions, which is its limit")
    run = starting.begin(ledger, name, request["workflowId"], (kind["name"], kind["version"]), options)
    return {"runId": run.config.run_id}


def _open(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> execution.Execution:
    ledger.domain(request["domain"])
    run = ledger.by_id(request["domain"], request["workflowId"], request.get("runId"))
    if run is None:
        raise history.unknown(request["workflowId"], request.get("runId"))
    return run


def _given(request: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: request[name] for name in names if name in request}


def signal(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """SignalWorkflowExecution."""
    run = _open(ledger, request)
    externals.received(run, {**_given(request, "signalName", "input"), "externalInitiatedEventId": 0})
    return {}


def request_cancel(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """RequestCancelWorkflowExecution."""
    children.request_cancel(_open(ledger, request), {"externalInitiatedEventId": 0})
    return {}


def terminate(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """TerminateWorkflowExecution."""
    closing.terminate(
        ledger,
        _open(ledger, request),
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


def describe(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """DescribeWorkflowExecution. The counts of a closed execution are those of the moment at which it closed."""
    ledger.domain(request["domain"])
    asked = request["execution"]
    run = ledger.any_run(request["domain"], asked["workflowId"], asked["runId"])
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
        body = ledger.store.event(run.key << base.EVENT_BITS | state.context)
        answer["latestExecutionContext"] = _decode_completed(body).attributes.execution_context
    return answer


def info(config: states.Config, *, closed: float | None, status: str | None, cancel_requested: bool) -> dict[str, Any]:
    """WorkflowExecutionInfo from what is fixed and how it ended."""
    found: dict[str, Any] = {
        "execution": {"workflowId": config.workflow_id, "runId": config.run_id},
        "workflowType": {"name": config.type_name, "version": config.type_version},
        "startTimestamp": config.started,
        "executionStatus": "OPEN" if closed is None else "CLOSED",
        # recorded traffic: a closed execution shows none, even when it was cancelled on request
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
