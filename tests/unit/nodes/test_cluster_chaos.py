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
            if each.status() != psutil.STATUS_ZOMBIE and each.environ().get("DEMO_OF_A_TEST") == mark:
                left.append(each.cmdline())
    assert not left
