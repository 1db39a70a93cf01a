"""Starting, describing, signalling, cancelling and terminating executions."""

from __future__ import annotations

import pytest

from . import kit as kits


def test_start_writes_everything_down(kit: kits.Kit) -> None:
    run = kit.start(
        input="in",
        taskPriority="3",
        tagList=["a", "b"],
        executionStartToCloseTimeout="100",
        taskStartToCloseTimeout="10",
        childPolicy="ABANDON",
        lambdaRole="arn:aws:iam::123456789012:role/lambda",
    )
    started, scheduled = run.events()
    assert (started["eventId"], started["eventType"]) == (1, "WorkflowExecutionStarted")
    found = kits.attributes(started)
    assert found == {
        "input": "in",
        "taskPriority": "3",
        "tagList": ["a", "b"],
        "executionStartToCloseTimeout": "100",
        "taskStartToCloseTimeout": "10",
        "childPolicy": "ABANDON",
        "lambdaRole": "arn:aws:iam::123456789012:role/lambda",
        "taskList": {"name": run.task_list},
        "workflowType": kit.workflow,
        "parentInitiatedEventId": 0,
    }
    assert (scheduled["eventId"], scheduled["eventType"]) == (2, "DecisionTaskScheduled")
    found = kits.attributes(scheduled)
    assert found["taskList"] == {"name": run.task_list}
    assert (found["taskPriority"], found["startToCloseTimeout"]) == ("3", "10")
    described = run.describe()
    assert described["executionConfiguration"] == {
        "taskStartToCloseTimeout": "10",
        "executionStartToCloseTimeout": "100",
        "taskList": {"name": run.task_list},
        "taskPriority": "3",
        "childPolicy": "ABANDON",
        "lambdaRole": "arn:aws:iam::123456789012:role/lambda",
    }
    info = described["executionInfo"]
    assert info["execution"] == run.execution
    assert (info["executionStatus"], info["cancelRequested"], info["tagList"]) == ("OPEN", False, ["a", "b"])
    assert info["workflowType"] == kit.workflow
    assert not {"closeStatus", "closeTimestamp", "parent"} & set(info)
    assert described["openCounts"] == {
        "openActivityTasks": 0,
        "openTimers": 0,
        "openDecisionTasks": 1,
        "openChildWorkflowExecutions": 0,
        "openLambdaFunctions": 0,
    }


def test_defaults_come_from_the_type(kit: kits.Kit) -> None:
    kind = kit.workflow_type(**kits.WORKFLOW_DEFAULTS, defaultTaskList={"name": "by-default"}, defaultTaskPriority="12")
    answer = kit.swf.start_workflow_execution(domain=kit.domain, workflowId=kits.unique("id"), workflowType=kind)
    run = kit.run({"workflowId": "", "runId": answer["runId"]}, "by-default")
    run = kit.run({**kit.poll_decision("by-default")["workflowExecution"]}, "by-default")
    started = run.one("WorkflowExecutionStarted")
    assert started["taskList"] == {"name": "by-default"}
    assert started["taskPriority"] == "12"
    assert started["childPolicy"] == "TERMINATE"
    assert started["executionStartToCloseTimeout"] == "3600"
    assert started["taskStartToCloseTimeout"] == "300"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("defaultTaskStartToCloseTimeout", "taskStartToCloseTimeout"),
        ("defaultExecutionStartToCloseTimeout", "executionStartToCloseTimeout"),
        ("defaultChildPolicy", "childPolicy"),
        ("defaultTaskList", "taskList"),
    ],
)
def test_without_a_default_the_member_is_required(kit: kits.Kit, given: str, missing: str) -> None:
    defaults = {**kits.WORKFLOW_DEFAULTS, "defaultTaskList": {"name": "list"}}
    kind = kit.workflow_type(**{name: value for name, value in defaults.items() if name != given})
    request = {"domain": kit.domain, "workflowId": kits.unique("id"), "workflowType": kind}
    kits.fault("DefaultUndefinedFault", kit.swf.start_workflow_execution, **request)
    value = {"name": "list"} if missing == "taskList" else defaults[given]
    answer = kit.swf.start_workflow_execution(**request, **{missing: value})
    kit.swf.terminate_workflow_execution(domain=kit.domain, workflowId=request["workflowId"], runId=answer["runId"])


def test_start_is_refused(kit: kits.Kit) -> None:
    run = kit.start()
    request = {
        "domain": kit.domain,
        "workflowId": run.workflow_id,
        "workflowType": kit.workflow,
        "taskList": {"name": "list"},
    }
    kits.fault("WorkflowExecutionAlreadyStartedFault", kit.swf.start_workflow_execution, **request)
    run.terminate()
    second = kit.swf.start_workflow_execution(**request)["runId"]
    assert second != run.run_id
    kind = kit.workflow_type(**kits.WORKFLOW_DEFAULTS)
    request |= {"workflowId": kits.unique("id"), "workflowType": {**kind, "version": "unknown"}}
    kits.fault("UnknownResourceFault", kit.swf.start_workflow_execution, **request)
    kit.swf.deprecate_workflow_type(domain=kit.domain, workflowType=kind)
    request |= {"workflowType": kind}
    kits.fault("TypeDeprecatedFault", kit.swf.start_workflow_execution, **request)


