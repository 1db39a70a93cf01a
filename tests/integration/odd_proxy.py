"""A proxy before the embedded service that gives a part of all calls the answers of a bad network."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import random
import re
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

_HTML = b"<html><body><h1>Sign in</h1></body></html>"


def _answer(status: int, body: bytes, kind: str = "text/html") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _said(code: str) -> bytes:
    return _answer(400, b'{"__type":"com.amazon.coral.service#%b"}' % code.encode(), "application/x-amz-json-1.0")


#: name -> bytes in the place of the service's answer
FAULTS = {
    **{str(status): _answer(status, _HTML) for status in (302, 400, 403, 404, 408, 429)},
    "200 with HTML": _answer(200, _HTML),
    "200 and empty": _answer(200, b""),
    "truncated": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
    "garbage": b"HTTP/1.1 \xff\xfe OK\r\nContent-Length: 2\r\n\r\n{}",
    **{code: _said(code) for code in ("ExpiredTokenException", "InvalidSignatureException", "ThrottlingException")},
}
_CUT = {"truncated", "garbage"}
_EXTENSIONS = re.compile(rb"(?im)^x-simpleflow-[^\r]*\r\n")
_RESET = struct.pack("ii", 1, 0)


class Call(NamedTuple):
    """A request that came."""

    action: str
    request: bytes
    #: seconds that its connection had been idle
    idle: float


class Met(NamedTuple):
    """What a call gets in the place of its answer."""

    answer: bytes = b""
    #: the service carries it out all the same
    after: bool = False
    #: the connection is closed then, or reset
    ends: bool = False
    reset: bool = False


def met(fault: str, *, after: bool = False) -> Met:
    """One of ``FAULTS``."""
    return Met(FAULTS[fault], after=after, ends=fault in _CUT)


def said(code: str, date: datetime.datetime) -> Met:
    """A refusal by a service whose clock shows ``date``."""
    head, blank, body = _said(code).partition(b"\r\n\r\n")
    return Met(head + b"\r\nDate: " + email.utils.format_datetime(date, usegmt=True).encode() + blank + body)


#: the connection is reset in the place of an answer
RESET = Met(reset=True)
#: the answer of a call that was carried out is lost
LOST = Met(after=True, reset=True)


class OddProxy:
    """Listens on a loopback port. ``share`` of all calls meet each fault, half of them after they were carried out."""

    def __init__(self, service: str, *, share: float, seed: int = 1) -> None:
        self._service = service
        self.share = share
        #: what a call meets besides; None: the share decides
        self.judge: Callable[[Call], Met | None] = lambda call: None
        #: whether the extensions of our own protocol are kept from the service: Amazon's is spoken then
        self.plain = False
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.met: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._clients: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._thread.join(10)

    def cut(self) -> None:
        """End all connections that stand."""
        for client in list(self._clients):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            self._pass(client)
        finally:
            self._clients.discard(client)

    def _pass(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as service:
            self._clients.add(client)
            service.connect(self._service)
            rest = behind = b""
            while True:
                since = time.monotonic()
                request, rest = _message(client, rest)
                found = self._met(request, time.monotonic() - since)
                answer = b""
                if found is None or found.after:
                    answer, behind = self._carried_out(client, service, request, behind)
                if found is not None and found.reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    return
                client.sendall(answer if found is None else found.answer)
                if found is not None and found.ends:
                    return

    def _met(self, request: bytes, idle: float) -> Met | None:
        found = re.search(rb"x-amz-target: *\w+\.(\w+)", request[:2000], re.IGNORECASE)
        call = Call(found[1].decode() if found else "?", request, idle)
        with self._lock:
            self.calls[call.action] += 1
            judged = self.judge(call)
            if judged is not None:
                return judged
            number, after = self._random.random(), self._random.random() < 0.5
            index = int(number / self.share) if self.share else len(FAULTS)
            if index >= len(FAULTS):
                return None
            fault = list(FAULTS)[index]
            self.met[fault] += 1
        return met(fault, after=after)

    def _carried_out(
        self, client: socket.socket, service: socket.socket, request: bytes, behind: bytes
    ) -> tuple[bytes, bytes]:
        if self.plain:  # its calls are unknown then
            request = _EXTENSIONS.sub(b"", request).replace(b"SimpleflowEmbedded.", b"Unknown.", 1)
        service.sendall(request)
        with selectors.DefaultSelector() as ready:
            for each in (client, service):
                ready.register(each, selectors.EVENT_READ)
            # A client that goes away must be seen by the service, as without a proxy.
            while not [key for key, _ in ready.select() if key.fileobj is service]:
                if client.recv(1, socket.MSG_PEEK) == b"":
                    raise ConnectionError("the client has gone")
                ready.unregister(client)  # it has sent its next request already
        return _message(service, behind)


def _message(connection: socket.socket, got: bytes) -> tuple[bytes, bytes]:
    """Return one HTTP message with its body, and what came after it. Raises ConnectionError at the end."""
    while b"\r\n\r\n" not in got:
        got += _more(connection)
    end = got.index(b"\r\n\r\n") + 4
    found = re.search(rb"content-length: *(\d+)", got[:end], re.IGNORECASE)
    end += int(found[1]) if found else 0
    while len(got) < end:
        got += _more(connection)
    return got[:end], got[end:]


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise ConnectionError("closed")
    return data
