"""One client's connection: uvicorn's httptools protocol, with limits on what a slow or broken client may hold.

What is added: limits on the bytes of a request and of its head, a time within which a request must be complete, a time
after which a client that reads nothing is dropped, and the cancellation of a long poll whose client has gone. A client
that sends many requests at once is not read from before some of them are answered.

A request that arrives while a long poll is open on its connection closes the connection: the poll is withdrawn, the
request is not carried out. Such requests come from processes that were forked after their client had connected: each
believes the connection to be its own. The second request would wait for the poll, up to a minute. When the connection
is closed each process connects anew and repeats its request, as it does with Amazon SWF, whose TLS layer refuses
records that two processes have mixed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from uvicorn.protocols.http import httptools_impl

from simpleflow.core import limits
from simpleflow.server.requests import errors

#: bytes of request line and headers
HEAD_BYTES: Final = 32_768
#: bytes of a whole request, with the lines between its chunks; a body that is too long is refused long before
MESSAGE_BYTES: Final = 16 * limits.REQUEST_BYTES
#: requests that may wait behind the one that is carried out; with more, nothing is read from the client
BEHIND: Final = 100
#: seconds from a request's first byte to its last
REQUEST_SECONDS: Final = 30.0
#: seconds in which a client must read something of its answer
STUCK_SECONDS: Final = 60.0


class Corked:
    """A transport that sends the head of an answer together with its body: one system call, one packet."""

    __slots__ = ("_held", "_transport", "hold")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""
        #: whether the next write waits for the one after it
        self.hold = False

    def write(self, data: bytes) -> None:
        if self.hold:
            self.hold = False
            self._held += data
        elif self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what still waits: an answer without a body."""
        self.hold = False
        if self._held:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Refused(Exception):
    """Ends the parsing of a request; the client gets the reason."""