def test_signal(kit: kits.Kit) -> None:
    run = kit.start()
    task = run.poll()
    run.signal("first", input="one")
    run.signal("second")
    first, second = run.all("WorkflowExecutionSignaled")
    assert first == {"signalName": "first", "input": "one", "externalInitiatedEventId": 0}
    assert second == {"signalName": "second", "externalInitiatedEventId": 0}
    # The first event meanwhile schedules the next task at once, those after it are part of that one.
    assert run.types() == [
        "WorkflowExecutionStarted",
        "DecisionTaskScheduled",
        "DecisionTaskStarted",
        "WorkflowExecutionSignaled",
        "DecisionTaskScheduled",
        "WorkflowExecutionSignaled",
    ]
    run.respond(task)
    assert run.poll()["startedEventId"] == 8
    run.terminate()
    kits.fault(
        "UnknownResourceFault",
        kit.swf.signal_workflow_execution,
        domain=kit.domain,
        workflowId=run.workflow_id,
        signalName="late",
    )


def test_signal_without_run_id_reaches_the_open_run(kit: kits.Kit) -> None:
    run = kit.start()
    run.terminate()
    again = kit.start(workflowId=run.workflow_id)
    kit.swf.signal_workflow_execution(domain=kit.domain, workflowId=run.workflow_id, signalName="here")
    assert again.one("WorkflowExecutionSignaled")["signalName"] == "here"
    kit.swf.request_cancel_workflow_execution(domain=kit.domain, workflowId=run.workflow_id)
    assert again.one("WorkflowExecutionCancelRequested") == {"externalInitiatedEventId": 0}
    kit.swf.terminate_workflow_execution(domain=kit.domain, workflowId=run.workflow_id)
    assert again.info()["closeStatus"] == "TERMINATED"
    assert "WorkflowExecutionSignaled" not in run.types()


def test_cancel_request(kit: kits.Kit) -> None:
    run = kit.start()
    run.decide()
    run.request_cancel()
    assert run.info()["cancelRequested"] is True
    assert run.types()[-2:] == ["WorkflowExecutionCancelRequested", "DecisionTaskScheduled"]
    run.decide(kits.decision("CancelWorkflowExecution", details="gone"))
    assert run.one("WorkflowExecutionCanceled")["details"] == "gone"
    info = run.info()
    assert (info["executionStatus"], info["closeStatus"]) == ("CLOSED", "CANCELED")
    assert info["closeTimestamp"] >= info["startTimestamp"]
    # As recorded: of a closed execution nobody requests anything any more.
    assert info["cancelRequested"] is False


def test_terminate(kit: kits.Kit) -> None:
    run = kit.start()
    run.terminate(reason="because", details="of this", childPolicy="REQUEST_CANCEL")
    found = run.one("WorkflowExecutionTerminated")
    assert found == {
        "reason": "because",
        "details": "of this",
        "childPolicy": "REQUEST_CANCEL",
        "cause": "OPERATOR_INITIATED",
    }
    assert run.types()[-1] == "WorkflowExecutionTerminated"
    kits.fault(
        "UnknownResourceFault",
        kit.swf.terminate_workflow_execution,
        domain=kit.domain,
        workflowId=run.workflow_id,
        runId=run.run_id,
    )


def test_open_counts(kit: kits.Kit) -> None:
    run = kit.start()
    run.decide(
        kit.schedule(),
        kit.schedule(),
        kits.decision("StartTimer", timerId="t", startToFireTimeout="600"),
        kit.child(),
        executionContext="where it stands",
    )
    described = run.describe()
    assert described["openCounts"] == {
        "openActivityTasks": 2,
        "openTimers": 1,
        "openDecisionTasks": 1,
        "openChildWorkflowExecutions": 1,
        "openLambdaFunctions": 0,
    }
    assert described["latestExecutionContext"] == "where it stands"
    assert "latestActivityTaskTimestamp" in described
    run.terminate()


def test_history_pages_both_ways(kit: kits.Kit) -> None:
    run = kit.start()
    run.decide(*(kits.decision("RecordMarker", markerName=str(number)) for number in range(20)))
    every = run.events()
    assert [event["eventId"] for event in every] == list(range(1, len(every) + 1))
    assert kit.history(run.execution, maximumPageSize=7) == every
    assert kit.history(run.execution, reverseOrder=True) == every[::-1]
    assert kit.history(run.execution, reverseOrder=True, maximumPageSize=3) == every[::-1]
    page = kit.swf.get_workflow_execution_history(domain=kit.domain, execution=run.execution, maximumPageSize=7)
    assert len(page["events"]) == 7


def test_timestamps_are_milliseconds_and_do_not_go_back(kit: kits.Kit) -> None:
    run = kit.start()
    run.decide(kits.decision("CompleteWorkflowExecution"))
    stamps = [event["eventTimestamp"] for event in run.events()]
    assert stamps == sorted(stamps)
    assert all(stamp.microsecond % 1000 == 0 for stamp in stamps)
