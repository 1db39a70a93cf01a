"""Each decision: what it writes, and each way in which it fails. Activities and children have files of their own."""

from __future__ import annotations

import pytest

from . import driver as drivers

_CLOSING = [
    ("CompleteWorkflowExecution", "CompleteWorkflowExecutionFailed", "WorkflowExecutionCompleted", "COMPLETED"),
    ("FailWorkflowExecution", "FailWorkflowExecutionFailed", "WorkflowExecutionFailed", "FAILED"),
    ("CancelWorkflowExecution", "CancelWorkflowExecutionFailed", "WorkflowExecutionCanceled", "CANCELED"),
    (
        "ContinueAsNewWorkflowExecution",
        "ContinueAsNewWorkflowExecutionFailed",
        "WorkflowExecutionContinuedAsNew",
        "CONTINUED_AS_NEW",
    ),
]


@pytest.mark.parametrize(("kind", "failed", "event", "status"), _CLOSING)
def test_closing_decisions(driver: drivers.Driver, kind: str, failed: str, event: str, status: str) -> None:
    run = driver.start(driver.workflow_type(**drivers.WORKFLOW_DEFAULTS, defaultTaskList={"name": "continued"}))
    task = run.poll()
    # An event that the decider has not seen: closing fails, and the next task is there already.
    run.signal()
    run.respond(task, drivers.decision(kind))
    assert run.one(failed) == {"cause": "UNHANDLED_DECISION", "decisionTaskCompletedEventId": 6}
    assert run.info()["executionStatus"] == "OPEN"
    assert driver.waiting(run.task_list) == 1
    run.decide(drivers.decision(kind))
    assert run.types()[-1] == event
    assert run.info()["closeStatus"] == status
    assert run.describe()["openCounts"]["openDecisionTasks"] == 0


def test_an_activity_event_meanwhile_is_unhandled_too(driver: drivers.Driver) -> None:
    run = driver.start()
    wanted = run.scheduled()
    run.signal()
    task = run.poll()
    done = driver.poll_activity(wanted["taskList"]["name"])
    driver.swf.respond_activity_task_completed(taskToken=done["taskToken"], result="1")
    run.respond(task, drivers.decision("CompleteWorkflowExecution", result="early"))
    assert run.one("CompleteWorkflowExecutionFailed")["cause"] == "UNHANDLED_DECISION"
    # As Amazon SWF was seen to write it: the event, the next task, the completion, what came of it.
    assert run.types()[-6:] == [
        "DecisionTaskStarted",
        "ActivityTaskStarted",
        "ActivityTaskCompleted",
        "DecisionTaskScheduled",
        "DecisionTaskCompleted",
        "CompleteWorkflowExecutionFailed",
    ]
    run.terminate()


def test_results_and_reasons(driver: drivers.Driver) -> None:
    run = driver.start()
    run.decide(drivers.decision("CompleteWorkflowExecution", result="r"))
    assert run.one("WorkflowExecutionCompleted") == {"result": "r", "decisionTaskCompletedEventId": 4}
    run = driver.start()
    run.decide(drivers.decision("FailWorkflowExecution", reason="why", details="how"))
    assert run.one("WorkflowExecutionFailed") == {"reason": "why", "details": "how", "decisionTaskCompletedEventId": 4}


def test_close_must_come_last(driver: drivers.Driver) -> None:
    run = driver.start()
    task = run.poll()
    drivers.fault(
        "ValidationException",
        driver.swf.respond_decision_task_completed,
        taskToken=task["taskToken"],
        decisions=[drivers.decision("CompleteWorkflowExecution"), drivers.decision("RecordMarker", markerName="m")],
    )
    run.respond(task, drivers.decision("RecordMarker", markerName="m"), drivers.decision("CompleteWorkflowExecution"))
    assert run.types()[-3:] == ["DecisionTaskCompleted", "MarkerRecorded", "WorkflowExecutionCompleted"]


