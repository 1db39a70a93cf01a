"""The quickstart as a reader types it: one shell, every command in order, and what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import blocks

pytestmark = [pytest.mark.slow, pytest.mark.needs_processes]
PAGE = blocks.ROOT / "docs/quickstart.md"
#: commands that set a reader's machine up: here that is done
SETUP = ("git clone", "make ", ". .venv")


def script() -> tuple[str, list[str]]:
    """The page's commands as one script, and the results that they print: lines without an id that is shortened."""
    lines = ["set -m", "trap 'kill $(jobs -p); sfnodes down --now; simpleflow server.stop' EXIT", "sfnodes init"]
    printed: list[str] = []
    for block in blocks.blocks(PAGE):
        if block.language == "yaml":
            lines.append(f"sed -i '/^task_lists:/a\\{block.text.rstrip()}' cluster.yaml")
        if block.language != "console":
            continue
        for command, shown in block.commands():
            if command.startswith(SETUP):
                continue
            if re.match(r"simpleflow workflow\.start (?!.*--local)", command):
                command = f"STARTED=$({command}); echo $STARTED"
            if command.startswith("kill -9"):
                lines.append("until simpleflow workflow.history wedding | grep -q ActivityTaskStarted; do :; done")
            lines.append(re.sub(r"\border-\w+…", "${STARTED% *}", command))
            printed += [line for line in shown if "…" not in line]
    return "\n".join(lines), printed


def test_every_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    folder = tmp_path / "simpleflow"  # the cluster is named after it
    folder.mkdir()
    for block in blocks.blocks(PAGE):
        if block.file:
            (folder / block.file).write_text(block.text)
    text, shown = script()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SWF_", "SIMPLEFLOW_"))}
    environment = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SIMPLEFLOW_RUNTIME_DIR": str(tmp_path / "run"),
        "SIMPLEFLOW_DATA_DIR": str(tmp_path / "data"),
    }
    done = subprocess.run(
        ["bash", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=500
    )
    results = [line for line in done.stdout.splitlines() if re.fullmatch(r"[0-9.]+", line)]
    assert results == shown, f"{done.stdout}\n{done.stderr}"
    assert "rror" not in done.stderr, done.stderr


def test_the_page_still_shows_something() -> None:
    text, shown = script()
    assert len(shown) >= 4
    assert text.count("workflow.start") >= 4
