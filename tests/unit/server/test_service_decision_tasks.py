"""Decision tasks: one started and one more behind it, time-outs, sticky lists, pages, closing decisions."""

from __future__ import annotations

import pytest
from service_world import DOMAIN, World, decision

COMPLETE = decision("CompleteWorkflowExecution", result="done")


def test_an_event_during_a_decision_is_followed_by_one_scheduled_task() -> None:
    world = World()
    run = world.start()
    task = world.poll(identity="me")
    world.signal(run)
    world.signal(run)
    assert world.poll()["taskToken"] == ""  # the one behind waits for the one that is started
    assert world.describe(run)["openCounts"]["openDecisionTasks"] == 1
    world.respond(task)
    world.decide(COMPLETE)
    assert world.kinds(run) == [
        "WorkflowExecutionStarted",
        "DecisionTaskScheduled",
        "DecisionTaskStarted",
        "WorkflowExecutionSignaled",
        "DecisionTaskScheduled",
        "WorkflowExecutionSignaled",
        "DecisionTaskCompleted",
        "DecisionTaskStarted",
        "DecisionTaskCompleted",
        "WorkflowExecutionCompleted",
    ]
    assert world.attributes(run, "WorkflowExecutionStarted")["parentInitiatedEventId"] == 0
    assert world.attributes(run, "WorkflowExecutionSignaled")["externalInitiatedEventId"] == 0


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("CompleteWorkflowExecution", {"result": "x"}),
        ("FailWorkflowExecution", {"reason": "r"}),
        ("CancelWorkflowExecution", {}),
        ("ContinueAsNewWorkflowExecution", {}),
    ],
)
def test_a_closing_decision_fails_when_something_was_not_seen(kind: str, attributes: dict[str, str]) -> None:
    world = World()
    run = world.start()
    task = world.poll()
    world.signal(run)
    world.respond(task, decision(kind, **attributes))
    assert world.attributes(run, f"{kind}Failed")["cause"] == "UNHANDLED_DECISION"
    assert world.kinds(run)[-1] == f"{kind}Failed"
    world.decide(decision(kind, **attributes))
    assert world.status(run) is not None


def test_previous_started_event_and_start_there() -> None:
    world = World()
    run = world.start()
    world.decide(world.schedule())
    world.complete(world.work())
    task = world.poll(startAtPreviousStartedEvent=True)
    assert task["previousStartedEventId"] == 3
    assert next(bytes(e)[:12] for e in task["events"]) == b'{"eventId":3'
    assert len(task["events"]) == task["startedEventId"] - 2
    assert run["runId"] == task["workflowExecution"]["runId"]


def test_a_late_or_repeated_answer_is_refused() -> None:
    world = World()
    world.start()
    task = world.poll()
    world.respond(task)
    assert world.refused("RespondDecisionTaskCompleted", taskToken=task["taskToken"]) == "UnknownResourceFault"
    assert world.refused("RespondDecisionTaskCompleted", taskToken="rubbish") == "ValidationException"
    other = task["taskToken"].replace("d.", "a.")
    assert world.refused("RespondActivityTaskCompleted", taskToken=other) == "UnknownResourceFault"


def test_start_to_close_timeout_schedules_another() -> None:
    world = World()
    run = world.start()
    task = world.poll()
    world.later(100)
    assert world.kinds(run)[-2:] == ["DecisionTaskTimedOut", "DecisionTaskScheduled"]
    assert world.attributes(run, "DecisionTaskTimedOut") == {
        "scheduledEventId": 2,
        "startedEventId": 3,
        "timeoutType": "START_TO_CLOSE",
    }
    assert world.refused("RespondDecisionTaskCompleted", taskToken=task["taskToken"]) == "UnknownResourceFault"
    assert world.poll()["previousStartedEventId"] == 0


def sticky(name: str = "mine", timeout: str | None = "10") -> dict[str, object]:
    more: dict[str, object] = {"taskList": {"name": name}}
    return more if timeout is None else {**more, "taskListScheduleToStartTimeout": timeout}


def test_a_sticky_list_reverts_when_nobody_starts_the_task() -> None:
    world = World()
    run = world.start()
    world.decide(**sticky())
    world.signal(run)
    scheduled = world.attributes(run, "DecisionTaskScheduled")
    assert (scheduled["taskList"], scheduled["scheduleToStartTimeout"]) == ({"name": "mine"}, "10")
    assert world.poll()["taskToken"] == ""
    world.later(10)
    assert world.attributes(run, "DecisionTaskTimedOut")["timeoutType"] == "SCHEDULE_TO_START"
    assert world.attributes(run, "DecisionTaskTimedOut")["startedEventId"] == 0
    world.decide()
    world.signal(run)
    world.decide(COMPLETE)
    assert world.status(run) == "COMPLETED"


def test_a_sticky_list_reverts_when_the_task_is_not_answered() -> None:
    world = World()
    run = world.start()
    world.decide(**sticky())
    world.signal(run)
    assert world.poll("mine")["taskToken"]
    world.later(100)
    assert world.attributes(run, "DecisionTaskTimedOut")["timeoutType"] == "START_TO_CLOSE"
    world.decide(COMPLETE)


