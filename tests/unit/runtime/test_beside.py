"""Local activities, run in task runners beside the decider."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_fixtures import eventually

from simpleflow import engine
from simpleflow.core import errors
from simpleflow.process import tree
from simpleflow.runtime import beside, frames

pytestmark = pytest.mark.needs_processes

TASK = engine.DecisionTask(
    domain="d",
    workflow_id="wf",
    run_id="run",
    workflow_name="W",
    workflow_version="1",
    previous_started_event_id=0,
    started_event_id=3,
    events=(),
)


@pytest.fixture(scope="module")
def made() -> Iterator[beside.Beside]:
    """One for all tests of this file: what each leaves behind must not matter to the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        runs = beside.Beside(frames.Setup(grace=0.2), most=2)
        yield runs
        runs.close()


def call(runs: beside.Beside, name: str, *args: object, timeout: float | None = None) -> engine.LocalResult:
    text = json.dumps({"args": args, "kwargs": {}})
    return runs.run(engine.LocalActivity(key="k", name=name, input=text, timeout=timeout), TASK)


def error_of(ended: engine.LocalResult) -> str:
    assert ended.result is None
    return str(json.loads(ended.details or "")["error"])


def test_a_result_is_json_text_and_nothing_is_null(made: beside.Beside) -> None:
    assert call(made, "runtime_activities.add", 1, 2) == engine.LocalResult(result="3")
    assert call(made, "runtime_activities.pre", {"name": "x"}) == engine.LocalResult(result="null")


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("runtime_activities.fail", ("no",), "ValueError"),
        ("runtime_activities.leave", (), "SystemExit"),
        ("runtime_activities.unserialisable", (), "TypeError"),
        ("runtime_activities.no_such_function", (), "DispatchError"),
        ("forking_activities.replaces_itself", (), "RunnerDied"),
        ("forking_activities.closes_all_descriptors", (), "RunnerDied"),
    ],
)
def test_a_failure_never_reaches_the_decider(made: beside.Beside, name: str, args: tuple[str], error: str) -> None:
    assert error_of(call(made, name, *args)) == error
    assert call(made, "runtime_activities.add", 1, 2) == engine.LocalResult(result="3")


def test_one_that_kills_itself_names_the_signal(made: beside.Beside, tmp_path: Path) -> None:
    ended = call(made, "forking_activities.dies_and_leaves_a_holder", str(tmp_path), 9)
    assert error_of(ended) == "RunnerDied"
    assert "SIGKILL" in (ended.reason or "")


def test_what_it_changes_in_its_process_does_not_reach_the_decider(made: beside.Beside, tmp_path: Path) -> None:
    here, mask = os.getcwd(), os.umask(0o077)
    os.umask(mask)
    assert call(made, "os.chdir", str(tmp_path)) == engine.LocalResult(result="null")
    assert call(made, "os.umask", 0o007).result is not None
    assert os.getcwd() == here
    assert os.umask(mask) == mask
    assert call(made, "os.getcwd").result == json.dumps(here)


@pytest.mark.parametrize(("name", "status"), [("child_returns", 0), ("child_exits", 7), ("child_raises", 1)])
def test_a_forked_child_does_not_go_on_as_a_second_decider(made: beside.Beside, name: str, status: int) -> None:
    ended = call(made, f"forking_activities.{name}")
    assert ended == engine.LocalResult(result=f'["parent",{status}]')


def test_one_that_never_returns_is_ended_with_what_it_started(made: beside.Beside, tmp_path: Path) -> None:
    ended = call(made, "forking_activities.leaves_a_detached_process", str(tmp_path), timeout=3)
    assert error_of(ended) == "TimedOut"
    assert "3 s" in (ended.reason or "")
    assert "start_to_close_timeout" in json.loads(ended.details or "")["message"]
    pid = int((tmp_path / "pids").read_text())
    eventually(lambda: not tree.lives(pid))


def test_the_clean_up_that_it_declares_runs_when_it_is_ended(made: beside.Beside, tmp_path: Path) -> None:
    assert error_of(call(made, "runtime_activities.hangs_untidily", str(tmp_path), timeout=2)) == "TimedOut"
    assert (tmp_path / "tidied").exists()


def test_the_module_that_declares_it_is_imported_first(made: beside.Beside) -> None:
    asked = engine.LocalActivity(key="k", name="a name of its own", input="{}", module="named_activities")
    assert made.run(asked, TASK) == engine.LocalResult(result='"named"')


def test_they_run_side_by_side_and_wait_when_all_runners_are_busy(made: beside.Beside, tmp_path: Path) -> None:
    found: list[str] = []
    flag = str(tmp_path / "go")

    def wait() -> None:
        found.append(str(call(made, "runtime_activities.wait_for", flag).result))

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    Path(flag).write_text("")
    for thread in threads:
        thread.join(60)
    assert found == [json.dumps(flag)] * 4


def test_closed_it_answers_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    runs = beside.Beside(frames.Setup(grace=0.2))
    raised: list[BaseException] = []

    def hang() -> None:
        try:
            call(runs, "runtime_activities.sleep_with_child", str(tmp_path))
        except errors.SimpleflowError as error:
            raised.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    eventually(lambda: (tmp_path / "pids").exists())
    runs.close()
    thread.join(60)
    assert len(raised) == 1
    with pytest.raises(errors.SimpleflowError, match="the decider ends"):
        call(runs, "runtime_activities.add", 1, 2)
    for pid in (tmp_path / "pids").read_text().split():
        eventually(lambda pid=pid: not tree.lives(int(pid)))  # type: ignore[misc]  # bound per turn
