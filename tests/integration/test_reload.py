"""Code that changes under load: each worker runs one version, and one that reloads loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
from place_rig import Place, eventually

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
