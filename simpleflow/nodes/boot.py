"""The begin of one node as a table: what its agent must have done before a worker polls, and in which order.

The node stores its document, then reads control.json, then polls. A manager that cancels a machine which still boots
does the reverse: it stores the mark in control.json, then reads the machine's document, and ends the machine only if
there is none. In any order of these four steps the node sees the mark, or the manager sees the document
(docs/design/control.md, part 3). It rests on a store in which a read that begins after a write sees it.
"""

from __future__ import annotations

import enum

from simpleflow.core import documents


class BootState(enum.StrEnum):
    """How far a node has come."""

    #: this agent has stored no document yet
    STARTING = "starting"
    #: the document is stored, control.json has not been read since
    ANNOUNCED = "announced"
    #: workers may poll
    ADMITTED = "admitted"
    #: no worker is ever started
    REFUSED = "refused"


class BootEvent(enum.StrEnum):
    """What an agent notices."""

    #: its document is stored: the store has answered
    STORED = "stored"
    #: control.json, read since, names it in a row without a mark, or its attempt is open
    OWNED = "owned"
    #: control.json has its mark
    MARKED = "marked"
    #: control.json names neither it nor its attempt
    UNOWNED = "unowned"
    #: the store did not answer for longer than any manager waits for a boot
    LATE = "late"


_S, _E = BootState, BootEvent

#: every pair that changes something; all others leave the state as it is
TABLE: dict[tuple[BootState, BootEvent], BootState] = {
    (_S.STARTING, _E.STORED): _S.ANNOUNCED,
    (_S.ANNOUNCED, _E.OWNED): _S.ADMITTED,
    (_S.ANNOUNCED, _E.MARKED): _S.REFUSED,
    (_S.ANNOUNCED, _E.UNOWNED): _S.REFUSED,
    (_S.STARTING, _E.LATE): _S.REFUSED,
    (_S.ANNOUNCED, _E.LATE): _S.REFUSED,
}


def step(state: BootState, event: BootEvent) -> BootState:
    """Return the state that follows."""
    return TABLE.get((state, event), state)


def seen(control: documents.Control, node: str, attempt: str) -> BootEvent:
    """What control.json says to a node that has announced itself."""
    row = next((each for each in control.rows if each.instance == node), None)
    if row is not None:
        return BootEvent.OWNED if row.drain is None else BootEvent.MARKED
    if any(each.id == attempt for each in control.intents):
        return BootEvent.OWNED
    return BootEvent.UNOWNED
