"""Who runs code as whom: another user's service is not spoken to, and the token closes the port to others."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import boto3
import home_rig
import pytest

from simpleflow.core import errors as core_errors
from simpleflow.server.process import commands, options, serve
from simpleflow.swf import errors
from simpleflow.swf.transport import http, owner

pytestmark = pytest.mark.needs_processes

DOMAIN = {"name": "d", "workflowExecutionRetentionPeriodInDays": "1"}
OTHER = 54_321
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")


def url(home: home_rig.Home) -> str:
    status = commands.status()
    assert status is not None
    return str(status["url"])


def as_other(code: str, **environment: str) -> str:
    """Run Python code as another user; return what it prints."""
    # what is imported later may lie where this user may not look
    drop = f"import os, socket, encodings.idna; os.setgroups([]); os.setgid({OTHER}); os.setuid({OTHER})\n"
    done = subprocess.run(
        [sys.executable, "-c", drop + textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def open_above(folder: Path) -> None:
    """Let other users into a folder and those above it."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == 0 and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o055)


def test_our_clients_send_the_token_and_others_are_refused(home: home_rig.Home) -> None:
    home.foreground("--port", "0", "--db", ":memory:", "--token")
    where = url(home)
    assert home.places.token.stat().st_mode & 0o777 == 0o600
    ours = http.open_endpoint(where)
    ours.call("RegisterDomain", DOMAIN)
    ours.close()
    client = boto3.client(
        "swf", endpoint_url=where, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
    )
    with pytest.raises(client.exceptions.ClientError, match=r"AccessDenied.*--token"):
        client.list_domains(registrationStatus="REGISTERED")
    client.close()


def test_a_token_outlives_the_server_that_is_killed(home: home_rig.Home) -> None:
    home.foreground("--port", "0", "--token")
    where = url(home)
    ours = http.open_endpoint(where)
    ours.call("RegisterDomain", DOMAIN)
    home.running[-1].kill()
    home.running[-1].wait()
    commands.ensure()
    assert url(home) == where
    ours.call("DescribeDomain", {"name": "d"})  # neither refused nor forgotten
    ours.close()
    assert commands.stop()


def test_the_token_goes_to_our_own_port_only(home: home_rig.Home) -> None:
    home.foreground("--port", "0", "--db", ":memory:", "--token")
    own = int(url(home).rpartition(":")[2])
    for where, sent in (
        (f"http://127.0.0.1:{own}", True),
        (f"http://localhost:{own}", True),
        (f"http://127.0.0.1:{own + 1}", False),
        (f"http://10.0.0.1:{own}", False),
        (f"https://localhost:{own}", False),
    ):
        sign = owner.with_token(where, None)
        assert (sign is not None and owner.TOKEN_HEADER in sign({}, b"")) == sent, where


def test_the_default_port_says_what_it_means(home: home_rig.Home) -> None:
    done = home.run("start", "--detach", "--port", "0", "--db", ":memory:")
    assert "Every user of this machine may run code as you" in done.stdout
    assert "export AWS_ACCESS_KEY_ID=any" in done.stdout
    assert commands.stop()
    done = home.run("start", "--detach", "--port", "0", "--db", ":memory:", "--token")
    assert "run code as you" not in done.stdout
    assert commands.stop()


def test_a_token_needs_a_port_without_credentials(home: home_rig.Home, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("[a]\naws_access_key_id = A\naws_secret_access_key = s\n")
    for words in ([], ["--port", "0", "--credentials", str(keys)]):
        done = home.run("start", "--token", *words)
        assert (done.returncode, done.stdout) == (64, "")
    with pytest.raises(core_errors.UsageError, match="--token"):
        serve.Running(options.Options(token=True), home.places)


@as_root
@pytest.mark.parametrize("variable", ["SIMPLEFLOW_RUNTIME_DIR", "XDG_RUNTIME_DIR", "SIMPLEFLOW_DATA_DIR"])
def test_a_folder_of_another_user_is_not_used(
    home: home_rig.Home, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sudo -E, su: the environment names the folders of the user before."""
    theirs = tmp_path / "theirs"
    folder = theirs / "simpleflow" if variable.startswith("XDG") else theirs
    folder.mkdir(parents=True)
    for each in {theirs, folder}:
        os.chown(each, OTHER, OTHER)
    monkeypatch.delenv("SIMPLEFLOW_RUNTIME_DIR" if variable.startswith("XDG") else variable)
    monkeypatch.setenv(variable, str(theirs))
    with pytest.raises(core_errors.UsageError, match=f"belongs to another user .uid {OTHER}"):
        commands.ensure()
    assert list(folder.iterdir()) == []


@as_root
def test_another_user_s_service_is_not_spoken_to(tmp_path: Path) -> None:
    """Also where the endpoint is named, and no folder is looked at: nothing is sent."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = folder / "swf.sock"
    code = (
        f"import os, socket, sys; s = socket.socket(socket.AF_UNIX); os.setuid({OTHER}); s.bind({str(path)!r});"
        "s.listen(); print(1, flush=True); c, _ = s.accept(); print(c.recv(100))"
    )
    open_above(folder)
    os.chown(folder, OTHER, OTHER)
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "1\n"
    transport = http.open_endpoint(f"unix://{path}")
    with pytest.raises(owner.AnotherUser, match=f"uid {OTHER}"):
        transport.call("ListDomains", {"registrationStatus": "REGISTERED"})
    transport.close()
    assert other.communicate(timeout=30)[0].strip() == "b''"


@as_root
def test_another_user_reads_writes_and_runs_nothing(home: home_rig.Home, tmp_path: Path) -> None:
    home.foreground("--port", "0", "--token")
    status = commands.status()
    assert status is not None
    home.call("RegisterDomain", **DOMAIN)
    own = [home.places.runtime, home.places.data, home.places.socket, home.places.token, Path(status["database"])]
    open_above(tmp_path)  # ours must hold by themselves
    port = str(status["url"]).rpartition(":")[2]
    said = as_other(
        f"""
        for path in {[str(each) for each in own]!r}:
            for way in (os.R_OK, os.W_OK):
                if os.access(path, way):
                    print("may", way, path)
        made = socket.socket(socket.AF_UNIX)
        try:
            made.connect({str(home.places.socket)!r})
            print("connected")
        except OSError:
            pass
        made.close()
        for header in ("", "X-Simpleflow-Token: \\r\\n", "X-Simpleflow-Token: guess\\r\\n"):
            made = socket.create_connection(("127.0.0.1", {port}), 10)
            head = "POST / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n" + header
            made.sendall(head.encode() + b"X-Amz-Target: SimpleWorkflowService.ListDomains\\r\\n\\r\\n{{}}")
            answer = b""
            while part := made.recv(65536):
                answer += part
            print(b" 400 " in answer, b"AccessDenied" in answer)
        """
    )
    assert said.splitlines() == ["True True"] * 3


def test_this_user_s_own_socket_is_spoken_to(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
        made.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))
            owner.check_peer(client, "s")
    assert issubclass(owner.AnotherUser, errors.SwfError)
