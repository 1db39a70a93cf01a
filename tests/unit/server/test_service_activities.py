"""Activity tasks and timers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from service_world import ACTIVITY, DOMAIN, World, decision

from simpleflow.server.store import sqlite, upkeep


def test_from_scheduled_to_completed() -> None:
    world = World()
    run = world.start()
    world.decide(world.schedule(input="in", control="c"))
    task = world.work(identity="worker")
    assert (task["activityId"], task["input"], task["startedEventId"]) == ("1", "in", 6)
    assert world.call("RecordActivityTaskHeartbeat", taskToken=task["taskToken"]) == {"cancelRequested": False}
    world.complete(task, "out")
    assert world.kinds(run, 5) == [
        "ActivityTaskScheduled",
        "ActivityTaskStarted",
        "ActivityTaskCompleted",
        "DecisionTaskScheduled",
    ]
    assert world.attributes(run, "ActivityTaskCompleted") == {
        "result": "out",
        "scheduledEventId": 5,
        "startedEventId": 6,
    }
    assert world.refused("RespondActivityTaskCompleted", taskToken=task["taskToken"]) == "UnknownResourceFault"
    assert world.refused("RecordActivityTaskHeartbeat", taskToken=task["taskToken"]) == "UnknownResourceFault"


def test_a_token_of_before_a_backup_was_restored_answers_no_task_that_began_after_it(tmp_path: Path) -> None:
    """The event has the same number, and the task may be another one."""
    world = World(sqlite.open_file(tmp_path / "swf.db"))
    world.start()
    world.decide(world.schedule())
    upkeep.backup(tmp_path / "swf.db", tmp_path / "backup.db")

    def work(there: World, name: str) -> dict[str, Any]:
        request = {"domain": DOMAIN, "taskList": {"name": "x"}}
        found = there.service.call("PollForActivityTask", request, poll_id=name)
        assert isinstance(found, dict)
        return found

    lost = work(world, "first")
    restored = World(sqlite.open_file(tmp_path / "backup.db"), fresh=False)
    task = work(restored, "second")
    assert task["startedEventId"] == lost["startedEventId"]
    for action in ("RespondActivityTaskCompleted", "RespondActivityTaskFailed", "RecordActivityTaskHeartbeat"):
        assert restored.refused(action, taskToken=lost["taskToken"]) == "UnknownResourceFault"
    restored.complete(task)


def test_failed() -> None:
    world = World()
    run = world.start()
    world.decide(world.schedule())
    world.call("RespondActivityTaskFailed", taskToken=world.work()["taskToken"], reason="r", details="d")
    assert world.attributes(run, "ActivityTaskFailed")["reason"] == "r"


@pytest.mark.parametrize(
    ("timeouts", "polled", "after", "kind"),
    [
        ({"scheduleToStartTimeout": "5"}, False, 5, "SCHEDULE_TO_START"),
        ({"scheduleToCloseTimeout": "6"}, False, 6, "SCHEDULE_TO_CLOSE"),
        ({"scheduleToCloseTimeout": "7", "scheduleToStartTimeout": "5"}, True, 7, "SCHEDULE_TO_CLOSE"),
        ({"startToCloseTimeout": "8"}, True, 8, "START_TO_CLOSE"),
        ({"heartbeatTimeout": "3"}, True, 3, "HEARTBEAT"),
    ],
)
def test_four_timeouts(timeouts: dict[str, str], polled: bool, after: float, kind: str) -> None:
    world = World()
    run = world.start()
    world.decide(world.schedule(**timeouts))
    task = world.work() if polled else None
    world.later(after - 0.001)
    assert world.describe(run)["openCounts"]["openActivityTasks"] == 1
    world.later(0.001)
    timed_out = world.attributes(run, "ActivityTaskTimedOut")
    assert timed_out["timeoutType"] == kind
    assert timed_out["startedEventId"] == (6 if polled else 0)
    assert world.describe(run)["openCounts"]["openActivityTasks"] == 0
    if task is not None:
        assert world.refused("RespondActivityTaskFailed", taskToken=task["taskToken"]) == "UnknownResourceFault"
    else:
        assert world.work()["taskToken"] == ""


def test_heartbeats_put_the_timeout_off_and_their_details_are_kept() -> None:
    world = World()
    run = world.start()
    world.decide(world.schedule(heartbeatTimeout="10"))
    task = world.work()
    for count in range(3):
        world.later(9)
        world.call("RecordActivityTaskHeartbeat", taskToken=task["taskToken"], details=str(count))
    world.call("RecordActivityTaskHeartbeat", taskToken=task["taskToken"])
    events = len(world.events(run))
    world.later(10)
    assert world.attributes(run, "ActivityTaskTimedOut")["details"] == "2"
    assert len(world.events(run)) == events + 2


def test_a_cancel_is_learnt_by_the_heartbeat() -> None:
    world = World()
    run = world.start()
    world.decide(world.schedule())
    task = world.work()
    world.signal(run)
    world.decide(decision("RequestCancelActivityTask", activityId="1"))
    assert world.call("RecordActivityTaskHeartbeat", taskToken=task["taskToken"]) == {"cancelRequested": True}
    world.call("RespondActivityTaskCanceled", taskToken=task["taskToken"], details="d")
    canceled = world.attributes(run, "ActivityTaskCanceled")
    requested = next(e for e in world.events(run) if e["eventType"] == "ActivityTaskCancelRequested")
    assert canceled["latestCancelRequestedEventId"] == requested["eventId"]


def test_a_task_that_nobody_has_is_cancelled_at_once() -> None:
    world = World()
    run = world.start()
    world.decide(world.schedule())
    world.signal(run)
    world.decide(decision("RequestCancelActivityTask", activityId="1"), world.schedule())
    assert world.kinds(run)[-4:] == [
        "ActivityTaskCancelRequested",
        "ActivityTaskCanceled",
        "ActivityTaskScheduled",
        "DecisionTaskScheduled",
    ]
    assert world.attributes(run, "ActivityTaskCanceled")["startedEventId"] == 0


@pytest.mark.parametrize(
    ("missing", "cause"),
    [
        ("defaultTaskList", "DEFAULT_TASK_LIST_UNDEFINED"),
        ("defaultTaskScheduleToCloseTimeout", "DEFAULT_SCHEDULE_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("defaultTaskScheduleToStartTimeout", "DEFAULT_SCHEDULE_TO_START_TIMEOUT_UNDEFINED"),
        ("defaultTaskStartToCloseTimeout", "DEFAULT_START_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("defaultTaskHeartbeatTimeout", "DEFAULT_HEARTBEAT_TIMEOUT_UNDEFINED"),
    ],
)
def test_every_default_can_be_missing(missing: str, cause: str) -> None:
    world = World()
    defaults: dict[str, Any] = {
        "defaultTaskList": {"name": "x"},
        "defaultTaskScheduleToCloseTimeout": "1",
        "defaultTaskScheduleToStartTimeout": "1",
        "defaultTaskStartToCloseTimeout": "1",
        "defaultTaskHeartbeatTimeout": "1",
    }
    del defaults[missing]
    world.call("RegisterActivityType", domain=DOMAIN, name="b", version="1", **defaults)
    run = world.start()
    world.decide(decision("ScheduleActivityTask", activityId="1", activityType={"name": "b", "version": "1"}))
    assert world.attributes(run, "ScheduleActivityTaskFailed")["cause"] == cause


def test_the_other_causes_of_a_failed_schedule() -> None:
    world = World()
    run = world.start()
    unknown = decision("ScheduleActivityTask", activityId="9", activityType={"name": "no", "version": "1"})
    world.decide(unknown, world.schedule(), world.schedule())
    causes = [
        e["scheduleActivityTaskFailedEventAttributes"]["cause"]
        for e in world.events(run)
        if e["eventType"] == "ScheduleActivityTaskFailed"
    ]
    assert causes == ["ACTIVITY_TYPE_DOES_NOT_EXIST", "ACTIVITY_ID_ALREADY_IN_USE"]
    world.call("DeprecateActivityType", domain=DOMAIN, activityType=ACTIVITY)
    world.decide(world.schedule("2"), decision("RequestCancelActivityTask", activityId="none"))
    assert world.attributes(run, "ScheduleActivityTaskFailed")["cause"] == "ACTIVITY_TYPE_DEPRECATED"
    assert world.attributes(run, "RequestCancelActivityTaskFailed")["cause"] == "ACTIVITY_ID_UNKNOWN"


def test_open_activities_and_timers_are_limited() -> None:
    world = World()
    run = world.start()
    world.decide(*[world.schedule(str(n)) for n in range(1001)])
    assert world.attributes(run, "ScheduleActivityTaskFailed")["cause"] == "OPEN_ACTIVITIES_LIMIT_EXCEEDED"
    world.decide(*[decision("StartTimer", timerId=str(n), startToFireTimeout="500") for n in range(1001)])
    assert world.attributes(run, "StartTimerFailed")["cause"] == "OPEN_TIMERS_LIMIT_EXCEEDED"
    counts = world.describe(run)["openCounts"]
    assert (counts["openActivityTasks"], counts["openTimers"]) == (1000, 1000)


def test_aws_rates_are_counted_only_when_asked_for() -> None:
    world = World(limits="aws")
    run = world.start()
    world.decide(*[world.schedule(str(n)) for n in range(1001)])
    assert world.attributes(run, "ScheduleActivityTaskFailed")["cause"] in (
        "ACTIVITY_CREATION_RATE_EXCEEDED",
        "OPEN_ACTIVITIES_LIMIT_EXCEEDED",
    )
    codes = {world.refused("DescribeDomain", name=DOMAIN) for _ in range(3) if _spent(world)}
    assert codes == {"ThrottlingException"}


def _spent(world: World) -> bool:
    for _ in range(300):
        try:
            world.call("DescribeDomain", name=DOMAIN)
        except Exception:
            return True
    return False


def test_activity_priorities() -> None:
    world = World()
    world.start()
    world.decide(
        world.schedule("low", taskPriority="-1"), world.schedule("none"), world.schedule("high", taskPriority="5")
    )
    assert [world.work()["activityId"] for _ in range(3)] == ["high", "none", "low"]


def test_timers_fire_and_are_cancelled() -> None:
    world = World()
    run = world.start()
    world.decide(
        decision("StartTimer", timerId="long", startToFireTimeout="120"),
        decision("StartTimer", timerId="short", startToFireTimeout="2", control="c"),
        decision("StartTimer", timerId="short", startToFireTimeout="2"),
    )
    assert world.attributes(run, "StartTimerFailed")["cause"] == "TIMER_ID_ALREADY_IN_USE"
    world.decide()
    world.later(2)
    assert world.attributes(run, "TimerFired") == {"startedEventId": 6, "timerId": "short"}
    world.decide(
        decision("CancelTimer", timerId="long"),
        decision("StartTimer", timerId="short", startToFireTimeout="0"),
    )
    assert world.attributes(run, "TimerCanceled")["startedEventId"] == 5
    world.later(0)
    assert world.kinds(run)[-3:] == ["TimerStarted", "TimerFired", "DecisionTaskScheduled"]
