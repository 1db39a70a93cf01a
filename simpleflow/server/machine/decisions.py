"""RespondDecisionTaskCompleted: the thirteen decisions, carried out in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from simpleflow.server.requests import errors
from simpleflow.server.state import execution
from simpleflow.server.state import session as sessions

from . import activity_tasks, child_executions, closing, decision_tasks, externals, starting, timers, tokens

#: carries out one decision; returns the cause when it fails
_Do = Callable[[sessions.Session, execution.Execution, Mapping[str, Any], int], str | None]
#: records that a decision failed
_Fail = Callable[[execution.Execution, Mapping[str, Any], str, int], None]


def respond_completed(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a decision task and carry out its decisions."""
    run, started = tokens.task(session, "d", request["taskToken"])
    state = run.state
    if not state.started or state.started != started:
        raise errors.unknown_resource(f"Unknown decision task, startedEventId = {started}")
    attributes: dict[str, Any] = {"scheduledEventId": state.scheduled, "startedEventId": started}
    for name in ("executionContext", "taskList", "taskListScheduleToStartTimeout"):
        if request.get(name) is not None:  # "" as context: the context of the decision before is not valid any more
            attributes[name] = request[name]
    completed = run.append("DecisionTaskCompleted", attributes)
    if run.ended():
        return {}
    state.previous = started
    if "executionContext" in attributes:
        state.context = completed
    if "taskList" in attributes:
        name, timeout = attributes["taskList"]["name"], attributes.get("taskListScheduleToStartTimeout")
        if timeout is None:
            state.task_list, state.sticky = name, None
        else:
            state.sticky, state.sticky_timeout = name, timeout
    state.scheduled = state.started = 0
    run.deciding = True
    for decision in request.get("decisions") or ():
        _carry_out(session, run, decision, completed)
        if run.ended():
            break
    run.deciding = False
    wanted, run.wants_decision = run.wants_decision, False
    if not run.ended():
        decision_tasks.settled(run)
        if wanted:
            decision_tasks.request(run)
    return {}


def _carry_out(
    session: sessions.Session, run: execution.Execution, decision: Mapping[str, Any], completed: int
) -> None:
    kind = decision["decisionType"]
    member, do, fail = _DECISIONS[kind]
    asked = decision.get(member) or {}
    cause = do(session, run, asked, completed)
    if cause is not None:
        fail(run, asked, cause, completed)
        decision_tasks.request(run)


def _failed(kind: str, *taken: str) -> _Fail:
    """Record a failure of this type with some of the decision's own attributes."""

    def record(run: execution.Execution, asked: Mapping[str, Any], cause: str, completed: int) -> None:
        attributes = {name: asked[name] for name in taken}
        run.append(kind, {**attributes, "cause": cause, "decisionTaskCompletedEventId": completed})

    return record


def _closes(kind: str, *taken: str) -> _Do:
    """Close the execution, unless it has events that its decider has not seen."""

    def do(session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int) -> str | None:
        if run.state.waiting:
            return "UNHANDLED_DECISION"
        attributes = {name: asked[name] for name in taken if name in asked}
        closing.close(session, run, kind, {**attributes, "decisionTaskCompletedEventId": completed})
        return None

    return do


def _continue_as_new(
    session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int
) -> str | None:
    if run.state.waiting:
        return "UNHANDLED_DECISION"
    config = run.config
    version = asked.get("workflowTypeVersion") or config.type_version
    found = session.type(config.domain, "workflow", config.type_name, version)
    if found is None:
        return "WORKFLOW_TYPE_DOES_NOT_EXIST"
    if found.deprecated is not None:
        return "WORKFLOW_TYPE_DEPRECATED"
    options, missing = starting.options(asked, found)
    if missing is not None:
        return starting.CAUSES[missing]
    if not session.limit.rates.take_decision("ContinueAsNewWorkflowExecution"):
        return "CONTINUE_AS_NEW_WORKFLOW_EXECUTION_RATE_EXCEEDED"
    successor = starting.begin(
        session,
        config.domain,
        config.workflow_id,
        (config.type_name, version),
        options,
        parent=config.parent,
        continues=config.run_id,
    )
    attributes = {
        **options,
        "decisionTaskCompletedEventId": completed,
        "newExecutionRunId": successor.config.run_id,
        "workflowType": successor.wire_type,
    }
    closing.close(session, run, "WorkflowExecutionContinuedAsNew", attributes)
    child_executions.continued(session, run, successor)
    return None


def _record_marker(
    session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int
) -> None:
    attributes = {name: asked[name] for name in ("markerName", "details") if name in asked}
    run.append("MarkerRecorded", {**attributes, "decisionTaskCompletedEventId": completed})


def _schedule_lambda(
    session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int
) -> str | None:
    return "LAMBDA_SERVICE_NOT_AVAILABLE_IN_REGION"


def _table() -> dict[str, tuple[str, _Do, _Fail]]:
    rows: list[tuple[str, _Do, _Fail]] = [
        (
            "ScheduleActivityTask",
            activity_tasks.schedule,
            _failed("ScheduleActivityTaskFailed", "activityId", "activityType"),
        ),
        (
            "RequestCancelActivityTask",
            activity_tasks.request_cancel,
            _failed("RequestCancelActivityTaskFailed", "activityId"),
        ),
        (
            "CompleteWorkflowExecution",
            _closes("WorkflowExecutionCompleted", "result"),
            _failed("CompleteWorkflowExecutionFailed"),
        ),
        (
            "FailWorkflowExecution",
            _closes("WorkflowExecutionFailed", "reason", "details"),
            _failed("FailWorkflowExecutionFailed"),
        ),
        (
            "CancelWorkflowExecution",
            _closes("WorkflowExecutionCanceled", "details"),
            _failed("CancelWorkflowExecutionFailed"),
        ),
        ("ContinueAsNewWorkflowExecution", _continue_as_new, _failed("ContinueAsNewWorkflowExecutionFailed")),
        ("RecordMarker", _record_marker, _failed("RecordMarkerFailed", "markerName")),
        ("StartTimer", timers.start, _failed("StartTimerFailed", "timerId")),
        ("CancelTimer", timers.cancel, _failed("CancelTimerFailed", "timerId")),
        ("SignalExternalWorkflowExecution", externals.signal, externals.signal_failed),
        ("RequestCancelExternalWorkflowExecution", externals.cancel, externals.cancel_failed),
        ("StartChildWorkflowExecution", child_executions.start, child_executions.failed),
        ("ScheduleLambdaFunction", _schedule_lambda, _failed("ScheduleLambdaFunctionFailed", "id", "name")),
    ]
    return {kind: (f"{kind[0].lower()}{kind[1:]}DecisionAttributes", do, fail) for kind, do, fail in rows}


_DECISIONS: Final = _table()
