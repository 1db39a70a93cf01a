"""The builder writes what the recorded histories of the real service show, and keeps its rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simpleflow.core import attributes as a
from simpleflow.core import decisions as d
from simpleflow.core import events
from simpleflow.testing.histories import builder as history
from simpleflow.testing.replaying import points as replay_points

RECORDED = Path(__file__).parents[2] / "histories" / "swf"
ACTIVITY = a.Type(name="act", version="1")


def schedule(number: int = 1) -> d.ScheduleActivityTask:
    return d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id=f"activity-act-{number}")


def types(built: history.HistoryBuilder) -> list[str]:
    return [events.type_name(event) for event in built.events]


def test_an_event_during_a_decision_is_written_at_once_as_the_real_service_does() -> None:
    recorded = json.loads((RECORDED / "unrequested_signal.json").read_bytes())["events"]
    built = history.HistoryBuilder()
    built.begin_decision()
    built.respond([schedule()])
    built.start_activity("activity-act-1")
    built.signal("unexpected", "Hi there!")
    built.begin_decision()
    built.complete_activity("activity-act-1")
    built.respond([])
    built.begin_decision()
    built.respond([d.CompleteWorkflowExecution()])
    assert types(built) == [event["eventType"] for event in recorded]


@pytest.mark.parametrize("name", ["timer_and_cancel", "cancel_requested", "without_replays"])
def test_decisions_cause_the_events_of_the_recorded_histories(name: str) -> None:
    recorded = json.loads((RECORDED / f"{name}.json").read_bytes())["events"]
    built = history.HistoryBuilder()
    built.begin_decision()
    if name == "timer_and_cancel":
        built.respond([d.StartTimer(timer_id="2", start_to_fire_timeout="120"), timer("1", 2)])
        built.fire_timer("1")
        built.begin_decision()
        built.respond([d.CancelTimer(timer_id="2"), timer("_simpleflow_wake_up_timer", 0)])
        built.fire_timer("_simpleflow_wake_up_timer")
        built.begin_decision()
        built.respond([d.CompleteWorkflowExecution()])
    elif name == "cancel_requested":
        built.respond([schedule()])
        built.start_activity("activity-act-1")
        built.request_cancel()
        built.begin_decision()
        built.respond([d.CancelWorkflowExecution()])
    else:
        markers = [d.RecordMarker(marker_name=f"m{number}") for number in range(3)]
        built.respond([*markers, timer("_simpleflow_wake_up_timer", 0)])
        built.fire_timer("_simpleflow_wake_up_timer")
        built.begin_decision()
        built.respond([d.CompleteWorkflowExecution()])
    assert types(built) == [event["eventType"] for event in recorded]


def timer(name: str, seconds: int) -> d.StartTimer:
    return d.StartTimer(timer_id=name, start_to_fire_timeout=str(seconds))


def test_its_json_is_what_the_decoder_reads() -> None:
    built = history.HistoryBuilder(tags=["one"])
    built.begin_decision()
    built.respond([schedule(), timer("t", 3), d.RecordMarker(marker_name="m", details="x")])
    built.time_out_activity("activity-act-1", "SCHEDULE_TO_START")
    text = built.to_json()
    assert events.decode(json.dumps(json.loads(text)["events"])) == built.events
    assert b"null" not in text.replace(b'\\"', b"")


def test_a_closing_decision_fails_when_something_arrived_meanwhile() -> None:
    built = history.HistoryBuilder()
    built.begin_decision()
    built.signal("late")
    built.respond([d.CompleteWorkflowExecution(result="1")])
    assert built.open.closed is None
    assert types(built)[-1] == "CompleteWorkflowExecutionFailed"
    built.begin_decision()
    built.respond([d.CompleteWorkflowExecution(result="1")])
    assert built.open.closed == "WorkflowExecutionCompleted"


def test_what_fails_says_why_and_brings_a_decision() -> None:
    built = history.HistoryBuilder(activity_limit=1)
    built.refuse("StartTimer", "TIMER_CREATION_RATE_EXCEEDED")
    built.begin_decision()
    made = [schedule(), schedule(), schedule(2), timer("t", 1), timer("u", 1), timer("u", 1)]
    built.respond([*made, d.CancelTimer(timer_id="x"), d.RequestCancelActivityTask(activity_id="x")])
    causes = [event.attributes.cause for event in built.events if events.type_name(event).endswith("Failed")]
    assert causes == [
        "ACTIVITY_ID_ALREADY_IN_USE",
        "OPEN_ACTIVITIES_LIMIT_EXCEEDED",
        "TIMER_CREATION_RATE_EXCEEDED",
        "TIMER_ID_ALREADY_IN_USE",
        "TIMER_ID_UNKNOWN",
        "ACTIVITY_ID_UNKNOWN",
    ]
    assert built.decision_waits


def test_cancelling_an_unassigned_activity_ends_it_at_once_and_an_assigned_one_when_its_worker_answers() -> None:
    built = history.HistoryBuilder()
    built.begin_decision()
    built.respond([schedule(1), schedule(2)])
    built.start_activity("activity-act-2")
    built.signal("go")
    built.begin_decision()
    built.respond([d.RequestCancelActivityTask(activity_id=f"activity-act-{number}") for number in (1, 2)])
    assert list(built.open.activities) == ["activity-act-2"]
    built.cancel_activity("activity-act-2", "cleaned up")
    assert types(built)[-1] == "ActivityTaskCanceled"


def test_partial_tasks_continue_where_the_last_answered_decision_began() -> None:
    built = history.HistoryBuilder()
    first = built.begin_decision()
    assert (first.previous_started_event_id, first.events[0].id, first.complete) == (0, 1, True)
    built.respond([schedule()])
    built.complete_activity("activity-act-1")
    second = built.begin_decision(whole=False)
    assert [event.id for event in second.events] == list(range(first.started_event_id + 1, second.started_event_id + 1))
    built.time_out_decision()
    third = built.begin_decision(whole=False, overlap=2)
    assert third.previous_started_event_id == first.started_event_id
    assert third.events[0].id == first.started_event_id - 1


def test_a_child_a_signal_and_a_cancel_request_travel() -> None:
    built = history.HistoryBuilder()
    built.begin_decision()
    built.respond(
        [
            d.StartChildWorkflowExecution(workflow_type=a.Type(name="child", version="1"), workflow_id="c"),
            d.SignalExternalWorkflowExecution(workflow_id="other", signal_name="go", input="1"),
            d.RequestCancelExternalWorkflowExecution(workflow_id="c"),
        ]
    )
    for outgoing in list(built.open.outgoing):
        built.deliver(outgoing)
    built.complete_child("c", "7")
    assert types(built)[-5:] == [
        "ExternalWorkflowExecutionSignaled",
        "DecisionTaskScheduled",
        "ExternalWorkflowExecutionCancelRequested",
        "ChildWorkflowExecutionStarted",
        "ChildWorkflowExecutionCompleted",
    ]


def test_a_mistake_of_the_test_names_what_is_open() -> None:
    built = history.HistoryBuilder()
    built.begin_decision()
    built.respond([schedule()])
    with pytest.raises(history.NotOpen, match="open: activity-act-1"):
        built.complete_activity("activity-act-2")
    with pytest.raises(history.NotOpen, match="no decision task waits"):
        built.begin_decision()


@pytest.mark.parametrize("path", sorted(RECORDED.glob("[!_]*.json")), ids=lambda path: path.stem)
def test_decision_points_of_the_recorded_histories(path: Path) -> None:
    recorded = events.decode(json.dumps(json.loads(path.read_bytes())["events"]))
    points = replay_points.started(recorded)
    assert list(replay_points.recorded(recorded)) == points
    assert points
