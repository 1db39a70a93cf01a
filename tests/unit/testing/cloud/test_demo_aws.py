"""``make demo-aws`` as a person runs it: twice in a row, nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.slow
@pytest.mark.needs_processes
@pytest.mark.timeout(900)
def test_the_demo_twice_in_a_row(short: Path) -> None:
    # a shell that would lead anything unscrubbed astray
    shell = {
        **os.environ,
        "TMPDIR": str(short),
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_PROFILE": "production",
        "HTTPS_PROXY": "http://192.0.2.1:9",
        "HTTP_PROXY": "http://192.0.2.1:9",
    }
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "examples.rehearsal"],
            cwd=ROOT,
            env=shell,
            capture_output=True,
            text=True,
            timeout=430,  # alone it takes two minutes and a half; tests may run beside others
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for scene in ("up", "workflow", "sold out", "failed boot", "drain", "scale to zero", "wake-up", "down"):
            assert f"  {scene}: " in done.stdout
        assert "Calls outside the roles' policies: none" in done.stdout
        assert done.stdout.rstrip().endswith("Left behind: nothing")
        assert list(short.glob("*rehearsal*")) == []
