"""A server process: it opens sockets, database, host and HTTP, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import uvloop

from simpleflow import _version
from simpleflow.core import clock as clocks
from simpleflow.core import errors as core_errors
from simpleflow.core import folders
from simpleflow.server import service
from simpleflow.server.http import app, listener
from simpleflow.server.requests import auth, faults
from simpleflow.server.store import base, memory, sqlite

from . import blobs, host, locks, places
from . import options as started

logger = logging.getLogger(__name__)

#: open files that a server with thousands of polls needs
_FILES = 65_536
#: seconds that a server which has stopped listening gets to end before the next one gives up
_PREDECESSOR = 15.0
#: objects that begin a pass of the garbage collector: calls leave no cycles behind
_COLLECT = 20_000
#: addresses that only this machine reaches
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Running:
    """One server. Its constructor takes the sockets and the database, or raises and leaves nothing."""

    def __init__(
        self,
        options: started.Options,
        where: places.Places,
        *,
        reset: bool = False,
        accept_damage: bool = False,
        stand_in: bool = False,
        say: Callable[[str], object] = lambda line: None,
    ) -> None:
        if options.port is not None and options.credentials is None and options.host not in _LOOPBACK:
            raise core_errors.UsageError(
                f"--host {options.host} is reachable by others: give --credentials FILE, or stay on 127.0.0.1"
            )
        if options.token and (options.port is None or options.credentials is not None):
            raise core_errors.UsageError(
                "--token is about a port without --credentials: give --port, and one of --token and --credentials"
            )
        self._options = options
        #: whether a command started it by itself: it gives way to a server that a person starts
        self._stand_in = stand_in
        self._places = where
        self._faults = faults.Faults(options.faults)
        real = clocks.RealClock()
        self._clock: clocks.Clock = faults.JumpingClock(real, self._faults) if self._faults.jumps else real
        keys = None if options.credentials is None else auth.load(Path(options.credentials), real)
        self.database = where.database(options.database)
        self.sockets: list[socket.socket] = []
        with contextlib.ExitStack() as undo:
            if options.port is not None:
                self._keep(listener.tcp_socket(options.host, options.port), undo)
            undo.callback(os.close, _only_one(where))
            self._keep(listener.unix_socket(where.socket), undo)
            undo.callback(where.socket.unlink, missing_ok=True)
            where.own_data()
            self._service = self._serve(self._store(reset, say))
            values = None
            if self.database is not None:
                values = blobs.Blobs(where.blobs, where.databases, self.database)
                values.register()
            token = started.token(where) if options.token else None
            # Written last: the record of a killed server stays when this one cannot start.
            started.write(where, msgspec.structs.replace(options, port=self.port))
            undo.callback(started.forget, where)
            self._undo = undo.pop_all()
        self._host = host.Host(
            self._service,
            before_commit=self._faults.commit if options.faults else None,
            before_flush=self._faults.flush if self._faults.slow else None,
            accept_damage=accept_damage,
            values=values,
        )
        self._app = app.App(
            self._host,
            keys=keys,
            token=token,
            provoked=self._faults if options.faults else None,
            status=self.status,
        )
        self._server = listener.Server(self._app, look=self._look)
        self._since = real.now()
        #: lock that keeps others from starting a server while this one, idle, ends
        self._ending: int | None = None

    def _keep(self, made: socket.socket, undo: contextlib.ExitStack) -> None:
        self.sockets.append(made)
        undo.callback(made.close)

    def _store(self, reset: bool, say: Callable[[str], object]) -> Any:
        if self.database is None:
            return memory.open_memory()
        synchronous: Literal["FULL", "NORMAL"] = "NORMAL" if self._options.synchronous == "normal" else "FULL"
        return sqlite.open_file(self.database, synchronous=synchronous, fresh=reset, say=say)

    def _serve(self, store: base.Store) -> service.Service:
        try:
            return service.Service(store, self._clock, limits=self._options.limits)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            if isinstance(store, sqlite.File):
                store.release()  # Closed without a commit: nothing more is written.
            raise base.StoreError(
                f"{self.database} is damaged ({error}): restore a backup (simpleflow server restore FILE), or name "
                "another database with --db"
            ) from error

    @property
    def port(self) -> int | None:
        """The TCP port, None without one."""
        return next((name[1] for kind, name in listener.peers(self.sockets) if kind == "tcp"), None)

    def status(self) -> Mapping[str, Any]:
        """Return the status that ``server status`` shows."""
        port = self.port
        return {
            "pid": os.getpid(),
            "version": _version.__version__,
            "endpoint": self._places.endpoint,
            "url": None if port is None else url(self._options.host, port),
            "database": ":memory:" if self.database is None else str(self.database),
            "synchronous": None if self.database is None else self._options.synchronous,
            "limits": self._options.limits,
            "signed": self._options.credentials is not None,
            "started": self._since,
            "open_polls": self._app.open_polls,
            "busy": self._host.busy,
            "idle_stop": self._options.idle,
            "stand_in": self._stand_in,
            #: whether requests to the port must carry the token
            "token": self._options.token,
            #: what the check at the start found
            "problems": self._host.problems or [],
        }

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT, or until idle; calls ``ready`` when requests are answered."""
        _raise_files()
        gc.freeze()  # What is there now stays: passes over it find nothing.
        gc.set_threshold(_COLLECT, 20, 50)
        with self._undo:
            uvloop.run(self._run(ready))
            if self._ending is not None:
                self._undo.callback(os.close, self._ending)

    async def _run(self, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._server.end)
        await self._host.start()
        try:
            await self._server.listen(self.sockets)
            ready()
            await self._server.serve()
        finally:
            await self._host.stop()

    def _look(self) -> bool:
        """Return whether a server that a command started ends now: it was idle. It then holds the lock of starts."""
        limit = self._options.idle
        if limit is None or self._host.busy or self._app.open_polls or self._app.quiet() < limit:
            return False
        self._ending = locks.try_hold(self._places.starting)
        if self._ending is None:
            return False
        logger.info("Nothing is open and nobody came for %.0f s: ending.", limit, extra={"action": "idle"})
        return True


