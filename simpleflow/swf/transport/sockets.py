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
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

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
#: seconds between two looks at the time while an answer is waited for, and that a request may wait to be taken: to set
#: the kernel's timeouts for each request costs more
_LOOK, _SENDING = 5.0, 20.0
_STATUS = re.compile(rb"http/1\.1 (\d{3})[ \r]")
#: an answer whose last byte says that it holds (docs/reference/formats.md)
_AHEAD = b"\r\nx-simpleflow-ahead:"
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


class Request(NamedTuple):
    """One request to post."""

    headers: dict[str, str]
    body: bytes
    #: seconds that its answer may take
    timeout: float


#: status, body and head of an answer
Answered: TypeAlias = tuple[int, bytes | bytearray, bytes]
#: gets an answer (status, body, head) of which only the last byte is missing
Tell: TypeAlias = Callable[[int, memoryview, bytes], object]


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

    def post(self, headers: dict[str, str], body: bytes, timeout: float) -> Answered:
        """Send one request, return status, body and head. Raises TransportError."""
        connection, request = self._take(), self._text(headers, body)
        status, answer, head, reusable = self._try(connection, lambda: connection.exchange(request, timeout))
        self._put_back(connection, reusable=reusable)
        return status, answer, head

    def post_told(self, request: Request, tell: Tell) -> Answered:
        """As ``post``; ``tell`` is called where the service sends the answer ahead of its last byte."""
        connection, text = self._take(), self._text(request.headers, request.body)
        status, answer, head, reusable = self._try(
            connection, lambda: connection.exchange(text, request.timeout, tell=tell)
        )
        self._put_back(connection, reusable=reusable)
        return status, answer, head

    def post_both(self, first: Request, second: Request) -> tuple[Answered, Behind]:
        """Send two requests together; return the answer to the first one, and what waits for that to the second.

        Raises TransportError.
        """
        connection = self._take()
        request = self._text(first.headers, first.body) + self._text(second.headers, second.body)
        exchange = lambda: connection.exchange(request, first.timeout, behind=True)  # noqa: E731 - a name for one call
        status, answer, head, _ = self._try(connection, exchange)
        return (status, answer, head), Behind(self, connection, second.timeout)

    def receive(self, connection: _Connection, timeout: float, tell: Tell | None = None) -> Answered:
        """Wait for another answer on a connection; ``tell`` as in ``post_told``. Raises TransportError."""
        status, answer, head, reusable = self._try(connection, lambda: connection.receive(timeout, tell=tell))
        self._put_back(connection, reusable=reusable)
        return status, answer, head

    def _text(self, headers: dict[str, str], body: bytes) -> bytes:
        head = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._first, head.encode("latin-1"), len(body), body)

    def _try(self, connection: _Connection, exchange: Callable[[], _Received]) -> _Received:
        try:
            return exchange()
        except Exception as error:  # also what a parser says of bytes that are not HTTP
            connection.close()
            raise errors.TransportError(f"no answer from {self._shown} ({error or type(error).__name__})") from error
        except BaseException:
            connection.close()  # an interrupted exchange leaves an answer on the way
            raise

    def _put_back(self, connection: _Connection, *, reusable: bool) -> None:
        if reusable and not self._closed and len(self._idle) < IDLE:
            connection.since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

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


class Behind:
    """The answer to the second of two requests: either method is called, once."""

    __slots__ = ("_connection", "_pool", "_timeout")

    def __init__(self, pool: Sockets, connection: _Connection, timeout: float) -> None:
        self._pool = pool
        self._connection = connection
        self._timeout = timeout

    def receive(self, tell: Tell | None = None) -> Answered:
        """Wait for it; ``tell`` as in ``Sockets.post_told``. Raises TransportError."""
        return self._pool.receive(self._connection, self._timeout, tell)

    def drop(self) -> None:
        """Close its connection: the other side sees that nobody waits."""
        self._connection.close()


#: status, body and head of an answer, and whether its connection may be used again
_Received: TypeAlias = tuple[int, bytes | bytearray, bytes, bool]


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
        #: what came behind the last answer
        self._rest = b""
        #: when it was last put back
        self.since = 0.0
        _connections.add(self)

    def quiet(self) -> bool:
        """Whether the other side has neither closed it nor sent what nobody asked for."""
        return not self._poll.poll(0)

    def exchange(self, request: bytes, timeout: float, *, behind: bool = False, tell: Tell | None = None) -> _Received:
        """Send a request and receive its answer; ``behind``: the request is two, and this is the first one's."""
        sending = min(timeout, _SENDING)
        if sending != self._timeout:
            for option, limit in ((socket.SO_RCVTIMEO, min(timeout, _LOOK)), (socket.SO_SNDTIMEO, sending)):
                value = struct.pack("ll", int(limit), int(limit % 1 * 1_000_000))
                self._socket.setsockopt(socket.SOL_SOCKET, option, value)
            self._timeout = sending
        try:
            self._socket.sendall(request)
        except BlockingIOError:
            raise TimeoutError(f"the request was not taken within {sending:g} s") from None
        return self.receive(timeout, behind=behind, tell=tell)

    def receive(self, timeout: float, *, behind: bool = False, tell: Tell | None = None) -> _Received:
        """Receive an answer; ``behind``: another one comes behind it."""
        self._deadline = time.monotonic() + timeout
        try:
            return self._answer(behind, tell)
        except BlockingIOError:
            raise TimeoutError(f"nothing within {timeout:g} s") from None

    def _answer(self, behind: bool, tell: Tell | None) -> _Received:
        """Read an answer of known length straight to its place; leave every other kind to httptools."""
        rest, self._rest = self._rest, b""
        got = len(rest)
        if rest:
            self._buffer[:got] = rest
        else:
            got = self._receive(memoryview(self._buffer))
        end = self._buffer.find(b"\r\n\r\n", 0, got)
        head = bytes(self._buffer[: end + 2]).lower() if end > 0 else b""
        status, found = _STATUS.match(head), _LENGTH.search(head)
        if status is None or found is None or b"\r\ntransfer-encoding:" in head:
            if behind:
                raise ConnectionAbortedError("the answer has no length")
            return self._parsed(got)
        length = int(found[1])
        if length > LONGEST:
            raise ConnectionAbortedError(f"an answer of {length} bytes was announced")
        body = bytearray(length)
        view, filled = memoryview(body), got - end - 4
        if filled > length:
            if not behind:
                raise ConnectionAbortedError("more came than the answer's length")
            self._rest, filled = bytes(memoryview(self._buffer)[end + 4 + length : got]), length
        view[:filled] = memoryview(self._buffer)[end + 4 : end + 4 + filled]
        if tell is not None and _AHEAD in head:
            while filled < length - 1:
                filled += self._receive(view[filled : length - 1])
            if filled < length:
                tell(int(status[1]), view[: length - 1], head)
        while filled < length:
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
        while True:
            try:
                count = self._socket.recv_into(place)
                break
            except BlockingIOError:
                if time.monotonic() > self._deadline:
                    raise
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
