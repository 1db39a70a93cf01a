"""Both versions of the AWS SDK for JavaScript, from npm, unchanged."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from . import conftest as others

pytestmark = [pytest.mark.slow, pytest.mark.needs_processes, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("package", "program"), [("@aws-sdk/client-swf", "swf.mjs"), ("aws-sdk", "swf2.cjs")], ids=["3", "2"]
)
def test_one_execution_from_start_to_end(
    served: others.Served, node_packages: others.Install, here: Path, package: str, program: str
) -> None:
    where = node_packages(program.partition(".")[0], package)
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [node, str(here / program)],
        cwd=where,
        env=served.environment(AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE="1"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all is well"
