"""boto 2, from PyPI, unchanged: what deciders of ten years ago were written with."""

from __future__ import annotations

import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from . import conftest as others

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_processes,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.version_info >= (3, 12), reason="boto 2 cannot be imported by Python 3.12 and later"),
]


def test_one_execution_from_start_to_end(
    served: others.Served, virtual_environment: others.Install, here: Path
) -> None:
    bin_folder = virtual_environment("boto2", "boto==2.49.0")
    where = urllib.parse.urlsplit(served.url)
    done = subprocess.run(
        [str(bin_folder / "python"), str(here / "boto2_swf.py"), str(where.hostname), str(where.port)],
        env=served.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all is well"
