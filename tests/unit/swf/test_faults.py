"""Every odd answer x every kind of call, before and after the service carried it out: nothing is lost or done twice."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import faulty_wire
import pytest

from simpleflow import workflow
from simpleflow.client import Client, connect, executions, starting
from simpleflow.core import clock, errors, retries
from simpleflow.runtime import heartbeat, retrying
from simpleflow.swf import errors as swf_errors
from simpleflow.swf import registration, repeating
from simpleflow.swf.transport import http

EXECUTION = {"domain": "d", "workflowId": "w"}


class Work(workflow.Workflow):
    name, version, task_list = "work", "1", "t"

    def run(self) -> None: ...


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "sleep", lambda seconds: False)
    monkeypatch.setattr(retries, "BUDGET", retries.Budget())


@dataclasses.dataclass
class Place:
    transport: http.Http
    wire: faulty_wire.FaultyWire

    def __post_init__(self) -> None:
        self.connection = connect.Connection(transport=self.transport, domain="d", endpoint_url=None)
        self.client = Client(self.connection)

    def events(self, run_id: str) -> Counter[str]:
        run = executions.Run(domain="d", workflow_id="w", run_id=run_id)
        return Counter(type(event).__name__ for event in self.client.history(run))

    def poll(self, kind: str) -> Any:
        return self.transport.call(f"PollFor{kind}Task", {"domain": "d", "taskList": {"name": "t"}})

    def decide(self, *made: dict[str, Any]) -> Any:
        task = self.poll("Decision")
        self.transport.call("RespondDecisionTaskCompleted", {"taskToken": task.task_token, "decisions": list(made)})
        return task

    def start(self) -> executions.Run:
        return self.client.start(Work, options={"workflow_id": "w"})

    def activity(self) -> Any:
        """Return an activity task that is started, of a fresh execution."""
        self.run = self.start()
        registration.Registrar(self.transport, "d").ensure_activity("a", "1")
        attributes = {
            "activityType": {"name": "a", "version": "1"},
            "activityId": "a1",
            "taskList": {"name": "t"},
            **dict.fromkeys(("scheduleToCloseTimeout", "scheduleToStartTimeout", "startToCloseTimeout"), "300"),
            "heartbeatTimeout": "NONE",
        }
        self.decide(
            {"decisionType": "ScheduleActivityTask", "scheduleActivityTaskDecisionAttributes": attributes},
        )
        return self.poll("Activity")


@pytest.fixture
def place() -> Place:
    return Place(*faulty_wire.opened())


def _respond(place: Place, action: str, task: Any, **more: Any) -> bool:
    def arrived() -> bool | None:
        return retrying.arrived(place.transport, "d", task.workflow_execution, task.started_event_id)

    return retrying.insist(
        place.transport,
        action,
        {"taskToken": task.task_token, **more},
        wait=lambda seconds: False,
        patience=60,
        arrived=arrived,
    )


def _activity_answer(action: str, event: str, **more: str) -> Callable[[Place, Callable[[], None]], None]:
    def check(place: Place, strike: Callable[[], None]) -> None:
        task = place.activity()
        strike()
        assert _respond(place, action, task, **more)
        counts = place.events(place.run.run_id)
        assert counts[event] == 1
        assert sum(counts[f"ActivityTask{end}"] for end in ("Completed", "Failed", "Canceled", "TimedOut")) == 1

    return check


def _decision(place: Place, strike: Callable[[], None]) -> None:
    run = place.start()
    task = place.poll("Decision")
    strike()
    done = {"decisionType": "CompleteWorkflowExecution", "completeWorkflowExecutionDecisionAttributes": {"result": "7"}}
    assert _respond(place, "RespondDecisionTaskCompleted", task, decisions=[done])
    assert place.events(run.run_id)["DecisionTaskCompleted"] == 1
    assert place.client.result(run) == 7


def _heartbeat(place: Place, strike: Callable[[], None]) -> None:
    task = place.activity()
    beat = heartbeat.Heartbeat(place.transport, task.task_token, every=60, time=clock.RealClock())
    strike()
    assert [beat.beat(), beat.beat()] == [heartbeat.Verdict.GO_ON, heartbeat.Verdict.GO_ON]


def _start(place: Place, strike: Callable[[], None]) -> None:
    strike()
    run = place.start()
    assert place.client.describe(run).execution_info.execution_status == "OPEN"
    count = repeating.call(
        place.transport, "CountOpenWorkflowExecutions", {"domain": "d", "startTimeFilter": {"oldestDate": 0}}
    ).count
    assert count == 1


def _register(place: Place, strike: Callable[[], None]) -> None:
    strike()
    registration.Registrar(place.transport, "d").ensure_activity("b", "1")
    kind = {"domain": "d", "activityType": {"name": "b", "version": "1"}}
    assert repeating.call(place.transport, "DescribeActivityType", kind).type_info.status == "REGISTERED"


def _read(read: Callable[[Place, executions.Run], Any]) -> Callable[[Place, Callable[[], None]], None]:
    def check(place: Place, strike: Callable[[], None]) -> None:
        run = place.start()
        strike()
        assert read(place, run)

    return check


def _act(act: Callable[[Place, executions.Run], None], event: str) -> Callable[[Place, Callable[[], None]], None]:
    def check(place: Place, strike: Callable[[], None]) -> None:
        run = place.start()
        strike()
        act(place, run)
        assert place.events(run.run_id)[event] == 1

    return check


def _poll(kind: str) -> Callable[[Place, Callable[[], None]], None]:
    def check(place: Place, strike: Callable[[], None]) -> None:
        strike()
        with pytest.raises(swf_errors.SwfError) as caught:
            place.poll(kind)
        assert caught.value.kind is not retries.Kind.VERDICT
        assert retrying.PollPace("t").failed(caught.value) > 0
        assert place.poll(kind).task_token == ""

    return check


CALLS: dict[str, tuple[str, Callable[[Place, Callable[[], None]], None]]] = {
    "completed": (
        "RespondActivityTaskCompleted",
        _activity_answer("RespondActivityTaskCompleted", "ActivityTaskCompleted", result="7"),
    ),
    "failed": ("RespondActivityTaskFailed", _activity_answer("RespondActivityTaskFailed", "ActivityTaskFailed")),
    "decided": ("RespondDecisionTaskCompleted", _decision),
    "heartbeat": ("RecordActivityTaskHeartbeat", _heartbeat),
    "poll activities": ("PollForActivityTask", _poll("Activity")),
    "poll decisions": ("PollForDecisionTask", _poll("Decision")),
    "start": ("StartWorkflowExecution", _start),
    "register": ("RegisterActivityType", _register),
    "describe": ("DescribeWorkflowExecution", _read(lambda place, run: place.client.describe(run))),
    "history": ("GetWorkflowExecutionHistory", _read(lambda place, run: list(place.client.history(run)))),
    "find": ("ListOpenWorkflowExecutions", _read(lambda place, run: place.client.find("w") == run)),
    "signal": (
        "SignalWorkflowExecution",
        _act(lambda place, run: place.client.signal(run, "go", 1), "WorkflowExecutionSignaled"),
    ),
    "cancel": (
        "RequestCancelWorkflowExecution",
        _act(lambda place, run: place.client.cancel(run), "WorkflowExecutionCancelRequested"),
    ),
    "terminate": (
        "TerminateWorkflowExecution",
        _act(lambda place, run: place.client.terminate(run), "WorkflowExecutionTerminated"),
    ),
}


@pytest.mark.parametrize("fault", faulty_wire.FAULTS)
@pytest.mark.parametrize("name", CALLS)
def test_an_odd_answer_is_no_verdict(name: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    action, check = CALLS[name]
    for when in ("before", "after"):
        place = Place(*faulty_wire.opened())
        check(place, lambda wire=place.wire, when=when: wire.strike(action, fault, when))  # type: ignore[misc]
        assert place.wire.struck, "the fault was not met"


# -- a start whose answer is lost


def test_a_start_that_was_carried_out_and_closed_again_is_not_made_again(place: Place) -> None:
    place.wire.strike("StartWorkflowExecution", "no answer", "after")

    def meanwhile(seconds: float) -> bool:
        place.decide({"decisionType": "CompleteWorkflowExecution", "completeWorkflowExecutionDecisionAttributes": {}})
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retries, "sleep", meanwhile)
        run = place.client.start(Work)
    assert place.client.wait(run).status == "COMPLETED"
    assert place.wire.calls.count("StartWorkflowExecution") == 1


def test_another_execution_of_that_id_is_not_taken_for_ours(place: Place) -> None:
    place.client.start(Work, 1, options={"workflow_id": "w"})
    for fault, when in (("no answer", "before"), ("302 of a proxy", "after"), ("", "")):
        if fault:
            place.wire.strike("StartWorkflowExecution", fault, when)
        with pytest.raises(errors.SimpleflowError, match="'w' is open"):
            place.client.start(Work, 2, options={"workflow_id": "w"})
    place.wire.strike("StartWorkflowExecution", "no answer", "before")
    again = place.client.start(Work, 1, options={"workflow_id": "w"})
    assert again == place.client.find("w")  # the same id and the same input


def test_every_failure_of_a_start_names_the_id(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = starting.request(Work, "jobs.Work", {"args": [], "kwargs": {}})
    for error, words in (
        (swf_errors.TransportError("cut"), "whether .* was started is not known"),
        (swf_errors.NotSent("nobody"), "was not started"),
        (swf_errors.DefaultUndefinedFault("taskList"), "was not started"),
    ):

        def fail(headers: dict[str, str], body: bytes, timeout: float, error: Exception = error) -> Any:
            raise error

        for action in ("StartWorkflowExecution", "RegisterWorkflowType"):
            with monkeypatch.context() as patch:
                post = place.wire.post
                patch.setattr(
                    place.wire,
                    "post",
                    lambda headers, *more, action=action, post=post, fail=fail: (
                        fail(headers, *more) if headers["X-Amz-Target"].endswith(action) else post(headers, *more)
                    ),
                )
                expected = words if action == "StartWorkflowExecution" else "was not started"
                with pytest.raises(type(error), match=expected) as caught:
                    starting.begin(place.transport, "d", asked)
            assert asked["workflowId"] in str(caught.value)


def test_a_signal_that_others_sent_too_is_sent_anyway(place: Place) -> None:
    run = place.start()
    place.client.signal(run, "go", 1)
    place.wire.strike("SignalWorkflowExecution", "404 of a proxy", "before")
    place.client.signal(run, "go", 2)
    assert place.events(run.run_id)["WorkflowExecutionSignaled"] == 2


def test_a_signal_is_found_in_the_run_that_continued_as_new(place: Place) -> None:
    run = place.start()
    place.wire.strike("SignalWorkflowExecution", "no answer", "after")

    def meanwhile(seconds: float) -> bool:
        said = {
            "taskList": {"name": "t"},
            "taskStartToCloseTimeout": "60",
            "executionStartToCloseTimeout": "600",
            "childPolicy": "TERMINATE",
        }
        kind = "ContinueAsNewWorkflowExecution"
        place.decide({"decisionType": kind, "continueAsNewWorkflowExecutionDecisionAttributes": said})
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retries, "sleep", meanwhile)
        place.client.signal("w", "go", 1)
    assert place.events(run.run_id)["WorkflowExecutionSignaled"] == 1
    assert place.events(place.client.find("w").run_id)["WorkflowExecutionSignaled"] == 0
