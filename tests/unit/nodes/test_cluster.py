"""A whole cluster on local processes: supervisor, manager, deciders, nodes, embedded service; and what kills it.

Most tests use floors (``min``), so that nodes stand without a workflow; those of ``test_cluster_workflow`` run one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simpleflow.data import files
from simpleflow.nodes.cluster import supervisor
from simpleflow.nodes.providers.process import node_folder
from simpleflow.process import tree

from .rig import BRIEF, FLOORS, WIDE, Rig, handles

pytestmark = [pytest.mark.needs_processes, pytest.mark.timeout(900)]


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, getattr(request, "param", FLOORS))
    yield made
    made.close()


def test_up_brings_the_floor_down_drains_it_and_nothing_is_left(rig: Rig) -> None:
    up = rig.sfnodes("up", str(rig.file), "--json")
    assert up.returncode == 0, up.stderr
    started = json.loads(up.stdout)
    assert tuple(started) == supervisor.Up.__struct_fields__
    assert started["cluster"] == "trial"
    rig.works()
    again = rig.sfnodes("up", str(rig.file))
    assert (again.returncode, again.stdout) == (64, "")
    assert f"is already up (supervisor {started['pid']})" in again.stderr
    planned = rig.sfnodes("plan", str(rig.file), "--json")
    assert planned.returncode == 0, planned.stderr
    nodes = json.loads(planned.stdout)["nodes"]
    assert all("min of profile" in each["reason"] for each in nodes["keeps"])
    assert (len(nodes["keeps"]), nodes["launches"]) == (2, [])
    seen = rig.cluster.processes()
    names = [node.node for node in rig.cluster.status().nodes]
    assert set(json.loads(rig.sfnodes("logs", str(rig.file), "--json").stdout)) >= {"manager", "supervisor", *names}
    down = rig.sfnodes("down", str(rig.file), "--json")
    assert (down.returncode, json.loads(down.stdout)) == (0, {"cluster": "trial", "down": True})
    status = rig.cluster.status()
    assert not status.up
    assert status.lease is None
    assert [node.state for node in status.nodes] == ["gone"] * 2
    assert all(node.ended and node.cost > 0 and "goes down" in node.reason for node in status.nodes)
    assert all(node.drained and node.first_poll and node.launched < node.first_poll for node in status.nodes)
    # The environment of one that is just ending cannot be read any more: it is not found, and not dead yet.
    assert not rig.cluster.processes()
    rig.until("each has ended", lambda: not any(tree.lives(each) for each in seen))
    assert rig.sfnodes("down", str(rig.file)).returncode == 0, "it may be repeated"


def test_of_two_ups_at_once_one_brings_it_up_and_the_other_says_so(rig: Rig) -> None:
    command = [sys.executable, "-m", "simpleflow.cli.sfnodes", "up", str(rig.file)]
    both = [
        subprocess.Popen(command, env=rig.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [each.communicate(timeout=WIDE) for each in both]
    assert sorted(each.returncode for each in both) == [0, 64], said
    assert any("already up" in stderr for _, stderr in said)
    assert rig.cluster.is_up


@pytest.mark.parametrize("rig", [BRIEF.replace("commit: 15", "commit: 900")], indirect=True)
def test_kill_9_of_manager_service_and_node_is_mended(rig: Rig) -> None:
    rig.cluster.bring_up()
    rig.works()
    rig.committed(600.0)  # however long the next manager takes to start, no machine ends by itself meanwhile
    before = {node.node for node in rig.cluster.status().nodes}
    manager, service, lease = rig.cluster.up.manager, rig.cluster.up.service, rig.cluster.status().lease
    assert manager
    assert service
    os.kill(manager, signal.SIGKILL)
    os.kill(service, signal.SIGKILL)
    rig.until("another service is there", lambda: rig.cluster.up.service not in (None, service))
    rig.until("another manager leads", lambda: rig.cluster.status().lease != lease)
    assert (rig.cluster.status().lease or "").endswith(f"-{rig.cluster.up.manager}")
    assert {node.node for node in rig.cluster.status().nodes} == before, "no node was launched twice"
    victim = rig.cluster.status().nodes[0].node
    pid = int((rig.cluster.paths.folder / "nodes" / victim / "pid").read_text())
    os.killpg(pid, signal.SIGKILL)
    rig.until("the node was replaced", lambda: rig.working() == 2 and rig.ended(victim))


@pytest.mark.parametrize("rig", [f"{BRIEF}endpoint: http://127.0.0.1:9\n"], indirect=True)
def test_down_needs_no_coordinator(rig: Rig) -> None:
    """It went away for good: what drains, drains by its mark."""
    rig.cluster.bring_up()
    assert rig.cluster.take_down(timeout=WIDE)


def test_a_removed_runtime_folder_is_made_anew(rig: Rig) -> None:
    """A login's folder goes at logout; the service lived on where nobody could reach it."""
    rig.cluster.bring_up()
    rig.works()
    before = rig.cluster.up.service
    shutil.rmtree(rig.environment["SIMPLEFLOW_RUNTIME_DIR"])
    rig.until("another service answers", lambda: rig.cluster.up.service not in (None, before))
    rig.until("it is reached", lambda: supervisor.reachable(rig.cluster.up.endpoint))
    rig.until("nothing is wrong any more", lambda: rig.working() == 2 and not rig.cluster.status().notes)


