"""The drain of one node as a table: what the agent does at each event, in each state.

The order is the one that loses no task: stop opening polls, answer the poll that is already open (and work what it
brings), wait until all runners are idle, acknowledge in the node's document, power off. A notice of the provider (spot)
is the same path with a deadline.
"""

from __future__ import annotations

import enum

import msgspec


class DrainState(enum.StrEnum):
    """Where a node stands."""

    WORKING = "working"
    #: workers were told to open no further poll; no deadline
    STOPPING = "stopping"
    #: the same, and the machine is taken away at a deadline
    HURRYING = "hurrying"
    #: every runner idle, no poll open
    DRAINED = "drained"
    #: the acknowledgement is stored
    ENDED = "ended"


class DrainEvent(enum.StrEnum):
    """What an agent notices."""

    #: the drain mark appeared
    MARK = "mark"
    #: it was taken away
    UNMARK = "unmark"
    #: the provider takes the machine away
    NOTICE = "notice"
    #: nobody owns this machine any more, and it is idle
    ORPHANED = "orphaned"
    #: every worker has acknowledged: no open poll, no running task
    SETTLED = "settled"
    #: the notice's deadline is near
    DEADLINE = "deadline"
    #: the document that says so is stored
    STORED = "stored"


class DrainAction(enum.StrEnum):
    """What the agent does about it."""

    STOP_POLLING = "stop_polling"
    #: the same with the deadline, so that workers report what cannot finish
    STOP_BY_DEADLINE = "stop_by_deadline"
    #: fail what still runs with reason simpleflow.node.interrupted
    INTERRUPT = "interrupt"
    ACKNOWLEDGE = "acknowledge"
    POWER_OFF = "power_off"


class Step(msgspec.Struct, frozen=True):
    """What a state and an event lead to."""

    state: DrainState
    actions: tuple[DrainAction, ...] = ()


_S, _E, _A = DrainState, DrainEvent, DrainAction

#: every pair that changes something; all others leave the state as it is and do nothing. UNMARK is in no row: once the
#: agent has stopped polling there is no way back, and before that there is nothing to take back.
TABLE: dict[tuple[DrainState, DrainEvent], Step] = {
    (_S.WORKING, _E.MARK): Step(_S.STOPPING, (_A.STOP_POLLING,)),
    (_S.WORKING, _E.ORPHANED): Step(_S.STOPPING, (_A.STOP_POLLING,)),
    (_S.WORKING, _E.NOTICE): Step(_S.HURRYING, (_A.STOP_BY_DEADLINE,)),
    (_S.STOPPING, _E.NOTICE): Step(_S.HURRYING, (_A.STOP_BY_DEADLINE,)),
    (_S.STOPPING, _E.SETTLED): Step(_S.DRAINED, (_A.ACKNOWLEDGE,)),
    (_S.HURRYING, _E.SETTLED): Step(_S.DRAINED, (_A.ACKNOWLEDGE,)),
    (_S.HURRYING, _E.DEADLINE): Step(_S.DRAINED, (_A.INTERRUPT, _A.ACKNOWLEDGE)),
    (_S.DRAINED, _E.STORED): Step(_S.ENDED, (_A.POWER_OFF,)),
}


def step(state: DrainState, event: DrainEvent) -> Step:
    """Return the state that follows, and what to do on the way."""
    return TABLE.get((state, event), Step(state))


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent knows of one of its workers."""

    alive: bool
    acknowledged: bool


def settled(workers: tuple[WorkerView, ...]) -> bool:
    """Tell whether nothing can be running or arriving: every worker that lives has acknowledged.

    A worker that died holds no task any more: the service times its tasks out, whatever the agent does.
    """
    return all(not each.alive or each.acknowledged for each in workers)
