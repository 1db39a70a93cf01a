"""Code that changes under load: each worker runs one version, and one that reloads loses nothing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import psutil
import pytest
from place_rig import Place, eventually

from simpleflow.client import Client, executions

pytestmark = pytest.mark.needs_processes
CODE = """
import os, time
from simpleflow import Workflow, activity, futures

@activity.with_attributes(version="1", task_list="work", raises_on_failure=True, start_to_close_timeout=60)
def step(number, folder):
    worker = os.getppid()
    with open(os.path.join(folder, "done"), "a") as file:
        file.write(f"{number} VERSION {worker}\\n")
    time.sleep(0.1)
    return [number, "VERSION", worker]

class Load(Workflow):
    name, version, task_list = "load", "1", "decisions"
    def run(self, count, folder):
        return futures.wait(*[self.submit(step, number, folder) for number in range(count)])
"""

ROLLING = """
import time
from simpleflow import Workflow, activity

@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def step(number):
    time.sleep(0.02)
    return number

class Roll(Workflow):
    name, version, task_list = "roll", "1", "decisions"
    def run(self, count):
        done = []
        for number in range(count):
            if number == count // 2:
                self.submit(self.wait_signal("go")).result
            done.append(self.submit(step, number).result)
            PATCH
        return done
"""


def write(path: Path, version: str) -> None:
    path.with_suffix(".new").write_text(CODE.replace("VERSION", version))
    path.with_suffix(".new").rename(path)


def test_two_versions_side_by_side_under_load(place: Place) -> None:
    count, done = 80, place.folder / "done"
    write(place.folder / "loads.py", "v1")
    place.spawn("decider.start", "loads.Load")
    reloads = place.spawn("worker.start", "-t", "work", "-N", "2", "--reload").pid
    stays = place.spawn("worker.start", "-t", "work", "-N", "2").pid
    place.ok("workflow.start", "loads.Load", "--workflow-id", "l", "-i", json.dumps([count, str(place.folder)]))

    def seen() -> set[tuple[str, str]]:
        lines = done.read_text().splitlines() if done.exists() else []
        return {(version, worker) for _, version, worker in map(str.split, lines)}

    eventually(lambda: len(seen()) == 2)  # both workers imported v1
    write(place.folder / "loads.py", "v2")
    result = json.loads(place.ok("workflow.wait", "l"))
    assert [number for number, _, _ in result] == list(range(count))
    assert len(done.read_text().splitlines()) == count  # none ran twice
    assert {version for _, version, worker in result if worker == stays} == {"v1"}
    order = [line.split()[1] for line in done.read_text().splitlines() if line.endswith(f" {reloads}")]
    assert order == sorted(order)  # v1, then v2, never mixed
    eventually(lambda: "starts anew" in place.logs())
    assert psutil.pid_exists(reloads)
    place.ok("workflow.start", "loads.Load", "--workflow-id", "m", "-i", json.dumps([20, str(place.folder)]))
    later = json.loads(place.ok("workflow.wait", "m"))
    assert {(version, worker) for _, version, worker in later} <= {("v1", stays), ("v2", reloads)}


def test_a_rolling_restart_to_other_code_loses_nothing_and_diverges_nowhere(place: Place) -> None:
    runs, count = 6, 12

    def deploy(patch: str) -> None:
        (place.folder / "new").write_text(ROLLING.replace("PATCH", patch))
        (place.folder / "new").rename(place.folder / "rolls.py")

    deploy("pass")
    place.ok("server.start", "--detach")
    pairs = [
        [place.spawn("decider.start", "-t", "decisions"), place.spawn("worker.start", "-t", "work", "-N", "2")]
        for _ in range(2)
    ]
    with Client(endpoint_url=f"unix://{place.folder}/run/swf.sock") as client:

        def kinds(run: executions.Run) -> Counter[str]:
            return Counter(type(event).__name__ for event in client.history(run))

        started = [
            client.find(place.ok("workflow.start", "rolls.Roll", "-i", f"[{count}]").split()[0]) for _ in range(runs)
        ]
        eventually(lambda: all(kinds(run)["ActivityTaskCompleted"] for run in started))
        deploy('if self.patched("more"): self.submit(step, -number).result')
        for pair in pairs:
            for process in pair:
                process.terminate()
                assert process.wait(60) == 0
            place.spawn("decider.start", "-t", "decisions")
            place.spawn("worker.start", "-t", "work", "-N", "2")
            if pair is pairs[0]:  # the second pair goes under load
                for run in started:
                    client.signal(run, "go")
        assert [client.result(run, timeout=240) for run in started] == [list(range(count))] * runs
        found = [kinds(run) for run in started]
        for each in found:
            assert each["ActivityTaskScheduled"] == each["ActivityTaskCompleted"]
            assert not each["TimerStarted"], "a run that diverges is answered with a timer"
        assert sum(each["ActivityTaskScheduled"] for each in found) > runs * count  # the new code took its turn
