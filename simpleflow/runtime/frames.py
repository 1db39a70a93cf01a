"""What travels between a worker and its task runners: length-prefixed MessagePack over a socket pair."""

from __future__ import annotations

import select
import socket
import struct
import threading
from typing import TypeAlias

import msgspec

from . import values


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """First frame to a runner: what holds for all of its tasks."""

    modules: tuple[str, ...] = ()
    pre: tuple[str, ...] = ()
    post: tuple[str, ...] = ()
    #: seconds between SIGTERM and SIGKILL
    grace: float = 3.0
    #: BUCKET[/DIR] or a file:// URL for values over a limit
    jumbo: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a runner: execute this task."""

    task: values.Task


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a runner: the cancellation of its task is requested."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a runner: it can take a task."""


class Started(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a runner, the first time that it runs an activity: its declared timeouts, in seconds or None."""

    name: str = ""
    heartbeat: float | None = None
    start_to_close: float | None = None


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a runner: the activity reported progress."""

    details: str | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a runner: the answer to its task, and how much memory the runner holds now (bytes)."""

    answer: values.Completed | values.Failed | values.Canceled
    memory: int = 0


Frame: TypeAlias = Setup | Run | Cancel | Ready | Started | Beat | Done

_LENGTH = struct.Struct("!I")
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


class Closed(Exception):
    """The other side of the pair is gone."""


class Pipe:
    """One side of the pair. Sending is thread safe; one thread may receive."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._sending = threading.Lock()

    def send(self, frame: Frame) -> None:
        """Send one frame whole; raises Closed when the other side is gone."""
        body = _encoder.encode(frame)
        try:
            with self._sending:
                self._socket.sendall(_LENGTH.pack(len(body)) + body)
        except OSError as error:
            raise Closed from error

    def receive(self, timeout: float | None = None) -> Frame | None:
        """Return the next frame, None after ``timeout`` seconds without one; raises Closed at the end."""
        if timeout is not None:
            poller = select.poll()  # select.select() ends at descriptor 1,024
            poller.register(self._socket, select.POLLIN)
            if not poller.poll(max(0.0, timeout) * 1000):
                return None
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return _decoder.decode(self._read(length))

    def _read(self, count: int) -> bytes:
        parts = []
        while count:
            try:
                part = self._socket.recv(min(count, 1 << 20))
            except OSError as error:
                raise Closed from error
            if not part:
                raise Closed
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        self._socket.close()
