"""Long polls: pages, order, priorities, sticky lists, and who gets a task."""

from __future__ import annotations

import time
from typing import Any

import botocore.exceptions
import pytest

from . import driver as drivers

_MARKERS = [drivers.decision("RecordMarker", markerName=str(number)) for number in range(30)]


def _long(driver: drivers.Driver) -> drivers.Run:
    """Start an execution whose second decision task waits behind forty events."""
    run = driver.start()
    run.decide(*_MARKERS)
    time.sleep(0.01)
    run.signal()
    return run


def test_a_task_has_everything(driver: drivers.Driver) -> None:
    run = driver.start()
    task = run.poll(identity="decider 1")
    assert task["workflowExecution"] == run.execution
    assert task["workflowType"] == driver.workflow
    assert (task["startedEventId"], task["previousStartedEventId"]) == (3, 0)
    assert [event["eventId"] for event in task["events"]] == [1, 2, 3]
    assert run.one("DecisionTaskStarted") == {"identity": "decider 1", "scheduledEventId": 2}
    run.respond(task)
    run.signal()
    task = run.poll()
    assert (task["startedEventId"], task["previousStartedEventId"]) == (7, 3)
    run.terminate()


def test_pages_of_a_task(driver: drivers.Driver) -> None:
    run = _long(driver)
    task = run.poll(maximumPageSize=10)
    events, token = list(task["events"]), task["taskToken"]
    assert len(events) == 10
    while "nextPageToken" in task:
        task = run.poll(maximumPageSize=10, nextPageToken=task["nextPageToken"])
        assert task["taskToken"] == token
        events += task["events"]
    assert events == run.events()
    # No page handed out another task.
    assert run.types().count("DecisionTaskStarted") == 2
    run.respond({"taskToken": token}, drivers.decision("CompleteWorkflowExecution"))


def test_pages_of_a_task_backwards(driver: drivers.Driver) -> None:
    run = _long(driver)
    task = run.poll(maximumPageSize=15, reverseOrder=True)
    events = list(task["events"])
    while "nextPageToken" in task:
        task = run.poll(maximumPageSize=15, reverseOrder=True, nextPageToken=task["nextPageToken"])
        events += task["events"]
    assert events == run.events()[::-1]
    run.terminate()


def test_history_from_the_previous_start(driver: drivers.Driver) -> None:
    run = _long(driver)
    task = run.poll(startAtPreviousStartedEvent=True)
    ids = [event["eventId"] for event in task["events"]]
    assert task["previousStartedEventId"] in ids
    assert ids == list(range(ids[0], task["startedEventId"] + 1))
    assert ids[0] > 1 or task["events"][0]["eventTimestamp"] == task["events"][2]["eventTimestamp"]
    run.terminate()
    first = driver.start()
    task = first.poll(startAtPreviousStartedEvent=True)
    assert [event["eventId"] for event in task["events"]] == [1, 2, 3]
    first.terminate()


def test_page_tokens_are_fenced(driver: drivers.Driver, fresh: drivers.Driver) -> None:
    run = _long(driver)
    task = run.poll(maximumPageSize=10)
    token = task["nextPageToken"]
    swf, where = driver.swf, {"domain": driver.domain, "execution": run.execution}
    drivers.fault("ValidationException", swf.get_workflow_execution_history, **where, nextPageToken=token)
    drivers.fault(
        "ValidationException",
        swf.poll_for_decision_task,
        domain=fresh.domain,
        taskList={"name": run.task_list},
        nextPageToken=token,
    )
    page = swf.get_workflow_execution_history(**where, maximumPageSize=10)
    token = page["nextPageToken"]
    other = driver.start()
    drivers.fault(
        "ValidationException",
        swf.get_workflow_execution_history,
        domain=driver.domain,
        execution=other.execution,
        nextPageToken=token,
    )
    broken = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    for bad in (broken, "nonsense", "ü" * 20):
        drivers.fault("ValidationException", swf.get_workflow_execution_history, **where, nextPageToken=bad)
        drivers.fault(
            "ValidationException",
            swf.list_closed_workflow_executions,
            domain=driver.domain,
            startTimeFilter={"oldestDate": 0},
            nextPageToken=bad,
        )
    run.terminate()
    other.terminate()


def test_task_tokens_that_are_none(driver: drivers.Driver) -> None:
    run = driver.start()
    wanted = run.scheduled()
    activity = driver.poll_activity(wanted["taskList"]["name"])["taskToken"]
    run.signal()
    decision = run.poll()["taskToken"]
    before = run.types()
    for token in (decision, activity[:-1], activity + "0", "nonsense", activity.upper() + "."):
        _refused(driver.swf.respond_activity_task_completed, taskToken=token)
        _refused(driver.swf.record_activity_task_heartbeat, taskToken=token)
    for token in (activity, decision[:-1], decision + "0", "nonsense"):
        _refused(driver.swf.respond_decision_task_completed, taskToken=token, decisions=[])
    assert run.types() == before
    driver.swf.respond_activity_task_completed(taskToken=activity)
    run.terminate()


