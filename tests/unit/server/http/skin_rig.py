"""A real HTTP server, on a unix socket and a TCP port, over a host that a test controls."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from simpleflow.server.http import app, listener
from simpleflow.server.requests import auth, errors, faults, validation


class Host:
    """Answers what a test told it; polls wait until they are revoked or given something."""

    def __init__(self) -> None:
        self.polls: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.reset()

    def reset(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.cancelled: list[str] = []
        self.opened = threading.Event()
        self.withdrawn = threading.Event()
        #: whether the next page of a decision task is answered
        self.pages = False

    async def call(
        self,
        action: str,
        request: Mapping[str, Any],
        *,
        poll_id: str | None = None,
        again: bool = False,
        then: Any = None,
    ) -> Any:
        request = validation.check(action, request)
        self.calls.append((action, request))
        if again:
            return {"taskToken": f"that of {poll_id}"}
        if poll_id is not None and not (self.pages and "nextPageToken" in request):
            waiter = asyncio.get_running_loop().create_future()
            self.polls[poll_id] = waiter
            self.opened.set()
            try:
                return await waiter
            except asyncio.CancelledError:
                self.cancelled.append(poll_id)
                self.withdrawn.set()
                raise
            finally:
                if self.polls.get(poll_id) is waiter:
                    del self.polls[poll_id]
        answer = self.answers.get(action, {})
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def answer(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], then: Any
    ) -> tuple[list[errors.Fault | None], list[dict[str, Any]]]:
        self.calls += answers
        refusals = [errors.unknown_resource("gone") if each["taskToken"] == "gone" else None for _, each in answers]
        return refusals, [] if then is None else [{"taskToken": then.claim}] * then.most

    def leave(self, lists: Iterable[str], tokens: Iterable[str]) -> None:
        return

    def revoke(self, poll_id: str) -> bool:
        waiter = self.polls.get(poll_id)
        if waiter is None or waiter.done():
            return False
        waiter.set_result({"taskToken": "", "startedEventId": 0})
        return True


class Served:
    """A server in a thread of its own."""

    def __init__(self, folder: Path, keys: auth.Keys | None, provoked: faults.Faults | None) -> None:
        self.host = Host()
        self.app = app.App(self.host, keys=keys, provoked=provoked, status=lambda: {"pid": 1})
        self.server = listener.Server(self.app, look=lambda: False)
        self.path = folder / "s"
        self.sockets = [listener.unix_socket(self.path), listener.tcp_socket("127.0.0.1", 0)]
        self.port: int = self.sockets[1].getsockname()[1]
        self.ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), daemon=True)
        self._thread.start()
        assert self.ready.wait(10)

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        serving = asyncio.ensure_future(self.server.run_on(self.sockets))
        while not self.server.started:
            await asyncio.sleep(0.005)
        self.ready.set()
        await serving

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server did not end"

    def connect(self, *, tcp: bool = False) -> socket.socket:
        made = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        made.settimeout(120)
        made.connect(("127.0.0.1", self.port) if tcp else str(self.path))
        return made

    def raw(self, data: bytes, *, tcp: bool = False) -> bytes:
        """Send bytes, say that no more follow, and return all that comes back."""
        with self.connect(tcp=tcp) as made:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                made.sendall(data)
            return receive(made)

    def post(self, target: str, body: bytes, *, tcp: bool = False, headers: str = "") -> tuple[int, Any]:
        """Post one call; return the status and the decoded body."""
        answer = self.raw(head(target, len(body), "Connection: close\r\n" + headers) + body, tcp=tcp)
        status, _, rest = parse(answer)
        return status, msgspec.json.decode(rest) if rest else None


def head(target: str, length: int, headers: str = "", host: str = "localhost") -> bytes:
    top = f"POST / HTTP/1.1\r\nHost: {host}\r\nX-Amz-Target: {target}\r\n{headers}"
    return f"{top}Content-Length: {length}\r\n\r\n".encode()


def receive(made: socket.socket) -> bytes:
    """Everything until the server closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := made.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def parse(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer."""
    top, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = top.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), body


Serve = Callable[..., Served]
