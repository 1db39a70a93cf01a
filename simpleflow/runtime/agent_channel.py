"""The worker's side of the channel to the agent that supervises it: newline-delimited JSON over a unix socket."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable

import msgspec

from simpleflow.core import clock, documents

from . import worker as workers

logger = logging.getLogger(__name__)

#: seconds between two lines when nothing changes and at least, and between attempts to connect
EVERY, LEAST, RECONNECT = 5.0, 0.05, 1.0
#: seconds before the end of the machine at which running tasks are interrupted; at most half of the time left
INTERRUPT = 15.0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the worker to the agent."""

    pid: int
    task_list: str
    polling: bool
    running: tuple[documents.RunningTask, ...]
    stopping: bool
    acknowledged: bool
    finished: tuple[documents.Finished, ...] = ()


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the agent to the worker."""

    stop_polling: bool = False
    #: honoured only before polling stopped; sent when a mark was taken back
    resume_polling: bool = False
    #: epoch seconds at which the machine goes away (a spot notice); None: take your time
    deadline: float | None = None


class Channel:
    """Reports a worker's status on every change and at least every five seconds, and obeys the agent's orders.

    A lost connection is opened again; the worker goes on meanwhile.
    """

    def __init__(self, path: str, worker: workers.Worker, *, time: clock.Clock | None = None) -> None:
        self._path = path
        self._worker = worker
        self._time = time or clock.RealClock()
        self._stopping = False
        self._closed = threading.Event()
        self._timer: threading.Timer | None = None
        self._thread = threading.Thread(target=self._serve, name="status", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop reporting."""
        self._closed.set()
        self._worker.changed.set()
        if self._timer is not None:
            self._timer.cancel()

    def line(self) -> Line:
        """Return the line that describes the worker now."""
        return Line(
            pid=os.getpid(),
            task_list=self._worker.task_list,
            polling=self._worker.polling,
            running=self._worker.running,
            stopping=self._stopping,
            acknowledged=self._worker.acknowledged,
            finished=self._worker.finished,
        )

    def obey(self, order: Order) -> None:
        """Carry out one order of the agent."""
        if order.stop_polling:
            if not self._stopping:
                self._stopping = True
                self._worker.stop_polling()
                self._worker.changed.set()
            if order.deadline is not None and self._timer is None:
                # Tasks that run shortly before the machine goes fail with a reason for which deciders reschedule them.
                left = max(0.0, order.deadline - self._time.now())
                timer = threading.Timer(left - min(INTERRUPT, left / 2), self._worker.interrupt)
                timer.daemon = True
                timer.start()
                self._timer = timer

    def _serve(self) -> None:
        while not self._closed.is_set():
            connection = None
            try:
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                connection.connect(self._path)
                reader = threading.Thread(target=self._read, args=(connection,), name="orders", daemon=True)
                reader.start()
                self._report(connection, reader.is_alive)
            except OSError as error:
                logger.debug("The agent's socket %s is not reachable: %s", self._path, error)
            except RuntimeError as error:  # No thread could be started.
                logger.warning("The agent's orders cannot be read (%s); next attempt after %.0f s.", error, RECONNECT)
            finally:
                if connection is not None:
                    connection.close()
            self._closed.wait(RECONNECT)

    def _report(self, connection: socket.socket, connected: Callable[[], bool]) -> None:
        while connected() and not self._closed.is_set():
            self._worker.changed.clear()
            connection.sendall(msgspec.json.encode(self.line()) + b"\n")
            self._closed.wait(LEAST)
            self._worker.changed.wait(EVERY)

    def _read(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError, RuntimeError), connection.makefile("rb") as lines:
            for text in lines:
                try:
                    self.obey(msgspec.json.decode(text, type=Order))
                except msgspec.DecodeError as error:
                    logger.warning("An order of the agent was not understood: %s", error)
        self._worker.changed.set()
