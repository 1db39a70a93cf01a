"""HTTP/1.1 over plain sockets, unix or TCP, kept open and reused: the embedded service and local emulators.

urllib3 costs a request of this kind four times more CPU, and cannot speak to a unix socket (bench/wire.py).
"""

from __future__ import annotations

import os
import re
import select
import socket
import struct
import time
import weakref
from collections import deque
from typing import Any

import httptools

from simpleflow.swf import errors

#: seconds until a connection must stand: the other side is this machine, or near it
CONNECT_SECONDS = 5.0
#: connections that are kept while nobody uses them
IDLE = 64
_CHUNK = 1 << 16
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n")


class Sockets:
    """Posts to one address. Thread safe: each exchange has a connection of its own meanwhile."""

    def __init__(self, address: str | tuple[str, int], *, host: str, path: str, shown: str) -> None:
        """``address``: a unix socket's path, or host and port; ``host``: the Host header; ``shown``: for errors."""
        self._address = address
        self._shown = shown
        self._first = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n".encode()
        self._idle: deque[_Connection] = deque()
        self._closed = False
        _pools.add(self)

    def post(self, headers: dict[str, str], body: bytes, timeout: float) -> tuple[int, bytes | bytearray]:
        """Send one request, return status and body. Raises TransportError."""
        head = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        request = b"%b%bContent-Length: %d\r\n\r\n%b" % (self._first, head.encode("latin-1"), len(body), body)
        connection = self._take()
        try:
            status, answer, reusable = connection.exchange(request, timeout)
        except (OSError, httptools.HttpParserError) as error:
            connection.close()
            raise errors.TransportError(f"no answer from {self._shown} ({error or type(error).__name__})") from error
        except BaseException:
            connection.close()  # an interrupted exchange leaves an answer on the way
            raise
        if reusable and not self._closed and len(self._idle) < IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        return status, answer

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def forked(self) -> None:
        """Called in a forked child: the connections are its parent's, who would get the child's answers."""
        self._idle = deque()

    def __del__(self) -> None:
        self.close()  # as urllib3's pools do: a forgotten transport leaves no socket open

    def _take(self) -> _Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if connection.quiet():
                return connection
            connection.close()
        try:
            return _Connection(self._address)
        except OSError as error:
            raise errors.TransportError(
                f"nobody answers at {self._shown} ({error}): does the service run? See simpleflow server.status"
            ) from error


class _Connection:
    """One socket, for one exchange at a time."""

    def __init__(self, address: str | tuple[str, int]) -> None:
        if isinstance(address, str):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._socket.settimeout(CONNECT_SECONDS)
                self._socket.connect(address)
            except BaseException:
                self._socket.close()
                raise
        else:
            self._socket = socket.create_connection(address, CONNECT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Timeouts of the kernel: Python's own cost a poll() and an ioctl() around each send and receive.
        self._socket.setblocking(True)
        self._timeout = 0.0
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._buffer = bytearray(_CHUNK)
        self._deadline = 0.0
        _connections.add(self)

    def quiet(self) -> bool:
        """Whether the other side has neither closed it nor sent what nobody asked for."""
        return not self._poll.poll(0)

    def exchange(self, request: bytes, timeout: float) -> tuple[int, bytes | bytearray, bool]:
        """Return status, body, and whether the connection may be used again."""
        if timeout != self._timeout:
            limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        try:
            self._socket.sendall(request)
            return self._answer()
        except BlockingIOError:
            raise TimeoutError(f"nothing within {timeout:g} s") from None

    def _answer(self) -> tuple[int, bytes | bytearray, bool]:
        """Read an answer of known length straight to its place; leave every other kind to httptools."""
        got = self._receive(memoryview(self._buffer))
        end = self._buffer.find(b"\r\n\r\n", 0, got)
        head = bytes(self._buffer[: end + 2]).lower() if end > 0 else b""
        found = _LENGTH.search(head)
        if not head.startswith(b"http/1.1 ") or found is None or b"\r\ntransfer-encoding:" in head:
            return self._parsed(got)
        body = bytearray(int(found[1]))
        view, filled = memoryview(body), got - end - 4
        if filled > len(body):
            raise ConnectionAbortedError("more came than the answer's length")
        view[:filled] = memoryview(self._buffer)[end + 4 : got]
        while filled < len(body):
            filled += self._receive(view[filled:])
        return int(head[9:12]), body, b"\r\nconnection: close" not in head

    def _parsed(self, got: int) -> tuple[int, bytes, bool]:
        answer = _Answer()
        parser = answer.parser = httptools.HttpResponseParser(answer)
        view = memoryview(self._buffer)
        parser.feed_data(view[:got])
        while not answer.complete:
            parser.feed_data(view[: self._receive(view)])
        answer.parser = None
        return parser.get_status_code(), b"".join(answer.parts), answer.reusable

    def _receive(self, place: memoryview) -> int:
        count = self._socket.recv_into(place)
        if not count:
            raise ConnectionResetError("the connection was closed before the answer")
        if time.monotonic() > self._deadline:
            raise BlockingIOError
        return count

    def close(self) -> None:
        self._socket.close()


_pools: weakref.WeakSet[Sockets] = weakref.WeakSet()
_connections: weakref.WeakSet[_Connection] = weakref.WeakSet()


def _forked() -> None:
    for connection in list(_connections):  # those in use too: an open copy hides the parent's death from the service
        connection.close()
    for pool in list(_pools):
        pool.forked()


os.register_at_fork(after_in_child=_forked)


class _Answer:
    """Collects what httptools finds."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.complete = False
        self.reusable = False
        self.parser: Any = None

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        self.complete = True
        self.reusable = self.parser.should_keep_alive()  # known while the message ends, forgotten afterwards
