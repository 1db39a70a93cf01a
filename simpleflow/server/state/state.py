"""What the service remembers of an open execution, apart from its events: small values that fit one row each."""

from __future__ import annotations

from typing import Any

import msgspec

NONE = "NONE"


class Parent(msgspec.Struct, frozen=True, array_like=True):
    """The run that started a child."""

    key: int
    workflow_id: str
    run_id: str
    #: its StartChildWorkflowExecutionInitiated
    initiated: int


class Config(msgspec.Struct, frozen=True, array_like=True):
    """What is fixed when an execution starts."""

    domain: str
    workflow_id: str
    run_id: str
    type_name: str
    type_version: str
    task_list: str
    task_priority: str | None
    #: seconds as text; the second may be NONE
    execution_timeout: str
    task_timeout: str
    child_policy: str
    tags: tuple[str, ...]
    lambda_role: str | None
    parent: Parent | None
    started: float


class State(msgspec.Struct, array_like=True, gc=False):
    """What changes while an execution is open. Event ids are 0 where there is no such event."""

    #: number of events, which is the id of the last
    events: int
    #: moment of the last event
    last_at: float
    #: where decision tasks go (a permanent override replaces it)
    task_list: str
    #: when the execution times out
    expires: float
    #: a temporary override and its schedule-to-start timeout
    sticky: str | None = None
    sticky_timeout: str = NONE
    #: the decision task that is waiting or started: its DecisionTaskScheduled and where it went
    scheduled: int = 0
    scheduled_list: str = ""
    scheduled_timeout: str = NONE
    #: its DecisionTaskStarted
    started: int = 0
    #: the next decision task, scheduled while that one is started
    waiting: int = 0
    waiting_list: str = ""
    waiting_timeout: str = NONE
    #: when the decision task times out
    decision_due: float | None = None
    #: place in its task list
    seq: int = 0
    #: DecisionTaskStarted of the last decision task that was completed
    previous: int = 0
    #: DecisionTaskCompleted with the latest execution context
    context: int = 0
    cancel_requested: bool = False
    #: when an activity task last changed its state
    latest_activity: float | None = None
    #: the poll that brought the started decision task to its decider, which may ask again
    claim: str | None = None


class Final(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a closed execution."""

    state: State
    #: activities, timers, child executions, decision tasks that were open when it closed
    counts: tuple[int, int, int, int]


class Activity(msgspec.Struct, array_like=True, tag="a", gc=False):
    """An open activity task."""

    id: str
    type_name: str
    type_version: str
    #: its ActivityTaskScheduled, ActivityTaskStarted, last ActivityTaskCancelRequested
    scheduled: int
    task_list: str
    rank: int
    seq: int
    #: seconds as text, or NONE
    start_to_close: str
    heartbeat: str
    #: moments of its four timeouts
    schedule_to_close_due: float | None = None
    schedule_to_start_due: float | None = None
    start_to_close_due: float | None = None
    heartbeat_due: float | None = None
    started: int = 0
    cancel_requested: int = 0
    #: of the last heartbeat
    details: str | None = None
    #: the exchange or poll that brought it to its worker, which may ask again
    claim: str | None = None

    @property
    def due(self) -> float | None:
        moments = [
            m
            for m in (
                self.schedule_to_close_due,
                self.schedule_to_start_due,
                self.start_to_close_due,
                self.heartbeat_due,
            )
            if m is not None
        ]
        return min(moments) if moments else None


class Timer(msgspec.Struct, array_like=True, tag="t", gc=False):
    """A timer that has not fired."""

    id: str
    #: its TimerStarted
    started: int
    due: float


class Child(msgspec.Struct, array_like=True, tag="c", gc=False):
    """A child execution as its parent sees it."""

    workflow_id: str
    run_id: str
    type_name: str
    type_version: str
    #: StartChildWorkflowExecutionInitiated, ChildWorkflowExecutionStarted
    initiated: int
    started: int = 0


Item = Activity | Timer | Child

encode = msgspec.msgpack.Encoder().encode
decode_config = msgspec.msgpack.Decoder(Config).decode
decode_state = msgspec.msgpack.Decoder(State).decode
decode_final = msgspec.msgpack.Decoder(Final).decode
decode_item = msgspec.msgpack.Decoder(Item).decode


class Domain(msgspec.Struct, array_like=True):
    """A registered domain."""

    name: str
    created: float
    description: str | None
    #: days as text, or NONE
    retention: str
    tags: dict[str, str]
    deprecated: bool = False


class Type(msgspec.Struct, array_like=True):
    """A registered activity or workflow type."""

    name: str
    version: str
    created: float
    description: str | None
    #: its defaults by their wire names
    defaults: dict[str, Any]
    #: when it was deprecated
    deprecated: float | None = None


decode_domain = msgspec.msgpack.Decoder(Domain).decode
decode_type = msgspec.msgpack.Decoder(Type).decode


def after(now: float, seconds: str) -> float | None:
    """The moment at which a timeout that begins now is due; None for NONE."""
    return None if seconds == NONE else round(now + int(seconds), 3)
