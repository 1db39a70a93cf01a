"""What users asked for, an acceptance test each (the numbers are those of the list of wishes)."""

from __future__ import annotations

import ast
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import simpleflow
from simpleflow import Workflow, activity
from simpleflow.client import starting
from simpleflow.core import errors, events
from simpleflow.history import History
from simpleflow.local import Executor
from simpleflow.testing import Failed
from simpleflow.testing.replaying import replay as replays
from tests.backends import asked
from tests.backends.places import Backend
from tests.unit.engine.driver import Play, act, show

ROOT = Path(__file__).resolve().parents[2]
#: the command ``simpleflow`` in ``python -c``
_COMMAND = "import runpy; runpy.run_module('simpleflow', run_name='__main__')"


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    asked.RAN.clear()
    asked.Told.called.clear()
    asked.Cancels.canceled = 0


def of(found: list[Any], kind: type) -> list[Any]:
    return [event.attributes for event in found if isinstance(event, kind)]


def test_c02_a_field_of_a_poll_is_read_in_one_function() -> None:
    makers = []
    for path in (Path(simpleflow.__path__[0]) / "runtime").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and any(
                isinstance(node, ast.Call) and ast.unparse(node.func).endswith("DecisionTask")
                for node in ast.walk(function)
            ):
                makers.append(function.name)
    assert makers == ["task_of"]


def test_c03_no_instance_is_shared_between_replays(backend: Backend) -> None:
    assert backend.run(asked.Items, 3) == [1, True, "work"]


def test_c04_every_timestamp_of_a_dump_has_its_zone(backend: Backend) -> None:
    _, history = backend.played(asked.Twice)
    dump = json.loads(replays.text("w", "r", history))
    moments = [datetime.datetime.fromisoformat(event["eventTimestamp"]) for event in dump["events"]]
    assert all(moment.tzinfo is not None for moment in moments)
    assert len(moments) == len(history)


def test_c05_an_idempotent_task_is_scheduled_once_and_retried(backend: Backend) -> None:
    result, history = backend.played(asked.Twice)
    assert result == [["x"], ["x"]]
    scheduled = of(history, events.ActivityTaskScheduled)
    assert len({said.activity_id for said in scheduled}) == 1
    assert len(scheduled) == 2
    assert asked.RAN == ["x", "x"]


def test_c06_futures_are_used_as_those_of_concurrent_futures(backend: Backend) -> None:
    assert backend.run(asked.Concurrent) == [3, [0, 2, 4], [0], 4, True]


def test_c08_failure_details_are_json_on_all_three_paths(backend: Backend) -> None:
    place = backend.environment(asked.Details)
    run = place.start(asked.Details)
    with pytest.raises(Failed) as raised:
        place.wait(run)
    marker = next(event for event in place.history(run) if isinstance(event, events.MarkerRecorded))
    texts = [*json.loads(marker.attributes.details or ""), raised.value.details]
    errors_of = []
    for text in texts:
        said = json.loads(text)
        assert {"error", "error_type", "message", "traceback"} <= said.keys()
        errors_of.append(said["error"])
    assert errors_of[0] == "ValueError"
    assert errors_of[2] == "RuntimeError"


def test_c09_what_is_overridden_at_submit_shows_in_that_decision_alone(backend: Backend) -> None:
    place = backend.environment(asked.Overrides)
    run = place.start(asked.Overrides)
    place.wait(run)
    special, usual = of(place.history(run), events.ActivityTaskScheduled)
    assert (special.task_list.name, special.activity_type.version, special.start_to_close_timeout) == ("gpu", "2", "7")
    assert (usual.task_list.name, usual.activity_type.version, usual.start_to_close_timeout) == ("work", "1", "300")