def _refused(call: Any, **request: Any) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] in ("UnknownResourceFault", "ValidationException")


def test_priorities(driver: drivers.Driver) -> None:
    where = {"name": drivers.unique("shared")}
    runs = {each: driver.start(taskList=where, taskPriority=each) for each in ("0", "10", "-2147483648", "2147483647")}
    order = [driver.poll_decision(where["name"])["workflowExecution"]["runId"] for _ in runs]
    wanted = sorted(runs, key=int, reverse=True)
    assert order == [runs[each].run_id for each in wanted]
    run = driver.start()
    for each in ("1", "3", "-2", "3"):
        run.signal()
        run.decide(driver.schedule(taskList=where, taskPriority=each, activityId=f"{each} {drivers.unique('a')}"))
    ids = [driver.poll_activity(where["name"])["activityId"] for _ in range(4)]
    assert [each.split()[0] for each in ids] == ["3", "3", "1", "-2"]
    for each in (*runs.values(), run):
        each.terminate()


def test_equals_are_served_in_order(driver: drivers.Driver) -> None:
    where = {"name": drivers.unique("shared")}
    runs = [driver.start(taskList=where) for _ in range(5)]
    assert [driver.poll_decision(where["name"])["workflowExecution"]["runId"] for _ in runs] == [r.run_id for r in runs]
    for run in runs:
        run.terminate()


def test_pollers_are_woken(driver: drivers.Driver) -> None:
    names = [drivers.unique("awaited") for _ in range(2)]
    activities = drivers.unique("awaited")
    run = driver.start()
    task = run.poll()

    def wake() -> float:
        time.sleep(0.4)
        for name in names:
            driver.start(taskList={"name": name})
        run.respond(
            task, driver.schedule(taskList={"name": activities}), driver.schedule(taskList={"name": activities})
        )
        return time.monotonic()

    def woken(poll: Any, name: str) -> Any:
        answer = poll(name)
        return answer, time.monotonic()

    woke, *answers = drivers.together(
        wake,
        *(lambda name=name: woken(driver.poll_decision, name) for name in names),
        *(lambda: woken(driver.poll_activity, activities) for _ in range(2)),
    )
    assert all(moment - woke < 2.0 for _, moment in answers)
    assert len({answer["taskToken"] for answer, _ in answers}) == 4
    for answer, _ in answers[:2]:
        driver.swf.terminate_workflow_execution(
            domain=driver.domain, workflowId=answer["workflowExecution"]["workflowId"]
        )
    run.terminate()


def test_sticky_list(driver: drivers.Driver) -> None:
    run = driver.start()
    sticky = {"name": drivers.unique("sticky")}
    run.decide(taskList=sticky, taskListScheduleToStartTimeout="60")
    completed = run.one("DecisionTaskCompleted")
    assert (completed["taskList"], completed["taskListScheduleToStartTimeout"]) == (sticky, "60")
    run.signal()
    scheduled = run.all("DecisionTaskScheduled")[-1]
    assert (scheduled["taskList"], scheduled["scheduleToStartTimeout"]) == (sticky, "60")
    # Back to the list that it was started with.
    run.respond(run.poll(task_list=sticky["name"]), taskList={"name": run.task_list})
    run.signal()
    assert run.all("DecisionTaskScheduled")[-1]["taskList"]["name"] == run.task_list
    run.terminate()


def test_list_without_a_timeout_stays(driver: drivers.Driver) -> None:
    run = driver.start()
    other = {"name": drivers.unique("other")}
    run.decide(taskList=other)
    for _ in range(2):
        run.signal()
        run.respond(run.poll(task_list=other["name"]))
    assert [each["taskList"] for each in run.all("DecisionTaskScheduled")[1:]] == [other, other]
    run.terminate()


def test_counts_of_pending_tasks(driver: drivers.Driver) -> None:
    where = drivers.unique("counted")
    runs = [driver.start(taskList={"name": where}) for _ in range(3)]
    answer = driver.swf.count_pending_decision_tasks(domain=driver.domain, taskList={"name": where})
    assert (answer["count"], answer["truncated"]) == (3, False)
    task = driver.poll_decision(where)
    assert driver.waiting(where) == 2
    driver.swf.respond_decision_task_completed(
        taskToken=task["taskToken"], decisions=[driver.schedule(taskList={"name": where}) for _ in range(4)]
    )
    answer = driver.swf.count_pending_activity_tasks(domain=driver.domain, taskList={"name": where})
    assert (answer["count"], answer["truncated"]) == (4, False)
    assert driver.waiting_activities(drivers.unique("never used")) == 0
    for run in runs:
        run.terminate()
    assert (driver.waiting(where), driver.waiting_activities(where)) == (0, 0)
