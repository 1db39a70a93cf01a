"""``breakpoint()`` in ``run()`` and in an activity, with ``workflow.start --local``."""

from __future__ import annotations

import subprocess
import sys

import pytest
from place_rig import Place

pytestmark = pytest.mark.needs_processes

PROGRAM = """
from simpleflow import Workflow, activity

@activity.with_attributes(version="1", task_list="x")
def five():
    breakpoint()
    return 5

class Stops(Workflow):
    name, version, task_list = "stops", "1", "x"

    def run(self):
        breakpoint()
        return self.submit(five).result
"""


def test_both_stop_and_go_on(place: Place) -> None:
    (place.folder / "stopping.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "simpleflow", "workflow.start", "stopping.Stops", "--local"]
    ended = subprocess.run(
        command, input="c\nc\n", capture_output=True, text=True, timeout=120, env=place.env, cwd=place.folder
    )
    assert ended.returncode == 0, ended.stderr
    assert (ended.stdout + ended.stderr).count("(Pdb)") == 2
    assert "5" in ended.stdout
