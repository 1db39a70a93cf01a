"""At each decision point of the recorded histories our decisions have the types and ids of the real decider's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from simpleflow import Workflow
from simpleflow.cli import main
from simpleflow.core import errors, events
from simpleflow.runtime import stores
from simpleflow.testing.replaying import points as replay_points
from simpleflow.testing.replaying import replay

from . import recorded_workflows
from .driver import Play, act

HISTORIES = Path(__file__).parents[2] / "histories" / "swf"
NAMES = sorted(path.stem for path in HISTORIES.glob("[!_]*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_decisions_are_those_of_the_real_decider(name: str) -> None:
    saved = replay.read(HISTORIES / f"{name}.json")
    outcome = replay.replay(recorded_workflows.BY_FILE[name], saved.events)
    assert outcome.divergence is None
    made = {point.started_event_id: replay_points.keys(point.decisions) for point in outcome.points}
    assert made == replay_points.recorded(saved.events)


@pytest.mark.parametrize("name", NAMES)
def test_resumed_and_from_the_start(name: str) -> None:
    replay.verify(recorded_workflows.BY_FILE[name], replay.read(HISTORIES / f"{name}.json").events)


def test_results_are_those_of_the_real_run() -> None:
    for name in ("chain_send_result", "unrequested_signal", "simpleflow_idempotent"):
        saved = replay.read(HISTORIES / f"{name}.json")
        last: Any = saved.events[-1].attributes
        outcome = replay.replay(recorded_workflows.BY_FILE[name], saved.events)
        said = outcome.points[-1].decisions[-1]["completeWorkflowExecutionDecisionAttributes"]
        assert said.get("result", "null") == last.result


def test_replay_all_replays_a_folder(tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_bytes((HISTORIES / "chain_send_result.json").read_bytes())
    (tmp_path / "_ignored.json").write_text("{}")
    outcomes = replay.replay_all(tmp_path, [recorded_workflows.ChainTest])
    assert [len(outcome.points) for outcome in outcomes.values()] == [3]


def test_replay_all_raises_with_every_diff_after_all_were_replayed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_bytes((HISTORIES / "chain_send_result.json").read_bytes())

    class Other(recorded_workflows.Base):
        name = "chaintest"
        on_divergence = "wait"

        def run(self) -> Any:
            return self.submit(recorded_workflows.recorded("increment"), 6).result

    with pytest.raises(replay.Diverged, match=r"one.json[^$]*two.json"):
        replay.replay_all(tmp_path, [Other])


def test_what_is_no_history_is_said_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"no": 1}')
    with pytest.raises(errors.UsageError, match=r"bad.json is not a history"):
        replay.read(tmp_path / "bad.json")
    with pytest.raises(errors.UsageError, match="holds no history"):
        replay.replay_all(tmp_path / "nothing")


def run_command(*arguments: str) -> Any:
    return CliRunner().invoke(main.cli, ["workflow.replay", *arguments], standalone_mode=False)


def test_the_command_prints_one_object_per_decision_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    result = run_command("recorded_workflows.ChainTest", "--history", str(HISTORIES / "chain_send_result.json"))
    assert not result.return_value, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["startedEventId"] for line in lines] == [3, 9, 15]
    first = lines[0]["decisions"][0]
    assert first["decisionType"] == "ScheduleActivityTask"
    assert (
        first["scheduleActivityTaskDecisionAttributes"]["activityId"]
        == f"activity-{recorded_workflows.MODULE}increment-1"
    )
    assert lines[2]["decisions"][0]["completeWorkflowExecutionDecisionAttributes"] == {"result": "[6,12]"}


def test_the_command_exits_1_with_the_diff_on_a_divergence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other_workflow.py").write_text(
        "from simpleflow import Workflow, activity\n"
        "class Other(Workflow):\n"
        "    name, version, task_list, on_divergence = 'chaintest', 'example', 'decisions', 'wait'\n"
        "    def run(self):\n"
        "        return self.submit(activity.with_attributes(name='other', version='1')(print)).result\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    result = run_command("other_workflow.Other", "--history", str(HISTORIES / "chain_send_result.json"))
    assert result.return_value == 1
    assert "increment" in result.stderr
    assert "other" in result.stderr


def test_a_class_that_was_named_is_meant_whatever_its_type_was_called() -> None:
    class Renamed(recorded_workflows.ChainTest):
        name = "renamed"

    outcome = replay.replay(Renamed, replay.read(HISTORIES / "chain_send_result.json").events)
    assert outcome.divergence is None
    assert len(outcome.points) == 3


def test_a_file_may_name_its_execution_so_that_uuid4_is_the_same(tmp_path: Path) -> None:
    text = json.loads((HISTORIES / "chain_send_result.json").read_bytes())
    text["workflowExecution"] = {"workflowId": "w-1", "runId": "r-1"}
    (tmp_path / "named.json").write_text(json.dumps(text))
    saved = replay.read(tmp_path / "named.json")
    assert (saved.workflow_id, saved.run_id) == ("w-1", "r-1")


def test_a_divergence_that_a_decider_would_only_warn_of_is_one_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a history that simpleflow 0.36 began: whoever replays it asks whether today's code still fits."""

    class Other(recorded_workflows.ChainTest):
        def run(self) -> Any:
            return self.submit(act("other")).result

    saved = replay.read(HISTORIES / "chain_send_result.json")
    outcome = replay.replay(Other, saved.events)
    assert outcome.divergence is not None
    assert "the code submits activity other" in outcome.divergence
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    name = str(HISTORIES / "chain_send_result.json")
    result = run_command("recorded_workflows.Idempotent", "--history", name)
    assert (result.return_value, "first difference: history has" in result.stderr) == (1, True)


