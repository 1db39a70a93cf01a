"""mypy and pyright see the types that the docs promise, from a folder outside the checkout."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import simpleflow

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's own folder, with the programs in it."""
    made = tmp_path_factory.mktemp("somewhere") / "programs"
    shutil.copytree(PROGRAMS, made)
    return made


def installed_as_make_does() -> bool:
    """Whether this environment is newer than the way in which scripts/venv installs the checkout."""
    files = importlib.metadata.distribution("simpleflow").files or []
    return not any("finder" in file.name for file in files)


def wrong_lines() -> set[int]:
    lines = (PROGRAMS / "wrong.py").read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def checked(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "MYPYPATH": "" if installed_as_make_does() else str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=folder, env=environment)
    return done.stdout + done.stderr


def test_mypy_sees_the_promised_types_and_refuses_what_is_wrong(folder: Path) -> None:
    # A cold cache costs seven seconds. Not that of make check, whose options differ.
    cache = ROOT / ".mypy_cache" / "typing"
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), "."]
    said = checked(command, folder)
    errors = {tuple(each) for each in re.findall(r"^(\w+\.py):(\d+): error", said, re.MULTILINE)}
    assert errors == {("wrong.py", str(number)) for number in wrong_lines()}, said


def test_pyright_sees_the_promised_types_and_refuses_what_is_wrong(folder: Path) -> None:
    if importlib.util.find_spec("basedpyright") is None:
        pytest.skip("basedpyright, the pyright that PyPI has with its node, is not installed: run make")
    paths = [] if installed_as_make_does() else [str(ROOT)]
    config = {
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": paths,
        "reportUnusedExpression": False,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "."]
    found = json.loads(checked(command, folder))["generalDiagnostics"]
    errors = {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found if each["severity"] == "error"
    }
    assert errors == {("wrong.py", number) for number in wrong_lines()}, found


def test_make_installs_the_checkout_so_that_type_checkers_find_it() -> None:
    # setuptools' default is a hook of the import system, which no type checker asks
    assert "editable_mode=compat" in (ROOT / "scripts" / "venv").read_text()
    if not installed_as_make_does():
        pytest.skip("this environment was made by an older scripts/venv: touch pyproject.toml and run make")
    code = "import sys; print(sys.path)"
    path = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert str(Path(simpleflow.__file__).parents[1]) in path
