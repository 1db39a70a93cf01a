"""A whole cluster on local processes: supervisor, manager, deciders, nodes, embedded service; and what kills it.

Most tests use floors (``min``), so that nodes stand without a workflow; those of ``test_cluster_workflow`` run one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from simpleflow.core.errors import UsageError

from .rig import FLOORS, Rig

pytestmark = pytest.mark.needs_processes


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, FLOORS)
    yield made
    made.close()


def test_up_brings_the_floor_down_drains_it_and_nothing_is_left(rig: Rig) -> None:
    up = rig.sfnodes("up", str(rig.file), "--json")
    assert up.returncode == 0, up.stderr
    assert json.loads(up.stdout)["cluster"] == "trial"
    rig.until("three nodes work", lambda: rig.working() == 3)
    with pytest.raises(UsageError, match="already up"):
        rig.cluster.bring_up()
    seen = rig.cluster.processes()
    assert rig.sfnodes("down", str(rig.file)).returncode == 0
    status = rig.cluster.status()
    assert not status.up
    assert status.lease is None
    assert [node.state for node in status.nodes] == ["gone"] * 3
    assert all(node.ended and node.cost > 0 and "goes down" in node.reason for node in status.nodes)
    assert all(node.drained and node.first_poll and node.launched < node.first_poll for node in status.nodes)
    assert not [each for each in seen if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert rig.sfnodes("down", str(rig.file)).returncode == 64


def test_kill_9_of_manager_service_and_node_is_mended(rig: Rig) -> None:
    rig.cluster.bring_up()
    rig.until("three nodes work", lambda: rig.working() == 3)
    before = {node.node for node in rig.cluster.status().nodes}
    manager, service = rig.cluster.up.manager, rig.cluster.up.service
    assert manager
    assert service
    os.kill(manager, signal.SIGKILL)
    os.kill(service, signal.SIGKILL)
    rig.until("both are back", lambda: rig.cluster.up.manager and rig.cluster.up.service)
    rig.until("another manager leads", lambda: str(rig.cluster.up.manager) in (rig.cluster.status().lease or ""))
    assert {node.node for node in rig.cluster.status().nodes} == before, "no node was launched twice"
    victim = rig.cluster.status().nodes[0].node
    pid = int((rig.cluster.paths.folder / "nodes" / victim / "pid").read_text())
    os.killpg(pid, signal.SIGKILL)
    rig.until("the node was replaced", lambda: rig.working() == 3 and rig.ended(victim))


def test_everything_ends_when_the_supervisor_is_killed(rig: Rig) -> None:
    rig.cluster.bring_up()
    rig.until("three nodes work", lambda: rig.working() == 3)
    seen = rig.cluster.processes()
    assert len(seen) >= 8
    os.kill(rig.cluster.up.pid, signal.SIGKILL)
    rig.until("no process lives", lambda: not rig.cluster.processes())
    assert not [each for each in seen if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_tied_cluster_ends_with_its_program(rig: Rig, number: signal.Signals) -> None:
    program = (
        "import sys, time; from simpleflow.nodes import clusters\n"
        "with clusters.running(sys.argv[1]) as cluster:\n"
        "    print('up', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(rig.file)],
        env=rig.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "up\n"
        rig.until("a node works", lambda: rig.working() > 0)
        child.send_signal(number)
        child.wait(timeout=30)
    rig.until("no process lives", lambda: not rig.cluster.processes() and not rig.cluster.is_up)


def test_plan_shows_the_reasons_and_changes_nothing(rig: Rig) -> None:
    rig.cluster.bring_up()
    rig.until("three nodes work", lambda: rig.working() == 3)
    done = rig.sfnodes("plan", str(rig.file), "--json")
    assert done.returncode == 0, done.stderr
    nodes = json.loads(done.stdout)["nodes"]
    assert len(nodes["keeps"]) == 3
    assert all("min of profile" in each["reason"] for each in nodes["keeps"])
    assert not nodes["launches"]
    assert set(rig.cluster.logs()) >= {"manager", "supervisor", "service"}