@pytest.mark.parametrize("rig", [BRIEF], indirect=True)
def test_down_by_name_when_the_file_is_gone(rig: Rig) -> None:
    rig.cluster.bring_up()
    rig.works()
    rig.file.unlink()
    assert json.loads(rig.sfnodes("status", "trial", "--json").stdout)["up"]
    down = rig.sfnodes("down", "trial", "--json")
    assert (down.returncode, json.loads(down.stdout)) == (0, {"cluster": "trial", "down": True}), down.stderr
    assert "nodes, " in rig.sfnodes("status", str(rig.file), "--text").stdout, "by the path that it had, too"


def test_a_cluster_whose_folder_is_removed_ends(rig: Rig) -> None:
    """`status` and `down` would not find it any more, and its nodes would run for ever."""
    assert rig.sfnodes("up", str(rig.file)).returncode == 0
    rig.works()
    seen = rig.cluster.processes()
    assert len(seen) > 3

    def removed() -> bool:
        # Again: what still runs writes into it while it is removed.
        shutil.rmtree(rig.cluster.paths.folder, ignore_errors=True)
        return not any(tree.lives(each) for each in seen)

    rig.until("everything has ended", removed)
    assert rig.sfnodes("up", str(rig.file)).returncode == 0
    rig.works()
    assert rig.sfnodes("down", str(rig.file), "--now").returncode == 0


def test_down_signals_nobody_who_has_the_pid_of_a_supervisor_that_was_killed(rig: Rig) -> None:
    """Between the lock of the new supervisor and its first word the old one's ``up.json`` would name a stranger."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        left = dict.fromkeys(("path", "domain", "task_list", "endpoint", "store", "folder"), "")
        old = supervisor.Up(pid=stranger.pid, cluster="trial", started=1.0, **left)
        files.folder(rig.cluster.paths.folder)
        node_folder.write(rig.cluster.paths.up, msgspec.json.encode(old))
        made = supervisor.Supervisor(rig.cluster.loaded, rig.cluster.environment, str(rig.file.parent))
        try:
            assert rig.cluster.is_up
            assert not rig.cluster.take_down(timeout=0.2)
            assert stranger.poll() is None
        finally:
            made._metadata._server.server_close()
            made._lifeline.release()
    finally:
        stranger.kill()
        stranger.wait()


def test_an_interrupt_while_the_supervisor_is_being_started_leaves_none(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ctrl-C comes when the process exists and nobody was told of it yet."""
    started = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(real(*arguments, **options))
        signal.raise_signal(signal.SIGINT)
        return started[0]

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        rig.cluster.bring_up()
    assert started[0].poll() is not None
    assert not rig.cluster.is_up
    assert signal.getsignal(signal.SIGINT) is before


def test_everything_ends_when_the_supervisor_is_killed(rig: Rig) -> None:
    rig.cluster.bring_up()
    rig.works()
    seen = rig.cluster.processes()
    assert len(seen) >= 8
    os.kill(rig.cluster.up.pid, signal.SIGKILL)
    rig.until("no process lives", lambda: not rig.cluster.processes())
    # The environment of one that is just ending cannot be read any more: it is not found, and not dead yet.
    rig.until("each has ended", lambda: not any(tree.lives(each) for each in seen))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_tied_cluster_ends_with_its_program(rig: Rig, number: signal.Signals) -> None:
    program = (
        "import sys; from simpleflow.nodes.cluster import cluster as clusters\n"
        "with clusters.running(sys.argv[1]) as cluster:\n"
        "    print('up', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(rig.file)],
        env=rig.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        assert child.stdout.readline() == "up\n"
        rig.until("a node works", lambda: rig.working() > 0)
        child.send_signal(number)
        child.wait(timeout=WIDE)
    rig.until("no process lives", lambda: not rig.cluster.processes() and not rig.cluster.is_up)


@pytest.mark.parametrize("rig", [BRIEF], indirect=True)
def test_another_manager_takes_over_and_without_any_the_nodes_end_themselves(rig: Rig) -> None:
    rig.cluster.bring_up()
    rig.works()
    before = {node.node for node in rig.cluster.status().nodes}
    first = rig.cluster.up.manager
    assert first
    command = [sys.executable, "-m", "simpleflow.cli.sfnodes", "manager", str(rig.file), "--json"]
    second = subprocess.Popen(
        command, env=rig.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )

    def leads() -> bool:
        return (rig.cluster.status().lease or "").endswith(f"-{second.pid}")

    rig.until("the second manager contends", lambda: handles(second.pid, signal.SIGTERM))
    rig.committed(10.0)
    with rig.paused(first):
        rig.until("the second manager leads", leads)
    # The one that was paused looks again, and renews nothing: the lease is renewed by the second alone.
    for _ in range(3):
        renewed = rig.lease().renewed
        rig.until("the lease is renewed", lambda: rig.lease().renewed > renewed)  # noqa: B023  # called at once
        assert leads()
    assert {node.node for node in rig.cluster.status().nodes} == before
    agents = [rig.cluster.paths.folder / "nodes" / name for name in before]
    with rig.paused(first):  # a dead one would be started again
        second.terminate()
        assert json.loads(second.communicate(timeout=WIDE)[0]) == {"manager": "ended", "code": 0}
        rig.until(
            "without a manager they end", lambda: not any(node_folder.NodeFolder(each).is_alive() for each in agents)
        )