def _only_one(where: places.Places) -> int:
    """Take the lock of this user's server; a server that has stopped listening gets time to end. Raises Listening."""
    limit = time.monotonic() + _PREDECESSOR
    where.own(make=True)
    while True:
        lock = locks.try_hold(where.lock)
        if lock is not None:
            return lock
        if listener.answers(where.socket) or time.monotonic() > limit:
            raise listener.Listening(
                f"another server runs at {where.endpoint}: use it ('simpleflow server status'), stop it "
                "('simpleflow server stop'), or set SIMPLEFLOW_RUNTIME_DIR for this one"
            )
        time.sleep(0.05)


def url(address: str, port: int) -> str:
    """Return the URL of a TCP port."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _raise_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def lines(options: started.Options, running: Running) -> Iterator[str]:
    """Return the lines that ``server start`` prints: comments, and variables to export."""
    status = running.status()
    place = f"pid {status['pid']}, database {folders.shown(status['database'])}"
    yield f"# The embedded service answers at {folders.shown(status['endpoint'])} ({place})."
    if status["synchronous"] == "normal":
        yield "# --synchronous normal: a power cut may lose the last commits; kill -9 loses nothing."
    if status["url"] is None:
        yield "# simpleflow's commands find it by themselves; for other SWF clients start it with --port N."
        return
    if options.token:
        yield "# The port answers to simpleflow's own clients of this user only: they send the token that lies beside"
        yield "# the socket. Other SWF clients need --credentials FILE instead."
    elif options.credentials is None:
        yield "# Any credentials are accepted, from this machine only. Every user of this machine may run code as you:"
        yield "# whoever schedules a task has your workers run it. --token or --credentials FILE closes it to them."
    if options.credentials is None:
        yield "export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1"
    else:
        yield f"# Requests to the port must be signed (SigV4) with a key of {folders.shown(options.credentials)}."
        yield "export AWS_DEFAULT_REGION=us-east-1"
    yield f"export AWS_ENDPOINT_URL_SWF={status['url']}"
