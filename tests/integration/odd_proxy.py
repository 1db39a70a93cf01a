"""A proxy before the embedded service that gives a part of all calls the answers of a bad network."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import threading
from collections import Counter

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


class OddProxy:
    """Listens on a loopback port. ``share`` of all calls meet each fault, half of them after they were carried out."""

    def __init__(self, service: str, *, share: float, seed: int = 1) -> None:
        self._service = service
        self.share = share
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.met: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            rest = b""
            while True:
                request, rest = _message(client, rest)
                fault, after = self._chosen(request)
                answer = b""
                if not fault or after:
                    answer = self._carried_out(client, request)
                client.sendall(FAULTS[fault] if fault else answer)
                if fault in _CUT or not (fault or answer):
                    return

    def _chosen(self, request: bytes) -> tuple[str, bool]:
        found = re.search(rb"x-amz-target: *\w+\.(\w+)", request[:2000], re.IGNORECASE)
        action = found[1].decode() if found else "?"
        with self._lock:
            self.calls[action] += 1
            number, after = self._random.random(), self._random.random() < 0.5
            index = int(number / self.share)
            if index >= len(FAULTS):
                return "", False
            fault = list(FAULTS)[index]
            self.met[fault] += 1
        return fault, after

    def _carried_out(self, client: socket.socket, request: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as service:
            service.connect(self._service)
            service.sendall(request)
            # A client that goes away must be seen by the service, as without a proxy.
            gone = threading.Event()

            def watch() -> None:
                while not gone.wait(0.1):
                    with contextlib.suppress(OSError):  # the connection may be over meanwhile
                        client.settimeout(None)
                        if client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                            service.shutdown(socket.SHUT_RDWR)
                            return

            threading.Thread(target=watch, daemon=True).start()
            try:
                return _message(service, b"")[0]
            finally:
                gone.set()


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
