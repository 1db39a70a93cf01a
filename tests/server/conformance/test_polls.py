"""Long polls: pages, order, priorities, sticky lists, and who gets a task."""

from __future__ import annotations

import time
from typing import Any

import botocore.exceptions
import pytest

from . import kit as kits

_MARKERS = [kits.decision("RecordMarker", markerName=str(number)) for number in range(30)]


def _long(kit: kits.Kit) -> kits.Run:
    """Start an execution whose second decision task waits behind forty events."""
    run = kit.start()
    run.decide(*_MARKERS)
    time.sleep(0.01)
    run.signal()
    return run


def test_a_task_has_everything(kit: kits.Kit) -> None:
    run = kit.start()
    task = run.poll(identity="decider 1")
    assert task["workflowExecution"] == run.execution
    assert task["workflowType"] == kit.workflow
    assert (task["startedEventId"], task["previousStartedEventId"]) == (3, 0)
    assert [event["eventId"] for event in task["events"]] == [1, 2, 3]
    assert run.one("DecisionTaskStarted") == {"identity": "decider 1", "scheduledEventId": 2}
    run.respond(task)
    run.signal()
    task = run.poll()
    assert (task["startedEventId"], task["previousStartedEventId"]) == (7, 3)
    run.terminate()


def test_pages_of_a_task(kit: kits.Kit) -> None:
    run = _long(kit)
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
    run.respond({"taskToken": token}, kits.decision("CompleteWorkflowExecution"))


def test_pages_of_a_task_backwards(kit: kits.Kit) -> None:
    run = _long(kit)
    task = run.poll(maximumPageSize=15, reverseOrder=True)
    events = list(task["events"])
    while "nextPageToken" in task:
        task = run.poll(maximumPageSize=15, reverseOrder=True, nextPageToken=task["nextPageToken"])
        events += task["events"]
    assert events == run.events()[::-1]
    run.terminate()


def test_history_from_the_previous_start(kit: kits.Kit) -> None:
    run = _long(kit)
    task = run.poll(startAtPreviousStartedEvent=True)
    ids = [event["eventId"] for event in task["events"]]
    assert task["previousStartedEventId"] in ids
    assert ids == list(range(ids[0], task["startedEventId"] + 1))
    assert ids[0] > 1 or task["events"][0]["eventTimestamp"] == task["events"][2]["eventTimestamp"]
    run.terminate()
    first = kit.start()
    task = first.poll(startAtPreviousStartedEvent=True)
    assert [event["eventId"] for event in task["events"]] == [1, 2, 3]
    first.terminate()


def test_page_tokens_are_fenced(kit: kits.Kit, fresh: kits.Kit) -> None:
    run = _long(kit)
    task = run.poll(maximumPageSize=10)
    token = task["nextPageToken"]
    swf, where = kit.swf, {"domain": kit.domain, "execution": run.execution}
    kits.fault("ValidationException", swf.get_workflow_execution_history, **where, nextPageToken=token)
    kits.fault(
        "ValidationException",
        swf.poll_for_decision_task,
        domain=fresh.domain,
        taskList={"name": run.task_list},
        nextPageToken=token,
    )
    page = swf.get_workflow_execution_history(**where, maximumPageSize=10)
    token = page["nextPageToken"]
    other = kit.start()
    kits.fault(
        "ValidationException",
        swf.get_workflow_execution_history,
        domain=kit.domain,
        execution=other.execution,
        nextPageToken=token,
    )
    broken = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    for bad in (broken, "nonsense", "ü" * 20):
        kits.fault("ValidationException", swf.get_workflow_execution_history, **where, nextPageToken=bad)
        kits.fault(
            "ValidationException",
            swf.list_closed_workflow_executions,
            domain=kit.domain,
            startTimeFilter={"oldestDate": 0},
            nextPageToken=bad,
        )
    run.terminate()
    other.terminate()


def test_task_tokens_that_are_none(kit: kits.Kit) -> None:
    run = kit.start()
    wanted = run.scheduled()
    activity = kit.poll_activity(wanted["taskList"]["name"])["taskToken"]
    run.signal()
    decision = run.poll()["taskToken"]
    before = run.types()
    for token in (decision, activity[:-1], activity + "0", "nonsense", activity.upper() + "."):
        _refused(kit.swf.respond_activity_task_completed, taskToken=token)
        _refused(kit.swf.record_activity_task_heartbeat, taskToken=token)
    for token in (activity, decision[:-1], decision + "0", "nonsense"):
        _refused(kit.swf.respond_decision_task_completed, taskToken=token, decisions=[])
    assert run.types() == before
    kit.swf.respond_activity_task_completed(taskToken=activity)
    run.terminate()


