"""The main job while its processes are killed at random, and the demo interrupted at random."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from simpleflow.client.client import Client
from simpleflow.core import errors
from simpleflow.process import tree
from tests.unit.nodes import jobs

from .rig import FROM_ZERO, ROOT, Rig

pytestmark = [pytest.mark.slow, pytest.mark.needs_processes, pytest.mark.timeout(600)]

WORKFLOW = "examples.stdlib_report.workflow.StdlibReport"
INPUT = json.dumps({"args": [150, 3], "kwargs": {}})
#: an activity is tried three times, and each kill may cost one
KILLS = 8


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, FROM_ZERO)
    made.cluster.bring_up(directory=str(ROOT))
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(3))
def test_random_kills_change_no_result(rig: Rig, seed: int) -> None:
    chosen = random.Random(seed)
    started = rig.command(
        "workflow.start", "--cluster", str(rig.file), "--workflow-id", "report", "--input", INPUT, WORKFLOW
    )
    assert started.returncode == 0, started.stderr
    rig.until("a node works", lambda: rig.working())
    killed = []
    for _ in range(KILLS):
        time.sleep(chosen.uniform(0.3, 2.0))
        victim = chosen.choice([each for each in rig.cluster.processes() if each.pid != rig.cluster.up.pid])
        with contextlib.suppress(psutil.NoSuchProcess):
            killed.append(" ".join(victim.cmdline())[-60:])
            victim.kill()
    expected = rig.command("workflow.start", "--local", "--input", INPUT, WORKFLOW)
    where = ("--endpoint-url", rig.cluster.paths.endpoint)
    limit = time.monotonic() + 300
    while True:
        done = rig.command(*where, "workflow.result", "--domain", "trial", "report")
        if done.returncode == 0:
            break
        assert time.monotonic() < limit, f"{done.stderr}\n{killed}\n{rig.cluster.logs()}"
        time.sleep(1.0)
    assert json.loads(done.stdout) == json.loads(expected.stdout), killed
    rig.until("every node is gone", lambda: all(node.ended for node in rig.cluster.status().nodes), 120)


@pytest.mark.parametrize("seconds", [0.2, 0.8, 1.5, 2.5, 4.0, 7.0, 12.0])
def test_the_demo_interrupted_at_any_moment_leaves_no_process(tmp_path: Path, seconds: float) -> None:
    mark = str(tmp_path)
    command = [sys.executable, "-m", "examples.stdlib_report", "--limit", "200", "--output", str(tmp_path / "page")]
    demo = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "DEMO_OF_A_TEST": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    demo.send_signal(signal.SIGINT)
    demo.wait(timeout=60)
    left = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if tree.lives(each) and each.environ().get("DEMO_OF_A_TEST") == mark:
                left.append(each.cmdline())
    assert not left


@pytest.mark.timeout(1800)
def test_fifty_workflows_on_twenty_nodes_survive_kills_of_everything(tmp_path: Path) -> None:
    """`kill -9` of manager, agent, worker, decider at random: right results, and nothing is left."""
    text = FROM_ZERO.replace("slots: 2, max: 2", "slots: 2, max: 16").replace("slots: 1, max: 1", "slots: 1, max: 4")
    rig = Rig(tmp_path, text + "policy: boundary\nbreaker: {pause: 100, stop: 300}\n")
    rig.cluster.bring_up(directory=str(ROOT))
    chosen, most, killed = random.Random(50), 0, []
    try:
        with Client(domain=rig.cluster.config.swf_domain, endpoint_url=rig.cluster.paths.endpoint) as client:
            runs = {number: client.start(jobs.Squares, 5 + number % 5, 2.0) for number in range(50)}
            left, limit = dict(runs), time.monotonic() + 1500
            while left:
                assert time.monotonic() < limit, f"{sorted(left)}\n{killed}\n{rig.cluster.logs()}"
                nodes = [node for node in rig.cluster.status().nodes if node.ended is None]
                most = max(most, len(nodes))
                if nodes and len(killed) < 40:
                    victims = [each for each in rig.cluster.processes() if each.pid != rig.cluster.up.pid]
                    victim = chosen.choice(victims)
                    with contextlib.suppress(psutil.NoSuchProcess):
                        killed.append(" ".join(victim.cmdline())[-60:])
                        victim.kill()
                    time.sleep(chosen.uniform(0.2, 1.2))
                else:
                    time.sleep(0.5)
                for number, run in list(left.items()):
                    with contextlib.suppress(errors.SimpleflowError):  # the service may be among the killed
                        if client.describe(run).execution_info.close_status is not None:
                            del left[number]
            rig.until("the service answers", lambda: rig.cluster.status().up)
            for number, run in runs.items():
                assert client.result(run, 0) == sum(each * each for each in range(5 + number % 5)), number
        assert most >= 15, f"{most} nodes at once"
        assert len(killed) >= 20
        rig.until("every node is gone", lambda: all(node.ended for node in rig.cluster.status().nodes), 300)
    finally:
        rig.close()
