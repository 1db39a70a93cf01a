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
from simpleflow.server.state import polls


class Waiter(str):
    """A poll that is open; it may be told its task ahead."""

    tell: Callable[[dict[str, Any]], object]


class Host:
    """Answers what a test told it; polls wait until they are revoked or given something."""

    def __init__(self) -> None:
        self.polls: dict[str, polls.Give] = {}
        #: the last poll
        self.waiter = Waiter()
        self.reset()

    def reset(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        #: names of the polls that are served first
        self.first: list[str | None] = []
        self.answers: dict[str, Any] = {}
        self.cancelled: list[str] = []
        #: decision tasks of deciders that are gone
        self.left: list[str] = []
        self.opened = threading.Event()
        self.withdrawn = threading.Event()
        #: actions whose answers a test gives later, and who waits for them
        self.hold: set[str] = set()
        self.held: list[polls.Give] = []
        #: whether the next page of a decision task is answered
        self.pages = False

    def call(
        self,
        action: str,
        request: Mapping[str, Any],
        give: polls.Give,
        *,
        poll_id: str | None = None,
        again: bool = False,
        first: bool = False,
        then: Any = None,
    ) -> Any:
        request = validation.check(action, request)
        self.calls.append((action, request))
        self.first += [poll_id] * first
        if again:
            give({"taskToken": f"that of {poll_id}"})
            return None
        if poll_id is not None and not (self.pages and "nextPageToken" in request):
            self.polls[poll_id] = give
            self.waiter = Waiter(poll_id)
            self.opened.set()
            return self.waiter
        if action in self.hold:
            self.held.append(give)
            self.opened.set()
            return None
        answer = self.answers.get(action, {})
        if isinstance(answer, Exception) and not isinstance(answer, errors.Fault):
            raise answer
        give(answer)
        return None

    def answer(self, answers: Sequence[tuple[str, Mapping[str, Any]]], then: Any, give: polls.GiveSeveral) -> Any:
        self.calls += answers
        refusals = [errors.unknown_resource("gone") if each["taskToken"] == "gone" else None for _, each in answers]
        give((refusals, [] if then is None else [{"taskToken": then.claim}] * then.most))

    def abandon(self, waiter: Any) -> None:
        if self.polls.pop(waiter, None) is not None:
            self.cancelled.append(waiter)
            self.withdrawn.set()

    def leave(self, lists: Iterable[str], tokens: Iterable[str]) -> None:
        self.left += tokens

    def revoke(self, poll_id: str) -> bool:
        give = self.polls.pop(poll_id, None)
        if give is None:
            return False
        give({"taskToken": "", "startedEventId": 0})
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
        await self.server.listen(self.sockets)
        self.ready.set()
        await self.server.serve()

    @property
    def connections(self) -> int:
        return len(self.server.shared.connections)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.server.end)
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
