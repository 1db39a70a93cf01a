"""Child executions as parent and child see them; child policies and their cascade."""

from __future__ import annotations

from typing import Any

import pytest

from . import driver as drivers

_ENDS: list[tuple[str, drivers.Attributes, str, drivers.Attributes]] = [
    ("CompleteWorkflowExecution", {"result": "r"}, "ChildWorkflowExecutionCompleted", {"result": "r"}),
    (
        "FailWorkflowExecution",
        {"reason": "why", "details": "how"},
        "ChildWorkflowExecutionFailed",
        {"reason": "why", "details": "how"},
    ),
    ("CancelWorkflowExecution", {"details": "gone"}, "ChildWorkflowExecutionCanceled", {"details": "gone"}),
]


def test_start_with_everything(driver: drivers.Driver) -> None:
    run = driver.start()
    wanted = {
        "workflowType": driver.workflow,
        "workflowId": drivers.unique("child"),
        "control": "c",
        "input": "i",
        "executionStartToCloseTimeout": "100",
        "taskList": {"name": drivers.unique("decisions")},
        "taskPriority": "2",
        "taskStartToCloseTimeout": "10",
        "childPolicy": "ABANDON",
        "tagList": ["t"],
        "lambdaRole": "arn:aws:iam::123456789012:role/lambda",
    }
    run.decide(drivers.decision("StartChildWorkflowExecution", **wanted))
    assert run.types()[3:] == [
        "DecisionTaskCompleted",
        "StartChildWorkflowExecutionInitiated",
        "ChildWorkflowExecutionStarted",
        "DecisionTaskScheduled",
    ]
    assert run.one("StartChildWorkflowExecutionInitiated") == {**wanted, "decisionTaskCompletedEventId": 4}
    started = run.one("ChildWorkflowExecutionStarted")
    assert started["initiatedEventId"] == 5
    assert started["workflowType"] == driver.workflow
    child = driver.run(started["workflowExecution"], wanted["taskList"]["name"])
    assert child.workflow_id == wanted["workflowId"]
    found = child.one("WorkflowExecutionStarted")
    expected = {name: value for name, value in wanted.items() if name not in ("control", "workflowId")}
    assert found == {**expected, "parentWorkflowExecution": run.execution, "parentInitiatedEventId": 5}
    assert child.info()["parent"] == run.execution
    child.terminate()
    run.terminate()


@pytest.mark.parametrize(("kind", "given", "event", "told"), _ENDS)
def test_how_a_child_ends(
    driver: drivers.Driver, kind: str, given: drivers.Attributes, event: str, told: drivers.Attributes
) -> None:
    parent, child = driver.parent_and_child()
    parent.decide()
    child.decide(drivers.decision(kind, **given))
    assert parent.one(event) == {
        **told,
        "workflowExecution": child.execution,
        "workflowType": driver.workflow,
        "initiatedEventId": 5,
        "startedEventId": 6,
    }
    assert parent.types()[-1] == "DecisionTaskScheduled"
    assert parent.describe()["openCounts"]["openChildWorkflowExecutions"] == 0
    parent.terminate()


def test_child_is_terminated(driver: drivers.Driver) -> None:
    parent, child = driver.parent_and_child()
    child.terminate(reason="r")
    assert parent.one("ChildWorkflowExecutionTerminated") == {
        "workflowExecution": child.execution,
        "workflowType": driver.workflow,
        "initiatedEventId": 5,
        "startedEventId": 6,
    }
    parent.terminate()


def test_child_that_continues_as_new_stays_a_child(driver: drivers.Driver) -> None:
    parent, child = driver.parent_and_child()
    child.decide(
        drivers.decision("ContinueAsNewWorkflowExecution", taskList={"name": child.task_list}, workflowTypeVersion="1")
    )
    second = child.one("WorkflowExecutionContinuedAsNew")["newExecutionRunId"]
    again = driver.run({"workflowId": child.workflow_id, "runId": second}, child.task_list)
    assert again.one("WorkflowExecutionStarted")["parentWorkflowExecution"] == parent.execution
    again.decide(drivers.decision("CompleteWorkflowExecution", result="at last"))
    assert parent.one("ChildWorkflowExecutionCompleted")["result"] == "at last"
    parent.terminate()


