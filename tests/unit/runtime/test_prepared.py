"""Tasks that come ahead of the service's disk: the runner gets ready, and begins when the task is its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from fake_swf import FakeSwf, task
from worker_fixtures import Start, answer, details, eventually, start, swf

from simpleflow.process import tree
from simpleflow.runtime import frames, pool, values
from simpleflow.runtime import worker as workers
from simpleflow.swf import errors

__all__ = ["start", "swf"]
pytestmark = pytest.mark.needs_processes


@pytest.fixture(autouse=True, params=["by turns", "with the answer"])
def way(request: pytest.FixtureRequest, swf: FakeSwf, monkeypatch: pytest.MonkeyPatch) -> str:
    """How polls are opened: alone, or together with the answer before."""
    swf.tells = True
    if request.param != "by turns":
        monkeypatch.setattr(workers, "NEAR", 0.0)
        swf.follows = swf.joins = True
    return str(request.param)


def failing(swf: FakeSwf, *tokens: str) -> list[str]:
    """Let the polls that bring these tasks fail once each after they told of them; return what was told."""
    left, told = list(tokens), list[str]()

    def at_told(found: Any) -> None:
        told.append(found.task_token)
        if found.task_token in left:
            left.remove(found.task_token)
            raise errors.TransportError("the disk failed")

    swf.at_told = at_told
    return told


def test_a_task_that_is_told_ahead_runs_once_and_not_before_it_came(swf: FakeSwf, start: Start, tmp_path: Path) -> None:
    start()
    for number in range(4):
        ran = tmp_path / str(number)
        before: list[bool] = []

        def at_told(found: Any, ran: Path = ran, before: list[bool] = before) -> None:
            time.sleep(0.05)  # a runner that does not wait would have begun
            before.append(ran.exists())

        swf.at_told = at_told
        swf.tasks.put(task("count_run", str(ran), token=f"t{number}"))
        action, request = answer(swf)
        assert (action, request["taskToken"]) == ("RespondActivityTaskCompleted", f"t{number}")
        assert ran.read_text() == "1"
        assert before == [False]


def test_a_task_that_does_not_come_is_not_begun(swf: FakeSwf, start: Start, tmp_path: Path) -> None:
    told = failing(swf, "lost")
    start()
    swf.tasks.put(task("own_pid", token="first"))
    first = answer(swf)[1]["result"]
    swf.tasks.put(task("count_run", str(tmp_path / "lost"), token="lost"))
    eventually(lambda: told == ["first", "lost"])
    swf.tasks.put(task("own_pid", token="next"))
    found = answer(swf)[1]
    assert found["taskToken"] == "next"
    assert found["result"] != first  # the runner that held the other task has ended
    eventually(lambda: not tree.lives(int(first)))
    assert not (tmp_path / "lost").exists()


def test_a_task_that_comes_at_the_second_attempt_runs_once(swf: FakeSwf, start: Start, tmp_path: Path) -> None:
    told = failing(swf, "again", "again")
    start()
    ran = tmp_path / "ran"
    for attempt in range(3):
        swf.tasks.put(task("count_run", str(ran), token="again"))
        eventually(lambda attempt=attempt: len(told) > attempt)
    assert answer(swf)[1]["taskToken"] == "again"
    assert ran.read_text() == "1"


@pytest.mark.parametrize("name", ["no_such_activity", "no.such.module"])
def test_what_fails_while_it_is_prepared_is_answered(swf: FakeSwf, start: Start, name: str) -> None:
    swf.at_told = lambda found: time.sleep(0.1)
    start()
    swf.tasks.put(task(name, token="bad"))
    action, request = answer(swf)
    assert (action, request["taskToken"]) == ("RespondActivityTaskFailed", "bad")
    assert details(request)["error_type"]
    swf.tasks.put(task("add", 1, 2, token="good"))
    assert answer(swf)[1]["result"] == "3"


def test_a_held_task_ends_with_the_hurry_of_its_worker(swf: FakeSwf, start: Start, tmp_path: Path) -> None:
    reached, go = threading.Event(), threading.Event()

    def at_told(found: Any) -> None:
        reached.set()
        assert go.wait(30)

    swf.at_told = at_told
    worker = start()
    swf.tasks.put(task("count_run", str(tmp_path / "ran"), token="t"))
    assert reached.wait(30)
    worker.interrupt()
    go.set()
    assert answer(swf)[0] == "RespondActivityTaskFailed"
    assert not (tmp_path / "ran").exists()


def test_a_held_runner_ends_with_its_worker(tmp_path: Path) -> None:
    """It has not begun: nothing of the task happens."""
    ran = tmp_path / "ran"
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from fake_swf import task
from simpleflow.process import tree
from simpleflow.runtime import frames, pool, values
runner = pool.Runner(frames.Setup())
runner.ready()
runner.prepare(values.Task.of(task("count_run", {str(ran)!r}), domain="d", task_list="tl"))
print(runner.pid, flush=True)
time.sleep(600)
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        eventually(lambda: "count_run" in " ".join(psutil.Process(pid).cmdline()))  # its title: it has begun to prepare
        worker.send_signal(signal.SIGKILL)
    eventually(lambda: not tree.lives(pid))
    assert not ran.exists()


def test_a_runner_starts_no_other_task_than_the_one_it_holds(tmp_path: Path) -> None:
    def of(token: str) -> values.Task:
        given: SimpleNamespace = task("count_run", str(tmp_path / token), token=token)
        return values.Task.of(given, domain="d", task_list="tl")

    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    runner = pool.Runner(frames.Setup(), env=env)
    try:
        runner.ready()
        runner.prepare(of("one"))
        assert runner.holds
        assert not runner.may_start(of("two"))
        time.sleep(0.5)
        begun = time.perf_counter()
        runner.start(of("one"))
        while not isinstance(frame := runner.receive(30), frames.Done):
            assert frame is not None
        assert isinstance(frame.answer, values.Completed)
        assert frame.seconds <= time.perf_counter() - begun  # the time in which it was held is not the task's own
        assert not runner.holds
    finally:
        runner.end(wait=0)
        runner.dismiss()
    assert (tmp_path / "one").read_text() == "1"
