"""A way out: clusters whose file is gone, broken or renamed; and what keeps one from its work, told by status."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from simpleflow.cli import sfnodes
from simpleflow.core import clock as clocks
from simpleflow.core import errors as core_errors
from simpleflow.nodes import config, errors, paths
from simpleflow.nodes.cluster import cluster as clusters
from simpleflow.nodes.cluster import health, remembered, supervisor
from simpleflow.nodes.manager import logs, manager

TEXT = "cluster: demo\nprofiles:\n  small: {}\ntask_lists:\n  light: {profile: small, max: 4}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster file, of which a copy is kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMPLEFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SIMPLEFLOW_RUNTIME_DIR", str(tmp_path / "run"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "c.yaml"
    path.write_text(TEXT)
    remembered.remember(config.load(path), os.environ)
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sfnodes.cli, list(arguments))


@pytest.mark.parametrize("given", ["demo", "c.yaml"])
def test_a_cluster_is_found_when_its_file_is_gone(file: Path, given: str) -> None:
    file.rename(file.with_name("films.yaml"))
    status = json.loads(run("status", given, "--json").stdout)
    assert status["cluster"] == "demo"
    assert any("is found by what `up` kept of its file" in each for each in status["notes"])
    assert run("logs", given).exit_code == 0
    down = run("down", given)
    assert (down.exit_code, "cluster 'demo' is not up" in down.stdout) == (0, True)


def test_a_broken_file_leads_to_its_cluster_and_its_problem_is_said(file: Path) -> None:
    file.write_text(TEXT.replace("max: 4", "max: many"))
    done = run("status", "c.yaml", "--json")
    assert json.loads(done.stdout)["cluster"] == "demo"
    assert "c.yaml:5: task_lists.light.max: 'many' is not a whole number; write digits, such as 1; " in done.stderr
    assert "cluster 'demo' is found by what `up` kept of its file" in done.stderr
    assert run("up", "c.yaml").exit_code == 64


def test_a_name_without_a_known_data_folder_says_which_setting_is_missing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user of a container who has neither HOME nor an entry in passwd."""
    for name in ("HOME", "XDG_DATA_HOME", "SIMPLEFLOW_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    done = run("status", "demo")
    assert done.exit_code == 64
    assert "no cluster is found by its name: " in done.stderr
    assert "set SIMPLEFLOW_DATA_DIR" in done.stderr


def test_an_unknown_name_shows_the_known(file: Path) -> None:
    done = run("status", "dmeo")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (
        64,
        "clusters that came up here, which may be given by name: demo",
    )
    with pytest.raises(errors.ClusterFileError, match="no such cluster file"):
        remembered.find("../demo")


# --- what keeps a cluster from its work -------------------------------------------------------------------------------


def told(folder: Path, endpoint: Path, *, given: int | None = 7, age: float | None = 1.0) -> str:
    cluster = config.loads(TEXT)
    where = paths.ClusterPaths(cluster, {"SIMPLEFLOW_DATA_DIR": str(folder), "SIMPLEFLOW_RUNTIME_DIR": str(folder)})
    where.logs.mkdir(parents=True, exist_ok=True)
    (where.logs / "manager.log").write_text(
        "INFO begun\nWARNING this pass ends early: No space left on device\nINFO on\n"
    )
    up = supervisor.Up(
        pid=1, started=0.0, manager=given, endpoint=f"unix://{endpoint}", cluster="demo", path="x", domain="demo",
        task_list="demo", store="x", folder="x",
    )  # fmt: skip
    return "\n".join(health.notes(cluster, where, up, age))


def test_a_service_that_nobody_can_reach(tmp_path: Path) -> None:
    assert "is gone (a login's runtime folder" in told(tmp_path, tmp_path / "gone" / "swf.sock")
    assert "the path of its socket" in told(tmp_path, tmp_path / ("x" * 120) / "swf.sock")
    assert "the service does not answer" in told(tmp_path, tmp_path / "swf.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "swf.sock"))
        listening.listen()
        assert told(tmp_path, tmp_path / "swf.sock") == ""
        (tmp_path / "o").mkdir()
        (tmp_path / "o" / "swf.sock").symlink_to(tmp_path / "swf.sock")
        assert f"set SIMPLEFLOW_RUNTIME_DIR={tmp_path / 'o'}" in told(tmp_path, tmp_path / "o" / "swf.sock")


def test_no_manager_and_passes_that_fail(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "swf.sock"))
        listening.listen()
        words = "its last words: WARNING this pass ends early: No space left on device"
        assert told(tmp_path, tmp_path / "swf.sock", given=None) == f"no manager lives; {words}"
        assert "has not renewed its lease for 60 s: its passes fail" in told(tmp_path, tmp_path / "swf.sock", age=60.0)
    assert health.notes(config.loads(TEXT), paths.ClusterPaths(config.loads(TEXT), {}), None, 1e9) == ()


@pytest.mark.needs_processes
def test_a_decider_that_ends_at_its_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    cluster = config.loads(TEXT + "deciders: {min: 1}\n")
    said = "import sys; sys.exit('Error: workflow films.Gone cannot be imported')"
    kept = manager.Deciders(
        cluster, [sys.executable, "-c", said], dict(os.environ), str(tmp_path), tmp_path / "logs", clocks.RealClock()
    )
    assert kept.trouble() == ""
    kept.keep(0, False)
    (pid,) = kept.pids()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert kept.trouble() == (
        "decider 1 exited with status 1; its last words: Error: workflow films.Gone cannot be imported"
    )
    kept.end(1.0)


def test_what_an_earlier_process_wrote_is_nobodys_last_words(tmp_path: Path) -> None:
    log = tmp_path / "manager.log"
    log.write_text("WARNING an old trouble\n")
    os.utime(log, (1000.0, 1000.0))
    assert logs.last_words(log, 999.0) == "WARNING an old trouble"
    assert logs.last_words(log, 1001.0) == f"none ({log} was written before)"


def test_a_manager_that_was_just_started_has_not_failed_to_renew(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "swf.sock"))
        listening.listen()
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as young:
            assert told(tmp_path, tmp_path / "swf.sock", given=young.pid, age=1e6) == ""


