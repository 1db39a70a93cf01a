"""What a stranger installs: the wheel, the sdist and an editable checkout each hold the whole package."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: one module or data file of each room that packaging could lose: links, templates, markers
EXPECTED = [
    "simpleflow/__init__.py",
    "simpleflow/py.typed",
    "simpleflow/core/clock.py",
    "simpleflow/data/blobs/base.py",
    "simpleflow/infra/__init__.py",
    "simpleflow/provisioning/__init__.py",
    "simpleflow/ami/__init__.py",
]


def python_sources() -> set[str]:
    """Every tracked module of the package as the wheel must name it, links followed."""
    tracked = subprocess.run(
        ["git", "ls-files", "*.py", "*.j2", "*.yaml", "*.sh"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    linked = {"infra", "provisioning", "ami"}
    return {
        name if name.startswith("simpleflow/") else f"simpleflow/{name}"
        for name in tracked
        if name.split("/")[0] in linked | {"simpleflow"} and (ROOT / name).exists()
    }


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel and an sdist, built from a copy of what is tracked, so that no leftover of a build takes part."""
    source = tmp_path_factory.mktemp("source")
    archive = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for name in filter(None, archive.split("\0")):
        origin, copy = ROOT / name, source / name
        if not origin.exists() or name.startswith("tests/"):
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_symlink():
            copy.symlink_to(os.readlink(origin))
        else:
            copy.write_bytes(origin.read_bytes())
    out = tmp_path_factory.mktemp("dist")
    # --no-isolation: the build backend of this environment; nothing is fetched
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_the_wheel_and_the_sdist_hold_every_module_and_template(distributions: tuple[Path, Path]) -> None:
    wheel, sdist = distributions
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    assert set(EXPECTED) <= in_wheel
    assert python_sources() - in_wheel == set()
    assert not [name for name in in_wheel if name.startswith(("tests/", "bench/", "examples/", "infra/"))]
    missing = {name for name in python_sources() if name not in in_sdist}
    assert missing == set()


@pytest.fixture(scope="module")
def installed(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel in it; dependencies are seen from this one, so nothing is fetched."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False)
    site = next((home / "lib").glob("python*/site-packages"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*pip, str(distributions[0])], check=True)
    ours = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"{ours}\n")
    return home / "bin" / "python"


def run(python: Path, *arguments: str, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SWF_", "SIMPLEFLOW_"))}
    done = subprocess.run(
        [str(python), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_wheel_runs_from_an_empty_directory(installed: Path, tmp_path: Path) -> None:
    where = run(installed, "-c", "import simpleflow; print(simpleflow.__file__)", cwd=tmp_path).strip()
    assert where.startswith(str(installed.parents[1])), where
    for module in ("simpleflow.infra", "simpleflow.provisioning", "simpleflow.ami"):
        assert str(installed.parents[1]) in run(
            installed, "-c", f"import {module} as m; print(m.__file__)", cwd=tmp_path
        )


def test_c07_an_installed_command_runs_and_its_metadata_name_each_python(installed: Path, tmp_path: Path) -> None:
    """``pip install`` into an empty environment, then the command that it made; the metadata name the Pythons."""
    (command,) = (installed.parents[1] / "lib").glob("python*/site-packages/bin/simpleflow")
    said = run(installed, str(command), "--help", cwd=tmp_path)
    assert "workflow.start" in said
    program = (
        "from importlib import metadata; found = metadata.metadata('simpleflow'); "
        "print(*found.get_all('Classifier'), found['Requires-Python'], sep='|')"
    )
    named = run(installed, "-c", program, cwd=tmp_path).strip().split("|")
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(named)
    assert named[-1] == ">=3.11"


def test_importing_has_no_side_effects_and_no_cloud_sdk(tmp_path: Path) -> None:
    program = (
        "import logging, sys; import simpleflow; "
        "heavy = {'boto3', 'botocore', 'uvloop', 'click', 'troposphere', 'rich'}; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & heavy), logging.getLogger().handlers)"
    )
    assert run(Path(sys.executable), "-c", program, cwd=tmp_path).strip() == "[] []"


def test_the_checkout_is_importable_as_it_is(tmp_path: Path) -> None:
    """Editable: a module of a linked folder is one file, whichever path it is imported by."""
    program = "import simpleflow.infra, os; print(os.path.realpath(simpleflow.infra.__file__))"
    assert run(Path(sys.executable), "-c", program, cwd=tmp_path).strip() == str(ROOT / "infra" / "__init__.py")


def test_the_launchers_of_a_checkout_work(tmp_path: Path) -> None:
    for launcher in ("simpleflow", "sfnodes"):
        assert "Usage" in run(Path(sys.executable), str(ROOT / "bin" / launcher), "--help", cwd=tmp_path)
