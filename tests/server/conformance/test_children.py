"""Child executions as parent and child see them; child policies and their cascade."""

from __future__ import annotations

from typing import Any

import pytest

from . import kit as kits

_ENDS: list[tuple[str, kits.Attributes, str, kits.Attributes]] = [
    ("CompleteWorkflowExecution", {"result": "r"}, "ChildWorkflowExecutionCompleted", {"result": "r"}),
    (
        "FailWorkflowExecution",
        {"reason": "why", "details": "how"},
        "ChildWorkflowExecutionFailed",
        {"reason": "why", "details": "how"},
    ),
    ("CancelWorkflowExecution", {"details": "gone"}, "ChildWorkflowExecutionCanceled", {"details": "gone"}),
]


def test_start_with_everything(kit: kits.Kit) -> None:
    run = kit.start()
    wanted = {
        "workflowType": kit.workflow,
        "workflowId": kits.unique("child"),
        "control": "c",
        "input": "i",
        "executionStartToCloseTimeout": "100",
        "taskList": {"name": kits.unique("decisions")},
        "taskPriority": "2",
        "taskStartToCloseTimeout": "10",
        "childPolicy": "ABANDON",
        "tagList": ["t"],
        "lambdaRole": "arn:aws:iam::123456789012:role/lambda",
    }
    run.decide(kits.decision("StartChildWorkflowExecution", **wanted))
    assert run.types()[3:] == [
        "DecisionTaskCompleted",
        "StartChildWorkflowExecutionInitiated",
        "ChildWorkflowExecutionStarted",
        "DecisionTaskScheduled",
    ]
    assert run.one("StartChildWorkflowExecutionInitiated") == {**wanted, "decisionTaskCompletedEventId": 4}
    started = run.one("ChildWorkflowExecutionStarted")
    assert started["initiatedEventId"] == 5
    assert started["workflowType"] == kit.workflow
    child = kit.run(started["workflowExecution"], wanted["taskList"]["name"])
    assert child.workflow_id == wanted["workflowId"]
    found = child.one("WorkflowExecutionStarted")
    expected = {name: value for name, value in wanted.items() if name not in ("control", "workflowId")}
    assert found == {**expected, "parentWorkflowExecution": run.execution, "parentInitiatedEventId": 5}
    assert child.info()["parent"] == run.execution
    child.terminate()
    run.terminate()


@pytest.mark.parametrize(("kind", "given", "event", "told"), _ENDS)
def test_how_a_child_ends(kit: kits.Kit, kind: str, given: kits.Attributes, event: str, told: kits.Attributes) -> None:
    parent, child = kit.parent_and_child()
    parent.decide()
    child.decide(kits.decision(kind, **given))
    assert parent.one(event) == {
        **told,
        "workflowExecution": child.execution,
        "workflowType": kit.workflow,
        "initiatedEventId": 5,
        "startedEventId": 6,
    }
    assert parent.types()[-1] == "DecisionTaskScheduled"
    assert parent.describe()["openCounts"]["openChildWorkflowExecutions"] == 0
    parent.terminate()


def test_child_is_terminated(kit: kits.Kit) -> None:
    parent, child = kit.parent_and_child()
    child.terminate(reason="r")
    assert parent.one("ChildWorkflowExecutionTerminated") == {
        "workflowExecution": child.execution,
        "workflowType": kit.workflow,
        "initiatedEventId": 5,
        "startedEventId": 6,
    }
    parent.terminate()


def test_child_that_continues_as_new_stays_a_child(kit: kits.Kit) -> None:
    parent, child = kit.parent_and_child()
    child.decide(
        kits.decision("ContinueAsNewWorkflowExecution", taskList={"name": child.task_list}, workflowTypeVersion="1")
    )
    second = child.one("WorkflowExecutionContinuedAsNew")["newExecutionRunId"]
    again = kit.run({"workflowId": child.workflow_id, "runId": second}, child.task_list)
    assert again.one("WorkflowExecutionStarted")["parentWorkflowExecution"] == parent.execution
    again.decide(kits.decision("CompleteWorkflowExecution", result="at last"))
    assert parent.one("ChildWorkflowExecutionCompleted")["result"] == "at last"
    parent.terminate()


def test_start_fails(kit: kits.Kit) -> None:
    kind = kit.workflow_type(**kits.WORKFLOW_DEFAULTS)
    run = kit.start()
    unknown = kit.child({**kind, "version": "unknown"}, control="c", workflowId="never")
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
    kit.swf.deprecate_workflow_type(domain=kit.domain, workflowType=kind)
    run.decide(kit.child(kind))
    assert run.all("StartChildWorkflowExecutionFailed")[-1]["cause"] == "WORKFLOW_TYPE_DEPRECATED"
    # An id of an open execution: initiated, then failed.
    other = kit.start()
    run.decide(kit.child(workflowId=other.workflow_id))
    initiated = next(each for each in run.events() if each["eventType"] == "StartChildWorkflowExecutionInitiated")
    found = run.all("StartChildWorkflowExecutionFailed")[-1]
    assert found["cause"] == "WORKFLOW_ALREADY_RUNNING"
    assert found["initiatedEventId"] == initiated["eventId"]
    assert kit.waiting(run.task_list) == 1
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
def test_without_a_default(kit: kits.Kit, default: str, cause: str) -> None:
    defaults = {**kits.WORKFLOW_DEFAULTS, "defaultTaskList": {"name": "list"}}
    del defaults[default]
    run = kit.start()
    run.decide(
        kits.decision("StartChildWorkflowExecution", workflowType=kit.workflow_type(**defaults), workflowId="child")
    )
    assert run.one("StartChildWorkflowExecutionFailed")["cause"] == cause
    run.terminate()


