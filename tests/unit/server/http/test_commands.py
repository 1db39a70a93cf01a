"""Starting, finding and ending the server: real processes, in folders of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
import home_rig
import pytest

from simpleflow.core import errors as core_errors
from simpleflow.process import tree
from simpleflow.server.http import listener
from simpleflow.server.process import commands, locks, options, places, serve

pytestmark = pytest.mark.needs_processes


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


def until_gone(pid: int, seconds: float) -> None:
    limit = time.monotonic() + seconds
    while tree.lives(pid):
        assert time.monotonic() < limit, "the server still runs"
        time.sleep(0.02)


def test_detached_from_start_to_stop(home: home_rig.Home) -> None:
    assert home.run("status").returncode == 1
    assert home.run("stop").returncode == 1
    done = home.run("start", "--detach", "--port", "0")
    assert (done.returncode, done.stderr) == (0, "")
    match = re.search(r"^export AWS_ENDPOINT_URL_SWF=(http://127\.0\.0\.1:\d+)$", done.stdout, re.MULTILINE)
    assert match, done.stdout
    assert "Any credentials are accepted, from this machine only" in done.stdout
    assert "export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1" in done.stdout
    assert all(line.startswith(("#", "export ")) for line in done.stdout.splitlines()), "made for eval"
    client = boto3.client(
        "swf",
        endpoint_url=match[1],
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    client.register_domain(name="kept", workflowExecutionRetentionPeriodInDays="1")
    client.close()
    status = commands.status()
    assert status is not None
    assert status["url"] == match[1]
    assert home.run("status").stdout.count("\n") > 5
    assert home.places.socket.stat().st_mode & 0o777 == 0o600
    assert home.places.runtime.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in home.places.data.iterdir() if each.stat().st_mode & 0o077] == []
    other = home.run("start")
    assert (other.returncode, other.stdout) == (1, "")
    assert "another server runs at unix://" in other.stderr
    target = home.folder / "copy.db"
    assert home.run("backup", str(target)).returncode == 0
    with sqlite3.connect(target) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()
    assert home.run("backup", str(target)).returncode == 64
    assert home.run("check").returncode == 0
    assert home.run("stop").returncode == 0
    assert not tree.lives(status["pid"])
    assert not home.places.socket.exists()
    assert commands.status() is None
    checked = home.run("check")
    assert (checked.returncode, checked.stdout) == (0, f"Nothing is wrong with {home.places.data}/swf.db.\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_foreground_ends_in_order(home: home_rig.Home, number: signal.Signals) -> None:
    made = home.foreground("--db", ":memory:")
    made.send_signal(number)
    assert made.wait(10) == 0
    assert made.communicate()[1] == ""
    assert not home.places.socket.exists()
    assert not (home.places.data / "swf.db").exists()


def test_a_port_in_use_leaves_nothing(home: home_rig.Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for how in ([], ["--detach"]):
            done = home.run("start", "--port", port, *how)
            assert (done.returncode, done.stdout) == (1, "")
            message = f"Error: port {port} on 127.0.0.1 is in use: choose another with --port, or end what uses it\n"
            assert done.stderr == message
    assert not home.places.socket.exists()
    assert not (home.places.data / "swf.db").exists()


def test_a_database_that_another_server_has_and_one_that_is_newer(home: home_rig.Home) -> None:
    home.foreground()
    port = str(free_port())
    database = str(home.places.data / "swf.db")
    home.environment["SIMPLEFLOW_RUNTIME_DIR"] = str(home.folder / "other")
    for extra in ([], ["--reset"]):
        done = home.run("start", "--port", port, "--db", database, *extra)
        assert (done.returncode, done.stdout) == (1, "")
        assert "is open in another server" in done.stderr
    assert not (home.folder / "other" / "swf.sock").exists()
    assert commands.status() is not None, "the first one goes on"
    newer = home.folder / "newer.db"
    assert home.run("backup", str(newer)).returncode == 0
    with sqlite3.connect(newer) as made:
        made.execute("PRAGMA user_version = 999")
    made.close()
    done = home.run("start", "--port", port, "--db", str(newer))
    assert (done.returncode, done.stdout) == (1, "")
    assert "written by a newer simpleflow" in done.stderr
    with listener.tcp_socket("127.0.0.1", int(port)):
        pass
    home.foreground("--db", str(newer), "--reset", "--port", port)
    with sqlite3.connect(newer) as made:
        assert made.execute("PRAGMA user_version").fetchone()[0] < 999
    made.close()


def test_what_died_is_started_again(home: home_rig.Home) -> None:
    first = home.foreground()
    first.kill()
    first.wait()
    assert home.places.socket.exists()
    assert commands.status() is None
    home.foreground()
    assert commands.status() is not None


def test_ten_commands_that_need_it_start_one(home: home_rig.Home) -> None:
    code = "from simpleflow.server.process import commands; print(commands.ensure(), commands.status()['pid'])"
    made = [
        subprocess.Popen([sys.executable, "-c", code], env=home.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(10)
    ]
    said = {each.communicate(timeout=60)[0] for each in made}
    assert [each.returncode for each in made] == [0] * 10
    assert len(said) == 1
    endpoint, pid = said.pop().split()
    assert endpoint == home.places.endpoint
    assert tree.lives(int(pid))
    assert commands.stop()
    assert not commands.stop()


def test_one_is_needed_while_another_ends(home: home_rig.Home) -> None:
    first = home.foreground()
    first.send_signal(signal.SIGTERM)
    endpoint = commands.ensure()
    assert endpoint == home.places.endpoint
    status = commands.status()
    if status is None or status["pid"] == first.pid:  # it answered before it heard of its end
        first.wait(10)
        commands.ensure()
    assert first.wait(10) == 0
    status = commands.status()
    assert status is not None
    assert status["pid"] != first.pid


def test_an_idle_one_ends_and_one_with_work_does_not(home: home_rig.Home) -> None:
    commands.ensure(idle=0.4)
    status = commands.status()
    assert status is not None
    with locks.held(home.places.starting):  # somebody is about to use it
        time.sleep(1.3)
        assert tree.lives(status["pid"])
    until_gone(status["pid"], 60)
    assert not home.places.socket.exists()
    commands.ensure(idle=0.4)
    status = commands.status()
    assert status is not None
    home.call("RegisterDomain", name="d", workflowExecutionRetentionPeriodInDays="1")
    home.call("RegisterWorkflowType", domain="d", name="w", version="1")
    kind = {"name": "w", "version": "1"}
    times = {"executionStartToCloseTimeout": "600", "taskStartToCloseTimeout": "60", "childPolicy": "TERMINATE"}
    home.call("StartWorkflowExecution", domain="d", workflowId="x", workflowType=kind, taskList={"name": "l"}, **times)
    time.sleep(1.5)
    assert tree.lives(status["pid"]), "an execution is open"
    home.call("TerminateWorkflowExecution", domain="d", workflowId="x")
    until_gone(status["pid"], 60)


def test_a_failing_start_of_a_needed_server_says_why(home: home_rig.Home) -> None:
    home.places.data.mkdir(parents=True)
    (home.places.data / "swf.db").write_text("this is no database, but a text of some length" * 100)
    with pytest.raises(commands.ServerError, match="is not a database of the embedded service"):
        commands.ensure()
    assert not home.places.socket.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--host", "0.0.0.0", "--port", "9000"],
        ["--credentials", "/nowhere", "--port", "9000"],
        ["--limits", "some"],
        ["--fault", "nothing"],
        ["--port", "70000"],
        ["--synchronous", "off"],
    ],
)
def test_usage(home: home_rig.Home, words: list[str]) -> None:
    done = home.run("start", *words)
    assert (done.returncode, done.stdout) == (64, "")
    assert "Traceback" not in done.stderr
    assert not home.places.socket.exists()


def test_other_addresses_need_credentials_however_it_is_started(home: home_rig.Home) -> None:
    with pytest.raises(core_errors.UsageError, match="give --credentials FILE"):
        serve.Running(options.Options(port=0, host="0.0.0.0"), home.places)
    assert not home.places.socket.exists()


def test_a_database_that_opens_and_cannot_be_read_is_refused_in_words(home: home_rig.Home) -> None:
    assert home.run("start", "--detach").returncode == 0
    assert home.run("stop").returncode == 0
    database = home.places.data / "swf.db"
    connection = sqlite3.connect(database)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'domains'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    body = bytearray(database.read_bytes())
    body[(page - 1) * size : page * size] = b"\x55" * size
    database.write_bytes(body)
    done = home.run("start")
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert "server restore FILE" in done.stderr
    assert "Traceback" not in done.stderr
    assert not home.places.socket.exists()


def test_a_socket_path_that_is_too_long_or_no_socket(tmp_path: Path) -> None:
    with pytest.raises(listener.Listening, match="SIMPLEFLOW_RUNTIME_DIR"):
        listener.unix_socket(tmp_path / ("x" * 120))
    (tmp_path / "file").write_text("kept")
    with pytest.raises(listener.Listening, match="is not a socket"):
        listener.unix_socket(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_places_follow_the_environment() -> None:
    own = places.Places({"SIMPLEFLOW_RUNTIME_DIR": "/r", "SIMPLEFLOW_DATA_DIR": "/d"})
    assert (own.endpoint, str(own.database(None))) == ("unix:///r/swf.sock", "/d/swf.db")
    xdg = places.Places({"XDG_RUNTIME_DIR": "/r", "XDG_DATA_HOME": "/d"})
    assert (str(xdg.socket), str(xdg.data)) == ("/r/simpleflow/swf.sock", "/d/simpleflow")
    bare = places.Places({})
    assert bare.runtime.name == f"simpleflow-{os.getuid()}"
    assert own.database(":memory:") is None


@pytest.mark.parametrize("how", ["others may write", "another's", "a link of another's"])
def test_a_runtime_folder_that_others_could_have_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    for name in ("SIMPLEFLOW_RUNTIME_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SIMPLEFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert commands.status() is None
    where = places.Places()
    assert where.own(make=True)
    assert where.runtime.stat().st_mode & 0o777 == 0o700
    if how == "others may write":
        where.runtime.chmod(0o770)
    elif os.getuid() != 0:
        pytest.skip("only root can give a file away")
    else:
        if how.startswith("a link"):
            where.runtime.rename(tmp_path / "elsewhere")
            where.runtime.symlink_to(tmp_path / "elsewhere")
        os.chown(where.runtime, 12_345, 12_345, follow_symlinks=False)
    for call in (commands.status, commands.ensure, lambda: serve.Running(options.Options(database=":memory:"), where)):
        with pytest.raises(core_errors.UsageError, match="SIMPLEFLOW_RUNTIME_DIR"):
            call()
    assert os.listdir(where.runtime) == []
    monkeypatch.setenv("SIMPLEFLOW_RUNTIME_DIR", str(where.runtime))
    with pytest.raises(core_errors.UsageError, match="SIMPLEFLOW_RUNTIME_DIR"):
        commands.status()  # sudo -E names the folder of the user before
    monkeypatch.delenv("SIMPLEFLOW_RUNTIME_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    where.runtime.rename(tmp_path / "simpleflow")
    with pytest.raises(core_errors.UsageError, match="SIMPLEFLOW_RUNTIME_DIR"):
        commands.status()
