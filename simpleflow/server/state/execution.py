"""One execution in memory: its state, its open items, and what of them the store does not have yet."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from simpleflow.core import limits
from simpleflow.server.store import base

from . import changes
from . import state as states

_encode = msgspec.json.Encoder().encode
#: event type -> the member that holds its attributes
MEMBERS: Final[dict[str, str]] = {}
#: nothing may follow one of these
CLOSING: Final = {
    "WorkflowExecutionCompleted": "COMPLETED",
    "WorkflowExecutionFailed": "FAILED",
    "WorkflowExecutionCanceled": "CANCELED",
    "WorkflowExecutionTerminated": "TERMINATED",
    "WorkflowExecutionTimedOut": "TIMED_OUT",
    "WorkflowExecutionContinuedAsNew": "CONTINUED_AS_NEW",
}


class Execution:
    """One run. Each change marks it as dirty; the session writes dirty executions when the call ends."""

    __slots__ = (
        "activities",
        "changes",
        "child_executions",
        "close_status",
        "closed",
        "config",
        "created",
        "deciding",
        "deleted",
        "final",
        "items",
        "key",
        "new_events",
        "newly_canceled",
        "state",
        "timers",
        "touched",
        "wants_decision",
    )

    def __init__(
        self,
        changed: changes.Changes[Execution],
        key: int,
        config: states.Config,
        state: states.State,
        *,
        created: bool = False,
    ) -> None:
        self.changes = changed
        self.key = key
        self.config = config
        self.state = state
        self.created = created
        #: open items by the event that opened them
        self.items: dict[int, states.Item] = {}
        self.activities: dict[str, states.Activity] = {}
        self.timers: dict[str, states.Timer] = {}
        self.child_executions = 0
        #: moment and status of its close
        self.closed: float | None = None
        self.close_status: str | None = None
        self.final: states.Final | None = None
        #: decisions are being carried out: one decision task at their end shows all that they caused
        self.deciding = False
        self.wants_decision = False
        # what the store does not have yet
        self.new_events: list[tuple[int, bytes]] = []
        self.touched: set[int] = set()
        self.deleted: set[int] = set()
        self.newly_canceled = False

    def ended(self) -> bool:
        """Whether it is closed: nothing more is recorded."""
        return self.closed is not None

    @property
    def wire(self) -> dict[str, str]:
        """WorkflowExecution."""
        return {"workflowId": self.config.workflow_id, "runId": self.config.run_id}

    @property
    def wire_type(self) -> dict[str, str]:
        """WorkflowType."""
        return {"name": self.config.type_name, "version": self.config.type_version}

    def append(self, kind: str, attributes: dict[str, Any]) -> int:
        """Record an event and return its id; on a closed execution nothing, and 0.

        The last event that a history may have is its termination, whatever was to be recorded.
        """
        if self.ended():
            return 0
        state = self.state
        if state.events >= limits.HISTORY_EVENTS - 1 and kind not in CLOSING:
            self.changes.on_overflow(self)
            return 0
        # before any change: a call that fails later drops the executions that it marked
        self.changes.dirty[self.key] = self
        event_id = state.events = state.events + 1
        now = self.changes.now
        if now < state.last_at:
            now = state.last_at
        else:
            state.last_at = now
        member = MEMBERS.get(kind)
        if member is None:
            member = MEMBERS[kind] = f"{kind[0].lower()}{kind[1:]}EventAttributes"
        body = _encode({"eventId": event_id, "eventTimestamp": now, "eventType": kind, member: attributes})
        self.new_events.append((self.key << base.EVENT_BITS | event_id, body))
        return event_id

    def touch(self) -> None:
        """The state changed without an event."""
        self.changes.dirty[self.key] = self

    # -- open items

    def adopt(self, event_id: int, item: states.Item) -> None:
        """Take over an item that the store holds."""
        self.items[event_id] = item
        self.changes.items_held += 1
        if type(item) is states.Activity:
            self.activities[item.id] = item
        elif type(item) is states.Timer:
            self.timers[item.id] = item
        else:
            self.child_executions += 1

    def open(self, event_id: int, item: states.Item) -> None:
        """Add an open item."""
        if not self.ended():
            self.adopt(event_id, item)
            self.keep(event_id)

    def keep(self, event_id: int) -> None:
        """An open item changed."""
        self.touched.add(event_id)
        self.changes.dirty[self.key] = self

    def end(self, event_id: int) -> None:
        """Remove an item that is no longer open."""
        item = self.items.pop(event_id, None)
        if item is None:
            return
        self.changes.items_held -= 1
        if type(item) is states.Activity:
            del self.activities[item.id]
        elif type(item) is states.Timer:
            del self.timers[item.id]
        else:
            self.child_executions -= 1
        self.touched.discard(event_id)
        self.deleted.add(event_id)
        self.changes.dirty[self.key] = self

    def open_items(self) -> list[tuple[int, states.Item]]:
        """Open items by event id."""
        return sorted(self.items.items())

    def counts(self) -> tuple[int, int, int, int]:
        """Open activities, timers, child executions, decision tasks."""
        started = sum(1 for i in self.items.values() if type(i) is states.Child)
        return len(self.activities), len(self.timers), started, int(bool(self.state.scheduled))
