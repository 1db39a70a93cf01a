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
from typing import IO, Any

import msgspec

from simpleflow.core import errors as core_errors
from simpleflow.core import interpreter

from . import locks, places
from . import options as started

#: seconds that a new server gets to answer
_START = 60.0
#: seconds that a server gets to end after SIGTERM
_STOP = 20.0
#: seconds in which a server that closes the connection is asked again
_BREAK = 5.0
#: seconds after which a server that a command started by itself ends, when nothing is open
IDLE = 60.0
#: descriptor on which a detached server tells its parent that it answers, or why not
READY = "SIMPLEFLOW_SERVER_READY_FD"


class ServerError(core_errors.SimpleflowError):
    """The embedded service cannot be started or does not answer. The message says why, and what to do."""


class _Ready(msgspec.Struct, kw_only=True):
    """The one message of a detached server to the process that started it."""

    lines: list[str] = []
    error: str = ""


def start(
    options: started.Options,
    *,
    reset: bool = False,
    accept_damage: bool = False,
    detach: bool = False,
    stand_in: bool = False,
    say: Callable[[str], object] = print,
) -> int:
    """Run the service until it is told to end, or (``detach``) leave it running; return the exit code.

    A server that was killed is started as it was, where no options are given. Raises SimpleflowError, with nothing half
    done, when the port or the database is in use, or of a newer version.
    """
    where = places.Places()
    if detach:
        flags = [*(["--reset"] if reset else []), *(["--accept-damage"] if accept_damage else [])]
        for line in _spawn(where, [*options.words(), *flags]):
            say(line)
        return 0
    from . import serve  # Imported here: only the process that serves needs uvloop and the service.

    os.umask(0o077)  # Inputs and results of workflows are readable by their owner only.
    with _report() as tell:
        if not reset:
            options = started.again(options, where)
        if not stand_in:
            _relieve(where, options)
        notes: list[str] = []
        served = serve.Running(
            options, where, reset=reset, accept_damage=accept_damage, stand_in=stand_in, say=notes.append
        )

        def ready() -> None:
            shown = [*serve.lines(options, served), *notes]
            if not tell(_Ready(lines=shown)):
                for line in shown:
                    say(line)

        served.run(ready)
    return 0


def _relieve(where: places.Places, options: started.Options) -> None:
    """End a server that a command started by itself, when the new server has the same database."""
    try:
        found = status()
    except ServerError:
        return
    database = where.database(options.database)
    if found is not None and found.get("stand_in") and database is not None and found["database"] == str(database):
        stop()


def status() -> dict[str, Any] | None:
    """Return the status of the running service, None when none runs. Raises ServerError when it does not answer."""
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
    import psutil  # Imported here: it takes 20 ms, and commands that only read do not need it.

    found = status()
    if found is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(found["pid"])
        process.terminate()
        limit = time.monotonic() + _STOP
        # Not Process.wait: init may take seconds to reap an ended process. A zombie with several threads still ends.
        while process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1):
            if time.monotonic() > limit:
                raise ServerError(
                    f"the server (pid {found['pid']}) did not end within {_STOP:.0f} s: a second SIGTERM ends it "
                    "without waiting for its calls"
                )
            time.sleep(0.01)
    return True


def backup(path: Path, database: str | None = None) -> None:
    """Copy the database to ``path``, while the service runs or not. Raises SimpleflowError when that fails."""
    from simpleflow.server.store import upkeep

    upkeep.backup(_file(database), path)


def restore(backup_file: Path, database: str | None = None) -> tuple[Path, Path | None]:
    """Put a backup in the database's place; return the database, and where the old one lies now.

    Raises SimpleflowError, with everything as it was, while a server has the database, and for a damaged backup.
    """
    from simpleflow.server.store import upkeep

    place = _file(database)
    return place, upkeep.restore(backup_file, place)


