"""Frames between a worker and its task runners: length-prefixed MessagePack over a socket pair.

Each frame about a task carries the task's number, which counts up for each runner. Code of a task may outlive it: a
frame that names another task than the one that runs is dropped.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

from simpleflow.process import forks

from . import code_versions, values


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How the service of a worker is reached without it."""

    #: None: Amazon SWF by AWS's own configuration
    endpoint_url: str | None
    domain: str
    task_list: str


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """First frame to a runner: what holds for all of its tasks."""

    modules: tuple[str, ...] = ()
    pre: tuple[str, ...] = ()
    post: tuple[str, ...] = ()
    #: seconds between SIGTERM and SIGKILL
    grace: float = 3.0
    #: BUCKET[/DIR] or a file:// URL for values over a limit
    jumbo: str | None = None
    #: the user's modules as the worker's first runner imported them
    code: tuple[code_versions.Module, ...] = ()
    #: where the runner answers for a worker that is gone; None: nobody waits for answers then
    reach: Reach | None = None
    #: as in ``Batch``
    claim: str = ""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What has changed since the answers before were sent: with the first of the tasks that came together."""

    #: names the call that brings the next tasks
    claim: str = ""
    #: tokens of the tasks that wait behind the first one
    behind: tuple[str, ...] = ()


class Run(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a runner: execute this task."""

    number: int
    task: values.Task
    #: modules that the worker's other runners imported since this one was told last
    code: tuple[code_versions.Module, ...] = ()
    #: answer before what the task changed is put back; not where another task waits, which would wait for that anyway
    early: bool = True
    #: None: as before
    batch: Batch | None = None
    #: prepare it, and wait for ``Go`` before the activity is called
    held: bool = False


