"""The machine's own install step, run for real on bundles of small wheels, whatever pip is told on the machine."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nodes import wheelhouse

from simpleflow.provisioning import bundle
from simpleflow.provisioning.node import fetch

pytestmark = pytest.mark.needs_processes
NODE = Path(fetch.__file__).parent
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
MACHINE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def deliver(root: Path, made: bundle.Bundle, **environment: str) -> subprocess.CompletedProcess[str]:
    """Do what the machine does with a code bundle."""
    shutil.copytree(NODE, root / "node")
    (root / "code.tar.gz").write_bytes(made.data)
    settings = {"root": str(root), "code": f"file://{root}/code.tar.gz", "code_sha256": made.sha256}
    (root / "delivery.json").write_text(json.dumps(settings))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, str(root / "node/deliver.py"), str(root / "delivery.json"), "--code-only"],
        env={**kept, **environment}, capture_output=True, text=True,
    )  # fmt: skip


def origins(root: Path, *names: str) -> dict[str, str]:
    """Where each installed package came from."""
    program = f"import json, importlib as i; print(json.dumps({{n: i.import_module(n).ORIGIN for n in {names!r}}}))"
    done = subprocess.run([str(root / "venv/bin/python"), "-I", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture
def strangers(tmp_path: Path) -> str:
    """An index with later versions of everything that is ours."""
    folder = tmp_path / "strangers"
    return wheelhouse.index(
        tmp_path / "index",
        wheelhouse.wheel(folder, "simpleflow", "9.0"),
        wheelhouse.wheel(folder, "toolz", "9.0"),
        wheelhouse.wheel(folder, "other", "2.0", requires=["toolz"]),
    )


def hostile(tmp_path: Path, index: str) -> dict[str, str]:
    """Settings of pip that would install something else, or elsewhere, or nothing."""
    (tmp_path / "constraints.txt").write_text("toolz==9.0\n")
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {index}\nconstraint = {tmp_path}/constraints.txt\n")
    return {
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_INDEX_URL": index, "PIP_PRE": "1", "PIP_NO_DEPS": "1",
        "PIP_CONSTRAINT": str(tmp_path / "constraints.txt"), "PIP_TARGET": str(tmp_path / "elsewhere"),
        "PIP_UPGRADE": "1", "PIP_FORCE_REINSTALL": "1",
    }  # fmt: skip


def test_exactly_the_files_of_the_bundle_are_installed(tmp_path: Path, strangers: str) -> None:
    own = tmp_path / "bundled"
    made = bundle.code_bundle(
        wheels=[wheelhouse.wheel(own, "simpleflow", "1.0.dev0", requires=["toolz"])],
        machines={MACHINE: [wheelhouse.wheel(own, "toolz", "0.1")], "mips": [wheelhouse.wheel(own, "mips", "1")]},
        python=HERE,
        source={"films/__init__.py": b"ORIGIN = 'source'\n", "films/data.txt": b"x"},
    )
    root = tmp_path / "root"
    done = deliver(root, made, **hostile(tmp_path, strangers))
    assert done.returncode == 0, done.stdout + done.stderr
    assert origins(root, "simpleflow", "toolz", "films") == {
        "simpleflow": "bundled", "toolz": "bundled", "films": "source",
    }  # fmt: skip
    assert not (tmp_path / "elsewhere").exists()
    assert not list((root / "venv").resolve().glob("lib/*/site-packages/mips*"))


def test_with_an_index_what_the_bundle_holds_is_not_looked_up_there(tmp_path: Path, strangers: str) -> None:
    own = tmp_path / "bundled"
    made = bundle.code_bundle(
        wheels=[wheelhouse.wheel(own, "simpleflow", "1.0.dev0"), wheelhouse.wheel(own, "toolz", "0.1")],
        requirements=["other>=1", "never; python_version < '3'"],
        index=True,
    )
    given = hostile(tmp_path, strangers)
    root = tmp_path / "root"
    done = deliver(root, made, **given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert origins(root, "simpleflow", "toolz", "other") == {
        "simpleflow": "bundled", "toolz": "bundled", "other": "strangers",
    }  # fmt: skip


def changed(made: bundle.Bundle, tmp_path: Path, **about: Any) -> bundle.Bundle:
    """The bundle with other words in its code.json."""
    fetch.unpack(made.data, tmp_path / "open")
    files = {str(p.relative_to(tmp_path / "open")): p for p in (tmp_path / "open").rglob("*") if p.is_file()}
    content = {name: path.read_bytes() for name, path in files.items()}
    content["code.json"] = json.dumps({**json.loads(content["code.json"]), **about}).encode()
    return bundle.pack(content)


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"held": {"": [["wheels/toolz-0.1-py3-none-any.whl", "0" * 64]]}}, "HASHES"),
        ({"python": "2.7"}, f"this machine has {HERE}: write code: {{python: '{HERE}'}}"),
        ({"held": {"": [], "mips": []}}, f"holds wheels for mips, this machine is {MACHINE}"),
    ],
)
def test_a_bundle_that_is_not_for_this_machine(tmp_path: Path, about: dict[str, Any], says: str) -> None:
    made = bundle.code_bundle(wheels=[wheelhouse.wheel(tmp_path / "own", "toolz", "0.1")])
    root = tmp_path / "root"
    done = deliver(root, changed(made, tmp_path, **about))
    assert done.returncode != 0
    assert says in done.stdout + done.stderr
    assert not list(root.glob("code-*/installed"))