def test_start_fails(driver: drivers.Driver) -> None:
    kind = driver.workflow_type(**drivers.WORKFLOW_DEFAULTS)
    run = driver.start()
    unknown = driver.child({**kind, "version": "unknown"}, control="c", workflowId="never")
    run.decide(unknown)
    assert run.one("StartChildWorkflowExecutionFailed") == {
        "workflowType": {**kind, "version": "unknown"},
        "workflowId": "never",
        "cause": "WORKFLOW_TYPE_DOES_NOT_EXIST",
        "control": "c",
        "initiatedEventId": 0,
        "decisionTaskCompletedEventId": 4,
    }
    assert "StartChildWorkflowExecutionInitiated" not in run.types()
    driver.swf.deprecate_workflow_type(domain=driver.domain, workflowType=kind)
    run.decide(driver.child(kind))
    assert run.all("StartChildWorkflowExecutionFailed")[-1]["cause"] == "WORKFLOW_TYPE_DEPRECATED"
    # An id of an open execution: initiated, then failed.
    other = driver.start()
    run.decide(driver.child(workflowId=other.workflow_id))
    initiated = next(each for each in run.events() if each["eventType"] == "StartChildWorkflowExecutionInitiated")
    found = run.all("StartChildWorkflowExecutionFailed")[-1]
    assert found["cause"] == "WORKFLOW_ALREADY_RUNNING"
    assert found["initiatedEventId"] == initiated["eventId"]
    assert driver.waiting(run.task_list) == 1
    run.terminate()
    other.terminate()


