"""The main job, over 20 modules, on a cluster that starts with zero nodes; and with each of its processes killed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from .rig import FROM_ZERO, ROOT, Rig

WORKFLOW = "examples.stdlib_report.workflow.StdlibReport"
INPUT = json.dumps({"args": [20, 2], "kwargs": {}})

pytestmark = [pytest.mark.needs_processes, pytest.mark.timeout(240)]

#: what of a command line names each kind of process
WORDS = {
    "decider": "decider.start",
    "worker": "worker.start",
    "manager": "simpleflow.cli.sfnodes manager",
    "service": "server start",
    "node": "simpleflow.nodes.agent",
}


@pytest.fixture(scope="module")
def expected() -> object:
    """The same job in one process."""
    done = subprocess.run(
        [sys.executable, "-m", "simpleflow.cli.main", "workflow.start", "--local", "--input", INPUT, WORKFLOW],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, FROM_ZERO)
    yield made
    made.close()


def start(rig: Rig) -> None:
    rig.cluster.bring_up(directory=str(ROOT))
    assert rig.cluster.status().nodes == ()
    done = rig.command(
        "workflow.start", "--cluster", str(rig.file), "--workflow-id", "report", "--input", INPUT, WORKFLOW
    )
    assert done.returncode == 0, done.stderr


def result(rig: Rig) -> object:
    """Wait for the end of the job; return its result."""
    where = ("--endpoint-url", rig.cluster.paths.endpoint)
    domain = ("--domain", rig.cluster.config.swf_domain)
    done = rig.command(*where, "workflow.wait", *domain, "report")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{rig.cluster.logs()}"
    done = rig.command(*where, "workflow.result", *domain, "report")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def kill(rig: Rig, victim: str) -> None:
    """End one process of that kind by SIGKILL (of a node: everything below it too)."""
    found = [each for each in rig.cluster.processes() if WORDS[victim] in " ".join(each.cmdline())]
    assert found, f"no {victim} among {[each.cmdline() for each in rig.cluster.processes()]}"
    chosen = min(found, key=lambda each: each.pid)
    for each in [chosen, *(chosen.children(recursive=True) if victim == "node" else [])]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def test_nodes_of_both_profiles_come_work_and_go(rig: Rig, expected: object) -> None:
    start(rig)
    assert result(rig) == expected
    rig.until("every node is gone", lambda: all(node.ended for node in rig.cluster.status().nodes), 60)
    nodes = rig.cluster.status().nodes
    assert {node.profile for node in nodes} == {"small", "large"}
    assert all(node.cost > 0 and node.first_poll and node.busy for node in nodes)
    assert rig.sfnodes("down", str(rig.file)).returncode == 0


@pytest.mark.parametrize("victim", sorted(WORDS))
def test_kill_9_changes_no_result(rig: Rig, expected: object, victim: str) -> None:
    start(rig)
    rig.until("a node works", lambda: any(node.busy for node in rig.cluster.status().nodes))
    kill(rig, victim)
    assert result(rig) == expected
