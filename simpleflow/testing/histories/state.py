"""What is open in a history that is being built, and how one event is made."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from simpleflow.core import attributes as a
from simpleflow.core import events, limits


@dataclasses.dataclass(kw_only=True)
class OpenActivity:
    """An activity task between its scheduling and its end; event ids, 0 where there is none yet."""

    name: str
    scheduled: int
    input: str | None = None
    started: int = 0
    cancel_requested: int = 0


@dataclasses.dataclass(kw_only=True)
class OpenTimer:
    """A timer that runs; ``due`` in epoch seconds."""

    started: int
    due: float
    control: str | None = None


@dataclasses.dataclass(kw_only=True)
class Child:
    """A child execution between its initiation and its end."""

    execution: a.Execution
    type: a.Type
    initiated: int
    input: str | None = None
    started: int = 0


@dataclasses.dataclass(kw_only=True)
class Outgoing:
    """A signal (else: a cancel request) to another execution that has not reached it yet."""

    execution: a.Execution
    initiated: int
    signal: str = ""
    input: str | None = None


@dataclasses.dataclass(kw_only=True)
class Open:
    """Everything that is open in one execution, in the order in which it was opened."""

    activity_limit: int = limits.OPEN_ACTIVITIES
    activities: dict[str, OpenActivity] = dataclasses.field(default_factory=dict)
    timers: dict[str, OpenTimer] = dataclasses.field(default_factory=dict)
    children: dict[str, Child] = dataclasses.field(default_factory=dict)
    outgoing: list[Outgoing] = dataclasses.field(default_factory=list)
    #: id of the DecisionTaskScheduled that nobody took yet
    waiting_decision: int | None = None
    #: ids of DecisionTaskScheduled and DecisionTaskStarted of the running one
    running_decision: tuple[int, int] | None = None
    #: DecisionTaskStarted of the last completed decision
    answered: int = 0
    #: type of the event that closed the execution
    closed: str | None = None
    #: decision type -> causes with which the next of them fail
    refusals: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def close(self, kind: str) -> None:
        self.closed = kind
        self.activities.clear()
        self.timers.clear()
        self.children.clear()
        self.waiting_decision = self.running_decision = None


class Growing(Protocol):
    """A history that decisions are written into."""

    #: what is open in it, by its id
    open: Open
    run_id: str
    task_list: str
    type: a.Type
    #: epoch seconds of the last event
    now: float

    def add(self, kind: str, **attributes: Any) -> int:
        """Append an event of this type; return its id."""

    def close(self, kind: str, **attributes: Any) -> None:
        """Write the event that closes the execution; nothing is open afterwards."""

    def schedule_decision(self) -> None:
        """Write a DecisionTaskScheduled unless one is waiting already, or the execution is closed."""


@functools.cache
def _attributes_of(kind: str) -> Any:
    for field in msgspec.structs.fields(events.TYPES[kind]):
        if field.name == "attributes":
            return field.type
    raise AssertionError(f"event type {kind} has no attributes")


def event(kind: str, number: int, timestamp: float, attributes: Mapping[str, Any]) -> Any:
    """Return an event; attributes that SWF requires and the caller left out raise TypeError."""
    return events.TYPES[kind](id=number, timestamp=timestamp, attributes=_attributes_of(kind)(**attributes))  # type: ignore[call-arg]  # every event class has attributes
