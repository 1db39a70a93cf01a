"""garcon, a decider and worker library from PyPI, unchanged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from . import conftest as others

pytestmark = [pytest.mark.slow, pytest.mark.needs_processes, pytest.mark.timeout(900)]


def test_flow_of_two_activities(served: others.Served, virtual_environment: others.Install, here: Path) -> None:
    bin_folder = virtual_environment("garcon", "garcon==1.1.1")
    done = subprocess.run(
        [str(bin_folder / "python"), str(here / "garcon_flow.py")],
        env=served.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("all is well")