def _three(kit: kits.Kit, policy: str) -> tuple[kits.Run, kits.Run, kits.Run]:
    """Start an execution, its child and its grandchild, each with the same child policy."""
    top = kit.start(childPolicy=policy)
    made = kit.child(childPolicy=policy)
    top.decide(made)
    middle = kit.run(
        top.one("ChildWorkflowExecutionStarted")["workflowExecution"],
        made["startChildWorkflowExecutionDecisionAttributes"]["taskList"]["name"],
    )
    made = kit.child(childPolicy=policy)
    middle.decide(made)
    bottom = kit.run(
        middle.one("ChildWorkflowExecutionStarted")["workflowExecution"],
        made["startChildWorkflowExecutionDecisionAttributes"]["taskList"]["name"],
    )
    return top, middle, bottom


def test_policy_terminate_goes_all_the_way_down(kit: kits.Kit) -> None:
    top, middle, bottom = _three(kit, "TERMINATE")
    top.terminate()
    for run in (middle, bottom):
        assert run.info()["closeStatus"] == "TERMINATED"
        found = run.one("WorkflowExecutionTerminated")
        assert (found["cause"], found["childPolicy"]) == ("CHILD_POLICY_APPLIED", "TERMINATE")
    # A closed parent learns nothing more.
    assert top.types()[-1] == "WorkflowExecutionTerminated"


def test_policy_request_cancel_stops_at_the_children(kit: kits.Kit) -> None:
    top, middle, bottom = _three(kit, "REQUEST_CANCEL")
    top.terminate()
    found = middle.one("WorkflowExecutionCancelRequested")
    assert found["cause"] == "CHILD_POLICY_APPLIED"
    assert middle.info()["executionStatus"] == "OPEN"
    assert middle.info()["cancelRequested"] is True
    assert "WorkflowExecutionCancelRequested" not in bottom.types()
    middle.terminate()
    assert bottom.one("WorkflowExecutionCancelRequested")["cause"] == "CHILD_POLICY_APPLIED"
    bottom.terminate()


def test_policy_abandon_leaves_them_alone(kit: kits.Kit) -> None:
    top, middle, bottom = _three(kit, "ABANDON")
    top.terminate()
    assert middle.info()["executionStatus"] == bottom.info()["executionStatus"] == "OPEN"
    middle.decide(kits.decision("CompleteWorkflowExecution"))
    bottom.terminate()


def test_the_policy_of_the_termination_comes_first(kit: kits.Kit) -> None:
    parent, child = kit.parent_and_child()
    parent.terminate(childPolicy="ABANDON")
    assert child.info()["executionStatus"] == "OPEN"
    child.terminate()


@pytest.mark.parametrize("kind", ["CompleteWorkflowExecution", "FailWorkflowExecution", "CancelWorkflowExecution"])
def test_no_policy_applies_when_a_parent_decides_to_close(kit: kits.Kit, kind: str) -> None:
    parent, child = kit.parent_and_child()
    parent.decide(kits.decision(kind))
    assert child.info()["executionStatus"] == "OPEN"
    child.decide(kits.decision("CompleteWorkflowExecution"))
    assert parent.types()[-1] != "ChildWorkflowExecutionCompleted"


def test_signal_and_cancel_from_another_execution(kit: kits.Kit) -> None:
    sender, target = kit.start(), kit.start()
    target.decide()
    sender.decide(
        kits.decision(
            "SignalExternalWorkflowExecution",
            workflowId=target.workflow_id,
            runId=target.run_id,
            signalName="s",
            input="i",
            control="c",
        ),
        kits.decision("RequestCancelExternalWorkflowExecution", workflowId=target.workflow_id, control="c"),
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
    assert kit.waiting(sender.task_list) == kit.waiting(target.task_list) == 1
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
def test_signal_and_cancel_to_nobody(kit: kits.Kit, gone: str) -> None:
    sender, target = kit.start(), kit.start()
    where: dict[str, Any] = {"workflowId": target.workflow_id}
    if gone == "closed":
        target.terminate()
    elif gone == "never there":
        where = {"workflowId": kits.unique("nobody")}
    else:
        where["runId"] = sender.run_id
    sender.decide(
        kits.decision("SignalExternalWorkflowExecution", **where, signalName="s", control="c"),
        kits.decision("RequestCancelExternalWorkflowExecution", **where, control="c"),
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
    assert kit.waiting(sender.task_list) == 1
    sender.terminate()
