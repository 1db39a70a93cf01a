"""The AWS SDK for JavaScript, from npm, unchanged."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from . import conftest as others

pytestmark = [pytest.mark.slow, pytest.mark.needs_processes, pytest.mark.timeout(900)]


def test_one_execution_from_start_to_end(served: others.Served, node_packages: others.Install, here: Path) -> None:
    where = node_packages("javascript", "@aws-sdk/client-swf")
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [node, str(here / "swf.mjs")],
        cwd=where,
        env=served.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all is well"
