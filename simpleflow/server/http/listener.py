"""The sockets that the service listens on, and uvicorn, which ends only after open polls are answered.

A unix socket of mode 0600 for this user; a TCP port when one is asked for. Sockets are bound before anything else
happens, so that a port in use leaves nothing half done.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import uvicorn

from simpleflow.core import errors as core_errors

from . import app, connection

#: seconds that an idle connection of a client is kept
_KEEP_ALIVE: Final = 120
#: seconds that calls get to be answered at the end
_GRACE: Final = 10
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


class Server(uvicorn.Server):
    """uvicorn over sockets that are bound already; ``should_exit`` ends it, signals do not."""

    def __init__(self, app: app.App, *, look: Callable[[], bool]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=connection.Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # malformed requests are answered, not logged
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=_GRACE,
            )
        )
        self._app = app
        self._look = look

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Look at the connections, and whether it is time to end, about once a second."""
        if counter % 10 == 0:
            connection.look_at(self.server_state.connections, asyncio.get_running_loop().time())
            if self._look():
                self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer the open polls, and wait for the calls that run."""
        for server in self.servers:
            server.close()
        await self._app.stop()
        connection.end(self.server_state.connections)
        await super().shutdown(sockets)

    async def run_on(self, sockets: Sequence[socket.socket]) -> None:
        """Serve until ``should_exit``."""
        await self.serve(sockets=list(sockets))


def peers(sockets: Sequence[socket.socket]) -> Iterator[tuple[str, Any]]:
    """Name each socket: ('unix', path) or ('tcp', (host, port))."""
    for each in sockets:
        name = each.getsockname()
        yield ("unix", name) if each.family == socket.AF_UNIX else ("tcp", name[:2])