class Connection(httptools_impl.HttpToolsProtocol):
    """A connection that knows how long it has waited for its client."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        #: the task of the poll that is open here; cancelled when the client goes away
        self.waiting: asyncio.Task[Any] | None = None
        #: withdraws the long poll that is open here; False when a task is on its way to it
        self.withdraw: Callable[[], bool] | None = None
        #: a request came while a long poll was open here: no request is carried out any more
        self._crossed = False
        #: called when the client has gone, one for each decider that polls here
        self.when_lost: dict[str, Callable[[], object]] = {}
        #: whether the client has gone
        self.gone = False
        #: bytes of the request that comes in, how many it may have, and how it is refused
        self._size = 0
        self._most = HEAD_BYTES
        self._why: tuple[int, str] | None = None
        #: the request that is carried out; others may wait behind it
        self._worked: httptools_impl.RequestResponseCycle | None = None
        #: when the request that is still incomplete began; None between requests and while one is carried out
        self._since: float | None = None
        #: bytes that the client has not read, and since when it has read none of them
        self._unread = 0
        self._unread_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        self._since = self.loop.time()
        self._corked = Corked(transport)
        super().connection_made(cast(asyncio.Transport, self._corked))

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if self._worked is not None and not self._worked.response_complete:
            self._worked.disconnected = True
        super().connection_lost(exc)
        if self.waiting is not None:
            self.waiting.cancel()
        for function in self.when_lost.values():
            self.loop.call_soon(function)  # after its poll is withdrawn

    def data_received(self, data: bytes) -> None:
        if self._crossed:
            return
        if self._since is None:
            self._since = self.loop.time()
        self._size += len(data)
        super().data_received(data)
        if self._size > self._most and not self.transport.is_closing():
            self._refuse(*self._too_long())

    def on_message_begin(self) -> None:
        self._look_for_open_poll()
        super().on_message_begin()
        self.scope["simpleflow.connection"] = self  # type: ignore[typeddict-unknown-key]  # our own application's

    def on_headers_complete(self) -> None:
        self._look_for_open_poll()  # the request may have begun before the poll was opened
        if self._size > HEAD_BYTES and self._head_size() > HEAD_BYTES:
            self._why = self._too_long()
            raise _Refused
        if self.parser.should_upgrade():
            # the parser takes the body for the first bytes of the other protocol
            self._why = 400, "This is plain HTTP/1.1: send requests without the header Upgrade"
            raise _Refused
        self._most = MESSAGE_BYTES
        before = self.cycle
        super().on_headers_complete()
        if before is None or before.response_complete:
            self._worked = self.cycle
        elif len(self.pipeline) <= BEHIND:
            self.flow.resume_reading()  # a client that goes away while its poll is open has to be noticed

    def _look_for_open_poll(self) -> None:
        if self.withdraw is None:
            return
        self._crossed = True
        if self.withdraw():
            self.drop()
        elif self._worked is not None:
            self._worked.keep_alive = False  # the task that is on its way is sent first
        raise _Refused

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _too_long(self) -> tuple[int, str]:
        if self._most == HEAD_BYTES:
            return 431, f"The head of a request may have at most {HEAD_BYTES} bytes"
        return 413, f"A request may have at most {limits.REQUEST_BYTES} bytes"

    def on_message_complete(self) -> None:
        self._size, self._most = 0, HEAD_BYTES
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._corked.flush()
        if self.pipeline:
            self._worked = self.pipeline[-1][0]
        super().on_response_complete()
        self._hold_back()

    def send_400_response(self, msg: str) -> None:
        if self._crossed:
            return
        self._refuse(*(self._why or (400, msg)))

    def cork(self) -> None:
        """Have the head that is sent next wait for its body."""
        self._corked.hold = True

    def complete(self) -> None:
        """Say that the whole request was received: its client is not waited for any more."""
        self._since = None
        self._hold_back()

    def _hold_back(self) -> None:
        """Read nothing more while many requests wait behind the one that is carried out."""
        if len(self.pipeline) > BEHIND:
            self.flow.pause_reading()

    async def lose(self) -> None:
        """Close without an answer, as a broken network would."""
        self.waiting = asyncio.current_task()
        self.transport.abort()
        try:
            await asyncio.sleep(REQUEST_SECONDS)
        except asyncio.CancelledError:
            return

    def drop(self) -> None:
        """Close at once, whatever the client has not read yet."""
        if self._worked is not None:
            self._worked.disconnected = True
        self.transport.abort()

    def end(self) -> None:
        """Answer a request that has not arrived completely: the service ends and does not wait for the rest."""
        cycle = self.cycle
        if cycle is not None and cycle is self._worked and cycle.more_body and not cycle.response_started:
            self._answer(errors.unavailable("The service is ending: call again"))

    def look(self, now: float) -> None:
        """Drop the client when it has been too slow; called about once a second."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            self._since = None  # a request is carried out; what its client sends meanwhile may wait
        elif self._since is not None and now - self._since > REQUEST_SECONDS:
            self._refuse(408, f"A request must be complete within {REQUEST_SECONDS:.0f} s")
            return
        unread = self.transport.get_write_buffer_size()
        if not unread or unread != self._unread:
            self._unread, self._unread_since = unread, now
        elif now - self._unread_since > STUCK_SECONDS:
            self.transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        """Answer a request that is not complete, and close."""
        self._answer(errors.protocol("SerializationException", message), status)

    def _answer(self, fault: errors.Fault, status: int | None = None) -> None:
        body = fault.body()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            line = httptools_impl.STATUS_LINE[status or fault.status]
            head = line + b"content-type: application/x-amz-json-1.0\r\n"
            self.transport.write(head + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        self.transport.close()


def look_at(connections: Iterable[Any], now: float) -> None:
    """Look at each of a server's connections."""
    for connection in list(connections):
        connection.look(now)


def end(connections: Iterable[Any]) -> None:
    """Tell each of a server's connections that it ends."""
    for connection in list(connections):
        connection.end()
