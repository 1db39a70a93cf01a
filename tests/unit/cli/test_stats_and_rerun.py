"""``workflow.stats``, ``activity.rerun`` and ``binaries.download``, against a service in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from simpleflow import Workflow, activity, settings
from simpleflow.cli import context, main
from simpleflow.core import errors
from simpleflow.history import History
from simpleflow.observe import stats
from simpleflow.testing import Environment, takes

#: what ran
RAN: list[Any] = []


@activity.with_attributes(version="1", task_list="work")
def work(seconds: float, broken: bool = False) -> Any:
    RAN.append(seconds)
    takes(seconds)
    if broken:
        raise ValueError(f"{seconds} is broken")
    return [seconds]


@activity.with_attributes(version="1", task_list="work")
def other() -> None:
    takes(1)
    raise KeyError("k")


class Flow(Workflow):
    """Works one after the other."""

    name, version, task_list = "flow", "1", "decisions"

    def run(self, *numbers: float) -> Any:
        self.submit(self.start_timer("t", 5)).result
        results = [self.submit(work, number, number == 7).exception for number in numbers]
        self.submit(other).exception
        return len(results)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    RAN.clear()
    with Environment(workflows=[Flow]) as made:
        monkeypatch.setattr(context.State, "connect", lambda self, domain=None, **given: made.connection)
        yield made


def ok(*argv: str) -> str:
    result = CliRunner().invoke(main.cli, argv, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def refused(*argv: str) -> errors.SimpleflowError:
    with pytest.raises(errors.SimpleflowError) as raised:
        CliRunner().invoke(main.cli, argv, catch_exceptions=False)
    return raised.value


def test_c30_three_histories_give_mean_median_slowest_and_failures_by_type(place: Environment) -> None:
    for numbers in ([1, 2], [3], [7, 7, 10]):
        place.run(Flow, *numbers)
    since = ("--started-since", "366")
    found = json.loads(ok("--format", "json", "workflow.stats", "--type", "flow", "-n", "2", *since))
    assert found["runs"] == 3
    by_type = {row["type"].rpartition(".")[2]: row for row in found["types"]}
    worked = by_type["work"]
    assert (worked["count"], worked["failed"], worked["kind"]) == (6, 2, "activity")
    assert (worked["mean"], worked["median"], worked["p95"], worked["longest"]) == (5, 5, 10, 10)
    assert (by_type["timer"]["count"], by_type["timer"]["mean"]) == (3, 5)
    assert [(row["seconds"], row["state"]) for row in found["slowest"]] == [(10, "completed"), (7, "failed")]
    assert [(row["error"], row["count"]) for row in found["failures"]] == [("KeyError", 3), ("ValueError", 2)]


def test_stats_of_one_run_are_tables(place: Environment) -> None:
    run = place.start(Flow, 2)
    place.wait(run)
    said = ok("workflow.stats", run.workflow_id)
    assert "# task types of 1 run," in said
    assert "KeyError" in said
    assert "no execution matches" in str(refused("workflow.stats", "--type", "nobody"))


def test_workflow_stats_of_a_history(place: Environment) -> None:
    run = place.start(Flow, 2)
    place.wait(run)
    found = stats.WorkflowStats(History(place.history(run)))
    assert found.total_time() == 8
    assert [(timing[1], timing[-1]) for timing in found.get_timings()] == [("completed", 2.0), ("failed", 1.0)]
    assert [timing and timing[-1] for timing in found.get_timings_with_percentage()] == [25.0, 12.5]


def test_a_task_is_run_again(place: Environment) -> None:
    run = place.start(Flow, 2, 7)
    place.wait(run)
    RAN.clear()
    name = f"activity-{work.name}-1"
    assert json.loads(ok("activity.rerun", "--workflow-id", run.workflow_id, "--activity-id", name)) == [2]
    again = ("activity.rerun", "--workflow-id", run.workflow_id, "--run-id", run.run_id)
    assert json.loads(ok(*again, "--activity-id", name, "-i", "[3]")) == [3]
    event = next(e.id for e in place.history(run) if type(e).__name__ == "ActivityTaskScheduled")
    assert json.loads(ok(*again, "--scheduled-id", str(event))) == [2]
    assert RAN == [2, 3, 2]
    result = CliRunner().invoke(main.cli, [*again, "--activity-id", f"activity-{work.name}-2"], standalone_mode=False)
    assert result.return_value == 1
    assert "7 is broken" in result.stderr
    assert "give one of --scheduled-id and --activity-id" in str(refused(*again))
    assert "no activity task event 1" in str(refused(*again, "--scheduled-id", "1"))


def test_programs_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho hello\n")
    monkeypatch.setattr(settings, "SIMPLEFLOW_BINARIES_DIRECTORY", str(tmp_path / "binaries"), raising=False)
    place = Path(ok("binaries.download", f"hello={program.as_uri()}").strip())
    assert place.name == "hello"
    assert place.stat().st_mode & 0o777 == 0o755
    assert "write NAME=s3://BUCKET/KEY" in str(refused("binaries.download", "hello"))
    assert "none of s3://" in str(refused("binaries.download", "hello=http://host/hello"))
    for url in (f"file://{tmp_path}/absent", "https://a b/hello", "s3:///hello"):
        assert f"hello was not downloaded from {url}" in str(refused("binaries.download", f"hello={url}"))
