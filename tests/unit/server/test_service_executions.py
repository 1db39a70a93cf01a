"""Executions: start, close, time out, children and their policies, signals and cancels between them."""

from __future__ import annotations

from typing import Any

import pytest
from service_world import DOMAIN, WORKFLOW, World, decision

COMPLETE = decision("CompleteWorkflowExecution", result="done")


def child(workflow_id: str = "child", **more: Any) -> dict[str, Any]:
    options = {"taskList": {"name": "c"}, **more}
    return decision("StartChildWorkflowExecution", workflowId=workflow_id, workflowType=WORKFLOW, **options)


def run_of(world: World, workflow_id: str) -> dict[str, str]:
    for action in ("ListOpenWorkflowExecutions", "ListClosedWorkflowExecutions"):
        infos = world.call(
            action, domain=DOMAIN, startTimeFilter={"oldestDate": 0}, executionFilter={"workflowId": workflow_id}
        )["executionInfos"]
        if infos:
            found: dict[str, str] = infos[0]["execution"]
            return found
    raise AssertionError(f"no run of {workflow_id}")


def test_faults_of_a_start() -> None:
    world = World()
    request: dict[str, Any] = {"domain": DOMAIN, "workflowId": "one", "workflowType": WORKFLOW}
    world.start()
    assert world.refused("StartWorkflowExecution", **request) == "WorkflowExecutionAlreadyStartedFault"
    assert world.refused("StartWorkflowExecution", **{**request, "domain": "no"}) == "UnknownResourceFault"
    other = {**request, "workflowId": "two", "workflowType": {"name": "no", "version": "1"}}
    assert world.refused("StartWorkflowExecution", **other) == "UnknownResourceFault"
    world.call("RegisterWorkflowType", domain=DOMAIN, name="bare", version="1")
    bare = {**other, "workflowType": {"name": "bare", "version": "1"}}
    assert world.refused("StartWorkflowExecution", **bare) == "DefaultUndefinedFault"
    world.call("DeprecateWorkflowType", domain=DOMAIN, workflowType=WORKFLOW)
    assert world.refused("StartWorkflowExecution", **{**request, "workflowId": "x"}) == "TypeDeprecatedFault"


def test_an_execution_times_out() -> None:
    world = World()
    run = world.start(executionStartToCloseTimeout="10")
    world.later(10)
    assert world.status(run) == "TIMED_OUT"
    assert world.attributes(run, "WorkflowExecutionTimedOut") == {
        "childPolicy": "TERMINATE",
        "timeoutType": "START_TO_CLOSE",
    }
    assert world.poll()["taskToken"] == ""
    assert world.service.next_deadline() is None


def test_counts_of_a_closed_execution_are_those_of_its_close() -> None:
    world = World()
    run = world.start()
    world.decide(world.schedule())
    task = world.work()
    world.call("RequestCancelWorkflowExecution", domain=DOMAIN, workflowId="one")
    world.decide(decision("CancelWorkflowExecution"))
    described = world.describe(run)
    assert described["executionInfo"]["closeStatus"] == "CANCELED"
    assert described["executionInfo"]["cancelRequested"] is False  # as in the recorded exchange
    assert described["openCounts"]["openActivityTasks"] == 1
    assert world.refused("RespondActivityTaskCompleted", taskToken=task["taskToken"]) == "UnknownResourceFault"
    assert world.attributes(run, "WorkflowExecutionCancelRequested") == {"externalInitiatedEventId": 0}


def test_a_child_as_its_parent_sees_it() -> None:
    world = World()
    parent = world.start()
    world.decide(child(input="in", control="c", tagList=["t"]))
    assert world.kinds(parent, 5) == [
        "StartChildWorkflowExecutionInitiated",
        "ChildWorkflowExecutionStarted",
        "DecisionTaskScheduled",
    ]
    kid = run_of(world, "child")
    started = world.attributes(kid, "WorkflowExecutionStarted")
    assert (started["parentWorkflowExecution"], started["parentInitiatedEventId"]) == (parent, 5)
    assert world.describe(parent)["openCounts"]["openChildWorkflowExecutions"] == 1
    world.decide(COMPLETE, task_list="c")
    closed = world.attributes(parent, "ChildWorkflowExecutionCompleted")
    assert (closed["result"], closed["workflowExecution"], closed["initiatedEventId"]) == ("done", kid, 5)
    assert world.describe(kid)["executionInfo"]["parent"] == parent


