"""Activity tasks: schedule, work, heartbeat, cancel, and tokens that come late or twice."""

from __future__ import annotations

import pytest

from . import driver as drivers


def test_schedule_with_everything(driver: drivers.Driver) -> None:
    run = driver.start()
    wanted = {
        "activityType": driver.activity,
        "activityId": "a",
        "control": "c",
        "input": "i",
        "scheduleToCloseTimeout": "600",
        "taskList": {"name": drivers.unique("activities")},
        "taskPriority": "9",
        "scheduleToStartTimeout": "300",
        "startToCloseTimeout": "200",
        "heartbeatTimeout": "100",
    }
    run.decide(drivers.decision("ScheduleActivityTask", **wanted))
    assert run.one("ActivityTaskScheduled") == {**wanted, "decisionTaskCompletedEventId": 4}
    assert driver.waiting_activities(wanted["taskList"]["name"]) == 1
    task = driver.poll_activity(wanted["taskList"]["name"], identity="worker 1")
    assert (task["activityId"], task["input"], task["activityType"]) == ("a", "i", driver.activity)
    assert task["workflowExecution"] == run.execution
    assert task["startedEventId"] == 6
    assert run.one("ActivityTaskStarted") == {"identity": "worker 1", "scheduledEventId": 5}
    assert driver.waiting_activities(wanted["taskList"]["name"]) == 0
    # A start is not news to the decider.
    assert driver.waiting(run.task_list) == 0
    driver.swf.respond_activity_task_completed(taskToken=task["taskToken"], result="r")
    assert run.one("ActivityTaskCompleted") == {"result": "r", "scheduledEventId": 5, "startedEventId": 6}
    assert run.types()[-1] == "DecisionTaskScheduled"
    # A closed activity's id may be used again.
    run.decide(drivers.decision("ScheduleActivityTask", **wanted))
    assert len(run.all("ActivityTaskScheduled")) == 2
    run.terminate()


def test_defaults_come_from_the_type(driver: drivers.Driver) -> None:
    kind = driver.activity_type(
        **drivers.ACTIVITY_DEFAULTS, defaultTaskList={"name": drivers.unique("by-default")}, defaultTaskPriority="4"
    )
    run = driver.start()
    run.decide(drivers.decision("ScheduleActivityTask", activityType=kind, activityId="a"))
    found = run.one("ActivityTaskScheduled")
    assert found["taskList"]["name"].startswith("by-default")
    assert found["taskPriority"] == "4"
    assert found["startToCloseTimeout"] == "300"
    assert found["heartbeatTimeout"] == "NONE"
    assert found["scheduleToCloseTimeout"] == "NONE"
    assert found["scheduleToStartTimeout"] == "300"
    run.terminate()


