"""What a user of simpleflow 0.36 wrote gives the same at every distance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import author_flows
import pytest
from place_rig import Place

from simpleflow.local import Executor

pytestmark = pytest.mark.needs_processes
FLOWS = "author_flows"

TASK_CONTEXT = [
    "activity_id", "activity_task_list", "domain_name", "input", "name", "run_id", "version", "workflow_id",
]  # fmt: skip
RUN_CONTEXT = [
    "continued_execution_run_id", "domain_name", "name", "parent_run_id", "parent_workflow_id", "run_id", "tag_list",
    "version", "workflow_id",
]  # fmt: skip
EXPECTED: dict[str, Any] = {
    "result": 5,
    "flags": [True, True, False, False, False, "FINISHED"],
    "failed": [None, "TaskFailed", "ValueError: no 3"],
    "map": [2, 3, 4],
    "starmap": [2, 3],
    "idempotent": [[1, 1], [1, 1]],
    "class": {"sum": 6, "context": TASK_CONTEXT},
    "context": [4, TASK_CONTEXT],
    "task id": 4,
    "child": 50,
    "failed child": [None, "TaskFailed"],
    "task": 9,
    "markers": [["m", {"a": 2}]],
    "all markers": [["m", {"a": 1}], ["m", {"a": 2}]],
    "timer": "fired",
    "signal": {"__propagate": False, "args": [1], "kwargs": {"b": 2}},
    "no signal": None,
    "no such event": "ValueError",
    "run context": [RUN_CONTEXT, ["a", "b"], "everything", "1.3"],
    "group": [2, [4, 4]],
    "chain": [2, [2, 2]],
    "not submittable": "TypeError",
    "cancelled": [True, "TaskCanceled"],
    "raised": ["author_flows.bang", "ValueError: no 3"],
}
CLUSTER = """\
cluster: author
provider: process
preset: local
profiles: {small: {billing: {period: 20, minimum: 20, price: 0.05}}}
task_lists: {author: {profile: small, slots: 2, max: 1}}
deciders: {task_list: author-decisions, workflows: [author_flows.Everything]}
"""


def test_one_workflow_gives_the_same_in_one_process_and_in_several(place: Place) -> None:
    argv = (f"{FLOWS}.Everything", "-i", "[3]")
    assert json.loads(place.ok("workflow.start", "--local", *argv)) == EXPECTED
    assert json.loads(place.ok("standalone", "-W", "2", *argv)) == EXPECTED


def test_and_on_a_cluster(place: Place) -> None:
    Path(place.folder, "cluster.yaml").write_text(CLUSTER)
    place.sfnodes("up")
    try:
        started = place.ok("workflow.start", f"{FLOWS}.Everything", "--cluster", "cluster.yaml", "-i", "[3]").split()
        assert json.loads(place.ok("workflow.wait", "author", started[0], "--timeout", "300", timeout=300)) == EXPECTED
    finally:
        place.sfnodes("down")


def test_what_continues_as_new_ends_at_every_distance(place: Place) -> None:
    assert place.ok("workflow.start", "--local", f"{FLOWS}.Countdown") == "true"
    assert place.ok("standalone", "-W", "1", f"{FLOWS}.Countdown") == "true"
    assert Executor(author_flows.Countdown).run({"args": [2], "kwargs": {}}) is True
