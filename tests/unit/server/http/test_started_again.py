"""A server that was killed is started again as it was, and a wait for another process says for whom."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import home_rig
import pytest

from simpleflow.core import errors as core_errors
from simpleflow.server.process import commands, locks, options, places

pytestmark = pytest.mark.needs_processes


def kill(made: subprocess.Popen[str]) -> None:
    made.kill()
    made.wait()


def test_the_first_command_starts_a_killed_server_as_it_was(home: home_rig.Home) -> None:
    database = home.folder / "my own.db"
    kill(home.foreground("--db", str(database), "--port", "0", "--limits", "none", "--synchronous", "normal"))
    before = options.read(home.places)
    assert before is not None
    commands.ensure()
    status = commands.status()
    assert status is not None
    assert (status["database"], status["url"]) == (str(database), f"http://127.0.0.1:{before.port}")
    assert (status["limits"], status["synchronous"], status["idle_stop"]) == ("none", "normal", None)
    os.kill(status["pid"], signal.SIGKILL)  # and again
    commands.ensure()
    status = commands.status()
    assert status is not None
    assert status["database"] == str(database)
    assert commands.stop()
    assert options.read(home.places) is None, "an orderly end leaves nothing"
    commands.ensure()
    status = commands.status()
    assert status is not None
    assert status["database"] == str(home.places.data / "swf.db")
    assert commands.stop()


def test_its_owner_takes_over_from_the_server_that_a_command_started(home: home_rig.Home) -> None:
    words = ("--db", str(home.folder / "mine.db"))
    kill(home.foreground(*words, "--port", "0"))
    before = options.read(home.places)
    assert before is not None
    commands.ensure()
    first = commands.status()
    assert first is not None
    refused = home.run("start", "--db", str(home.folder / "other.db"))
    assert (refused.returncode, refused.stdout) == (1, ""), "another database is no reason to end it"
    owner = home.foreground(*words, "--port", str(before.port))
    status = commands.status()
    assert status is not None
    assert status["pid"] == owner.pid
    assert (status["database"], status["url"]) == (first["database"], first["url"])
    refused = home.run("start", *words)
    assert refused.returncode == 1
    assert "another server runs" in refused.stderr


def test_a_killed_server_is_started_by_hand(home: home_rig.Home) -> None:
    database = home.folder / "mine.db"
    kill(home.foreground("--db", str(database)))
    refused = home.run("start", "--limits", "none")
    assert refused.returncode == 64
    assert f"simpleflow server start --db {database}" in refused.stderr
    home.foreground()
    status = commands.status()
    assert status is not None
    assert status["database"] == str(database)
    kill(home.running[-1])
    other = home.folder / "other.db"
    home.foreground("--db", str(other))  # a person may decide so
    status = commands.status()
    assert status is not None
    assert status["database"] == str(other)


def test_commands_about_the_database_mean_the_server_s_own(home: home_rig.Home) -> None:
    database = home.folder / "mine.db"
    made = home.foreground("--db", str(database))
    copy = home.folder / "copy.db"
    assert home.run("backup", str(copy)).returncode == 0
    refused = home.run("restore", str(copy))
    assert refused.returncode == 1
    assert "is open in another server" in refused.stderr
    kill(made)
    done = home.run("restore", str(copy))
    assert done.returncode == 0, done.stderr
    assert f"{database} is restored" in done.stdout
    status = commands.status()
    assert status is not None
    assert status["database"] == str(database)
    assert commands.stop()
    assert not (home.places.data / "swf.db").exists()


def test_a_killed_server_whose_database_is_gone_is_not_replaced(home: home_rig.Home) -> None:
    database = home.folder / "mine.db"
    kill(home.foreground("--db", str(database)))
    database.unlink()
    with pytest.raises(commands.ServerError, match=re.escape(f"simpleflow server start --db {database}")):
        commands.ensure()
    assert not database.exists()


def test_a_start_that_fails_keeps_what_was_recorded(home: home_rig.Home) -> None:
    kill(home.foreground("--db", str(home.folder / "mine.db"), "--port", "0"))
    before = options.read(home.places)
    (home.folder / "text").write_text("a text")
    assert home.run("start", "--db", str(home.folder / "text")).returncode == 1
    assert options.read(home.places) == before


def test_a_record_that_cannot_be_read_is_named(home: home_rig.Home) -> None:
    home.places.own(make=True)
    home.places.started.write_text("{")
    with pytest.raises(core_errors.UsageError, match=re.escape(str(home.places.started))):
        commands.ensure()


def test_the_words_of_options_are_a_line_to_type() -> None:
    made = options.Options(
        port=80, host="::1", credentials="/k", database="/a b", limits="aws", synchronous="normal", faults=("x:1",)
    )
    assert made.line() == (
        "simpleflow server start --port 80 --host ::1 --credentials /k --db '/a b' --limits aws --synchronous normal "
        "--fault x:1"
    )
    assert options.Options().words() == []


def test_what_is_printed_for_eval_is_comments_and_exports_whatever_the_path(home: home_rig.Home) -> None:
    done = home.run("start", "--detach", "--port", "0", "--db", str(home.folder / "a\ntouch b;.db"))
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(("#", "export ")) for line in done.stdout.splitlines())
    assert commands.stop()


def test_a_wait_says_for_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_PATIENCE", 0.0)
    path = tmp_path / "swf.sock.starting"
    code = (
        f"import fcntl, sys; f = open({str(path)!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdout.readline()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        other.communicate("\n")

    with locks.held(path, say):
        assert len(said) == 1
        assert f"process {other.pid} (" in said[0]
        assert str(path) in said[0]
        with path.open() as third, pytest.raises(BlockingIOError):
            fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_command_that_waits_says_it(home: home_rig.Home) -> None:
    home.places.own(make=True)
    code = "from simpleflow.server.process import commands; commands.ensure()"
    with locks.held(home.places.starting):
        made = subprocess.Popen([sys.executable, "-c", code], env=home.environment, stderr=subprocess.PIPE, text=True)
        assert made.stderr is not None
        line = made.stderr.readline()
    assert f"waiting for process {os.getpid()} (" in line
    assert made.wait(60) == 0
    made.stderr.close()
    assert commands.stop()


def test_the_token_is_made_once_for_its_owner(tmp_path: Path) -> None:
    where = places.Places({"SIMPLEFLOW_RUNTIME_DIR": str(tmp_path), "SIMPLEFLOW_DATA_DIR": str(tmp_path)})
    first = options.token(where)
    assert len(first) > 40
    assert options.token(where) == first
    assert where.token.stat().st_mode & 0o777 == 0o600