def test_c10_task_ids_are_stable_when_the_flow_changes() -> None:
    task = act("task")

    class Flow(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            first, second = self.submit(task, 1), self.submit(task, 2)
            if first.exception is not None:
                first = self.submit(task, "1bis")
            return [first.result, second.result]

    play = Play(Flow)
    play.decide()
    play.history.time_out_activity("activity-task-1")
    play.complete("activity-task-2", "of two")
    play.evict()
    assert play.decide() == ["ScheduleActivityTask activity-task-3"]
    play.complete("activity-task-3", "of one, again")
    play.evict()
    play.decide()
    assert play.result == ["of one, again", "of two"]


def test_c11_an_instance_is_submitted(backend: Backend) -> None:
    assert backend.run(asked.Instance, 4) == 5


def test_c13_after_replay_is_called_on_each_decision_and_after_closed_once(backend: Backend) -> None:
    place = backend.environment(asked.Told)
    run = place.start(asked.Told)
    place.wait(run)
    decided = len(of(place.history(run), events.DecisionTaskCompleted))
    assert asked.Told.called.count("after_replay") >= decided
    assert [said for said in asked.Told.called if said.startswith("after_closed")] == asked.Told.called[-1:]


def test_c14_a_missing_activity_type_is_created_once_and_its_tasks_are_scheduled(backend: Backend) -> None:
    name = f"fresh-{backend.name}"

    class Fresh(asked.Base):
        name = "fresh"

        def run(self) -> Any:
            task = activity.with_attributes(name=name, version="1", task_list="nobody")(print)
            return [future.result for future in [self.submit(task, number) for number in range(3)]]

    place = backend.environment(Fresh)
    run = place.start(Fresh)
    place.settle()
    history = place.history(run)
    assert {said.cause for said in of(history, events.ScheduleActivityTaskFailed)} == {"ACTIVITY_TYPE_DOES_NOT_EXIST"}
    assert len(of(history, events.ActivityTaskScheduled)) == 3
    asked_for = {"domain": place.connection.domain, "name": name, "registrationStatus": "REGISTERED"}
    assert len(place.connection.transport.call("ListActivityTypes", asked_for).type_infos) == 1


def test_c15_an_identity_is_optional() -> None:
    of_events = [
        {
            "eventId": 1,
            "eventTimestamp": 1.0,
            "eventType": "ActivityTaskScheduled",
            "activityTaskScheduledEventAttributes": {
                "activityId": "a",
                "activityType": {"name": "n", "version": "1"},
                "taskList": {"name": "t"},
                "decisionTaskCompletedEventId": 0,
            },
        },
        {
            "eventId": 2,
            "eventTimestamp": 2.0,
            "eventType": "ActivityTaskStarted",
            "activityTaskStartedEventAttributes": {"scheduledEventId": 1},
        },
    ]
    assert History({"events": of_events}).activities["a"]["state"] == "started"
    assert events.from_builtins(of_events)[1].id == 2


def test_c16_a_part_of_a_result_is_an_argument(backend: Backend) -> None:
    assert backend.run(asked.Mapped) == "vv"


def test_c18_decisions_do_not_depend_on_the_order_of_dictionaries(backend: Backend, tmp_path: Path) -> None:
    """Two processes whose sets have different orders replay one history and make the same decisions, byte by byte."""
    place = backend.environment(asked.Ordered)
    run = place.start(asked.Ordered)
    assert place.wait(run) == sorted(asked.WORDS)
    saved = tmp_path / "history.json"
    saved.write_text(replays.text(run.workflow_id, run.run_id, place.history(run)))
    program = f"import tests.backends.asked as a; print(list(a.WORDS), flush=True); {_COMMAND}"
    replay = ["workflow.replay", "tests.backends.asked.Ordered", "--history", str(saved)]
    command = [sys.executable, "-c", program, "--format", "json", *replay]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE)
        for seed in ("0", "9")
    ]
    said = [process.communicate(timeout=120)[0].partition(b"\n") for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    (order, _, decided), (other_order, _, decided_too) = said
    assert order != other_order
    assert decided == decided_too
    assert b"ScheduleActivityTask" in decided


def test_c20_cancel_closes_as_canceled_after_its_hook_with_all_that_is_open(backend: Backend) -> None:
    place = backend.environment(asked.Cancels, asked.Sleeper)
    run = place.start(asked.Cancels)
    with pytest.raises(Failed) as raised:
        place.wait(run)
    assert raised.value.status == "CANCELED"
    assert asked.Cancels.canceled == 1
    history = place.history(run)
    assert len(of(history, events.ActivityTaskCancelRequested)) == 1
    assert [said.timer_id for said in of(history, events.TimerCanceled)] == ["long"]
    assert len(of(history, events.RequestCancelExternalWorkflowExecutionInitiated)) == 1


def test_c21_a_failing_leaf_cancels_its_siblings_up_to_the_node_that_does_not_raise(backend: Backend) -> None:
    place = backend.environment(asked.Flags)
    run = place.start(asked.Flags)
    assert place.wait(run) == [[[8, None, None]], 12]
    assert of(place.history(run), events.ActivityTaskCancelRequested) != []
    assert 5 not in asked.RAN
    assert 6 in asked.RAN


def test_c22_tags_are_sent_and_too_many_are_refused_before_any_call() -> None:
    envelope: Any = {"args": [], "kwargs": {}}
    assert starting.request(asked.Tagged, "x", envelope, tags=["a", "b"])["tagList"] == ["a", "b"]
    with pytest.raises(errors.UsageError, match="6 tags given, SWF takes 5"):
        starting.request(asked.Tagged, "x", envelope, tags=list("abcdef"))


def test_c27_a_program_gets_its_arguments_as_given_and_fails_with_its_stderr(backend: Backend) -> None:
    said, failed = backend.run(asked.Programs)
    assert said == str(["a b", "$HOME", "'q'"])
    assert failed


def test_c28_fifty_tasks_finish_under_a_cap_of_ten() -> None:
    task = act("task")

    class Flow(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            return len([future.result for future in [self.submit(task, number) for number in range(50)]])

    play = Play(Flow, check=False, options={"activity_limit": 10})
    while play.history.open.closed is None:
        if play.history.decision_waits:
            play.decide()
        elif play.history.open.activities:
            play.complete(next(iter(play.history.open.activities)))
        else:
            play.history.fire_timer(next(iter(play.history.open.timers)))
    assert play.result == 50
    refused = [event for event in play.history.events if isinstance(event, events.ScheduleActivityTaskFailed)]
    assert len(refused) <= 100  # one response beyond the cap; never once a decision


def test_c29_run_reads_the_tags_given_at_start(backend: Backend) -> None:
    place = backend.environment(asked.Tagged)
    with backend.client(place) as client:
        run = client.start(asked.Tagged, options={"tags": ["a", "b=1"]})
        place.settle()
        assert client.result(run, timeout=0) == ["a", "b=1"]


def test_c31_a_replay_needs_no_network_and_no_credentials(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    _, history = backend.played(asked.Mapped)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("it connects"))
    assert replays.replay(asked.Mapped, history).divergence is None


def test_c32_timeouts_are_optional(backend: Backend) -> None:
    """None leaves the key out of decisions and registrations: SWF answers that the default is unknown."""
    place = backend.environment(asked.Unlimited)
    run = place.start(asked.Unlimited)
    assert place.wait(run) == "TaskFailed"
    causes = [said.cause for said in of(place.history(run), events.ScheduleActivityTaskFailed)]
    assert causes[-1].startswith("DEFAULT_")
    play = Play(asked.Unlimited)
    play.decide()
    assert show(play.last.decisions) == [f"ScheduleActivityTask activity-{asked.unlimited.name}-1"]
    (made,) = play.last.decisions
    assert made.start_to_close_timeout is made.heartbeat_timeout is made.schedule_to_close_timeout is None  # type: ignore[union-attr]
    kind = {"name": asked.unlimited.name, "version": "1"}
    found = place.connection.transport.call(
        "DescribeActivityType", {"domain": place.connection.domain, "activityType": kind}
    )
    assert found.configuration.default_task_start_to_close_timeout is None


def test_c33_the_local_executor_serializes() -> None:
    assert Executor(asked.Serialized).run() == ["list", True]


def test_c34_tests_pass_with_no_network() -> None:
    """Tests of each backend and of S3, in a process that reaches loopback alone (tests/offline), as its children do."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = str(ROOT / "tests" / "offline")
    tries = "import socket; socket.create_connection(({!r}, 80))"
    for host in ("192.0.2.1", "example.invalid"):
        command = [sys.executable, "-c", tries.format(host)]
        refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert "no network in this test" in refused.stderr
    chosen = ["tests/backends/test_part_c.py", "tests/unit/surface/test_format.py", "-k", "c29 or go_to_the_bucket"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    assert "skipped" not in found.stdout


def test_c35_a_close_that_fails_is_made_again_and_its_hooks_run_once() -> None:
    task = act("task")

    class Flow(Workflow):
        name, version, task_list = "w", "1", "decisions"
        completed: list[Any] = []
        seen: list[int] = []

        def run(self) -> Any:
            return self.submit(task).result

        def after_replay(self, history: Any) -> None:
            self.seen.append(len(history.signals))

        def on_completed(self, history: Any) -> None:
            self.completed.append(sorted(history.signals))

    play = Play(Flow, check=False)
    play.decide()
    play.complete("activity-task-1", 7)
    play.decide(during=lambda: play.signal("late"))
    assert any(isinstance(event, events.CompleteWorkflowExecutionFailed) for event in play.history.events)
    assert Flow.completed == []
    play.decide()
    assert play.result == 7
    assert Flow.completed == [["late"]]
    assert Flow.seen[-1] == 1


def test_c37_a_creation_rate_that_is_exceeded_backs_off() -> None:
    task = act("task")

    class Flow(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            return self.submit(task).result

    play = Play(Flow, check=False)
    delays = []
    for _ in range(3):
        play.history.refuse("ScheduleActivityTask", "ACTIVITY_CREATION_RATE_EXCEEDED")
        while play.decide() != ["StartTimer _simpleflow_wake_up_timer"]:
            pass
        (timer,) = play.last.decisions
        delays.append(int(timer.start_to_fire_timeout))  # type: ignore[union-attr]
        play.history.fire_timer("_simpleflow_wake_up_timer")
    assert delays == sorted(delays)
    assert delays[0] < delays[-1]
    play.history.open.refusals.clear()
    assert play.decide() == ["ScheduleActivityTask activity-task-1"]