@pytest.mark.needs_processes
def test_a_decider_that_is_tried_again_is_told_while_it_begins(tmp_path: Path) -> None:
    cluster = config.loads(TEXT + "deciders: {min: 1}\n")
    script = tmp_path / "decider.py"
    script.write_text("import sys; sys.exit('Error: workflow films.Gone cannot be imported')")
    clock = clocks.VirtualClock()
    kept = manager.Deciders(
        cluster, [sys.executable, str(script)], dict(os.environ), str(tmp_path), tmp_path / "logs", clock
    )
    kept.keep(0, False)
    (pid,) = kept.pids()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert kept.trouble()
    script.write_text("import signal; signal.pause()")
    clock.advance(1.0)
    kept.keep(0, False)
    assert kept.pids() != ()
    assert "films.Gone cannot be imported" in kept.trouble(), "it may end so again"
    clock.advance(6.0)
    assert kept.trouble() == ""
    kept.end(1.0)


@pytest.mark.needs_processes
@pytest.mark.parametrize("what", ["too long", "in use"])
def test_up_says_why_the_service_does_not_start(tmp_path: Path, what: str) -> None:
    runtime = tmp_path / ("x" * 110 if what == "too long" else "run")
    runtime.mkdir(mode=0o700)
    environment = {
        **os.environ, "SIMPLEFLOW_DATA_DIR": str(tmp_path / "data"), "SIMPLEFLOW_RUNTIME_DIR": str(runtime)
    }  # fmt: skip
    (tmp_path / "c.yaml").write_text(TEXT)
    (tmp_path / "data").mkdir()
    if what == "in use":
        (tmp_path / "data" / "swf.db").mkdir()  # nothing that a database could be
    made = clusters.load(tmp_path / "c.yaml", environment)
    with pytest.raises(core_errors.SimpleflowError) as caught:
        made.bring_up(timeout=60.0)
    said = str(caught.value)
    if what == "too long":
        assert "the path of the service's socket" in said
        assert "set SIMPLEFLOW_RUNTIME_DIR to a shorter folder" in said
    else:
        assert "did not come up: the service does not answer at unix://" in said
        assert "swf.db" in said
    assert not made.is_up


@pytest.mark.parametrize(
    ("free", "inodes", "said"),
    [(0, 7, "is full: nothing can be written"), (16, 0, "has no inode left"), (16, 7, ""), (15, 7, "is full")],
)
def test_a_full_disk_is_told_although_its_logs_cannot_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, inodes: int, said: str
) -> None:
    found = os.statvfs(tmp_path)
    full = SimpleNamespace(f_bavail=free, f_frsize=4096, f_files=found.f_files or 1, f_favail=inodes)
    monkeypatch.setattr(os, "statvfs", lambda folder: full)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "swf.sock"))
        listening.listen()
        lines = told(tmp_path, tmp_path / "swf.sock").splitlines()
    assert [said in line for line in lines] == ([True] if said else []), "once for the folder and the store in it"
