"""What a task changes in its process does not reach the next one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fake_swf import FakeSwf, task
from worker_fixtures import Start, answer, eventually, start, swf

from simpleflow.process import tree

__all__ = ["start", "swf"]
pytestmark = pytest.mark.needs_processes


def run(swf: FakeSwf, name: str, *args: Any) -> Any:
    swf.tasks.put(task(name, *args))
    action, request = answer(swf)
    assert action == "RespondActivityTaskCompleted", request
    return json.loads(request.get("result", "null"))


def test_the_next_task_of_the_same_process_sees_nothing(
    swf: FakeSwf, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "x")
    (tmp_path / "own").mkdir()
    start()
    before = run(swf, "shows_everything")
    run(swf, "changes_everything", str(tmp_path / "own"))
    assert run(swf, "shows_everything") == before
    assert before[1] == os.getcwd()


def test_the_next_task_finds_the_interpreter_as_it_was(swf: FakeSwf, start: Start) -> None:
    start()
    before = run(swf, "interpreter_activities.shows_the_interpreter")
    for _ in range(2):
        run(swf, "interpreter_activities.changes_the_interpreter")
        assert run(swf, "interpreter_activities.shows_the_interpreter") == before


def test_a_module_that_a_task_loads_costs_no_runner(swf: FakeSwf, start: Start) -> None:
    start()
    first = run(swf, "lazy_activities.loads")
    assert run(swf, "lazy_activities.loads") == first
    assert first[1:] == [28, False]


def test_seeds_do_not_reach_the_next_task(swf: FakeSwf, start: Start) -> None:
    start()
    drawn = []
    for _ in range(2):
        run(swf, "draws")
        drawn += run(swf, "draws_again")
    assert drawn[0] != drawn[1]


LEFT = (
    "thread",
    "reporting thread",
    "bare thread",
    "process",
    "detached process",
    "loop",
    "descriptor",
    "user",
    "many files",
)


@pytest.mark.parametrize("what", [*LEFT, "flock", "lockf", "listening socket"])
def test_a_runner_goes_with_what_cannot_be_put_back(
    swf: FakeSwf,
    start: Start,
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    if what == "user" and os.getuid():
        pytest.skip("only root may change its groups")
    start()
    pid = run(swf, "leaves", what)
    other = run(swf, "own_pid")
    assert other != pid
    assert "leaves behind" in caplog.text
    eventually(lambda: not tree.lives(pid))


@pytest.mark.parametrize("what", ["open files", "argv", "stream", "filters", "seed"])
def test_what_cannot_be_examined_takes_no_answer_away(swf: FakeSwf, start: Start, what: str) -> None:
    start()
    pid = run(swf, "leaves_unreadable", what)
    eventually(lambda: what == "stream" or not tree.lives(pid))
    run(swf, "own_pid")


def test_files_that_a_task_keeps_open_cost_no_runner(swf: FakeSwf, start: Start) -> None:
    start()
    assert len({run(swf, "leaves", "one file") for _ in range(3)}) == 1


def test_a_logger_that_a_module_of_a_task_sets_up_stays(swf: FakeSwf, start: Start) -> None:
    start()
    assert run(swf, "lazy_activities.logs") == run(swf, "lazy_activities.logs") == 1


def test_large_values_of_a_task_are_forgotten(
    swf: FakeSwf, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMPLEFLOW_JUMBO_FIELDS_BUCKET", f"file://{tmp_path}")
    start()
    first = run(swf, "lazy_activities.remembers")
    assert run(swf, "lazy_activities.remembers") == first
    assert first[1:] == [0, 1]


def test_children_that_have_ended_cost_no_runner(swf: FakeSwf, start: Start) -> None:
    start()
    pids = {run(swf, "leaves_a_zombie") for _ in range(3)} | {run(swf, "own_pid")}
    assert len(pids) == 1