def test_decision_task_completed_event(driver: drivers.Driver) -> None:
    run = driver.start()
    run.decide(executionContext="context")
    assert run.one("DecisionTaskCompleted") == {
        "executionContext": "context",
        "scheduledEventId": 2,
        "startedEventId": 3,
    }


def test_marker(driver: drivers.Driver) -> None:
    run = driver.start()
    run.decide(drivers.decision("RecordMarker", markerName="m", details="d"))
    assert run.one("MarkerRecorded") == {"markerName": "m", "details": "d", "decisionTaskCompletedEventId": 4}
    # A marker is not news: no decision task follows.
    assert driver.waiting(run.task_list) == 0


def test_timer(driver: drivers.Driver) -> None:
    run = driver.start()
    start = drivers.decision("StartTimer", timerId="t", startToFireTimeout="600", control="c")
    run.decide(start, start)
    assert run.one("TimerStarted") == {
        "timerId": "t",
        "startToFireTimeout": "600",
        "control": "c",
        "decisionTaskCompletedEventId": 4,
    }
    assert run.one("StartTimerFailed") == {
        "timerId": "t",
        "cause": "TIMER_ID_ALREADY_IN_USE",
        "decisionTaskCompletedEventId": 4,
    }
    # A decision that failed schedules a new decision task.
    cancel = drivers.decision("CancelTimer", timerId="t")
    run.decide(cancel, cancel)
    assert run.one("TimerCanceled") == {"timerId": "t", "startedEventId": 5, "decisionTaskCompletedEventId": 9}
    assert run.one("CancelTimerFailed") == {
        "timerId": "t",
        "cause": "TIMER_ID_UNKNOWN",
        "decisionTaskCompletedEventId": 9,
    }
    # A closed timer's id may be used again.
    run.decide(start)
    assert len(run.all("TimerStarted")) == 2
    run.terminate()


def test_timer_of_no_seconds_fires_at_once(driver: drivers.Driver) -> None:
    run = driver.start()
    run.decide(drivers.decision("StartTimer", timerId="now", startToFireTimeout="0"))
    task = run.poll()
    assert [event["eventType"] for event in task["events"]][-4:] == [
        "TimerStarted",
        "TimerFired",
        "DecisionTaskScheduled",
        "DecisionTaskStarted",
    ]
    assert run.one("TimerFired") == {"timerId": "now", "startedEventId": 5}
    run.respond(task, drivers.decision("CompleteWorkflowExecution"))


def test_lambda_is_refused(driver: drivers.Driver) -> None:
    run = driver.start()
    run.decide(drivers.decision("ScheduleLambdaFunction", id="l", name="function", input="{}", control="c"))
    found = run.one("ScheduleLambdaFunctionFailed")
    assert found == {
        "id": "l",
        "name": "function",
        "cause": "LAMBDA_SERVICE_NOT_AVAILABLE_IN_REGION",
        "decisionTaskCompletedEventId": 4,
    }
    run.terminate()


def test_continue_as_new(driver: drivers.Driver) -> None:
    kind = driver.workflow_type(**drivers.WORKFLOW_DEFAULTS)
    run = driver.start(kind, tagList=["old"], taskPriority="1")
    driver.swf.register_workflow_type(domain=driver.domain, name=kind["name"], version="2")
    run.decide(
        drivers.decision(
            "ContinueAsNewWorkflowExecution",
            input="more",
            executionStartToCloseTimeout="50",
            taskList={"name": "continued"},
            taskPriority="5",
            taskStartToCloseTimeout="20",
            childPolicy="REQUEST_CANCEL",
            tagList=["new"],
            workflowTypeVersion="2",
            lambdaRole="arn:aws:iam::123456789012:role/lambda",
        )
    )
    found = run.one("WorkflowExecutionContinuedAsNew")
    again = driver.run({"workflowId": run.workflow_id, "runId": found.pop("newExecutionRunId")}, "continued")
    wanted = {
        "input": "more",
        "executionStartToCloseTimeout": "50",
        "taskList": {"name": "continued"},
        "taskPriority": "5",
        "taskStartToCloseTimeout": "20",
        "childPolicy": "REQUEST_CANCEL",
        "tagList": ["new"],
        "workflowType": {"name": kind["name"], "version": "2"},
        "lambdaRole": "arn:aws:iam::123456789012:role/lambda",
    }
    assert found == {**wanted, "decisionTaskCompletedEventId": 4}
    started = again.one("WorkflowExecutionStarted")
    assert started == {**wanted, "continuedExecutionRunId": run.run_id, "parentInitiatedEventId": 0}
    assert again.info()["execution"]["workflowId"] == run.workflow_id
    assert run.info()["closeStatus"] == "CONTINUED_AS_NEW"
    again.terminate()


