"""Provision a machine over ssh (fabric), and start, list, tag and end nodes there. Host keys are pinned.

Every call runs one command of ``node/host.py`` on the machine. The machine needs Python 3.11 or later with venv, but
no root rights.
"""

from __future__ import annotations

import dataclasses
import io
import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fabric
import paramiko

from . import errors

_NODE = Path(__file__).resolve().parent / "node"
_SCRIPTS = ("fetch.py", "deliver.py", "host.py")


class HostKeyRefused(errors.ProvisioningError):
    """The machine showed a host key that is not the pinned one, or none is pinned. Nothing was sent to it."""


class NotReached(errors.ProvisioningError):
    """No session was opened: nothing was done on the machine."""


class Interrupted(errors.ProvisioningError):
    """The session ended before the answer came: the command may have been carried out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """How a machine is reached."""

    host: str
    user: str
    port: int = 22
    #: path of a private key; '' for the user's agent and default keys
    key: str = ""
    #: path of the known_hosts file that pins host keys; '' for the user's
    known_hosts: str = ""
    #: folder on the machine, relative to the user's home unless absolute
    root: str = ".simpleflow"
    #: seconds to open a session
    timeout: float = 10.0


@contextmanager
def session(machine: Machine) -> Iterator[fabric.Connection]:
    """Open a session; raises HostKeyRefused or NotReached, and Interrupted when it breaks inside the block."""
    options: dict[str, Any] = {"timeout": machine.timeout, "banner_timeout": machine.timeout}
    if machine.key:
        key = str(Path(machine.key).expanduser())
        options.update(key_filename=key, look_for_keys=False, allow_agent=False)
    connection = fabric.Connection(machine.host, user=machine.user, port=machine.port, connect_kwargs=options)
    # fabric would accept any key of a machine it does not know.
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    known = Path(machine.known_hosts).expanduser() if machine.known_hosts else Path("~/.ssh/known_hosts").expanduser()
    scan = f"'ssh-keyscan -p {machine.port} {machine.host}'"
    pin = f"{scan} shows its keys; compare one with the machine's own and add it to {known}"
    try:
        if known.exists():
            connection.client.load_host_keys(str(known))
        connection.open()
    except paramiko.BadHostKeyException as problem:
        got = problem.key.fingerprint
        raise HostKeyRefused(
            f"{machine.host} shows another host key ({got}) than the one pinned in {known}: it was installed anew, or "
            "another machine answers in its place. Find out which, then replace the line"
        ) from problem
    except paramiko.AuthenticationException as problem:
        raise NotReached(
            f"{machine.user}@{machine.host} refuses the key: add its public half to authorized_keys there, or set "
            "ssh.key"
        ) from problem
    except paramiko.SSHException as problem:
        if "not found in known_hosts" in str(problem):
            raise HostKeyRefused(f"no host key of {machine.host} is pinned: {pin}") from problem
        raise NotReached(f"{machine.host}:{machine.port} is not an ssh server that can be used: {problem}") from problem
    except OSError as problem:
        raise NotReached(f"{machine.host}:{machine.port} cannot be reached: {problem}") from problem
    try:
        yield connection
    except (paramiko.SSHException, OSError, EOFError) as problem:
        raise Interrupted(f"the session with {machine.host} broke: {problem}") from problem
    finally:
        connection.close()


def _run(connection: fabric.Connection, command: str) -> str:
    # No input: fabric sends it one character each hundredth of a second.
    done = connection.run(command, hide=True, warn=True, in_stream=False, pty=False)
    if done.exited:
        output = "\n".join((done.stderr or done.stdout).strip().splitlines()[-10:])
        raise errors.ProvisioningError(f"on {connection.host}, '{command}' failed with {done.exited}: {output}")
    text: str = done.stdout
    return text


def root_of(connection: fabric.Connection, machine: Machine) -> str:
    """Return the absolute path of the machine's folder."""
    if machine.root.startswith("/"):
        return machine.root
    home = _run(connection, 'printf %s "$HOME"')
    return f"{home}/{machine.root}"


def provision(connection: fabric.Connection, root: str, *, code: bytes, code_sha256: str) -> str:
    """Bring scripts and code to a machine and return the interpreter of its virtual environment.

    Code with the same digest is not sent again. Raises ProvisioningError with pip's last lines.
    """
    installed = f"{root}/code-{code_sha256[:16]}"
    quoted = shlex.quote(root)
    look = f"test -e {shlex.quote(installed)}/installed && echo yes || echo no"
    there = _run(
        connection, f"umask 077; mkdir -p {quoted}/node {quoted}/nodes && chmod 700 {quoted} && {{ {look}; }}"
    ).strip()
    for name in _SCRIPTS:
        connection.put(io.BytesIO((_NODE / name).read_bytes()), remote=f"{root}/node/{name}")
    if there == "no":
        archive = f"{root}/code-{code_sha256[:16]}.tar.gz"
        connection.put(io.BytesIO(code), remote=archive)
        settings = json.dumps({"root": root, "code": f"file://{archive}", "code_sha256": code_sha256})
        connection.put(io.StringIO(settings), remote=f"{root}/delivery.json")
        _run(connection, f"python3 {quoted}/node/deliver.py {quoted}/delivery.json --code-only")
        _run(connection, f"rm -f {shlex.quote(archive)}")
    return f"{installed}/venv/bin/python"


def _host(connection: fabric.Connection, root: str, *arguments: str) -> Any:
    words = ["python3", f"{root}/node/host.py", root, *arguments]
    return json.loads(_run(connection, " ".join(shlex.quote(each) for each in words)))


def start(
    connection: fabric.Connection,
    root: str,
    *,
    python: str,
    record: Mapping[str, Any],
    tags: Mapping[str, str],
    setup: Mapping[str, Any],
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """Start a node, unless a node of that id exists. Returns its description."""
    order = {
        "record": dict(record), "tags": dict(tags), "setup": dict(setup), "python": python,
        "environment": dict(environment),
    }  # fmt: skip
    # The order goes in a file: every user of the machine can see arguments, and only this user can read the folder.
    path = f"{root}/order-{record['id']}.json"
    connection.put(io.StringIO(json.dumps(order)), remote=path)
    found: dict[str, Any] = _host(connection, root, "start", path)
    return found


def listed(connection: fabric.Connection, root: str) -> list[dict[str, Any]]:
    """Return every node of the machine: its record, state and tags. A machine that was never provisioned has none."""
    script, quoted = shlex.quote(f"{root}/node/host.py"), shlex.quote(root)
    text = _run(connection, f"if test -e {script}; then python3 {script} {quoted} list; else echo '[]'; fi")
    found: list[dict[str, Any]] = json.loads(text)
    return found


def tag(connection: fabric.Connection, root: str, node: str, key: str) -> bool:
    """Set a tag; False when there is no such node."""
    return not _host(connection, root, "tag", node, key)["absent"]


def untag(connection: fabric.Connection, root: str, node: str, key: str) -> bool:
    """Remove a tag; False when there is no such node."""
    return not _host(connection, root, "untag", node, key)["absent"]


def terminate(connection: fabric.Connection, root: str, node: str) -> None:
    """End a node. A node that is gone is not an error."""
    _host(connection, root, "terminate", node)


def log(connection: fabric.Connection, root: str, node: str) -> str:
    """Return the last 50 lines of a node's log."""
    return "\n".join(_host(connection, root, "log", node))
