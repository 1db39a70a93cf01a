"""kill -9 in mid-run: nothing is lost, and the result is the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest
from place_rig import ROOT, Place, eventually

from simpleflow.client import Client
from simpleflow.core import events
from simpleflow.process import tree

pytestmark = pytest.mark.needs_processes
REPORT = "examples.stdlib_report.workflow.StdlibReport"
#: 20 modules, and timeouts of 10 s
ARGUMENTS = ("-i", '{"kwargs":{"limit":20,"ranges":2}}', "--decision-tasks-timeout", "10")


def children(process: int) -> list[psutil.Process]:
    return psutil.Process(process).children(recursive=True)


def kill_decider(place: Place, decider: int, worker: int) -> None:
    """The supervised decider process; its supervisor starts another."""
    (found,) = children(decider)
    found.send_signal(signal.SIGKILL)


def kill_worker(place: Place, decider: int, worker: int) -> None:
    """A whole worker with its runners; another is started."""
    os.kill(worker, signal.SIGKILL)
    place.spawn("worker.start", "-t", "light", "-N", "1")


def kill_runners(place: Place, decider: int, worker: int) -> None:
    """The processes that run the tasks: their tasks fail within a second and are retried."""
    for found in children(worker):
        found.send_signal(signal.SIGKILL)


def kill_service(place: Place, decider: int, worker: int) -> None:
    (pid,) = [found.pid for found in place.processes() if "server.start" in found.cmdline()]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not tree.lives(pid))
    place.ok("server.start", "--detach")


@pytest.fixture(scope="module")
def expected() -> str:
    argv = [sys.executable, "-m", "simpleflow", "workflow.start", REPORT, "--local", *ARGUMENTS]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, cwd=ROOT, check=True).stdout


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(kill_decider, marks=pytest.mark.slow, id="decider"),
        pytest.param(kill_worker, marks=pytest.mark.slow, id="worker"),
        pytest.param(kill_runners, id="runners"),
        pytest.param(kill_service, id="service"),
    ],
)
def test_a_killed_process_changes_nothing(place: Place, kill: Callable[[Place, int, int], None], expected: str) -> None:
    place.ok("server.start", "--detach")
    with Client(endpoint_url=f"unix://{place.folder}/run/swf.sock") as client:
        decider = place.spawn("decider.start", REPORT)
        worker = place.spawn("worker.start", "-t", "light", "-N", "1")
        place.ok("workflow.start", REPORT, "--workflow-id", "r", *ARGUMENTS)
        run = client.find("r")

        def done() -> int:
            return sum(isinstance(event, events.ActivityTaskCompleted) for event in client.history(run))

        eventually(lambda: done() >= 3)
        kill(place, decider.pid, worker.pid)
        # Only now: without the heavy tasks the run was open when it was hit, however long that took.
        place.spawn("worker.start", "-t", "heavy", "-N", "1")
    printed = place.ok("workflow.wait", "r", "--timeout", "300", timeout=300)
    assert json.loads(printed) == json.loads(expected)


def lines(place: Place) -> list[str]:
    marks = place.folder / "marks"
    return marks.read_text().split() if marks.exists() else []


@pytest.mark.parametrize(("count", "together"), [(3000, True), (400, False)])
def test_killed_workers_leave_no_task_to_its_timeouts(place: Place, count: int, together: bool) -> None:
    """No timeout would end these tasks: each that a worker took and nobody answered would hold the run for ever."""
    place.ok("server.start", "--detach")
    place.spawn("decider.start", "integration_flows.Marks")
    place.ok(
        "workflow.start", "integration_flows.Marks", "--workflow-id", "r",
        "-i", json.dumps([count, str(place.folder), together]),
    )  # fmt: skip
    for part in range(1, 4):
        worker = place.spawn("worker.start", "-t", "work", "-N", "3")
        eventually(lambda part=part: len(lines(place)) > part * count // 5)
        worker.kill()
    place.spawn("worker.start", "-t", "work", "-N", "3")
    assert json.loads(place.ok("workflow.wait", "r", "--timeout", "200")) == sum(range(count))
    assert set(lines(place)) == set(map(str, range(count)))


@pytest.mark.parametrize("how", ["sleeping", "in C", "stopped"])
def test_the_task_that_a_killed_worker_ran_goes_on_elsewhere_at_once(place: Place, how: str) -> None:
    place.ok("server.start", "--detach")
    place.spawn("decider.start", "integration_flows.GoesOn")
    worker = place.spawn("worker.start", "-t", "work", "-N", "2")
    given = json.dumps([str(place.folder), how])
    place.ok("workflow.start", "integration_flows.GoesOn", "--workflow-id", "r", "-i", given)
    eventually((place.folder / "began").exists)
    worker.kill()
    place.spawn("worker.start", "-t", "work", "-N", "1")
    assert json.loads(place.ok("workflow.wait", "r", "--timeout", "200")) == [True, True]