@pytest.mark.parametrize(
    ("closing", "kind"),
    [
        (decision("FailWorkflowExecution", reason="r", details="d"), "ChildWorkflowExecutionFailed"),
        (decision("CancelWorkflowExecution", details="d"), "ChildWorkflowExecutionCanceled"),
    ],
)
def test_other_ends_of_a_child(closing: dict[str, Any], kind: str) -> None:
    world = World()
    parent = world.start()
    world.decide(child())
    world.decide(closing, task_list="c")
    assert world.attributes(parent, kind)["details"] == "d"


def test_a_child_that_times_out_or_is_terminated() -> None:
    world = World()
    parent = world.start()
    world.decide(child(executionStartToCloseTimeout="5"), child("second"))
    world.later(5)
    assert world.attributes(parent, "ChildWorkflowExecutionTimedOut")["timeoutType"] == "START_TO_CLOSE"
    world.call("TerminateWorkflowExecution", domain=DOMAIN, workflowId="second")
    assert world.attributes(parent, "ChildWorkflowExecutionTerminated")["workflowExecution"]["workflowId"] == "second"


def test_children_that_cannot_start() -> None:
    world = World()
    parent = world.start()
    world.start("child")
    world.call("RegisterWorkflowType", domain=DOMAIN, name="bare", version="1")
    bare, absent = {"name": "bare", "version": "1"}, {"name": "no", "version": "1"}
    world.decide(
        child(control="c"),
        decision("StartChildWorkflowExecution", workflowId="b", workflowType=bare),
        decision("StartChildWorkflowExecution", workflowId="n", workflowType=absent),
    )
    failures = [
        e["startChildWorkflowExecutionFailedEventAttributes"]
        for e in world.events(parent)
        if e["eventType"] == "StartChildWorkflowExecutionFailed"
    ]
    found = {f["workflowId"]: (f["cause"], f["initiatedEventId"] > 0) for f in failures}
    assert found == {
        "b": ("DEFAULT_EXECUTION_START_TO_CLOSE_TIMEOUT_UNDEFINED", False),
        "n": ("WORKFLOW_TYPE_DOES_NOT_EXIST", False),
        "child": ("WORKFLOW_ALREADY_RUNNING", True),
    }
    assert world.describe(parent)["openCounts"]["openChildWorkflowExecutions"] == 0


def test_two_children_of_one_id_in_one_answer() -> None:
    world = World()
    parent = world.start()
    world.decide(child(), child())
    assert world.attributes(parent, "StartChildWorkflowExecutionFailed")["cause"] == "WORKFLOW_ALREADY_RUNNING"


def family(world: World, policy: str) -> list[dict[str, str]]:
    """Parent, child and grandchild."""
    parent = world.start(childPolicy=policy)
    world.decide(child(childPolicy=policy))
    world.decide(child("grandchild", taskList={"name": "g"}), task_list="c")
    return [parent, run_of(world, "child"), run_of(world, "grandchild")]


@pytest.mark.parametrize("how", ["terminate", "timeout"])
def test_child_policy_terminate_cascades(how: str) -> None:
    world = World()
    runs = family(world, "TERMINATE")
    if how == "terminate":
        world.call("TerminateWorkflowExecution", domain=DOMAIN, workflowId="one", reason="r")
        assert world.attributes(runs[0], "WorkflowExecutionTerminated")["cause"] == "OPERATOR_INITIATED"
    else:
        world.later(1000)
    for run in runs[1:]:
        assert world.attributes(run, "WorkflowExecutionTerminated")["cause"] == "CHILD_POLICY_APPLIED"
    assert world.kinds(runs[0])[-1] in ("WorkflowExecutionTerminated", "WorkflowExecutionTimedOut")


def test_child_policies_request_cancel_and_abandon() -> None:
    world = World()
    _, kid, grandchild = family(world, "REQUEST_CANCEL")
    world.call("TerminateWorkflowExecution", domain=DOMAIN, workflowId="one")
    assert world.attributes(kid, "WorkflowExecutionCancelRequested")["cause"] == "CHILD_POLICY_APPLIED"
    assert world.status(kid) is None
    world.call("TerminateWorkflowExecution", domain=DOMAIN, workflowId="child", childPolicy="ABANDON")
    assert world.status(grandchild) is None


def test_completing_leaves_children_alone() -> None:
    world = World()
    world.start()
    world.decide(child())
    world.decide(COMPLETE)
    kid = run_of(world, "child")
    assert world.status(kid) is None
    world.decide(COMPLETE, task_list="c")
    assert world.status(kid) == "COMPLETED"


def test_continue_as_new() -> None:
    world = World()
    first = world.start(tagList=["t"], input="1")
    world.decide(decision("ContinueAsNewWorkflowExecution", input="2"))
    closed = world.attributes(first, "WorkflowExecutionContinuedAsNew")
    second = {"workflowId": "one", "runId": closed["newExecutionRunId"]}
    assert world.status(first) == "CONTINUED_AS_NEW"
    started = world.attributes(second, "WorkflowExecutionStarted")
    assert (started["continuedExecutionRunId"], started["input"]) == (first["runId"], "2")
    assert world.service.session.count_open(DOMAIN) == 1
    world.decide(COMPLETE)
    assert world.status(second) == "COMPLETED"


