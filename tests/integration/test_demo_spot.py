"""``make demo-spot`` as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.needs_processes
def test_every_scene_is_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.spot"], cwd=ROOT, capture_output=True, text=True, timeout=400
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    scenes = ["SPOT NOTICE: ", "BUDGET: ", "BREAKER: 3 machines", "log level 'LOUD' is unknown", "the file is mended"]
    scenes += ['the workflow completed: "THE END"', "no task was lost", "SCALE TO ZERO: all ", "the cluster is down"]
    places = [done.stdout.find(scene) for scene in scenes]
    assert places == sorted(places), done.stdout
    assert -1 not in places, done.stdout
