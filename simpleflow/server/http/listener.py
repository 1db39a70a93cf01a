"""The sockets that the service listens on, and the end, which waits until open polls are answered.

A unix socket of mode 0600 for this user; a TCP port when one is asked for. Sockets are bound before anything else
happens, so that a port in use leaves nothing half done.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from simpleflow.core import errors as core_errors

from . import app, connection

#: connections that may wait until they are accepted
_BACKLOG: Final = 2048
#: seconds between two looks at the connections
_TICK: Final = 1.0
#: seconds that calls get to be answered at the end
_GRACE: Final = 10.0
#: seconds between two looks whether that is over, and that the last connections get to close
_PAUSE: Final = 0.02
_LAST: Final = 1.0
#: bytes of the longest path of a unix socket
_PATH: Final = 107


class Listening(core_errors.SimpleflowError):
    """The service cannot listen where it was asked to; the message says why, and what to do."""


def unix_socket(path: Path) -> socket.socket:
    """Bind the user's socket, mode 0600, replacing one that nobody listens at any more. Raises Listening."""
    if len(os.fsencode(path)) > _PATH:
        raise Listening(f"the socket's path {path} is longer than {_PATH} bytes: set SIMPLEFLOW_RUNTIME_DIR to another")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Listening(f"{path} is not a socket: move it away, or set SIMPLEFLOW_RUNTIME_DIR to another folder")
        if answers(path):
            raise Listening(
                f"another server listens at {path}: stop it with 'simpleflow server stop', or set "
                "SIMPLEFLOW_RUNTIME_DIR for this one"
            )
        path.unlink()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)  # the socket is born with mode 0600: nobody can connect in between
    try:
        made.bind(str(path))
    except OSError as error:
        made.close()
        raise Listening(f"the socket {path} cannot be made: {error.strerror}") from error
    finally:
        os.umask(old)
    return made


def answers(path: Path) -> bool:
    """Whether somebody listens at a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def tcp_socket(host: str, port: int) -> socket.socket:
    """Bind a TCP port (0: any free one). Raises Listening when it is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen()  # two may bind one port with SO_REUSEADDR; only one may listen
    except OSError as error:
        made.close()
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise Listening(f"port {port} on {host} {reason}: choose another with --port, or end what uses it") from error
    return made


class Server:
    """Serves on sockets that are bound already, until ``end`` is called or ``look``, about once a second, says so."""

    def __init__(self, served: app.App, *, look: Callable[[], bool]) -> None:
        self.shared = connection.Shared(served.handle)
        #: seconds that calls get to be answered at the end
        self.grace = _GRACE
        self._app = served
        self._look = look
        self._ending = asyncio.Event()
        self._hurry = False
        self._servers: list[asyncio.Server] = []

    def end(self) -> None:
        """Stop; a second time: without waiting for what is carried out. Called on the loop."""
        self._hurry = self._ending.is_set()
        self._ending.set()

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Begin to answer on these sockets."""
        loop = asyncio.get_running_loop()
        make = functools.partial(connection.Connection, self.shared, loop)
        self._servers = [await loop.create_server(make, sock=each, backlog=_BACKLOG) for each in sockets]

    async def serve(self) -> None:
        """Serve until the end; then stop listening, answer the open polls, and wait for the calls that run."""
        loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), _TICK)
            self.shared.look(loop.time())
            if not self._ending.is_set() and self._look():
                self._ending.set()
        for server in self._servers:
            server.close()
        self._app.stop()
        self.shared.end()
        limit = loop.time() + self.grace
        while self.shared.connections and not self._hurry and loop.time() < limit:
            await asyncio.sleep(_PAUSE)
        self.shared.give_up()
        limit = loop.time() + _LAST
        while self.shared.connections and loop.time() < limit:
            await asyncio.sleep(_PAUSE)


def peers(sockets: Sequence[socket.socket]) -> Iterator[tuple[str, Any]]:
    """Name each socket: ('unix', path) or ('tcp', (host, port))."""
    for each in sockets:
        name = each.getsockname()
        yield ("unix", name) if each.family == socket.AF_UNIX else ("tcp", name[:2])