class Go(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a runner: call the activity of the task that is held."""

    number: int
    #: as in ``Run``
    batch: Batch | None = None


class Forget(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a runner: another one begins this task, which waited behind its own."""

    token: str


class Leave(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a runner: the worker closes the pipe next, and has sent all answers."""


class Clean(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a runner: run the clean-up of this task's activity."""

    number: int
    task: values.Task


class Cleaned(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a runner: the clean-up is over; why it failed, '' when it did not."""

    number: int
    error: str = ""


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a runner: the cancellation of its task is requested."""

    number: int


class Imports(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a runner: it is about to run this module of the user's, as it found it; it waits for ``Import``."""

    module: code_versions.Module


class Import(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a runner: the worker's version of the module that it asked about."""

    module: code_versions.Module


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a runner: it can take a task."""


class Started(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a runner, when it runs an activity for the first time: the activity's declared timeouts in seconds or
    None."""

    number: int
    name: str = ""
    heartbeat: float | None = None
    start_to_close: float | None = None
    schedule_to_close: float | None = None
    #: it has a clean-up for tasks that are ended from outside
    cleanup: bool = False
    #: it runs on when its task is closed
    survives_close: bool = False


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a runner: the activity reported progress."""

    number: int
    details: str | None = None


class Rested(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a runner, after ``Done`` or in it: how much memory it holds now (bytes), and what its task left behind that
    cannot be put back: then the runner is not used again. Without such things it can take the next task."""

    number: int
    memory: int = 0
    left: tuple[str, ...] = ()


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a runner: the answer to its task."""

    number: int
    answer: values.Completed | values.Failed | values.Canceled | values.Later
    #: seconds that the task took of its own
    seconds: float = 0.0
    #: None: it follows, because what the task changed is put back while the answer travels
    rested: Rested | None = None


Frame: TypeAlias = (
    Setup
    | Run
    | Go
    | Forget
    | Leave
    | Clean
    | Cleaned
    | Cancel
    | Imports
    | Import
    | Ready
    | Started
    | Beat
    | Done
    | Rested
)

_LENGTH = struct.Struct("!I")
#: bytes of the longest frame: what is longer was not written by this protocol
LONGEST = 64 << 20
#: exit status of a runner whose task closed its side of the pair
EXIT_DISCONNECTED = 76
_CHUNK = 1 << 16
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


class Closed(Exception):
    """The other side of the pair is gone."""


class Disconnected(Closed):
    """This process closed its side of the pair: the other side may be there."""


class Garbled(Closed):
    """The received bytes are not a frame: another program writes into the pair."""


class Death:
    """Notices the end of the process at the other side. End-of-file does not show it, because descendants of that
    process may hold their copy of the pair open."""

    #: seconds between two checks if the system has no descriptors of processes
    LOOK = 0.2

    def __init__(self, descriptor: int | None, gone: Callable[[], bool]) -> None:
        """``descriptor`` becomes readable when the process ends (a pidfd); without one ``gone`` is asked."""
        self.descriptor = descriptor
        self.gone = gone


class Aside(Protocol):
    """Another descriptor that is read while frames are waited for."""

    def fileno(self) -> int: ...

    def read(self) -> int:
        """Read what has come; return how much that was. 0 at the end."""


class Pipe:
    """One side of the pair. Sending is thread safe; one thread may receive."""

    def __init__(self, connection: socket.socket, death: Death | None = None, aside: Aside | None = None) -> None:
        self._socket = connection
        self._death = death
        self._aside = aside
        self._sending = threading.Lock()
        self._buffer = bytearray()
        self._poller = select.poll()  # select.select() ends at descriptor 1,024
        self._poller.register(connection, select.POLLIN)
        if death is not None and death.descriptor is not None:
            self._poller.register(death.descriptor, select.POLLIN)
        if aside is not None:
            self._poller.register(aside.fileno(), select.POLLIN)
        forks.drop_in_child(self)

    def send(self, frame: Frame) -> None:
        """Send one frame whole; raises Closed when the other side is gone."""
        body = _encoder.encode(frame)
        try:
            with self._sending:
                self._socket.sendall(_LENGTH.pack(len(body)) + body)
        except OSError as error:
            raise _closed(error) from error

    def receive(self, timeout: float | None = None) -> Frame | None:
        """Return the next frame, None after ``timeout`` seconds without one.

        Raises Closed when the other side closed the pair, or when its process ended and all that it sent was
        returned; Garbled.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (frame := self._next()) is None:
            if (deadline is not None or self._death is not None) and not self._wait(deadline):
                return None
            self._fill()
        return frame

    def _next(self) -> Frame | None:
        """Take the first frame out of what has come, when it is whole."""
        held = self._buffer
        if len(held) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(held)
        if length > LONGEST:
            raise Garbled(f"a frame of {length} bytes")
        end = _LENGTH.size + length
        if len(held) < end:
            return None
        try:
            frame = _decoder.decode(held[_LENGTH.size : end])
        except msgspec.DecodeError as error:
            raise Garbled(str(error)) from error
        del held[:end]
        return frame

    def _wait(self, deadline: float | None) -> bool:
        """Wait for bytes; False at the deadline. Raises Closed when the process at the other side is gone."""
        death = self._death
        looks = death is not None and death.descriptor is None
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            step = left
            if looks:
                step = Death.LOOK if left is None else min(left, Death.LOOK)
            ready = [number for number, _ in self._poller.poll(None if step is None else step * 1000)]
            if self._socket.fileno() in ready:
                return True
            if self._aside is not None and self._aside.fileno() in ready:
                ready.remove(self._aside.fileno())
                if not self._aside.read():
                    self._poller.unregister(self._aside.fileno())
                if not ready and (left is None or left > 0):
                    continue
            if ready:
                raise Closed("its process ended")
            if looks and death is not None and death.gone() and not self._poller.poll(0):
                raise Closed("its process ended")
            if step == left:
                return False

    def _fill(self) -> None:
        try:
            part = self._socket.recv(_CHUNK)
        except OSError as error:
            raise _closed(error) from error
        if not part:
            raise Closed("end of file")
        self._buffer += part

    def close(self) -> None:
        self._socket.close()

    def forked(self) -> None:
        """Called in a forked child: the pair belongs to its parent."""
        self._socket.close()


def _closed(error: OSError) -> Closed:
    ours = error.errno in (errno.EBADF, errno.ENOTSOCK)
    return Disconnected(str(error)) if ours else Closed(str(error))
