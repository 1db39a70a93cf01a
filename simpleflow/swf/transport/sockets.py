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

from . import owner

#: seconds until a connection must stand: the other side is this machine, or near it
CONNECT_SECONDS = 5.0
#: connections that are kept while nobody uses them, and for so many seconds: networks forget them silently (350 s on
#: AWS), and a request on such a one waits for nothing
IDLE, IDLE_SECONDS = 64, 60.0
#: bytes of the longest answer: a page of 1,000 events whose texts are all at their limits is shorter
LONGEST = 256 << 20
_CHUNK = 1 << 16
#: bytes of the longest head
_HEAD = 4 * _CHUNK
_STATUS = re.compile(rb"http/1\.1 (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n")


def _options() -> list[tuple[int, int, int]]:
    found = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    # Probes keep the way through a network open, and a way that is gone ends the connection within a minute or so.
    for name, value in (("TCP_KEEPIDLE", 45), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000)):
        if hasattr(socket, name):
            found.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return found


#: of each TCP connection
OPTIONS = _options()


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

    def post(self, headers: dict[str, str], body: bytes, timeout: float) -> tuple[int, bytes | bytearray, bytes]:
        """Send one request, return status, body and head. Raises TransportError."""
        head = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        request = b"%b%bContent-Length: %d\r\n\r\n%b" % (self._first, head.encode("latin-1"), len(body), body)
        connection = self._take()
        try:
            status, answer, answered, reusable = connection.exchange(request, timeout)
        except Exception as error:  # also what a parser says of bytes that are not HTTP
            connection.close()
            raise errors.TransportError(f"no answer from {self._shown} ({error or type(error).__name__})") from error
        except BaseException:
            connection.close()  # an interrupted exchange leaves an answer on the way
            raise
        if reusable and not self._closed and len(self._idle) < IDLE:
            connection.since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()
        return status, answer, answered

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
            if time.monotonic() - connection.since < IDLE_SECONDS and connection.quiet():
                return connection
            connection.close()
        try:
            return _Connection(self._address)
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be one of a machine
            raise errors.NotSent(
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
                owner.check_peer(self._socket, address)
            except BaseException:
                self._socket.close()
                raise
        else:
            self._socket = socket.create_connection(address, CONNECT_SECONDS)
            for level, option, value in OPTIONS:
                self._socket.setsockopt(level, option, value)
        # Timeouts of the kernel: Python's own cost a poll() and an ioctl() around each send and receive.
        self._socket.setblocking(True)
        self._timeout = 0.0
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._buffer = bytearray(_CHUNK)
        self._deadline = 0.0
        #: when it was last put back
        self.since = 0.0
        _connections.add(self)

    def quiet(self) -> bool:
        """Whether the other side has neither closed it nor sent what nobody asked for."""
        return not self._poll.poll(0)

    def exchange(self, request: bytes, timeout: float) -> tuple[int, bytes | bytearray, bytes, bool]:
        """Return status, body, head, and whether the connection may be used again."""
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

    def _answer(self) -> tuple[int, bytes | bytearray, bytes, bool]:
        """Read an answer of known length straight to its place; leave every other kind to httptools."""
        got = self._receive(memoryview(self._buffer))
        end = self._buffer.find(b"\r\n\r\n", 0, got)
        head = bytes(self._buffer[: end + 2]).lower() if end > 0 else b""
        status, found = _STATUS.match(head), _LENGTH.search(head)
        if status is None or found is None or b"\r\ntransfer-encoding:" in head:
            return self._parsed(got)
        length = int(found[1])
        if length > LONGEST:
            raise ConnectionAbortedError(f"an answer of {length} bytes was announced")
        body = bytearray(length)
        view, filled = memoryview(body), got - end - 4
        if filled > len(body):
            raise ConnectionAbortedError("more came than the answer's length")
        view[:filled] = memoryview(self._buffer)[end + 4 : got]
        while filled < len(body):
            filled += self._receive(view[filled:])
        return int(status[1]), body, head, b"\r\nconnection: close" not in head

    def _parsed(self, got: int) -> tuple[int, bytes, bytes, bool]:
        answer = _Answer()
        parser = answer.parser = httptools.HttpResponseParser(answer)
        view, total = memoryview(self._buffer), got
        parser.feed_data(view[:got])
        while not answer.complete:
            got = self._receive(view)
            total += got
            if total > (LONGEST if answer.begun else _HEAD):
                raise ConnectionAbortedError(f"the answer is longer than {total} bytes")
            parser.feed_data(view[:got])
        answer.parser = None
        return parser.get_status_code(), b"".join(answer.parts), b"".join(answer.head) + b"\r\n", answer.reusable

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
        self.head: list[bytes] = []
        self.begun = False
        self.complete = False
        self.reusable = False
        self.parser: Any = None

    def on_header(self, name: bytes, value: bytes) -> None:
        self.head.append(b"\r\n%b: %b" % (name.lower(), value.lower()))

    def on_headers_complete(self) -> None:
        self.begun = True

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        self.complete = True
        self.reusable = self.parser.should_keep_alive()  # known while the message ends, forgotten afterwards
