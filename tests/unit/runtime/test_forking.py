"""Tasks that make processes of their own: one task has one answer, and it is its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_swf import FakeSwf, task
from worker_fixtures import Start, answer, details, eventually, start, swf

from simpleflow.process import descriptors, tree
from simpleflow.runtime import frames, pool, values

__all__ = ["start", "swf"]
pytestmark = pytest.mark.needs_processes


def run(swf: FakeSwf, name: str, *args: Any, token: str = "t1") -> tuple[str, dict[str, Any]]:
    swf.tasks.put(task(f"forking_activities.{name}", *args, token=token))
    return answer(swf)


def assert_next_tasks_get_their_own(swf: FakeSwf) -> None:
    for number in range(3):
        swf.tasks.put(task("add", number, 10, token=f"next-{number}"))
        action, request = answer(swf)
        assert (action, request["taskToken"]) == ("RespondActivityTaskCompleted", f"next-{number}")
        assert json.loads(request["result"]) == number + 10


def test_children_that_come_back_from_user_code_say_nothing(swf: FakeSwf, start: Start) -> None:
    start()
    ends = {
        "child_returns": ["parent", 0],
        "child_exits": ["parent", 7],
        "child_raises": ["parent", 1],
        "child_is_interrupted": ["parent", -signal.SIGTERM],
        "grandchild_returns": ["parent", 0],
        "child_of_c_returns": ["parent", 0],
        "child_of_a_thread_returns": ["parent", 0],
        "children_of_multiprocessing": ["parent", 0, 0],
    }
    for name, end in ends.items():
        action, request = run(swf, name, token=name)
        assert (action, request["taskToken"]) == ("RespondActivityTaskCompleted", name)
        assert json.loads(request["result"]) == end, name
    assert_next_tasks_get_their_own(swf)
    assert not any("from a child" in str(beat) for beat in swf.beats)


def test_programs_of_a_task_inherit_nothing_of_the_runner(
    swf: FakeSwf, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMPLEFLOW_STATUS_SOCKET", "/nowhere")
    start()
    assert json.loads(run(swf, "descriptors_of_programs")[1]["result"]) == [0, 0, 0]


def test_code_that_closes_descriptors_of_others_is_told_so(swf: FakeSwf, start: Start) -> None:
    start()
    assert json.loads(run(swf, "closes_low_descriptors")[1]["result"]) == "closed"
    action, request = run(swf, "closes_all_descriptors", token="t2")
    assert action == "RespondActivityTaskFailed"
    assert "closed a descriptor" in details(request)["message"]
    assert_next_tasks_get_their_own(swf)


@pytest.mark.parametrize(
    ("name", "message"),
    [("writes_to_the_runners_descriptor", "did not open"), ("replaces_itself", "os.exec")],
)
def test_a_runner_that_cannot_answer_fails_its_task_at_once(
    swf: FakeSwf, start: Start, name: str, message: str
) -> None:
    start()
    action, request = run(swf, name)
    assert action == "RespondActivityTaskFailed"
    assert message in details(request)["message"]
    assert_next_tasks_get_their_own(swf)


@pytest.mark.parametrize("returns", [True, False])
def test_a_task_that_becomes_a_daemon_fails_and_its_daemon_ends(
    swf: FakeSwf, start: Start, tmp_path: Path, returns: bool
) -> None:
    if returns:
        (tmp_path / "returns").write_text("")
    start()
    action, request = run(swf, "daemonises", str(tmp_path))
    assert action == "RespondActivityTaskFailed"
    assert "exited with status 0" in details(request)["message"]
    assert_next_tasks_get_their_own(swf)
    if (tmp_path / "pids").exists():
        eventually(lambda: not tree.lives(int((tmp_path / "pids").read_text())))


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_death_is_seen_although_a_child_holds_the_descriptors(
    swf: FakeSwf, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pidfd: bool
) -> None:
    if not pidfd:
        monkeypatch.setattr(descriptors, "of_process", lambda pid: None)
    start(heartbeat=60.0)
    swf.tasks.put(task("forking_activities.dies_and_leaves_a_holder", str(tmp_path), int(signal.SIGKILL)))
    eventually((tmp_path / "died").exists)
    begun = time.monotonic()
    action, request = answer(swf)
    assert action == "RespondActivityTaskFailed"
    assert "SIGKILL" in request["reason"]
    assert time.monotonic() - begun < 10.0  # the holder lives for a minute
    assert_next_tasks_get_their_own(swf)


def test_a_detached_process_ends_with_its_closed_task(swf: FakeSwf, start: Start, tmp_path: Path) -> None:
    start()
    swf.tasks.put(task("forking_activities.leaves_a_detached_process", str(tmp_path)))
    eventually((tmp_path / "pids").exists)
    pid = int((tmp_path / "pids").read_text())
    swf.unknown = True
    eventually(lambda: not tree.lives(pid))
    swf.unknown = False
    assert_next_tasks_get_their_own(swf)


def test_frames_of_an_earlier_task_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    runner = pool.Runner(frames.Setup(grace=0.2))
    try:
        runner.ready()
        for number in (1, 2):  # the second before the first is answered
            text = json.dumps({"args": [number, 0]})
            common = {"version": "1", "workflow_id": "w", "run_id": "r", "domain": "d", "task_list": "t"}
            runner.start(values.Task(activity_id="a", name="runtime_activities.add", input=text, **common))
        while not isinstance(frame := runner.receive(20.0), frames.Done):
            assert frame is not None
        assert frame.answer == values.Completed(result="2")
    finally:
        runner.end(wait=0)
        runner.dismiss()


def test_a_detached_process_ends_when_the_worker_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from simpleflow.runtime import frames, pool, values\n"
        "runner = pool.Runner(frames.Setup(grace=0.2))\n"
        "runner.ready()\n"
        "common = {'version': '1', 'workflow_id': 'w', 'run_id': 'r', 'domain': 'd', 'task_list': 't'}\n"
        "name = 'forking_activities.leaves_a_detached_process'\n"
        "runner.start(values.Task(activity_id='a', name=name, input=sys.argv[1], **common))\n"
        "while True: runner.receive(60)\n"
    )
    path = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    argv = [sys.executable, "-c", code, json.dumps([str(tmp_path)])]
    parent = subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": path})
    eventually((tmp_path / "pids").exists)
    parent.kill()
    parent.wait()
    eventually(lambda: not tree.lives(int((tmp_path / "pids").read_text())))
