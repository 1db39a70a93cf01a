"""Starting, describing, signalling, cancelling and terminating executions."""

from __future__ import annotations

import pytest

from . import driver as drivers


def test_start_writes_everything_down(driver: drivers.Driver) -> None:
    run = driver.start(
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
    found = drivers.attributes(started)
    assert found == {
        "input": "in",
        "taskPriority": "3",
        "tagList": ["a", "b"],
        "executionStartToCloseTimeout": "100",
        "taskStartToCloseTimeout": "10",
        "childPolicy": "ABANDON",
        "lambdaRole": "arn:aws:iam::123456789012:role/lambda",
        "taskList": {"name": run.task_list},
        "workflowType": driver.workflow,
        "parentInitiatedEventId": 0,
    }
    assert (scheduled["eventId"], scheduled["eventType"]) == (2, "DecisionTaskScheduled")
    found = drivers.attributes(scheduled)
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
    assert info["workflowType"] == driver.workflow
    assert not {"closeStatus", "closeTimestamp", "parent"} & set(info)
    assert described["openCounts"] == {
        "openActivityTasks": 0,
        "openTimers": 0,
        "openDecisionTasks": 1,
        "openChildWorkflowExecutions": 0,
        "openLambdaFunctions": 0,
    }


def test_defaults_come_from_the_type(driver: drivers.Driver) -> None:
    kind = driver.workflow_type(
        **drivers.WORKFLOW_DEFAULTS, defaultTaskList={"name": "by-default"}, defaultTaskPriority="12"
    )
    answer = driver.swf.start_workflow_execution(
        domain=driver.domain, workflowId=drivers.unique("id"), workflowType=kind
    )
    run = driver.run({"workflowId": "", "runId": answer["runId"]}, "by-default")
    run = driver.run({**driver.poll_decision("by-default")["workflowExecution"]}, "by-default")
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
def test_without_a_default_the_member_is_required(driver: drivers.Driver, given: str, missing: str) -> None:
    defaults = {**drivers.WORKFLOW_DEFAULTS, "defaultTaskList": {"name": "list"}}
    kind = driver.workflow_type(**{name: value for name, value in defaults.items() if name != given})
    request = {"domain": driver.domain, "workflowId": drivers.unique("id"), "workflowType": kind}
    drivers.fault("DefaultUndefinedFault", driver.swf.start_workflow_execution, **request)
    value = {"name": "list"} if missing == "taskList" else defaults[given]
    answer = driver.swf.start_workflow_execution(**request, **{missing: value})
    driver.swf.terminate_workflow_execution(
        domain=driver.domain, workflowId=request["workflowId"], runId=answer["runId"]
    )


def test_start_is_refused(driver: drivers.Driver) -> None:
    run = driver.start()
    request = {
        "domain": driver.domain,
        "workflowId": run.workflow_id,
        "workflowType": driver.workflow,
        "taskList": {"name": "list"},
    }
    drivers.fault("WorkflowExecutionAlreadyStartedFault", driver.swf.start_workflow_execution, **request)
    run.terminate()
    second = driver.swf.start_workflow_execution(**request)["runId"]
    assert second != run.run_id
    kind = driver.workflow_type(**drivers.WORKFLOW_DEFAULTS)
    request |= {"workflowId": drivers.unique("id"), "workflowType": {**kind, "version": "unknown"}}
    drivers.fault("UnknownResourceFault", driver.swf.start_workflow_execution, **request)
    driver.swf.deprecate_workflow_type(domain=driver.domain, workflowType=kind)
    request |= {"workflowType": kind}
    drivers.fault("TypeDeprecatedFault", driver.swf.start_workflow_execution, **request)


def test_signal(driver: drivers.Driver) -> None:
    run = driver.start()
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
    drivers.fault(
        "UnknownResourceFault",
        driver.swf.signal_workflow_execution,
        domain=driver.domain,
        workflowId=run.workflow_id,
        signalName="late",
    )


def test_signal_without_run_id_reaches_the_open_run(driver: drivers.Driver) -> None:
    run = driver.start()
    run.terminate()
    again = driver.start(workflowId=run.workflow_id)
    driver.swf.signal_workflow_execution(domain=driver.domain, workflowId=run.workflow_id, signalName="here")
    assert again.one("WorkflowExecutionSignaled")["signalName"] == "here"
    driver.swf.request_cancel_workflow_execution(domain=driver.domain, workflowId=run.workflow_id)
    assert again.one("WorkflowExecutionCancelRequested") == {"externalInitiatedEventId": 0}
    driver.swf.terminate_workflow_execution(domain=driver.domain, workflowId=run.workflow_id)
    assert again.info()["closeStatus"] == "TERMINATED"
    assert "WorkflowExecutionSignaled" not in run.types()


def test_cancel_request(driver: drivers.Driver) -> None:
    run = driver.start()
    run.decide()
    run.request_cancel()
    assert run.info()["cancelRequested"] is True
    assert run.types()[-2:] == ["WorkflowExecutionCancelRequested", "DecisionTaskScheduled"]
    run.decide(drivers.decision("CancelWorkflowExecution", details="gone"))
    assert run.one("WorkflowExecutionCanceled")["details"] == "gone"
    info = run.info()
    assert (info["executionStatus"], info["closeStatus"]) == ("CLOSED", "CANCELED")
    assert info["closeTimestamp"] >= info["startTimestamp"]
    # As recorded: of a closed execution nobody requests anything any more.
    assert info["cancelRequested"] is False


def test_terminate(driver: drivers.Driver) -> None:
    run = driver.start()
    run.terminate(reason="because", details="of this", childPolicy="REQUEST_CANCEL")
    found = run.one("WorkflowExecutionTerminated")
    assert found == {
        "reason": "because",
        "details": "of this",
        "childPolicy": "REQUEST_CANCEL",
        "cause": "OPERATOR_INITIATED",
    }
    assert run.types()[-1] == "WorkflowExecutionTerminated"
    drivers.fault(
        "UnknownResourceFault",
        driver.swf.terminate_workflow_execution,
        domain=driver.domain,
        workflowId=run.workflow_id,
        runId=run.run_id,
    )


def test_open_counts(driver: drivers.Driver) -> None:
    run = driver.start()
    run.decide(
        driver.schedule(),
        driver.schedule(),
        drivers.decision("StartTimer", timerId="t", startToFireTimeout="600"),
        driver.child(),
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


def test_history_pages_both_ways(driver: drivers.Driver) -> None:
    run = driver.start()
    run.decide(*(drivers.decision("RecordMarker", markerName=str(number)) for number in range(20)))
    every = run.events()
    assert [event["eventId"] for event in every] == list(range(1, len(every) + 1))
    assert driver.history(run.execution, maximumPageSize=7) == every
    assert driver.history(run.execution, reverseOrder=True) == every[::-1]
    assert driver.history(run.execution, reverseOrder=True, maximumPageSize=3) == every[::-1]
    page = driver.swf.get_workflow_execution_history(domain=driver.domain, execution=run.execution, maximumPageSize=7)
    assert len(page["events"]) == 7


def test_timestamps_are_milliseconds_and_do_not_go_back(driver: drivers.Driver) -> None:
    run = driver.start()
    run.decide(drivers.decision("CompleteWorkflowExecution"))
    stamps = [event["eventTimestamp"] for event in run.events()]
    assert stamps == sorted(stamps)
    assert all(stamp.microsecond % 1000 == 0 for stamp in stamps)