def start_with(database: Path, say: Callable[[str], object]) -> None:
    """Start the service, detached, with this database: as it was started before, where it had the same one."""
    where = places.Places()
    before = started.read(where) if where.own() else None
    if before is None or where.database(before.database) != database:
        before = started.Options(database=None if database == where.database(None) else str(database), idle=IDLE)
    for line in _spawn(where, before.words()):
        say(line)


def check(database: str | None = None) -> tuple[Path, Iterable[str]]:
    """Return the database, and its flaws and those of the values that it refers to, a line each."""
    from simpleflow.server.store import upkeep

    place = _file(database)
    return place, upkeep.check(place)


def ensure(idle: float = IDLE) -> str:
    """Return the endpoint of this user's service; starts it, detached, when it does not run.

    Of several callers at once, in any number of processes, one starts it and the others wait for that. A server that
    was killed is started again as it was: with its own database and port.
    """
    where = places.Places()
    where.own(make=True)
    with locks.held(where.starting, _tell):
        # A whole call, not only a connection: an idle server that is about to end counts it and stays.
        if _status_of_one_that_may_end() is None:
            _spawn(where, [*_again(where, idle).words(), "--stand-in"])
    return where.endpoint


def _tell(line: str) -> None:
    print(f"simpleflow: {line}", file=sys.stderr, flush=True)


def _again(where: places.Places, idle: float) -> started.Options:
    before = started.read(where)
    if before is None:
        return started.Options(idle=idle)
    if started.missing_database(before):
        raise ServerError(
            f"the server that had {where.socket} was killed, and its database {before.database} is gone: bring it "
            f"back, or start a server with another one (simpleflow server start --db FILE). It was started with "
            f"'{before.line()}'"
        )
    return before


def _status_of_one_that_may_end() -> dict[str, Any] | None:
    """Call ``status`` again for a while when the server closes the connection: it may be ending."""
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
    """Return the named database, else the database of the server that has the socket, or had it when it was killed."""
    where = places.Places()
    if database is None and where.own():
        before = started.read(where)
        database = None if before is None else before.database
    found = where.database(database)
    if found is None:
        raise core_errors.UsageError("--db :memory: is not a file: name the database's path")
    return found


def _spawn(where: places.Places, arguments: Sequence[str]) -> list[str]:
    """Start a server in a session of its own; return the lines that it prints once it answers. Raises ServerError."""
    import subprocess  # Imported here: only a command that starts a server needs it.

    where.own_data()
    reader, writer = os.pipe()
    try:
        descriptor = os.open(where.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "ab") as log:
            os.fchmod(descriptor, 0o600)
            process = subprocess.Popen(
                interpreter.command("simpleflow.cli.main", "server.start", *arguments),
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
        answer = _wait(pipe)
    if answer is not None and not answer.error:
        process.returncode = 0  # It outlives this process. Popen would warn that it has no return code.
        return answer.lines
    if answer is None:
        process.kill()
    process.wait()
    if answer is not None:
        raise ServerError(answer.error)
    raise ServerError(f"the server did not start: {where.log} says why")


def _python_path() -> str:
    """Return a PYTHONPATH with which the new process, in another working directory, can import ``simpleflow``."""
    root = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join(each for each in (root, os.environ.get("PYTHONPATH", "")) if each)


def _wait(pipe: IO[bytes]) -> _Ready | None:
    """Read the message of the new server; None when it died, or sent none in time."""
    readable, _, _ = select.select([pipe], [], [], _START)
    text = pipe.read() if readable else b""
    try:
        return msgspec.json.decode(text, type=_Ready)
    except msgspec.DecodeError:
        return None


@contextlib.contextmanager
def _report() -> Any:
    """Give a function that sends one message to the parent process; an error before that is sent, too."""
    text = os.environ.pop(READY, "")
    descriptor = int(text) if text.isdigit() else None

    def tell(message: _Ready) -> bool:
        nonlocal descriptor
        if descriptor is None:
            return False
        with contextlib.suppress(OSError), open(descriptor, "wb") as pipe:
            pipe.write(msgspec.json.encode(message))
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
