"""One client's connection: HTTP/1.1 by httptools' parser, with limits on what a slow or broken client may hold.

Requests are carried out one after another, in the order in which they came; those that a client sends ahead wait here.
A whole request is handed to ``Shared.handle``, whose answer comes by ``Exchange.answer``, at once or later. There are
limits on the bytes of a request and of its head, a time within which a request must be complete, and a time after which
a client that reads nothing is dropped. A client that sends many requests at once is not read from before some of them
are answered. One that goes away while its request is carried out is told to ``Exchange.abandon``.

A request that arrives while a long poll is open on its connection closes the connection: the poll is withdrawn, the
request is not carried out. Such requests come from processes that were forked after their client had connected: each
believes the connection to be its own. The second request would wait for the poll, up to a minute. When the connection
is closed each process connects anew and repeats its request, as it does with Amazon SWF, whose TLS layer refuses
records that two processes have mixed.
"""

from __future__ import annotations

import asyncio
import collections
import email.utils
import http
import os
from collections.abc import Callable
from typing import Final, cast

import httptools

from simpleflow.core import limits
from simpleflow.server.requests import errors

#: bytes of request line and headers
HEAD_BYTES: Final = 32_768
#: bytes of a whole request, with the lines between its chunks; a body that is too long is refused long before
MESSAGE_BYTES: Final = 16 * limits.REQUEST_BYTES
#: a body that is too long is read and dropped up to this many bytes, so that the client reads why it was refused
DROPPED_BYTES: Final = 8 * limits.REQUEST_BYTES
#: requests that may wait behind the one that is carried out; with more, nothing is read from the client
BEHIND: Final = 100
#: bytes that a request which is still coming in may have while it waits
WAITING_BYTES: Final = 65_536
#: seconds from a request's first byte to its last
REQUEST_SECONDS: Final = 30.0
#: seconds in which a client must read something of its answer
STUCK_SECONDS: Final = 60.0
#: seconds that an idle connection is kept
IDLE_SECONDS: Final = 120.0

_STATUS: Final = {each.value: f"HTTP/1.1 {each.value} {each.phrase}".encode() for each in http.HTTPStatus}
_ENDING: Final = "The service is ending: call again"
#: of an answer that goes ahead: says so, and what is missing (JSON allows a blank there)
_AHEAD: Final = b"x-simpleflow-ahead: 1\r\n"
_LAST_BYTE: Final = b"\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Refused(Exception):
    """Ends the parsing of a request; the client gets the reason."""


class Shared:
    """What the connections of one server have in common."""

    def __init__(self, handle: Callable[[Exchange], None]) -> None:
        #: carries out a whole request
        self.handle = handle
        self.connections: set[Connection] = set()
        #: the service ends: each answer is the last one of its connection
        self.ending = False
        self._number = 0
        series = os.urandom(10).hex()
        self._series = f"{series[:8]}-{series[8:12]}-4{series[12:15]}-8{series[15:18]}-".encode()
        self.renew()

    def renew(self) -> None:
        """Take the date that answers carry."""
        date = email.utils.formatdate(usegmt=True).encode()
        self._date = b"\r\ndate: %b\r\nx-amzn-requestid: %b" % (date, self._series)
        self._good = _STATUS[200] + self._date

    def head(self, status: int, length: int, *, last: bool) -> bytes:
        """The head of an answer with a body of so many bytes; ``last``: the connection is closed then."""
        self._number += 1
        return b"%b%012x\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: %d\r\n%b\r\n" % (
            self._good if status == 200 else _STATUS[status] + self._date,
            self._number & 0xFFFFFFFFFFFF,
            length,
            b"connection: close\r\n" if last else b"",
        )

    def look(self, now: float) -> None:
        """Look at each connection, about once a second; ``now`` is the loop's time."""
        self.renew()
        for connection in list(self.connections):
            connection.look(now)

    def end(self) -> None:
        """Close each connection as soon as what came on it is answered."""
        self.ending = True
        for connection in list(self.connections):
            connection.end()

    def give_up(self) -> None:
        """Close each connection that is left."""
        for connection in list(self.connections):
            connection.give_up()


