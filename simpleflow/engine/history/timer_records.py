"""What the history says of timers, and of signals that were sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from . import identity
from .records import UNCAPPED, Record, passes

#: how the ids of timers behind timeouts and retries begin: no program asks for them
OURS = "__simpleflow_"


class Timers:
    """Timers: identified by (id, ordinal), so that each id is a queue."""

    def __init__(self) -> None:
        #: not claimed yet
        self.queues: dict[str, deque[Record]] = {}
        #: emitted or claimed, the newest of each id
        self.latest: dict[str, Record] = {}
        #: those that are open, by the event that opened them
        self.by_event: dict[int, Record] = {}
        self.cap = UNCAPPED
        self.last: dict[str, tuple[Any, Any]] = {}
        self.watched: dict[str, None] = {}
        self._expected: dict[str, Record] = {}

    @property
    def open(self) -> int:
        """How many are open."""
        return len(self.by_event)

    def started(self, timer_id: str, event: Any, resumed: bool) -> Record | None:
        record = self._expected.pop(timer_id, None)
        if record is None:
            if resumed:
                return None
            record = Record(timer_id, timer_id, None)
            record.attributes = event.attributes
            self.queues.setdefault(timer_id, deque()).append(record)
            self.latest[timer_id] = record
        record.schedule(event.id)
        # Of the decision that opened it: one that was refused before was wanted, and not there.
        record.decision = event.attributes.decision_task_completed_event_id
        self.by_event[event.id] = record
        if not timer_id.startswith(OURS):
            self.last[timer_id] = (event, None)
        return record

    def failed(self, timer_id: str, event: Any, resumed: bool) -> Record | None:
        record = self._expected.pop(timer_id, None)
        if record is None:
            if resumed:
                return None
            record = Record(timer_id, timer_id, None)
            record.decision = event.attributes.decision_task_completed_event_id
            record.attributes = event.attributes
            self.queues.setdefault(timer_id, deque()).append(record)
        if passes(event.attributes.cause):
            # It is started later, or refused once more: that event speaks of the same record.
            self._expected[timer_id] = record
        return record

    def closed(self, event: Any) -> Record | None:
        record = self.by_event.pop(event.attributes.started_event_id, None)
        if record is not None:
            record.close(event)
            opened = self.last.get(record.id)
            if opened is not None:
                self.last[record.id] = (opened[0], event)
        return record

    def watch(self, timer_id: str) -> None:
        """A whole-history read depends on every timer of this id."""
        self.watched[timer_id] = None

    def claim(self, timer_id: str) -> Record | None:
        queue = self.queues.get(timer_id)
        return queue.popleft() if queue else None

    def give_back(self, record: Record) -> None:
        """Leave the record to a later timer of this id: the timer that claimed it was never started."""
        record.call = None
        self.queues.setdefault(record.id, deque()).appendleft(record)

    def emitted(self, call: Any, timer_id: str) -> Record:
        record = call.record or Record(timer_id, timer_id, None)
        record.call = call
        self.latest[timer_id] = self._expected[timer_id] = record
        return record

    def drop(self, record: Record) -> None:
        if self.latest.get(record.id) is record:
            del self.latest[record.id]

    def unclaimed(self) -> Iterator[Record]:
        return iter(sorted((r for queue in self.queues.values() for r in queue), key=lambda r: r.open_id))


class Outgoing:
    """Signals that were sent to other executions: identified by their control."""

    def __init__(self) -> None:
        self.index: dict[str, deque[Record]] = {}
        self.by_event: dict[int, Record] = {}
        self._expected: dict[str, deque[Record]] = {}

    @staticmethod
    def key(workflow_id: str, run_id: str | None, name: str, control: str | None) -> str:
        if control is not None and control.startswith(identity.CONTROL_PREFIX):
            return control
        return f"{workflow_id}\n{run_id or ''}\n{name}"

    def initiated(self, event: Any, resumed: bool) -> bool:
        attributes = event.attributes
        key = self.key(attributes.workflow_id, attributes.run_id, attributes.signal_name, attributes.control)
        expected = self._expected.get(key)
        if expected:
            record = expected.popleft()
        elif resumed:
            return False
        else:
            record = Record(attributes.workflow_id, attributes.signal_name, key)
            record.attributes = attributes
            self.index.setdefault(key, deque()).append(record)
        record.schedule(event.id)
        self.by_event[event.id] = record
        return True

    def closed(self, event: Any) -> Record | None:
        record = self.by_event.pop(event.attributes.initiated_event_id, None)
        if record is not None:
            record.close(event)
        return record

    def claim(self, control: str, legacy: str) -> Record | None:
        for key in (control, legacy):
            queue = self.index.get(key)
            if queue:
                record = queue.popleft()
                if not queue:
                    del self.index[key]
                return record
        return None

    def emitted(self, call: Any, key: str, name: str) -> Record:
        record = Record(key, name, None)
        record.call = call
        self._expected.setdefault(key, deque()).append(record)
        return record

    def unclaimed(self) -> Iterator[Record]:
        return iter(sorted((r for queue in self.index.values() for r in queue), key=lambda r: r.open_id))
