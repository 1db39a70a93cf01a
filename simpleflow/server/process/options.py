"""How a server is run, and the record of it beside the socket.

The record stays when the server is killed. Whoever starts the service again starts it in the same way: with another
database all workflows would be gone for the clients of the socket.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
from pathlib import Path
from typing import Literal

import msgspec

from simpleflow.core import errors as core_errors

from . import places

Limits = Literal["data", "aws", "none"]
Synchronous = Literal["full", "normal"]
LOOPBACK = "127.0.0.1"


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The options of ``server start``; paths are absolute."""

    port: int | None = None
    host: str = LOOPBACK
    credentials: str | None = None
    #: a path, ``:memory:``, or None for the user's
    database: str | None = None
    limits: Limits = "data"
    synchronous: Synchronous = "full"
    faults: tuple[str, ...] = ()
    #: seconds after which a server that nobody uses ends; None: never
    idle: float | None = None
    #: requests to the port must carry the token that lies beside the socket
    token: bool = False

    def words(self) -> list[str]:
        """The words behind ``simpleflow server start`` that give these options."""
        given: list[tuple[str, object]] = [
            ("--port", self.port),
            ("--host", None if self.host == LOOPBACK else self.host),
            ("--credentials", self.credentials),
            ("--db", self.database),
            ("--limits", None if self.limits == "data" else self.limits),
            ("--synchronous", None if self.synchronous == "full" else self.synchronous),
            ("--idle", self.idle),
            *(("--fault", each) for each in self.faults),
        ]
        words = [text for name, value in given if value is not None for text in (name, str(value))]
        return [*words, *(["--token"] if self.token else [])]

    def line(self) -> str:
        """Return the command line that gives these options."""
        return shlex.join(["simpleflow", "server", "start", *self.words()])


def write(where: places.Places, options: Options) -> None:
    """Write down how the server that has the socket was started."""
    part = where.started.with_name(f"{where.started.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(options))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, where.started)
    finally:
        part.unlink(missing_ok=True)


def read(where: places.Places) -> Options | None:
    """Return how the server that has the socket, or had it when it was killed, was started; else None."""
    try:
        return msgspec.json.decode(where.started.read_bytes(), type=Options)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as error:
        raise core_errors.UsageError(
            f"{where.started} cannot be read ({error}): it says how the server was started that was killed. Start it "
            "with its own options after deleting this file"
        ) from error


def forget(where: places.Places) -> None:
    """Delete the record: the server ends in order."""
    with contextlib.suppress(FileNotFoundError):
        where.started.unlink()


def again(given: Options, where: places.Places) -> Options:
    """Return the options of a start: those of a server that was killed, where none are given.

    Raises UsageError when they name no database, and the one that was killed had another than the user's.
    """
    before = read(where)
    if before is None or given.database is not None or where.database(before.database) == where.database(None):
        return given
    if given == Options(idle=given.idle):
        return before
    raise core_errors.UsageError(
        f"the server that had {where.socket} was killed; it was started with '{before.line()}'. Type that again, or "
        f"name the database with --db ({where.database(None)} is the user's own)"
    )


def missing_database(options: Options) -> bool:
    """Return whether these options name a database that does not exist."""
    return options.database not in (None, ":memory:") and not Path(str(options.database)).exists()


def token(where: places.Places) -> str:
    """Return the token of this user's ports, which is made at the first call and stays; a file of mode 0600."""
    try:
        descriptor = os.open(where.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        found = where.token.read_text().strip()
        if found:
            return found
        where.token.unlink()
        return token(where)
    made = secrets.token_urlsafe(32)
    with open(descriptor, "w") as file:
        file.write(made + "\n")
    return made
