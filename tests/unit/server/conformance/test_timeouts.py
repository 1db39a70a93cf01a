"""Everything that happens because time passes. All of it waits at the same time, so that it takes two seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from . import driver as drivers

_WAIT = 60.0


class Scenes:
    """One execution per thing that shall fall due; each is prepared, then one wait serves them all."""

    def __init__(self, driver: drivers.Driver) -> None:
        self.driver = driver
        self.tokens: dict[str, str] = {}
        self.runs: dict[str, drivers.Run] = {}
        #: run -> events that end the wait
        self._awaited: dict[str, str] = {}

    def start(self, name: str, until: str, **more: str) -> drivers.Run:
        self.runs[name] = self.driver.start(**more)
        self._awaited[name] = until
        return self.runs[name]

    def activity(self, name: str, *, take: bool, **timeouts: str) -> None:
        run = self.start(name, "ActivityTaskTimedOut")
        wanted = run.scheduled(**timeouts)
        if take:
            self.tokens[name] = self.driver.poll_activity(wanted["taskList"]["name"])["taskToken"]

    def wait(self) -> None:
        limit = time.monotonic() + _WAIT
        left = dict(self._awaited)
        while left and time.monotonic() < limit:
            time.sleep(0.05)
            left = {name: until for name, until in left.items() if until not in self.runs[name].types()}
        assert not left, f"nothing fell due after {_WAIT:.0f} s: {left}"


@pytest.fixture(scope="module")
def scenes(driver: drivers.Driver) -> Iterator[Scenes]:
    made = Scenes(driver)
    for name in ("decision", "sticky given up"):
        run = made.start(name, "DecisionTaskTimedOut", taskStartToCloseTimeout="2")
        if name != "decision":
            run.respond(run.poll(), taskList={"name": f"{run.task_list}-sticky"}, taskListScheduleToStartTimeout="600")
            run.signal()
        made.tokens[name] = run.poll(task_list=run.task_list + ("-sticky" if name != "decision" else ""))["taskToken"]
    run = made.start("sticky not taken", "DecisionTaskTimedOut")
    run.decide(taskList={"name": f"{run.task_list}-sticky"}, taskListScheduleToStartTimeout="1")
    run.signal()
    made.activity("START_TO_CLOSE", take=True, startToCloseTimeout="1")
    made.activity("SCHEDULE_TO_START", take=False, scheduleToStartTimeout="1")
    made.activity("SCHEDULE_TO_CLOSE", take=True, scheduleToCloseTimeout="1")
    made.activity("HEARTBEAT", take=True, heartbeatTimeout="1")
    driver.swf.record_activity_task_heartbeat(taskToken=made.tokens["HEARTBEAT"], details="last words")
    run = made.start("execution", "WorkflowExecutionTimedOut", executionStartToCloseTimeout="2")
    made.runs["child of a timed out"] = _child(run)
    run = made.start("parent of a timed out", "ChildWorkflowExecutionTimedOut")
    made.runs["timed out child"] = _child(run, executionStartToCloseTimeout="1")
    run = made.start("timer", "TimerFired")
    run.decide(drivers.decision("StartTimer", timerId="t", startToFireTimeout="1"))
    alive = made.start("alive", "ActivityTaskCompleted")
    wanted = alive.scheduled(heartbeatTimeout="3")
    token = driver.poll_activity(wanted["taskList"]["name"])["taskToken"]
    for _ in range(6):  # longer than the timeout in all, each far shorter
        time.sleep(0.6)
        driver.swf.record_activity_task_heartbeat(taskToken=token)
    driver.swf.respond_activity_task_completed(taskToken=token)
    made.wait()
    yield made
    for run in made.runs.values():
        if run.info()["executionStatus"] == "OPEN":
            run.terminate()


def _child(parent: drivers.Run, **more: str) -> drivers.Run:
    made = parent.driver.child(**more)
    parent.decide(made)
    wanted = made["startChildWorkflowExecutionDecisionAttributes"]
    return parent.driver.run(
        parent.one("ChildWorkflowExecutionStarted")["workflowExecution"], wanted["taskList"]["name"]
    )


def test_decision_task_is_due_again(scenes: Scenes) -> None:
    run = scenes.runs["decision"]
    assert run.one("DecisionTaskTimedOut") == {
        "timeoutType": "START_TO_CLOSE",
        "scheduledEventId": 2,
        "startedEventId": 3,
    }
    assert run.types()[3:5] == ["DecisionTaskTimedOut", "DecisionTaskScheduled"]
    drivers.fault(
        "UnknownResourceFault",
        scenes.driver.swf.respond_decision_task_completed,
        taskToken=scenes.tokens["decision"],
        decisions=[],
    )
    # Nobody has processed the first task: its successor is shown everything since then.
    task = run.poll()
    assert (task["previousStartedEventId"], task["startedEventId"]) == (0, 6)


def test_sticky_list_that_nobody_polls(scenes: Scenes) -> None:
    run = scenes.runs["sticky not taken"]
    found = run.one("DecisionTaskTimedOut")
    assert found == {"timeoutType": "SCHEDULE_TO_START", "scheduledEventId": 6, "startedEventId": 0}
    sticky, original = run.all("DecisionTaskScheduled")[1:]
    assert sticky["taskList"]["name"] == f"{run.task_list}-sticky"
    assert sticky["scheduleToStartTimeout"] == "1"
    assert original["taskList"]["name"] == run.task_list
    assert scenes.driver.waiting(run.task_list) == 1


def test_sticky_decider_that_does_not_answer(scenes: Scenes) -> None:
    run = scenes.runs["sticky given up"]
    assert run.one("DecisionTaskTimedOut")["timeoutType"] == "START_TO_CLOSE"
    assert [each["taskList"]["name"] for each in run.all("DecisionTaskScheduled")] == [
        run.task_list,
        f"{run.task_list}-sticky",
        run.task_list,
    ]


@pytest.mark.parametrize("kind", ["START_TO_CLOSE", "SCHEDULE_TO_START", "SCHEDULE_TO_CLOSE", "HEARTBEAT"])
def test_activity_times_out(scenes: Scenes, kind: str) -> None:
    run = scenes.runs[kind]
    expected = {"timeoutType": kind, "scheduledEventId": 5, "startedEventId": 0 if kind == "SCHEDULE_TO_START" else 6}
    if kind == "HEARTBEAT":
        expected["details"] = "last words"
    assert run.one("ActivityTaskTimedOut") == expected
    assert run.types()[-1] == "DecisionTaskScheduled"
    if kind in scenes.tokens:
        swf, token = scenes.driver.swf, scenes.tokens[kind]
        before = run.types()
        drivers.fault("UnknownResourceFault", swf.respond_activity_task_completed, taskToken=token)
        drivers.fault("UnknownResourceFault", swf.record_activity_task_heartbeat, taskToken=token)
        assert run.types() == before
    assert scenes.driver.waiting_activities(run.one("ActivityTaskScheduled")["taskList"]["name"]) == 0


def test_heartbeats_keep_a_task_alive(scenes: Scenes) -> None:
    assert "ActivityTaskTimedOut" not in scenes.runs["alive"].types()


def test_execution_times_out_with_its_children(scenes: Scenes) -> None:
    run, child = scenes.runs["execution"], scenes.runs["child of a timed out"]
    assert run.one("WorkflowExecutionTimedOut") == {"timeoutType": "START_TO_CLOSE", "childPolicy": "TERMINATE"}
    assert run.types()[-1] == "WorkflowExecutionTimedOut"
    assert run.info()["closeStatus"] == "TIMED_OUT"
    assert child.one("WorkflowExecutionTerminated")["cause"] == "CHILD_POLICY_APPLIED"


def test_parent_of_a_child_that_timed_out(scenes: Scenes) -> None:
    run, child = scenes.runs["parent of a timed out"], scenes.runs["timed out child"]
    assert run.one("ChildWorkflowExecutionTimedOut") == {
        "workflowExecution": child.execution,
        "workflowType": scenes.driver.workflow,
        "timeoutType": "START_TO_CLOSE",
        "initiatedEventId": 5,
        "startedEventId": 6,
    }


def test_timer_fires(scenes: Scenes) -> None:
    run = scenes.runs["timer"]
    assert run.one("TimerFired") == {"timerId": "t", "startedEventId": 5}
    events = {event["eventType"]: event["eventTimestamp"] for event in run.events()}
    assert 0.99 <= (events["TimerFired"] - events["TimerStarted"]).total_seconds() <= 30.0
