"""The history as 0.36's programs read it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from simpleflow import Workflow, activity, canvas, history
from tests.backends import places

RECORDED = Path(__file__).parents[2] / "histories" / "swf"


def event(number: int, kind: str, **fields: Any) -> dict[str, Any]:
    key = f"{kind[:1].lower()}{kind[1:]}EventAttributes"
    return {"eventId": number, "eventType": kind, "eventTimestamp": 1_700_000_000.5 + number, key: fields}


SCHEDULED = {
    "activityId": "activity-f-1",
    "activityType": {"name": "f", "version": "2"},
    "taskList": {"name": "list"},
    "input": '{"args": [1], "kwargs": {}}',
    "startToCloseTimeout": "300",
    "decisionTaskCompletedEventId": 3,
}
GIVEN = [
    event(1, "WorkflowExecutionStarted", input='{"args": [3]}', taskList={"name": "d"}, childPolicy="TERMINATE",
          workflowType={"name": "w", "version": "1"}, tagList=["a"]),
    event(2, "DecisionTaskStarted", scheduledEventId=1),
    event(3, "DecisionTaskCompleted", scheduledEventId=1, startedEventId=2),
    event(4, "ActivityTaskScheduled", **SCHEDULED),
    event(5, "ActivityTaskStarted", scheduledEventId=4, identity="me"),
    event(6, "ActivityTaskTimedOut", scheduledEventId=4, startedEventId=5, timeoutType="START_TO_CLOSE"),
    event(7, "ActivityTaskScheduled", **SCHEDULED),
    event(8, "ActivityTaskFailed", scheduledEventId=7, startedEventId=7, reason="no", details="all"),
    event(9, "ActivityTaskScheduled", **SCHEDULED),
    event(10, "ActivityTaskCompleted", scheduledEventId=9, startedEventId=9, result='"done"'),
    event(11, "WorkflowExecutionSignaled", signalName="go", input='{"n": 1}'),
    event(12, "WorkflowExecutionSignaled", signalName="go", input="plain",
          externalWorkflowExecution={"workflowId": "other", "runId": "r"}, externalInitiatedEventId=7),
    event(13, "SignalExternalWorkflowExecutionInitiated", workflowId="there", signalName="hey", input="1"),
    event(14, "ExternalWorkflowExecutionSignaled", initiatedEventId=13,
          workflowExecution={"workflowId": "there", "runId": "x"}),
    event(15, "MarkerRecorded", markerName="m", details='{"d": 1}'),
    event(16, "TimerStarted", timerId="t", startToFireTimeout="5", control='{"c": 1}'),
    event(17, "TimerCanceled", timerId="t", startedEventId=16, decisionTaskCompletedEventId=3),
    event(18, "WorkflowExecutionCancelRequested", cause="CHILD_POLICY_APPLIED"),
    event(19, "CancelWorkflowExecutionFailed", cause="UNHANDLED_DECISION", decisionTaskCompletedEventId=3),
    event(20, "StartChildWorkflowExecutionInitiated", workflowId="child", workflowType={"name": "c", "version": "1"},
          taskList={"name": "d"}, childPolicy="TERMINATE", input="{}"),
    event(21, "ChildWorkflowExecutionStarted", initiatedEventId=20,
          workflowExecution={"workflowId": "child", "runId": "cr"}),
    event(22, "ChildWorkflowExecutionCanceled", initiatedEventId=20, details="why"),
]  # fmt: skip


@pytest.mark.parametrize("given", [GIVEN, {"events": GIVEN}, [history.Event(each) for each in GIVEN]])
def test_what_swf_says_is_gathered(given: Any) -> None:
    seen = history.History(given)
    seen.parse()
    task = seen.activities["activity-f-1"]
    assert (task["state"], task["result"], task["retry"], task["timeout_value"]) == ("completed", '"done"', 1, "300")
    assert (task["reason"], task["scheduled_id"], task["failed_id"], task["identity"]) == ("no", 9, 8, "me")
    assert task["input"] == {"args": [1], "kwargs": {}}
    assert seen.signals["go"]["input"] == "plain"
    assert (
        [each["input"] for each in seen.signal_lists["go"]]
        == [{"n": 1}, "plain"]
        == [each["input"] for each in seen.get_signal_events("go")]
    )
    assert seen.signals["go"]["external_run_id"] == "r"
    assert seen.get_signal_events("never") == []
    assert seen.external_workflows_signaling[13]["state"] == "execution_signaled"
    assert seen.signaled_workflows["hey"][0]["run_id"] == "x"
    assert seen.markers["m"][0]["details"] == '{"d": 1}'
    assert (seen.timers["t"]["state"], seen.timers["t"]["control"]) == ("canceled", {"c": 1})
    assert (seen.cancel_requested or {})["event_id"] == seen.cancel_requested_id == 18
    assert (seen.cancel_failed or {})["cause"] == "UNHANDLED_DECISION"
    assert seen.cancel_failed_decision_task_completed_event_id == 3
    child = seen.child_workflows["child"]
    assert (child["state"], child["run_id"], child["details"]) == ("canceled", "cr", "why")
    assert [each["type"] for each in seen.tasks] == ["activity", "signal", "signal", "child_workflow"]
    assert (seen.workflow["state"], seen.workflow["input"], seen.workflow["tag_list"]) == (
        "started",
        {"args": [3]},
        ["a"],
    )
    assert (seen.started_decision_id, seen.completed_decision_id, seen.last_event_id, len(seen)) == (2, 3, 22, 22)
    assert [seen.get_event_id(entry) for entry in (task, child, seen.signals["go"], seen.timers["t"])] == [
        9,
        20,
        12,
        16,
    ]


def test_events_have_swf_s_fields_as_attributes() -> None:
    seen = history.History(GIVEN)
    first, scheduled, failed = seen.events[0], seen.events[3], seen.events[18]
    assert (first.id, first.type, first.state, first.name) == (1, "WorkflowExecution", "started", GIVEN[0]["eventType"])
    assert (first.input, first.task_list["name"], first.control) == ({"args": [3]}, "d", None)
    assert first.timestamp == datetime.datetime.fromtimestamp(1_700_000_001.5, datetime.UTC)
    assert (scheduled.activity_type["version"], scheduled.start_to_close_timeout) == ("2", "300")
    assert (failed.type, failed.state, seen.events[1].input) == ("WorkflowExecution", "cancel_failed", {})
    assert [each.state for each in seen.events[12:14]] == ["signal_execution_initiated", "execution_signaled"]
    with pytest.raises(AttributeError, match="no 'never'"):
        first.never


@pytest.mark.parametrize(
    "when", [datetime.datetime(2023, 1, 2, tzinfo=datetime.UTC), "2023-01-02T01:00:00+01:00", 1672617600]
)
def test_moments_in_every_form(when: Any) -> None:
    said = {**GIVEN[0], "eventTimestamp": when}
    assert history.Event(said).timestamp == datetime.datetime(2023, 1, 2, tzinfo=datetime.UTC)


@pytest.mark.parametrize("path", sorted(RECORDED.glob("[!_]*.json")), ids=lambda path: path.stem)
def test_recorded_histories_are_read(path: Path) -> None:
    given = json.loads(path.read_text())
    seen = history.History(given)
    assert seen.events[0].state == "started"
    assert seen.last_event_id == len(seen)
    assert isinstance(json.loads(history.dump(seen)), list)


@activity.with_attributes(version="1", task_list="list")
def refuse() -> None:
    raise ValueError("no")


CALLED: list[Any] = []


class Closing(Workflow):
    name, version, task_list = "closing", "1", "decisions"

    def run(self, fails: bool) -> Any:
        self.submit(canvas.Chain(self.start_timer("a", 1), self.start_timer("b", 1))).result
        seen = self.executor.history
        CALLED.append(seen.events[0].input["args"])
        if fails:
            raise ValueError("no")
        return [self.executor.workflow_id, self.executor.run_id, self.executor.domain, seen.last_event_id > 5]

    def on_failure(self, history: Any, reason: str, details: str | None = None) -> None:
        CALLED.append(("failed", history.events[0].input["args"]))

    def on_completed(self, history: Any) -> None:
        CALLED.append(("completed", history.workflow["input"]["args"]))

    def on_canceled(self, history: Any) -> None:
        CALLED.append(("canceled", bool(history.cancel_requested)))

    def after_closed(self, history: Any) -> None:
        CALLED.append(("closed", history.events[0].workflow_type["name"]))


@pytest.mark.usefixtures("backend")
def test_each_hook_of_a_close_runs_once() -> None:
    with places.environment(Closing) as place:
        for fails in (True, False):
            CALLED.clear()
            place.wait(place.start(Closing, fails)) if not fails else _ends(place, place.start(Closing, fails))
            said = [each for each in CALLED if isinstance(each, tuple)]
            assert said == [("failed" if fails else "completed", [fails]), ("closed", "closing")]
            assert [fails] in CALLED


def _ends(place: Any, run: Any) -> None:
    with pytest.raises(Exception, match="no"):
        place.wait(run)


@pytest.mark.usefixtures("backend")
def test_a_cancelled_run_calls_its_hooks_once() -> None:
    with places.environment(Closing) as place:
        CALLED.clear()
        run = place.start(Closing, False)
        place.advance(1)
        place.cancel(run)
        place.advance(10)
    assert CALLED == [("canceled", True), ("closed", "closing")]
