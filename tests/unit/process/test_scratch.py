"""Folders for sockets: nobody's leftovers stay, and nobody's folder is taken away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simpleflow.process import scratch


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.needs_processes
def test_a_killed_process_leaves_a_folder_that_the_next_one_removes(temporary: Path) -> None:
    program = "from simpleflow.process import scratch; print(scratch.Scratch().path, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        left = Path(child.stdout.readline().strip())
        scratch.sweep()
        assert left.exists(), "its process lives"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert left.exists()
    mine = scratch.Scratch()
    assert sorted(temporary.iterdir()) == [mine.path]
    mine.close()
    mine.close()
    assert list(temporary.iterdir()) == []


def test_what_is_not_ours_stays(temporary: Path) -> None:
    (temporary / "sfn-theirs").mkdir()
    (temporary / "elsewhere").mkdir()
    (temporary / "elsewhere" / ".lock").touch()
    (temporary / "sfn-link").symlink_to(temporary / "elsewhere")
    (temporary / "sfn-file").touch()
    scratch.sweep()
    assert len(list(temporary.iterdir())) == 4
