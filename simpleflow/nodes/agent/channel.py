"""The channel between the agent and its workers: newline-delimited JSON over a unix socket (docs/reference/formats.md).

The agent listens, one socket per worker. Everything happens in the agent's one thread, through one selector.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import time
from pathlib import Path

import msgspec

from simpleflow.core import documents

logger = logging.getLogger(__name__)

#: seconds of rest when a connection cannot be accepted, which the selector would report at once again
_REFUSED = 0.1
#: a line longer than this is not a status of ours
_LIMIT = 4 << 20


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Worker to agent, on every change and at least every 5 s."""

    pid: int
    task_list: str
    polling: bool = False
    running: tuple[documents.RunningTask, ...] = ()
    stopping: bool = False
    acknowledged: bool = False
    finished: tuple[documents.Finished, ...] = ()


class Channel:
    """The agent's end for one worker; a worker that is started again connects again."""

    def __init__(self, path: Path, selector: selectors.BaseSelector) -> None:
        self.path = path
        #: the newest status of the living worker, None before it said anything
        self.status: WorkerStatus | None = None
        #: when (monotonic) the worker said something last
        self._heard = time.monotonic()
        self._selector = selector
        self._connection: socket.socket | None = None
        self._buffer = b""
        #: what the worker must know as soon as it connects
        self._standing: bytes = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(2)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def stop_polling(self, deadline: float | None) -> None:
        """Tell the worker to open no further poll, now and whenever it connects again."""
        self._standing = msgspec.json.encode({"stop_polling": True, "deadline": deadline}) + b"\n"
        self._send()

    def silent(self) -> float:
        """Seconds since the worker said something, or was started."""
        return time.monotonic() - self._heard

    def reset(self) -> None:
        """Forget the connection and the status: the worker is gone."""
        self.status = None
        self._heard = time.monotonic()
        self._drop()

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self._drop()
        self._selector.unregister(self._listener)
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # No free file descriptor: the worker stays in the queue of the socket, and the next turn tries again.
            logger.warning("a worker's connection is not accepted yet: %s", error, extra={"action": "accept"})
            time.sleep(_REFUSED)
            return
        self._drop()
        connection.setblocking(False)
        self._connection = connection
        self._selector.register(connection, selectors.EVENT_READ, self._read)
        self._send()

    def _send(self) -> None:
        if self._connection is None or not self._standing:
            return
        try:
            self._connection.sendall(self._standing)
        except OSError:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._selector.unregister(self._connection)
            self._connection.close()
        self._connection = None
        self._buffer = b""

    def _read(self) -> None:
        assert self._connection is not None
        try:
            content = self._connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        if not content or len(self._buffer) > _LIMIT:
            self._drop()
            return
        *lines, self._buffer = (self._buffer + content).split(b"\n")
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError):
                self.status = msgspec.json.decode(line, type=WorkerStatus)
                self._heard = time.monotonic()
