"""One worker, one version of the code."""

from __future__ import annotations

import json
import os
import py_compile
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fake_swf import FakeSwf, task
from worker_fixtures import Start, answer, eventually, start, swf

from simpleflow.runtime import code_versions

__all__ = ["start", "swf"]
pytestmark = pytest.mark.needs_processes


@pytest.fixture
def code(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's: a package with a module that imports another one when it is called."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    (tmp_path / "films").mkdir()
    write(tmp_path, "v1")
    return tmp_path


def write(code: Path, version: str) -> None:
    (code / "films" / "__init__.py").write_text(f"PACKAGE = {version!r}\n")
    (code / "films" / "late.py").write_text(f"LATE = {version!r}\n")
    body = "import os, films\ndef cut():\n  from films import late\n"
    body += f"  return [os.getpid(), {version!r}, films.PACKAGE, late.LATE]\n"
    (code / "films" / "cuts.py").write_text(body)


def run(swf: FakeSwf) -> Any:
    swf.tasks.put(task("films.cuts.cut"))
    action, request = answer(swf)
    assert action == "RespondActivityTaskCompleted", request
    return json.loads(request["result"])


def test_later_runners_run_what_the_first_one_ran(
    swf: FakeSwf, start: Start, code: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(code_versions, "EVERY", 0.0)
    start(max_tasks=1)
    pids, versions = [], []
    for change in ("none", "v2", "deleted", "v3"):
        if change == "deleted":
            for path in (code / "films").glob("*.py"):
                path.unlink()
        elif change != "none":
            write(code, change)
        pid, *found = run(swf)
        pids.append(pid)
        versions += found
    assert len(set(pids)) == 4
    assert versions == ["v1"] * 12
    eventually(lambda: "changed on disk" in caplog.text)
    assert len([r for r in caplog.records if "films/cuts.py" in r.getMessage()]) == 1


FINDER = """
import importlib.util, sys

class Editable:  # as setuptools installs for a project that lies elsewhere
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "films":
            return importlib.util.spec_from_file_location(name, PATH)

sys.meta_path.append(Editable)
"""


def pack(code: Path, kind: str) -> None:
    """Leave the package as an archive, or as compiled files, only."""
    files = sorted((code / "films").glob("*.py"))
    if kind == "zip":
        new = code / "new"
        with zipfile.ZipFile(new, "w") as archive:
            for path in files:
                archive.write(path, f"films/{path.name}")
        new.replace(code / "app.zip")
    for path in files:
        if kind == "pyc":
            py_compile.compile(str(path), str(path.with_suffix(".pyc")), doraise=True)
        path.unlink()
    if kind == "zip":
        (code / "films").rmdir()


@pytest.mark.parametrize("kind", ["zip", "pyc"])
def test_archives_and_compiled_files_keep_their_version_too(
    swf: FakeSwf, start: Start, code: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    monkeypatch.setattr(code_versions, "EVERY", 0.0)
    monkeypatch.setenv("PYTHONPATH", f"{code / 'app.zip'}{os.pathsep}{os.environ['PYTHONPATH']}")
    pack(code, kind)
    worker = start(max_tasks=1)
    found = [run(swf)]
    assert worker.versions.changed() == []
    (code / "films").mkdir(exist_ok=True)
    write(code, "v2, which is longer")
    pack(code, kind)
    found += [run(swf), run(swf)]
    for path in [code / "app.zip", *(code / "films").glob("*")]:
        path.unlink(missing_ok=True)
    found.append(run(swf))
    assert len({pid for pid, *_ in found}) == 4
    assert [versions for _, *versions in found] == [["v1"] * 3] * 4
    assert worker.versions.changed()
    assert "changed on disk" in caplog.text


def test_modules_of_a_package_without_a_file_are_kept_though_their_folder_is_gone(
    swf: FakeSwf, start: Start, code: Path
) -> None:
    places = code / "ours" / "cinema"
    places.mkdir(parents=True)
    (places / "seats.py").write_text("import os\ndef count():\n  return [os.getpid(), 'v1']\n")
    start(max_tasks=1)
    found = []
    for _ in range(2):
        swf.tasks.put(task("ours.cinema.seats.count"))
        action, request = answer(swf)
        assert action == "RespondActivityTaskCompleted", request
        found.append(json.loads(request["result"]))
        shutil.rmtree(code / "ours", ignore_errors=True)
    assert len({pid for pid, _ in found}) == 2
    assert [version for _, version in found] == ["v1", "v1"]


def test_packages_of_editable_installs_keep_their_version_too(
    swf: FakeSwf, start: Start, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code / "elsewhere").mkdir()
    (code / "films").rename(code / "elsewhere" / "films")
    path = code / "elsewhere" / "films" / "__init__.py"
    (code / "sitecustomize.py").write_text(FINDER.replace("PATH", repr(str(path))))
    start(max_tasks=1)
    found = []
    for version in ("v1", "v20", "v300"):  # of several lengths, so that no compiled file is taken for another's
        write(code / "elsewhere", version)
        found += run(swf)[1:]
    assert found == ["v1"] * 9


def test_a_worker_that_reloads_drains_and_says_that_it_is_outdated(swf: FakeSwf, start: Start, code: Path) -> None:
    made = start(reload=True)
    assert run(swf)[1:] == ["v1"] * 3
    write(code, "v2")
    eventually(lambda: made.outdated and made.acknowledged)
    other = start(reload=True)
    assert run(swf)[1:] == ["v2"] * 3
    assert not other.outdated


def test_compiled_code_of_a_version_within_the_same_second_is_not_taken(
    swf: FakeSwf, start: Start, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    second = int(time.time()) * 10**9

    def dated(pattern: str, part: int) -> None:
        paths = list((code / "films").glob(pattern))
        assert paths
        for path in paths:
            os.utime(path, ns=(second, second + part))

    dated("*.py", 0)
    made = start(reload=True)
    assert run(swf)[1:] == ["v1"] * 3
    dated("__pycache__/*.pyc", 500_000_000)
    write(code, "v2")  # of the same length: by seconds and sizes, Python takes the compiled files for its own
    dated("*.py", 900_000_000)
    eventually(lambda: made.outdated and made.acknowledged)
    start(reload=True)
    assert run(swf)[1:] == ["v2"] * 3


def test_a_touched_file_is_no_other_version(swf: FakeSwf, start: Start, code: Path) -> None:
    made = start()
    run(swf)
    for path in (code / "films").glob("*.py"):
        os.utime(path, (1, 1))
    assert made.versions.known()
    assert made.versions.changed() == []


def test_runners_that_import_side_by_side_run_one_version(swf: FakeSwf, start: Start, code: Path) -> None:
    held = code / "held"
    (code / "films" / "late.py").write_text(
        f"import os, time\nLATE = 'v1'\nopen({str(held)!r} + str(os.getpid()), 'w').close()\n"
        f"while not os.path.exists({str(held)!r}):\n  time.sleep(0.02)\n"
    )
    start(processes=2)
    swf.tasks.put(task("films.cuts.cut"))
    eventually(lambda: list(code.glob("held?*")))  # one runner is in the midst of its import
    write(code, "v2")
    swf.tasks.put(task("films.cuts.cut"))
    eventually(lambda: len(list(code.glob("held?*"))) == 2)  # v2 of this module waits for nothing
    held.touch()
    found = [json.loads(request["result"]) for _, request in (answer(swf), answer(swf))]
    assert len({pid for pid, *_ in found}) == 2
    assert [versions for _, *versions in found] == [["v1"] * 3] * 2


def test_a_runner_imports_what_another_one_imported_though_its_file_is_gone(
    swf: FakeSwf, start: Start, code: Path
) -> None:
    (code / "films" / "waits.py").write_text(
        "import os, time\ndef wait(path):\n  while not os.path.exists(path):\n    time.sleep(0.02)\n"
        "def pid():\n  return [os.getpid()]\n"
    )
    start(processes=2)
    swf.tasks.put(task("films.waits.wait", str(code / "go on")))
    first = run(swf)  # the other runner
    (code / "go on").touch()
    answer(swf)
    for path in (code / "films").glob("*.py"):
        path.unlink()
    assert first[1:] == ["v1"] * 3
    pids: set[int] = set()

    def both() -> bool:
        pid, *versions = run(swf)
        assert versions == ["v1"] * 3
        pids.add(pid)
        return len(pids) == 2

    eventually(both)


def test_the_first_version_that_a_runner_finds_is_everybodys() -> None:
    versions = code_versions.Versions()
    first = code_versions.Module(name="a", path="/a.py", package=False, stamp=(1, 1), source=b"1")
    other = code_versions.Module(name="a", path="/a.py", package=False, stamp=(2, 1), source=b"2")
    assert versions.settle(first) == first
    assert versions.after(0) == (first,)
    assert versions.settle(other) == first
    assert versions.after(1) == ()
    assert versions.known() == (first,)