class Exchange:
    """A request, and the answer that it waits for."""

    __slots__ = ("abandon", "ahead", "body", "complete", "connection", "expects", "headers", "last", "method",
                 "refusal", "size", "url")  # fmt: skip

    def __init__(self, connection: Connection, method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.connection = connection
        self.method = method
        self.url = url
        #: names in lower case
        self.headers = headers
        self.body: bytes | bytearray = b""
        #: bytes of the body that came, also of one that is too long to be kept
        self.size = 0
        self.complete = False
        #: the connection is closed after its answer
        self.last = False
        #: its client waits for 100 Continue before it sends the body
        self.expects = False
        #: its answer went ahead: what is missing is the last byte
        self.ahead = False
        #: why it is not carried out, and the status of that answer
        self.refusal: tuple[errors.Fault, int] | None = None
        #: called when nobody waits for the answer any more
        self.abandon: Callable[[], object] | None = None

    def tell(self, body: bytes) -> None:
        """Send an answer ahead, but for its last byte; ``answer`` follows, or ``refuse``, which closes."""
        self.connection.tell(self, body)

    def answer(self, body: bytes) -> None:
        self.connection.answer(self, body)

    def refuse(self, fault: errors.Fault) -> None:
        if self.ahead:  # the client learns by the missing byte that it was nothing
            self.connection.drop()
            return
        self.connection.answer(self, fault.body(), fault.status, last=fault.status in (413, 503))


class Connection(asyncio.Protocol):
    """A connection that knows how long it has waited for its client."""

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop) -> None:
        self._shared = shared
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        # Bytes behind a request with "connection: close" are not an error: they are not read.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connection_made
        #: whether it came over TCP
        self.tcp = False
        #: withdraws the long poll that is open here; False when a task is on its way to it
        self.withdraw: Callable[[], bool] | None = None
        #: called when the client has gone, one for each decider that polls here
        self.when_lost: dict[str, Callable[[], object]] = {}
        #: whether the client has gone
        self.gone = False
        #: what comes is not read any more; nothing is sent any more; no request is taken behind the last one
        self._deaf = self._mute = self._final = False
        #: the request that is carried out, or comes in; those behind it; the one that comes in
        self._current: Exchange | None = None
        self.behind: collections.deque[Exchange] = collections.deque()
        self._incoming: Exchange | None = None
        self._advancing = False
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects = False
        #: bytes of the request that comes in, and how many it may have
        self._size = 0
        self._most = HEAD_BYTES
        self._why: tuple[int, str] | None = None
        #: a request is expected or has begun, and is not complete; since when
        self._open = True
        self._since: float | None = None
        #: since when nothing was asked
        self._idle: float | None = None
        #: bytes that the client has not read, and since when it has read none of them
        self._unread = 0
        self._unread_since = 0.0
        self._reading = self._writable = True

    # -- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._since = self._loop.time()
        self.tcp = isinstance(transport.get_extra_info("sockname"), tuple)
        self._shared.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = self._deaf = self._mute = True
        self._shared.connections.discard(self)
        current, self._current = self._current, None
        self.behind.clear()
        if current is not None and current.abandon is not None:
            current.abandon()
        for function in self.when_lost.values():
            function()
        self._parser = None

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._idle = None
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not self._deaf:
                self._refuse(*(self._why or (400, "Invalid HTTP request received.")))
        except httptools.HttpParserUpgrade:
            pass  # it was refused at the end of its head
        if self._size > self._most and not self._deaf:
            self._refuse(*self._too_long())
        if not self._open:
            self._since = None
        elif self._since is None:
            self._since = self._loop.time()

    def eof_received(self) -> bool:
        """Keep the connection for the answer to a call that is carried out: its client may only have ended its side.

        A client that waits for a task, or has sent more than that call, counts as gone.
        """
        current = self._current
        if current is None or not current.complete or current.abandon is not None or self.behind:
            return False
        self._deaf = current.last = True
        return True

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._advance()

    # -- what the parser calls

    def on_message_begin(self) -> None:
        self._look_for_open_poll()
        if self._deaf or self._final:
            self._deaf = True
            raise _Refused
        self._open = True
        self._url, self._headers, self._expects = b"", [], False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._incoming is not None:
            return  # it stands behind a chunked body, where nobody looks for a header
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._look_for_open_poll()  # the request may have begun before the poll was opened
        if self._size > HEAD_BYTES and self._head_size() > HEAD_BYTES:
            self._why = self._too_long()
            raise _Refused
        parser = self._parser
        if parser.should_upgrade():
            # the parser takes the body for the first bytes of the other protocol
            self._why = 400, "This is plain HTTP/1.1: send requests without the header Upgrade"
            raise _Refused
        self._most = MESSAGE_BYTES
        incoming = self._incoming = Exchange(self, parser.get_method(), self._url, self._headers)
        old = parser.get_http_version() == "1.0"
        incoming.last = old or not parser.should_keep_alive()
        incoming.expects = self._expects and not old  # RFC 9110, 10.1.1
        if self._current is None and not self.behind and self._writable:
            self._begin(incoming)
        else:
            self.behind.append(incoming)
            self._hold_back()

    def on_body(self, part: bytes) -> None:
        incoming = self._incoming
        if incoming is None:
            return
        size = incoming.size = incoming.size + len(part)
        if size <= limits.REQUEST_BYTES:
            if not incoming.body:
                incoming.body = part
            else:
                if type(incoming.body) is bytes:
                    incoming.body = bytearray(incoming.body)
                incoming.body += part
        elif size > DROPPED_BYTES:
            self._why = self._too_long()
            raise _Refused
        if incoming is not self._current and size > WAITING_BYTES:
            self._pause()

    def on_message_complete(self) -> None:
        self._size, self._most, self._open = 0, HEAD_BYTES, False
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            return
        incoming.complete = True
        self._final = incoming.last
        if incoming.size > limits.REQUEST_BYTES:
            fault = errors.protocol("RequestEntityTooLargeException", self._too_long()[1])
            incoming.refusal = fault, fault.status
        if incoming is self._current:
            self._carry_out(incoming)

    def _look_for_open_poll(self) -> None:
        if self.withdraw is None:
            return
        self._deaf = self._mute = True
        if self.withdraw():
            self.drop()
        else:
            self._mute = False
            if self._current is not None:
                self._current.last = True  # the task that is on its way is sent first
        raise _Refused

    def _head_size(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)

    def _too_long(self) -> tuple[int, str]:
        if self._most == HEAD_BYTES:
            return 431, f"The head of a request may have at most {HEAD_BYTES} bytes"
        return 413, f"A request may have at most {limits.REQUEST_BYTES} bytes"

    # -- one request after another

    def _begin(self, exchange: Exchange) -> None:
        self._current = exchange
        if exchange.complete:
            return
        if self._shared.ending:
            exchange.refuse(errors.unavailable(_ENDING))
        elif exchange.expects:
            self._transport.write(_CONTINUE)

    def _carry_out(self, exchange: Exchange) -> None:
        if exchange.refusal is None:
            self._shared.handle(exchange)
        else:
            fault, status = exchange.refusal
            self.answer(exchange, fault.body(), status, last=True)

    def answer(self, exchange: Exchange, body: bytes, status: int = 200, *, last: bool = False) -> None:
        """Send an answer, or what is missing of it; one that nobody waits for is dropped."""
        if self._mute or exchange is not self._current:
            return
        last = last or exchange.last or (self._shared.ending and not self.behind)
        self._current = exchange.abandon = None
        if exchange.ahead:
            self._transport.write(_LAST_BYTE)
        else:
            head = self._shared.head(status, len(body), last=last)
            self._transport.write(head if exchange.method == b"HEAD" else head + body)
        if last:
            self._deaf = self._mute = True
            self._transport.close()
        elif self.behind:
            self._advance()

    def tell(self, exchange: Exchange, body: bytes) -> None:
        """Send an answer ahead of its last byte."""
        if self._mute or exchange is not self._current:
            return
        exchange.ahead = True
        last = exchange.last or (self._shared.ending and not self.behind)
        head = self._shared.head(200, len(body) + len(_LAST_BYTE), last=last)
        self._transport.write(b"%b%b\r\n%b" % (head[:-2], _AHEAD, body))

    def _advance(self) -> None:
        """Carry out what waits, as long as answers come at once and are read."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self.behind and self._current is None and self._writable and not self._mute:
                exchange = self.behind.popleft()
                self._begin(exchange)
                if exchange.complete:
                    self._carry_out(exchange)
        finally:
            self._advancing = False
        self._hold_back()

    def _hold_back(self) -> None:
        """Read nothing more while many requests wait behind the one that is carried out.

        Otherwise go on reading: a client that goes away while its poll is open has to be noticed.
        """
        if self._mute:
            return
        if len(self.behind) > BEHIND:
            self._pause()
        elif not self._reading and (not self.behind or self.behind[-1].size <= WAITING_BYTES):
            self._reading = True
            self._transport.resume_reading()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    # -- the end of a connection

    def drop(self) -> None:
        """Close at once, without an answer, whatever the client has not read yet."""
        self._deaf = self._mute = True
        self._transport.abort()

    def end(self) -> None:
        """Close when the requests that came are answered. The service ends: it waits for no other one."""
        self._deaf = True
        current = self._current
        if current is None:
            self._mute = True
            self._transport.close()
        elif not current.complete:
            current.refuse(errors.unavailable(_ENDING))

    def give_up(self) -> None:
        """Wait no longer for the end of what is carried out, nor for the client to read."""
        current = self._current
        if current is not None:
            if current.abandon is not None:
                current.abandon()
            current.refuse(errors.unavailable(_ENDING))
        if self._transport.get_write_buffer_size():
            self.drop()

    def look(self, now: float) -> None:
        """Drop the client when it has been too slow; called about once a second."""
        current = self._current
        if self._open:
            if self._since is None or (current is not None and current.complete):
                self._since = now  # what its client sends while a request is carried out may wait
            elif now - self._since > REQUEST_SECONDS and not self._deaf:
                self._refuse(408, f"A request must be complete within {REQUEST_SECONDS:.0f} s")
                return
        elif current is None and not self._deaf:
            if self._idle is None:
                self._idle = now
            elif now - self._idle > IDLE_SECONDS:
                self._deaf = self._mute = True
                self._transport.close()
                return
        unread = self._transport.get_write_buffer_size()
        if not unread or unread != self._unread:
            self._unread, self._unread_since = unread, now
        elif now - self._unread_since > STUCK_SECONDS:
            self.drop()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what comes in when its turn comes, and close: nothing more is read."""
        self._deaf, self._open = True, False
        refused, self._incoming = self._incoming, None
        if refused is None:
            refused = Exchange(self, b"", b"", [])
            if self._current is None and not self.behind and self._writable:
                self._current = refused
            else:
                self.behind.append(refused)
        refused.complete = True
        refused.refusal = errors.protocol("SerializationException", message), status
        if refused is self._current:
            self._carry_out(refused)