def _refused(call: Any, **request: Any) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] in ("UnknownResourceFault", "ValidationException")


def test_priorities(kit: kits.Kit) -> None:
    where = {"name": kits.unique("shared")}
    runs = {each: kit.start(taskList=where, taskPriority=each) for each in ("0", "10", "-2147483648", "2147483647")}
    order = [kit.poll_decision(where["name"])["workflowExecution"]["runId"] for _ in runs]
    wanted = sorted(runs, key=int, reverse=True)
    assert order == [runs[each].run_id for each in wanted]
    run = kit.start()
    for each in ("1", "3", "-2", "3"):
        run.signal()
        run.decide(kit.schedule(taskList=where, taskPriority=each, activityId=f"{each} {kits.unique('a')}"))
    ids = [kit.poll_activity(where["name"])["activityId"] for _ in range(4)]
    assert [each.split()[0] for each in ids] == ["3", "3", "1", "-2"]
    for each in (*runs.values(), run):
        each.terminate()


def test_equals_are_served_in_order(kit: kits.Kit) -> None:
    where = {"name": kits.unique("shared")}
    runs = [kit.start(taskList=where) for _ in range(5)]
    assert [kit.poll_decision(where["name"])["workflowExecution"]["runId"] for _ in runs] == [r.run_id for r in runs]
    for run in runs:
        run.terminate()


def test_pollers_are_woken(kit: kits.Kit) -> None:
    names = [kits.unique("awaited") for _ in range(2)]
    activities = kits.unique("awaited")
    run = kit.start()
    task = run.poll()

    def wake() -> float:
        time.sleep(0.4)
        for name in names:
            kit.start(taskList={"name": name})
        run.respond(task, kit.schedule(taskList={"name": activities}), kit.schedule(taskList={"name": activities}))
        return time.monotonic()

    def woken(poll: Any, name: str) -> Any:
        answer = poll(name)
        return answer, time.monotonic()

    woke, *answers = kits.together(
        wake,
        *(lambda name=name: woken(kit.poll_decision, name) for name in names),
        *(lambda: woken(kit.poll_activity, activities) for _ in range(2)),
    )
    assert all(moment - woke < 2.0 for _, moment in answers)
    assert len({answer["taskToken"] for answer, _ in answers}) == 4
    for answer, _ in answers[:2]:
        kit.swf.terminate_workflow_execution(domain=kit.domain, workflowId=answer["workflowExecution"]["workflowId"])
    run.terminate()


def test_sticky_list(kit: kits.Kit) -> None:
    run = kit.start()
    sticky = {"name": kits.unique("sticky")}
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


def test_list_without_a_timeout_stays(kit: kits.Kit) -> None:
    run = kit.start()
    other = {"name": kits.unique("other")}
    run.decide(taskList=other)
    for _ in range(2):
        run.signal()
        run.respond(run.poll(task_list=other["name"]))
    assert [each["taskList"] for each in run.all("DecisionTaskScheduled")[1:]] == [other, other]
    run.terminate()


def test_counts_of_pending_tasks(kit: kits.Kit) -> None:
    where = kits.unique("counted")
    runs = [kit.start(taskList={"name": where}) for _ in range(3)]
    answer = kit.swf.count_pending_decision_tasks(domain=kit.domain, taskList={"name": where})
    assert (answer["count"], answer["truncated"]) == (3, False)
    task = kit.poll_decision(where)
    assert kit.waiting(where) == 2
    kit.swf.respond_decision_task_completed(
        taskToken=task["taskToken"], decisions=[kit.schedule(taskList={"name": where}) for _ in range(4)]
    )
    answer = kit.swf.count_pending_activity_tasks(domain=kit.domain, taskList={"name": where})
    assert (answer["count"], answer["truncated"]) == (4, False)
    assert kit.waiting_activities(kits.unique("never used")) == 0
    for run in runs:
        run.terminate()
    assert (kit.waiting(where), kit.waiting_activities(where)) == (0, 0)
