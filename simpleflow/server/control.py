"""Start, find, stop, back up and check the embedded service of this user: what the command line does."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from simpleflow.core import errors as core_errors

from . import locks, places

#: seconds that a new server gets to answer
_START = 60.0
#: seconds that a server gets to end after SIGTERM
_STOP = 20.0
#: seconds in which a server that breaks off is asked again
_BREAK = 5.0
#: seconds after which a server that a command started by itself ends, when nothing is open
IDLE = 60.0
#: descriptor on which a detached server tells its parent that it answers, or why not
READY = "SIMPLEFLOW_SERVER_READY_FD"


class ServerError(core_errors.SimpleflowError):
    """The embedded service could not be started, or does not answer; the message says why, and what to do."""


class _Ready(msgspec.Struct, kw_only=True):
    """What a detached server says once."""

    lines: list[str] = []
    error: str = ""


def start(
    port: int | None = None,
    host: str = "127.0.0.1",
    credentials: Path | None = None,
    database: str | None = None,
    limits: str = "data",
    reset: bool = False,
    detach: bool = False,
    say: Callable[[str], object] = print,
    *,
    synchronous: str = "full",
    faults: Sequence[str] = (),
    idle: float | None = None,
) -> int:
    """Run the service until it is told to end, or (``detach``) leave it running; return the exit code.

    Raises SimpleflowError, with nothing half done, when the port or the database is in use, or of a newer version.
    """
    if detach:
        arguments = _arguments(port, host, credentials, database, limits, synchronous, faults, idle)
        for line in _spawn(places.Places(), [*arguments, *(["--reset"] if reset else [])]):
            say(line)
        return 0
    from . import running  # uvicorn and the whole service: only for the process that serves

    os.umask(0o077)  # inputs and results of workflows are their owner's
    with _report() as tell:
        options = running.Options(
            port=port,
            host=host,
            credentials=credentials,
            database=database,
            limits=_limits(limits),
            synchronous="normal" if synchronous == "normal" else "full",
            reset=reset,
            faults=tuple(faults),
            idle=idle,
        )
        served = running.Running(options, places.Places())

        def ready() -> None:
            shown = list(running.lines(options, served))
            if not tell(_Ready(lines=shown)):
                for line in shown:
                    say(line)

        served.run(ready)
    return 0


def status() -> dict[str, Any] | None:
    """Return what the running service says of itself, None when none runs. Raises ServerError when it is mute."""
    where = places.Places()
    if not where.own():
        return None
    try:
        return _ask(where.socket)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ServerError(
            f"the server at {where.endpoint} does not answer ({error or type(error).__name__}): look at its output or "
            f"at {where.log}, and end it by its process id"
        ) from error


def stop() -> bool:
    """End the running service in order and wait until it is gone; False when none runs."""
    import psutil  # 20 ms that the commands which only look need not pay

    found = status()
    if found is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(found["pid"])
        process.terminate()
        limit = time.monotonic() + _STOP
        # Not Process.wait: init may take seconds to reap what has ended.
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > limit:
                raise ServerError(
                    f"the server (pid {found['pid']}) did not end within {_STOP:.0f} s: a second SIGTERM ends it "
                    "without waiting for its calls"
                )
            time.sleep(0.01)
    return True


def backup(path: Path, database: str | None = None) -> None:
    """Copy the database to ``path``, while the service runs or not. Raises SimpleflowError when that fails."""
    from .store import sqlite

    sqlite.backup(_file(database), path)


def check(database: str | None = None) -> Iterable[str]:
    """Give what is wrong with the database, a line each."""
    from .store import sqlite

    return sqlite.check(_file(database))


def ensure(idle: float = IDLE) -> str:
    """Return the endpoint of this user's service; starts it, detached, when it does not run.

    Of several callers at once, in any number of processes, one starts it and the others wait for that.
    """
    where = places.Places()
    where.own(make=True)
    with locks.held(where.starting):
        # A whole answer, not only a connection: a server about to end because it was idle has counted it.
        if _status_of_one_that_may_end() is None:
            _spawn(where, ["--idle", str(idle)])
    return where.endpoint


def _status_of_one_that_may_end() -> dict[str, Any] | None:
    """``status``, asked again for a while when the server breaks off: it may be ending."""
    limit = time.monotonic() + _BREAK
    while True:
        try:
            return status()
        except ServerError:
            if time.monotonic() > limit:
                raise
        time.sleep(0.05)


def _ask(path: Path) -> dict[str, Any]:
    """Ask the server at a socket for its status. Raises OSError and DecodeError."""
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(10.0)
        made.connect(str(path))
        made.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: SimpleflowEmbedded.Status\r\n"
            b"Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        parts = []
        while part := made.recv(65_536):
            parts.append(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ConnectionAbortedError(head.split(b"\r\n")[0].decode("latin-1") or "no answer")
    return msgspec.json.decode(body, type=dict[str, Any])


def _file(database: str | None) -> Path:
    found = places.Places().database(database)
    if found is None:
        raise core_errors.UsageError("--db :memory: is no file: name the database's path")
    return found


def _limits(text: str) -> Literal["data", "aws", "none"]:
    for known in ("data", "aws", "none"):
        if text == known:
            return known
    raise core_errors.UsageError(f"--limits {text!r}: write data, aws or none")


def _arguments(
    port: int | None,
    host: str,
    credentials: Path | None,
    database: str | None,
    limits: str,
    synchronous: str,
    faults: Sequence[str],
    idle: float | None,
) -> list[str]:
    given: list[tuple[str, object]] = [
        ("--port", port),
        ("--host", host if port is not None else None),
        ("--credentials", None if credentials is None else credentials.absolute()),
        ("--db", database if database is None or database == ":memory:" else Path(database).expanduser().absolute()),
        ("--limits", limits),
        ("--synchronous", synchronous),
        ("--idle", idle),
        *(("--fault", each) for each in faults),
    ]
    return [text for name, value in given if value is not None for text in (name, str(value))]


def _spawn(where: places.Places, arguments: Sequence[str]) -> list[str]:
    """Start a server in a session of its own; return the lines that it says when it answers. Raises ServerError."""
    import subprocess  # only for the command that starts it

    where.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    reader, writer = os.pipe()
    try:
        with os.fdopen(os.open(where.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "simpleflow.cli.main", "server.start", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(writer,),
                start_new_session=True,
                cwd=where.data,
                env={**os.environ, READY: str(writer), "SIMPLEFLOW_RUNS_ON": "1", "PYTHONPATH": _python_path()},
            )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    with open(reader, "rb") as pipe:
        said = _wait(pipe)
    if said is not None and not said.error:
        process.returncode = 0  # it outlives us: nobody waits for it, and nothing shall warn of that
        return said.lines
    if said is None:
        process.kill()
    process.wait()
    if said is not None:
        raise ServerError(said.error)
    raise ServerError(f"the server did not start: {where.log} says why")


def _python_path() -> str:
    """What makes ``simpleflow`` importable in the new process, whose working directory is another."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(each for each in (root, os.environ.get("PYTHONPATH", "")) if each)


def _wait(pipe: IO[bytes]) -> _Ready | None:
    """Read what the new server says; None when it died, or said nothing for long."""
    readable, _, _ = select.select([pipe], [], [], _START)
    text = pipe.read() if readable else b""
    try:
        return msgspec.json.decode(text, type=_Ready)
    except msgspec.DecodeError:
        return None


@contextlib.contextmanager
def _report() -> Any:
    """Lend a function that tells our parent something, once; an error on the way there is told, too."""
    text = os.environ.pop(READY, "")
    descriptor = int(text) if text.isdigit() else None

    def tell(said: _Ready) -> bool:
        nonlocal descriptor
        if descriptor is None:
            return False
        with contextlib.suppress(OSError), open(descriptor, "wb") as pipe:
            pipe.write(msgspec.json.encode(said))
        descriptor = None
        return True

    try:
        yield tell
    except core_errors.SimpleflowError as error:
        tell(_Ready(error=str(error)))
        raise
    except Exception as error:
        tell(_Ready(error=f"{type(error).__name__}: {error}"))
        raise
