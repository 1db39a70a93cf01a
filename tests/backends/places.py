"""One workflow on three backends: in this process, on the embedded service, and over signed HTTP.

    def test_it_doubles(backend: Backend) -> None:
        assert backend.run(Double, 2) == 4

Decider and worker are those of ``testing.Environment``, in virtual time, on each of them. What differs is the service:

- local: in memory, called as a function;
- embedded: a database on disk behind the user's unix socket; a decision task brings what is new;
- http: a database on disk behind a TCP port whose requests are signed; values over SWF's limits lie in files.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from simpleflow.client import Client, connect
from simpleflow.core import clock as clocks
from simpleflow.local import inline
from simpleflow.server import service
from simpleflow.server.http import app, listener
from simpleflow.server.process import host
from simpleflow.server.requests import auth
from simpleflow.server.store import sqlite
from simpleflow.testing.environment import Environment, Run

NAMES = ("local", "embedded", "http")
_KEYS = "[test]\naws_access_key_id = AKIDTHREEBACKENDS\naws_secret_access_key = of-the-test\n"
#: what the client's side of ``_KEYS`` is
SIGNED = {
    "AWS_ACCESS_KEY_ID": "AKIDTHREEBACKENDS",
    "AWS_SECRET_ACCESS_KEY": "of-the-test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


#: threads of servers that were told to end
_ENDING: list[threading.Thread] = []


def join() -> None:
    """Wait until the servers of tests that are over have ended."""
    for thread in _ENDING:
        thread.join(60)
        assert not thread.is_alive(), "a server did not end"
    _ENDING.clear()


class _Host(host.Host):
    """Polls wait for nothing here, but for the commit that is to come: it may bring them a task."""

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._pending:
            self._expiry = loop.call_later(0.001, self._expire, loop)
        else:
            super()._expire(loop)


class Served:
    """A server of this process, in a thread of its own, whose time a test moves."""

    def __init__(self, time: clocks.Clock, *, signed: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sf-"))  # a socket's path must be short
        self._ready = threading.Event()
        keys = None
        if signed:
            credentials = self.folder / "credentials"
            credentials.write_text(_KEYS)
            credentials.chmod(0o600)
            keys = auth.load(credentials, clocks.RealClock())
        socket = listener.tcp_socket("127.0.0.1", 0) if signed else listener.unix_socket(self.folder / "s")
        self.endpoint_url = f"http://127.0.0.1:{socket.getsockname()[1]}" if signed else f"unix://{self.folder}/s"
        self._thread = threading.Thread(target=lambda: self._run(time, keys, socket), name="served", daemon=True)
        self._thread.start()
        while not self._ready.wait(0.05):
            assert self._thread.is_alive(), "the server did not start"
        self.connection = connect.connect(domain=inline.DOMAIN, endpoint_url=self.endpoint_url)
        if signed:  # nobody registers domains of a service that is not the user's own
            request = {"name": inline.DOMAIN, "workflowExecutionRetentionPeriodInDays": "30"}
            self.connection.transport.call("RegisterDomain", request)

    def _run(self, time: clocks.Clock, keys: auth.Keys | None, socket: Any) -> None:
        uvloop.run(self._serve(time, keys, socket))
        shutil.rmtree(self.folder)

    async def _serve(self, time: clocks.Clock, keys: auth.Keys | None, socket: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self.service = service.Service(sqlite.open_file(self.folder / "swf.db"), time)
        self._host = hosted = _Host(self.service, poll_seconds=0.0)
        self._server = listener.Server(app.App(hosted, keys=keys), look=lambda: False)
        await hosted.start()
        try:
            await self._server.listen([socket])
            self._ready.set()
            await self._server.serve()
        finally:
            await hosted.stop()

    def _there(self, what: Callable[[], Any]) -> Any:
        async def call() -> Any:
            found = what()
            # Answered once the disk has all that was written before: a poll that comes next sees every task.
            answered = self._loop.create_future()
            self._host.call("ListDomains", {"registrationStatus": "REGISTERED"}, answered.set_result)
            await answered
            return found

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(60)

    def fire_due(self) -> bool:
        return bool(self._there(self.service.fire_due))

    def next_deadline(self) -> float | None:
        found: float | None = self._there(self.service.next_deadline)
        return found

    def close(self) -> None:
        """Let it end; ``join`` waits for that, at the end of the session: its last ticks take longer than a test."""
        self.connection.close()
        self._loop.call_soon_threadsafe(self._server.end)
        _ENDING.append(self._thread)


#: that of the test that runs
_RUNNING: list[Backend] = []


def environment(*workflows: type, **options: Any) -> Environment:
    """Return an environment on the backend of the running test, which uses the fixture ``backend``."""
    return _RUNNING[-1].environment(*workflows, **options)


class Backend:
    """One of the three. ``run`` is the short form; ``environment`` makes a place for what needs more."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        _RUNNING.append(self)
        self._served: list[Served] = []
        self._opened: list[Environment] = []

    def environment(self, *workflows: type, **options: Any) -> Environment:
        """Return an environment on this backend; ``options`` as of ``testing.Environment``. It ends with the test."""
        if self.name != "local":
            options["opened"] = self._open
        if self.name == "http":
            options.setdefault("jumbo", f"file://{self._folder / 'values'}")
        made = Environment(workflows=workflows, **options)
        self._opened.append(made)
        return made

    def _open(self, time: clocks.Clock) -> Served:
        made = Served(time, signed=self.name == "http")
        self._served.append(made)
        return made

    def run(self, program: type, *args: Any, **kwargs: Any) -> Any:
        """Run a workflow to its end and return its result. Raises ``testing.Failed``."""
        return self.environment(program).run(program, *args, **kwargs)

    def played(self, program: type, *args: Any, **kwargs: Any) -> tuple[Any, list[Any]]:
        """Run a workflow to its end; return its result and its history."""
        place = self.environment(program)
        run: Run = place.start(program, *args, **kwargs)
        return place.wait(run), place.history(run)

    def unreferenced(self) -> list[str]:
        """Return the digests of values that no kept history names, of the last service: they may be deleted."""
        served = self._served[-1]
        found: list[str] = served._there(lambda: served.service.store.unreferenced(float("inf"), 1_000))
        return found

    def client(self, place: Environment) -> Client:
        """Return a client of this backend's service."""
        return Client(place.connection)

    def close(self) -> None:
        _RUNNING.remove(self)
        for place in self._opened:
            place.close()
        for served in self._served:
            served.close()
