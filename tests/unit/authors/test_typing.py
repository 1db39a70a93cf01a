"""What type checkers see: ``submit`` of a typed activity gives a typed future."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import simpleflow

PROGRAM = """
from __future__ import annotations

from simpleflow import Workflow, activity, futures


@activity.with_attributes(version="1", task_list="list")
def length(text: str) -> int:
    return len(text)


class Program(Workflow):
    name, version, task_list = "typed", "1", "list"

    def run(self, text: str) -> int:
        future = self.submit(length, text)
        reveal_type(future)
        reveal_type(self.submit(length, self.submit(length, text)).result)
        reveal_type(length("here"))
        reveal_type(future.map(str))
        return future.result


async def waited(program: Program) -> int:
    return await program.submit(length, "x")
"""


def test_submit_is_typed_by_what_the_activity_returns(tmp_path: Path) -> None:
    file = tmp_path / "typed_program.py"
    file.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert "error" not in done.stdout, done.stdout
    said = done.stdout.replace("builtins.", "")
    for revealed in ("Future[int]", 'type is "int"', "Future[str]"):
        assert revealed in said, said


def test_the_client_and_the_local_executor_are_typed(tmp_path: Path) -> None:
    file = tmp_path / "wrong_program.py"
    file.write_text(
        "from simpleflow.client import Client\nfrom simpleflow.local import Executor\n\n"
        "Client().startt()\nExecutor(object).runn()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert done.stdout.count("[attr-defined]") == 2, done.stdout


def test_dir_shows_the_public_names() -> None:
    names = dir(simpleflow)
    assert {"Activity", "Workflow", "WaitForSignal", "futures", "canvas"} <= set(names)
    assert not [name for name in names if name.startswith("_") and not name.startswith("__")]