def test_continue_as_new_fails_for_versions_that_are_not_there() -> None:
    world = World()
    run = world.start()
    world.decide(decision("ContinueAsNewWorkflowExecution", workflowTypeVersion="9"))
    assert world.attributes(run, "ContinueAsNewWorkflowExecutionFailed")["cause"] == "WORKFLOW_TYPE_DOES_NOT_EXIST"
    world.call("RegisterWorkflowType", domain=DOMAIN, name="w", version="2")
    world.decide(decision("ContinueAsNewWorkflowExecution", workflowTypeVersion="2"))
    cause = world.attributes(run, "ContinueAsNewWorkflowExecutionFailed")["cause"]
    assert cause == "DEFAULT_EXECUTION_START_TO_CLOSE_TIMEOUT_UNDEFINED"
    world.call("DeprecateWorkflowType", domain=DOMAIN, workflowType={"name": "w", "version": "2"})
    world.decide(decision("ContinueAsNewWorkflowExecution", workflowTypeVersion="2"))
    assert world.attributes(run, "ContinueAsNewWorkflowExecutionFailed")["cause"] == "WORKFLOW_TYPE_DEPRECATED"


def test_a_child_that_continues_as_new_stays_a_child() -> None:
    world = World()
    parent = world.start()
    world.decide(child())
    world.decide(decision("ContinueAsNewWorkflowExecution", taskList={"name": "c"}), task_list="c")
    world.decide(COMPLETE, task_list="c")
    closed = world.attributes(parent, "ChildWorkflowExecutionCompleted")
    assert closed["workflowExecution"]["runId"] == run_of(world, "child")["runId"]


def test_signals_and_cancels_between_executions() -> None:
    world = World()
    source, target = world.start(), world.start("two", taskList={"name": "t"})
    world.decide(
        decision("SignalExternalWorkflowExecution", workflowId="two", signalName="s", input="i", control="c"),
        decision("RequestCancelExternalWorkflowExecution", workflowId="two", control="c"),
        decision("SignalExternalWorkflowExecution", workflowId="none", signalName="s"),
        decision("RequestCancelExternalWorkflowExecution", workflowId="none"),
    )
    signaled = world.attributes(target, "WorkflowExecutionSignaled")
    assert (signaled["externalWorkflowExecution"], signaled["externalInitiatedEventId"]) == (source, 5)
    assert world.attributes(target, "WorkflowExecutionCancelRequested")["externalInitiatedEventId"] == 6
    assert world.attributes(source, "ExternalWorkflowExecutionSignaled")["workflowExecution"] == target
    assert world.attributes(source, "ExternalWorkflowExecutionCancelRequested")["workflowExecution"] == target
    for kind in ("SignalExternalWorkflowExecutionFailed", "RequestCancelExternalWorkflowExecutionFailed"):
        assert world.attributes(source, kind)["cause"] == "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"
    assert world.kinds(source).count("DecisionTaskScheduled") == 2
    described = world.describe(target)
    assert described["executionInfo"]["cancelRequested"] is True


def test_calls_to_executions_that_are_not_open() -> None:
    world = World()
    run = world.start()
    world.decide(COMPLETE)
    for action, more in (
        ("SignalWorkflowExecution", {"signalName": "s"}),
        ("RequestCancelWorkflowExecution", {}),
        ("TerminateWorkflowExecution", {}),
    ):
        assert world.refused(action, domain=DOMAIN, workflowId="one", **more) == "UnknownResourceFault"
        assert world.refused(action, domain=DOMAIN, **run, **more) == "UnknownResourceFault"
    unknown = {"workflowId": "one", "runId": "rubbish=zz"}
    assert world.refused("DescribeWorkflowExecution", domain=DOMAIN, execution=unknown) == "UnknownResourceFault"


def test_many_children_and_their_limit() -> None:
    world = World()
    parent = world.start()
    world.decide(*[child(str(n)) for n in range(1001)])
    assert world.attributes(parent, "StartChildWorkflowExecutionFailed")["cause"] == "OPEN_CHILDREN_LIMIT_EXCEEDED"
    world.call("TerminateWorkflowExecution", domain=DOMAIN, workflowId="one")
    request = {"domain": DOMAIN, "startTimeFilter": {"oldestDate": 0}}
    assert world.call("CountOpenWorkflowExecutions", **request)["count"] == 0
