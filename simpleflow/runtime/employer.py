"""What the slots of a worker use of it, and what it uses of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from simpleflow.core import clock, interceptors
from simpleflow.process import Stop
from simpleflow.swf.transport import base

from . import code_versions, frames, paces, pollers, retrying, spare, values

#: a task, its token, and when the request that brought it was opened
Given: TypeAlias = tuple[values.Task, str, float]


class Terms(Protocol):
    """Settings of all slots of a worker; see ``worker.Options``."""

    @property
    def domain(self) -> str: ...
    @property
    def task_list(self) -> str: ...
    @property
    def setup(self) -> frames.Setup: ...
    @property
    def heartbeat(self) -> float: ...
    @property
    def max_tasks(self) -> int: ...
    @property
    def max_mib(self) -> int: ...
    @property
    def task_mib(self) -> int | None: ...


class Taker(Protocol):
    """A slot, to which a task is given."""

    @property
    def names(self) -> retrying.PollNames:
        """The names of the calls that bring it tasks."""

    def prepare(self, answer: Any) -> None:
        """Get ready for a task that a poll is about to return. On the thread that polls."""

    def show(self, answer: Any, opened: float) -> Given:
        """Show from now on the task that a poll brought, and return it."""

    def lent(self, given: Given) -> None:
        """Another slot has taken this task of its own. Thread safe."""


class Employer(Protocol):
    """The members of the worker that its slots use. Each is thread safe."""

    #: set by a slot when what it shows changes
    changed: threading.Event
    #: whether the last answer that asked for the next task got none; set by slots
    alone: bool

    @property
    def transport(self) -> base.Transport: ...
    @property
    def options(self) -> Terms: ...
    @property
    def mounted(self) -> Sequence[interceptors.SlotInterceptor]: ...
    @property
    def time(self) -> clock.Clock: ...
    @property
    def stop(self) -> Stop: ...

    @property
    def versions(self) -> code_versions.Versions: ...
    @property
    def paces(self) -> paces.Paces: ...
    @property
    def spare(self) -> spare.Spare[Taker, Given]: ...
    @property
    def name(self) -> str:
        """A name that no other worker has or had."""

    def following(self, claim: str) -> base.Following | None:
        """How the next tasks are asked for with an answer; None while no task is wanted. ``claim`` names the call."""

    def joined(self, slot: Taker) -> pollers.Poller | None:
        """Return the poller that a slot sends its answer with; None while there is none. ``collect`` comes then."""

    def collect(self, slot: Taker) -> Given | None:
        """Wait for the poll that went with a slot's answer; return its task, None without one."""

    def take(self, slot: Taker) -> Given | None:
        """Return the next task, once it is this slot's turn to poll; None when no poll is opened any more."""