def test_continue_as_new_without_attributes_has_the_defaults_of_its_type(driver: drivers.Driver) -> None:
    kind = driver.workflow_type(**drivers.WORKFLOW_DEFAULTS, defaultTaskList={"name": drivers.unique("default")})
    run = driver.start(kind, taskStartToCloseTimeout="77", childPolicy="ABANDON", executionStartToCloseTimeout="99")
    run.decide(drivers.decision("ContinueAsNewWorkflowExecution"))
    again = driver.run(
        {"workflowId": run.workflow_id, "runId": run.one("WorkflowExecutionContinuedAsNew")["newExecutionRunId"]}, ""
    )
    started = again.one("WorkflowExecutionStarted")
    assert started["workflowType"] == kind
    assert started["taskList"]["name"].startswith("default")
    assert (started["taskStartToCloseTimeout"], started["executionStartToCloseTimeout"]) == ("300", "3600")
    assert started["childPolicy"] == "TERMINATE"
    assert "input" not in started
    again.terminate()


def _cause(driver: drivers.Driver, kind: drivers.Attributes, **more: str) -> str:
    run = driver.start(kind, **drivers.EXECUTION)
    run.decide(drivers.decision("ContinueAsNewWorkflowExecution", **more))
    found: str = run.one("ContinueAsNewWorkflowExecutionFailed")["cause"]
    assert driver.waiting(run.task_list) == 1
    run.terminate()
    return found


def test_continue_as_new_with_a_type_that_is_not_there(driver: drivers.Driver) -> None:
    kind = driver.workflow_type(**drivers.WORKFLOW_DEFAULTS, defaultTaskList={"name": "list"})
    assert _cause(driver, kind, workflowTypeVersion="unknown") == "WORKFLOW_TYPE_DOES_NOT_EXIST"
    driver.swf.register_workflow_type(domain=driver.domain, name=kind["name"], version="old")
    driver.swf.deprecate_workflow_type(domain=driver.domain, workflowType={"name": kind["name"], "version": "old"})
    assert _cause(driver, kind, workflowTypeVersion="old") == "WORKFLOW_TYPE_DEPRECATED"


@pytest.mark.parametrize(
    ("default", "cause"),
    [
        ("defaultExecutionStartToCloseTimeout", "DEFAULT_EXECUTION_START_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("defaultTaskStartToCloseTimeout", "DEFAULT_TASK_START_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("defaultTaskList", "DEFAULT_TASK_LIST_UNDEFINED"),
        ("defaultChildPolicy", "DEFAULT_CHILD_POLICY_UNDEFINED"),
    ],
)
def test_continue_as_new_without_a_default(driver: drivers.Driver, default: str, cause: str) -> None:
    defaults = {**drivers.WORKFLOW_DEFAULTS, "defaultTaskList": {"name": "list"}}
    del defaults[default]
    assert _cause(driver, driver.workflow_type(**defaults)) == cause


def test_decider_that_repeats_itself_is_told(driver: drivers.Driver) -> None:
    run = driver.start()
    task = run.poll()
    run.respond(task)
    message = drivers.fault(
        "UnknownResourceFault", driver.swf.respond_decision_task_completed, taskToken=task["taskToken"], decisions=[]
    )
    assert message
    run.terminate()