def test_what_waits_for_a_decider_that_is_gone_goes_to_the_others_at_once() -> None:
    world = World()
    waits, later, started = world.start("w1"), world.start("w2"), world.start("w3")
    for _ in range(3):
        world.decide(**sticky())
    world.signal(started)
    task = world.poll("mine")
    world.signal(started)  # the task behind the one that is started is scheduled on the sticky list, too
    world.signal(waits)
    world.service.leave([f"{DOMAIN}/mine"], [task["taskToken"], "of nobody"])
    world.service.settle()
    world.signal(later)
    world.service.fire_due()
    found = [world.poll()["workflowExecution"]["runId"] for _ in range(3)]
    assert sorted(found) == sorted(run["runId"] for run in (waits, later, started))
    assert "DecisionTaskTimedOut" not in world.kinds(later)
    assert world.attributes(waits, "DecisionTaskTimedOut")["timeoutType"] == "SCHEDULE_TO_START"


def test_a_sticky_list_that_is_polled_again_counts_again() -> None:
    world = World()
    run = world.start()
    world.decide(**sticky())
    world.service.leave([f"{DOMAIN}/mine"], [])
    assert world.poll("mine")["taskToken"] == ""
    world.signal(run)
    assert world.poll("mine")["taskToken"]


def test_a_sticky_list_stays_and_without_a_timeout_it_is_permanent() -> None:
    world = World()
    run = world.start()
    world.decide(**sticky())
    world.signal(run)
    world.decide(task_list="mine")  # says nothing of lists
    world.signal(run)
    world.decide(task_list="mine", **sticky("other", None))
    world.signal(run)
    assert world.poll("other")["taskToken"]
    world.later(100)
    world.decide(COMPLETE, task_list="other")


def test_pages_of_a_poll_hand_out_no_new_task() -> None:
    world = World()
    run = world.start()
    for _ in range(4):
        world.signal(run)
    first = world.poll(maximumPageSize=4, identity="a")
    world.signal(run)
    second = world.poll(maximumPageSize=4, nextPageToken=first["nextPageToken"], identity="b")
    assert (len(first["events"]), len(second["events"])) == (4, 3)
    assert "nextPageToken" not in second
    assert second["taskToken"] == first["taskToken"]
    assert second["startedEventId"] == 7
    request = {"domain": DOMAIN, "execution": run, "nextPageToken": first["nextPageToken"]}
    assert world.refused("GetWorkflowExecutionHistory", **request) == "ValidationException"


def test_reverse_pages_of_a_poll() -> None:
    world = World()
    run = world.start()
    for _ in range(4):
        world.signal(run)
    first = world.poll(maximumPageSize=4, reverseOrder=True)
    second = world.poll(maximumPageSize=4, reverseOrder=True, nextPageToken=first["nextPageToken"])
    ids = [int(bytes(e).split(b":")[1].split(b",")[0]) for e in [*first["events"], *second["events"]]]
    assert ids == [7, 6, 5, 4, 3, 2, 1]
    assert run


def test_a_failed_decision_schedules_another_task() -> None:
    world = World()
    run = world.start()
    world.decide(decision("CancelTimer", timerId="no"), decision("RecordMarker", markerName="m"))
    assert world.kinds(run, 5) == ["CancelTimerFailed", "MarkerRecorded", "DecisionTaskScheduled"]


def test_lambda_is_refused_with_its_event() -> None:
    world = World()
    run = world.start()
    world.decide(decision("ScheduleLambdaFunction", id="1", name="f"))
    failed = world.attributes(run, "ScheduleLambdaFunctionFailed")
    assert failed["cause"] == "LAMBDA_SERVICE_NOT_AVAILABLE_IN_REGION"


def test_execution_context_is_described() -> None:
    world = World()
    run = world.start()
    world.decide(executionContext="context")
    assert world.describe(run)["latestExecutionContext"] == "context"


def test_priorities_come_first() -> None:
    world = World()
    world.start("low", taskPriority="-5")
    world.start("none")
    world.start("high", taskPriority="7")
    order = [world.poll()["workflowExecution"]["workflowId"] for _ in range(3)]
    assert order == ["high", "none", "low"]


def test_the_history_of_one_execution_ends_at_25000_events() -> None:
    world = World()
    run = world.start()
    markers = [decision("RecordMarker", markerName="m")] * 4000
    for _ in range(6):
        world.decide(*markers)
        world.signal(run)
    world.decide(*markers)
    assert world.status(run) == "TERMINATED"
    request = {"domain": DOMAIN, "execution": run, "reverseOrder": True, "maximumPageSize": 1}
    last = bytes(world.call("GetWorkflowExecutionHistory", **request)["events"][0])
    assert last.startswith(b'{"eventId":25000,')
    assert b"EVENT_LIMIT_EXCEEDED" in last
    assert world.refused("SignalWorkflowExecution", domain=DOMAIN, **run, signalName="s") == "UnknownResourceFault"