@pytest.mark.parametrize(
    ("default", "cause"),
    [
        ("defaultExecutionStartToCloseTimeout", "DEFAULT_EXECUTION_START_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("defaultTaskStartToCloseTimeout", "DEFAULT_TASK_START_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("defaultTaskList", "DEFAULT_TASK_LIST_UNDEFINED"),
        ("defaultChildPolicy", "DEFAULT_CHILD_POLICY_UNDEFINED"),
    ],
)
def test_without_a_default(driver: drivers.Driver, default: str, cause: str) -> None:
    defaults = {**drivers.WORKFLOW_DEFAULTS, "defaultTaskList": {"name": "list"}}
    del defaults[default]
    run = driver.start()
    run.decide(
        drivers.decision(
            "StartChildWorkflowExecution", workflowType=driver.workflow_type(**defaults), workflowId="child"
        )
    )
    assert run.one("StartChildWorkflowExecutionFailed")["cause"] == cause
    run.terminate()


def _three(driver: drivers.Driver, policy: str) -> tuple[drivers.Run, drivers.Run, drivers.Run]:
    """Start an execution, its child and its grandchild, each with the same child policy."""
    top = driver.start(childPolicy=policy)
    made = driver.child(childPolicy=policy)
    top.decide(made)
    middle = driver.run(
        top.one("ChildWorkflowExecutionStarted")["workflowExecution"],
        made["startChildWorkflowExecutionDecisionAttributes"]["taskList"]["name"],
    )
    made = driver.child(childPolicy=policy)
    middle.decide(made)
    bottom = driver.run(
        middle.one("ChildWorkflowExecutionStarted")["workflowExecution"],
        made["startChildWorkflowExecutionDecisionAttributes"]["taskList"]["name"],
    )
    return top, middle, bottom


def test_policy_terminate_goes_all_the_way_down(driver: drivers.Driver) -> None:
    top, middle, bottom = _three(driver, "TERMINATE")
    top.terminate()
    for run in (middle, bottom):
        assert run.info()["closeStatus"] == "TERMINATED"
        found = run.one("WorkflowExecutionTerminated")
        assert (found["cause"], found["childPolicy"]) == ("CHILD_POLICY_APPLIED", "TERMINATE")
    # A closed parent learns nothing more.
    assert top.types()[-1] == "WorkflowExecutionTerminated"


def test_policy_request_cancel_stops_at_the_children(driver: drivers.Driver) -> None:
    top, middle, bottom = _three(driver, "REQUEST_CANCEL")
    top.terminate()
    found = middle.one("WorkflowExecutionCancelRequested")
    assert found["cause"] == "CHILD_POLICY_APPLIED"
    assert middle.info()["executionStatus"] == "OPEN"
    assert middle.info()["cancelRequested"] is True
    assert "WorkflowExecutionCancelRequested" not in bottom.types()
    middle.terminate()
    assert bottom.one("WorkflowExecutionCancelRequested")["cause"] == "CHILD_POLICY_APPLIED"
    bottom.terminate()


def test_policy_abandon_leaves_them_alone(driver: drivers.Driver) -> None:
    top, middle, bottom = _three(driver, "ABANDON")
    top.terminate()
    assert middle.info()["executionStatus"] == bottom.info()["executionStatus"] == "OPEN"
    middle.decide(drivers.decision("CompleteWorkflowExecution"))
    bottom.terminate()


def test_the_policy_of_the_termination_comes_first(driver: drivers.Driver) -> None:
    parent, child = driver.parent_and_child()
    parent.terminate(childPolicy="ABANDON")
    assert child.info()["executionStatus"] == "OPEN"
    child.terminate()


@pytest.mark.parametrize("kind", ["CompleteWorkflowExecution", "FailWorkflowExecution", "CancelWorkflowExecution"])
def test_no_policy_applies_when_a_parent_decides_to_close(driver: drivers.Driver, kind: str) -> None:
    parent, child = driver.parent_and_child()
    parent.decide(drivers.decision(kind))
    assert child.info()["executionStatus"] == "OPEN"
    child.decide(drivers.decision("CompleteWorkflowExecution"))
    assert parent.types()[-1] != "ChildWorkflowExecutionCompleted"


def test_signal_and_cancel_from_another_execution(driver: drivers.Driver) -> None:
    sender, target = driver.start(), driver.start()
    target.decide()
    sender.decide(
        drivers.decision(
            "SignalExternalWorkflowExecution",
            workflowId=target.workflow_id,
            runId=target.run_id,
            signalName="s",
            input="i",
            control="c",
        ),
        drivers.decision("RequestCancelExternalWorkflowExecution", workflowId=target.workflow_id, control="c"),
    )
    assert sender.one("SignalExternalWorkflowExecutionInitiated") == {
        "workflowId": target.workflow_id,
        "runId": target.run_id,
        "signalName": "s",
        "input": "i",
        "control": "c",
        "decisionTaskCompletedEventId": 4,
    }
    assert sender.one("ExternalWorkflowExecutionSignaled") == {
        "workflowExecution": target.execution,
        "initiatedEventId": 5,
    }
    found = sender.one("RequestCancelExternalWorkflowExecutionInitiated")
    assert (found["workflowId"], found["control"]) == (target.workflow_id, "c")
    assert sender.one("ExternalWorkflowExecutionCancelRequested") == {
        "workflowExecution": target.execution,
        "initiatedEventId": 6,
    }
    assert driver.waiting(sender.task_list) == driver.waiting(target.task_list) == 1
    signaled, canceled = target.one("WorkflowExecutionSignaled"), target.one("WorkflowExecutionCancelRequested")
    assert signaled == {
        "signalName": "s",
        "input": "i",
        "externalWorkflowExecution": sender.execution,
        "externalInitiatedEventId": 5,
    }
    assert canceled == {"externalWorkflowExecution": sender.execution, "externalInitiatedEventId": 6}
    sender.terminate()
    target.terminate()


@pytest.mark.parametrize("gone", ["closed", "never there", "another run"])
def test_signal_and_cancel_to_nobody(driver: drivers.Driver, gone: str) -> None:
    sender, target = driver.start(), driver.start()
    where: dict[str, Any] = {"workflowId": target.workflow_id}
    if gone == "closed":
        target.terminate()
    elif gone == "never there":
        where = {"workflowId": drivers.unique("nobody")}
    else:
        where["runId"] = sender.run_id
    sender.decide(
        drivers.decision("SignalExternalWorkflowExecution", **where, signalName="s", control="c"),
        drivers.decision("RequestCancelExternalWorkflowExecution", **where, control="c"),
    )
    for event in ("SignalExternalWorkflowExecution", "RequestCancelExternalWorkflowExecution"):
        initiated = next(each for each in sender.events() if each["eventType"] == f"{event}Initiated")
        assert sender.one(f"{event}Failed") == {
            **where,
            "cause": "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION",
            "control": "c",
            "initiatedEventId": initiated["eventId"],
            "decisionTaskCompletedEventId": 4,
        }
    assert driver.waiting(sender.task_list) == 1
    sender.terminate()