class Drawn(Workflow):
    name, version, task_list = "drawn", "1", "decisions"

    def run(self) -> Any:
        return self.submit(act("a"), str(self.uuid4()), self.random()).result


def test_what_a_dump_says_of_its_execution_gives_the_same_uuid4_and_random(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    play = Play(Drawn)
    play.decide()
    play.complete("activity-a-1", 1)
    play.decide()
    events_ = [events.to_builtins(event) for event in play.history.events]
    execution = {"workflowId": play.history.workflow_id, "runId": play.history.run_id}
    (tmp_path / "named.json").write_bytes(msgspec.json.encode({"workflowExecution": execution, "events": events_}))
    (tmp_path / "bare.json").write_bytes(msgspec.json.encode({"events": events_}))
    named = replay.read(tmp_path / "named.json")
    outcome = replay.replay(Drawn, named.events, workflow_id=named.workflow_id, run_id=named.run_id)
    assert outcome.divergence is None
    assert outcome.points[0].decisions[0]["scheduleActivityTaskDecisionAttributes"]["input"] == json.dumps(
        play.inputs()[0], separators=(",", ":")
    )
    bare = replay.read(tmp_path / "bare.json")
    assert replay.replay(Drawn, bare.events).divergence is not None


class Large(Workflow):
    name, version, task_list = "large", "1", "decisions"

    def run(self) -> Any:
        return len(self.submit(act("a")).result)


def test_a_value_in_a_file_is_read_by_a_replay_one_elsewhere_must_be_brought(tmp_path: Path) -> None:
    for store in (stores.open_store(tmp_path.as_uri()), None):
        play = Play(Large, check=False)
        pointer = "simpleflow+s3://bucket/" + "0" * 64 + " 9"
        if store is not None:
            pointer = store.offload(json.dumps("x" * 40_000), field="result", limit=32_768)
        play.blobs[pointer] = json.dumps("x" * 40_000)
        play.decide()
        play.history.complete_activity("activity-a-1", pointer)
        play.decide()
        if store is not None:
            assert replay.replay(Large, play.history.events).points[-1].decisions[0]["decisionType"].startswith("Com")
        else:
            with pytest.raises(replay.NotReplayable, match="load="):
                replay.replay(Large, play.history.events)