@pytest.mark.parametrize(
    ("default", "cause"),
    [
        ("defaultTaskScheduleToCloseTimeout", "DEFAULT_SCHEDULE_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("defaultTaskScheduleToStartTimeout", "DEFAULT_SCHEDULE_TO_START_TIMEOUT_UNDEFINED"),
        ("defaultTaskStartToCloseTimeout", "DEFAULT_START_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("defaultTaskHeartbeatTimeout", "DEFAULT_HEARTBEAT_TIMEOUT_UNDEFINED"),
        ("defaultTaskList", "DEFAULT_TASK_LIST_UNDEFINED"),
    ],
)
def test_without_a_default(driver: drivers.Driver, default: str, cause: str) -> None:
    defaults = {**drivers.ACTIVITY_DEFAULTS, "defaultTaskList": {"name": "list"}}
    del defaults[default]
    kind = driver.activity_type(**defaults)
    run = driver.start()
    run.decide(drivers.decision("ScheduleActivityTask", activityType=kind, activityId="a"))
    assert run.one("ScheduleActivityTaskFailed") == {
        "activityType": kind,
        "activityId": "a",
        "cause": cause,
        "decisionTaskCompletedEventId": 4,
    }
    assert driver.waiting(run.task_list) == 1
    run.terminate()


def test_schedule_fails(driver: drivers.Driver) -> None:
    def cause(*decisions: drivers.Attributes) -> str:
        run = driver.start()
        run.decide(*decisions)
        found: str = run.one("ScheduleActivityTaskFailed")["cause"]
        run.terminate()
        return found

    kind = driver.activity_type(**drivers.ACTIVITY_DEFAULTS)
    assert cause(driver.schedule({**kind, "version": "unknown"})) == "ACTIVITY_TYPE_DOES_NOT_EXIST"
    assert (
        cause(driver.schedule(kind, activityId="a"), driver.schedule(kind, activityId="a"))
        == "ACTIVITY_ID_ALREADY_IN_USE"
    )
    driver.swf.deprecate_activity_type(domain=driver.domain, activityType=kind)
    assert cause(driver.schedule(kind)) == "ACTIVITY_TYPE_DEPRECATED"


def test_failure(driver: drivers.Driver) -> None:
    run = driver.start()
    wanted = run.scheduled()
    task = driver.poll_activity(wanted["taskList"]["name"])
    driver.swf.respond_activity_task_failed(taskToken=task["taskToken"], reason="why", details="how" * 10_000)
    found = run.one("ActivityTaskFailed")
    assert found == {"reason": "why", "details": "how" * 10_000, "scheduledEventId": 5, "startedEventId": 6}
    run.terminate()


def test_cancel_before_anybody_took_it(driver: drivers.Driver) -> None:
    run = driver.start()
    made = driver.schedule()
    run.decide(made, drivers.decision("RequestCancelActivityTask", activityId=_id(made)))
    requested, canceled = run.one("ActivityTaskCancelRequested"), run.one("ActivityTaskCanceled")
    assert requested == {"activityId": _id(made), "decisionTaskCompletedEventId": 4}
    assert canceled == {"scheduledEventId": 5, "startedEventId": 0, "latestCancelRequestedEventId": 6}
    assert driver.waiting_activities(_list(made)) == 0
    assert driver.waiting(run.task_list) == 1
    run.terminate()


def test_cancel_of_one_that_runs_is_told_by_heartbeat(driver: drivers.Driver) -> None:
    run = driver.start()
    wanted = run.scheduled()
    task = driver.poll_activity(wanted["taskList"]["name"])
    answer = driver.swf.record_activity_task_heartbeat(taskToken=task["taskToken"], details="half")
    assert answer["cancelRequested"] is False
    run.signal()
    run.decide(drivers.decision("RequestCancelActivityTask", activityId=wanted["activityId"]))
    assert run.types()[-1] == "ActivityTaskCancelRequested"
    answer = driver.swf.record_activity_task_heartbeat(taskToken=task["taskToken"])
    assert answer["cancelRequested"] is True
    driver.swf.respond_activity_task_canceled(taskToken=task["taskToken"], details="stopped")
    requested = next(event for event in run.events() if event["eventType"] == "ActivityTaskCancelRequested")
    assert run.one("ActivityTaskCanceled") == {
        "details": "stopped",
        "scheduledEventId": 5,
        "startedEventId": 6,
        "latestCancelRequestedEventId": requested["eventId"],
    }
    # Heartbeats write nothing.
    assert not [kind for kind in run.types() if "Heartbeat" in kind]
    run.terminate()


def test_a_worker_may_finish_in_spite_of_a_cancel_request(driver: drivers.Driver) -> None:
    run = driver.start()
    wanted = run.scheduled()
    task = driver.poll_activity(wanted["taskList"]["name"])
    run.signal()
    run.decide(drivers.decision("RequestCancelActivityTask", activityId=wanted["activityId"]))
    driver.swf.respond_activity_task_completed(taskToken=task["taskToken"])
    assert run.types()[-2:] == ["ActivityTaskCompleted", "DecisionTaskScheduled"]
    run.terminate()


def test_cancel_of_an_unknown_activity(driver: drivers.Driver) -> None:
    run = driver.start()
    run.decide(drivers.decision("RequestCancelActivityTask", activityId="nobody"))
    assert run.one("RequestCancelActivityTaskFailed") == {
        "activityId": "nobody",
        "cause": "ACTIVITY_ID_UNKNOWN",
        "decisionTaskCompletedEventId": 4,
    }
    assert driver.waiting(run.task_list) == 1
    run.terminate()


@pytest.mark.parametrize("how", ["completed", "failed", "canceled"])
def test_a_token_serves_once(driver: drivers.Driver, how: str) -> None:
    run = driver.start()
    wanted = run.scheduled()
    task = driver.poll_activity(wanted["taskList"]["name"])
    respond = getattr(driver.swf, f"respond_activity_task_{how}")
    respond(taskToken=task["taskToken"])
    before = run.types()
    drivers.fault("UnknownResourceFault", respond, taskToken=task["taskToken"])
    drivers.fault("UnknownResourceFault", driver.swf.record_activity_task_heartbeat, taskToken=task["taskToken"])
    assert run.types() == before
    run.terminate()


@pytest.mark.parametrize("how", ["completed", "failed", "canceled"])
def test_a_token_of_a_closed_execution_serves_nothing(driver: drivers.Driver, how: str) -> None:
    run = driver.start()
    wanted = run.scheduled()
    task = driver.poll_activity(wanted["taskList"]["name"])
    run.signal()
    decision = run.poll()
    run.terminate()
    respond = getattr(driver.swf, f"respond_activity_task_{how}")
    drivers.fault("UnknownResourceFault", respond, taskToken=task["taskToken"])
    drivers.fault("UnknownResourceFault", driver.swf.record_activity_task_heartbeat, taskToken=task["taskToken"])
    drivers.fault(
        "UnknownResourceFault",
        driver.swf.respond_decision_task_completed,
        taskToken=decision["taskToken"],
        decisions=[],
    )
    assert run.types()[-1] == "WorkflowExecutionTerminated"


def test_tasks_of_a_closed_execution_are_not_handed_out(driver: drivers.Driver) -> None:
    run = driver.start()
    wanted = run.scheduled()
    run.signal()
    assert (driver.waiting(run.task_list), driver.waiting_activities(wanted["taskList"]["name"])) == (1, 1)
    run.terminate()
    assert (driver.waiting(run.task_list), driver.waiting_activities(wanted["taskList"]["name"])) == (0, 0)


def _id(decision: drivers.Attributes) -> str:
    found: str = decision["scheduleActivityTaskDecisionAttributes"]["activityId"]
    return found


def _list(decision: drivers.Attributes) -> str:
    found: str = decision["scheduleActivityTaskDecisionAttributes"]["taskList"]["name"]
    return found
