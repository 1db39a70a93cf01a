"""Records: what the history says of one activity, child workflow, timer, marker or sent signal.

A record is *claimed* by the call that the program makes; what arrives before waits in it. The books find records:
by id, by the event that opened them, and by what identifies the submission.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from simpleflow.core import events

from . import identity

#: larger than any cap
UNCAPPED = 1 << 60
#: whole-history reads that depend on a record: none, on how it ends, on each change
NOT, FINAL, EVERY = 0, 1, 2


class Record:
    """What the history says of one thing that the program submitted."""

    __slots__ = (
        "call",
        "cancel_seen",
        "closed_id",
        "decision",
        "failures",
        "finder",
        "id",
        "key",
        "local",
        "name",
        "open_id",
        "outcome",
        "refused",
        "run_id",
        "said",
        "scheduled",
        "started",
        "undelivered",
        "watched",
    )

    def __init__(self, identifier: str, name: str, key: Any) -> None:
        self.id = identifier
        self.name = name
        #: where it stands in the index until it is claimed
        self.key = key
        #: what the program submitted; None until it does
        self.call: Any = None
        #: attributes of the event that scheduled it, until it is claimed
        self.said: Any = None
        #: how often it was scheduled; a retry keeps the id
        self.scheduled = 0
        #: event that opened it last
        self.open_id = 0
        self.started = False
        self.run_id: str | None = None
        #: the event that closed it last, and the type of that event; None while it is open
        self.closed_id = 0
        self.outcome: type | None = None
        #: how often it failed or timed out
        self.failures = 0
        self.cancel_seen = False
        #: why it was not scheduled, last time
        self.refused: str | None = None
        #: DecisionTaskCompleted event of the decision that opened it first (timers, markers)
        self.decision = 0
        self.local = False
        #: events that came before it was claimed
        self.undelivered: list[Any] | None = None
        #: a whole-history read depends on it
        self.watched = NOT
        #: claims it for the submission that it must have been, when its first event, a refusal, is delivered
        self.finder: Any = None

    def schedule(self, event_id: int) -> None:
        self.scheduled += 1
        self.open_id = event_id
        self.outcome = None
        self.refused = None

    def close(self, event: Any) -> None:
        kind = type(event)
        self.outcome = kind
        self.closed_id = event.id
        self.started = False
        if kind in FAILURES:
            self.failures += 1

    def deliver(self, event: Any) -> None:
        if self.call is not None:
            self.call.deliver(event)
        elif self.finder is not None and self.finder(self):
            self.call.deliver(event)
        elif self.undelivered is None:
            self.undelivered = [event]
        else:
            self.undelivered.append(event)


FAILURES = frozenset(
    {
        events.ActivityTaskFailed,
        events.ActivityTaskTimedOut,
        events.ChildWorkflowExecutionFailed,
        events.ChildWorkflowExecutionTimedOut,
        events.ChildWorkflowExecutionTerminated,
    }
)


def canonical(text: str | None) -> str:
    """Return the same text for equal JSON, whoever wrote it."""
    if text is None:
        return ""
    try:
        return msgspec.json.encode(msgspec.json.decode(text), order="sorted").decode()
    except msgspec.DecodeError:
        return text


class Book:
    """Activities, or child workflows."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        #: set by the evaluation: finds the submission of a record that was only refused so far
        self.finder: Any = None
        self.by_id: dict[str, Record] = {}
        self.by_event: dict[int, Record] = {}
        #: (name, control) -> record that no call has claimed
        self.index: dict[tuple[str, str], Record] = {}
        #: without control of ours: by name, oldest first
        self.legacy: dict[str, list[Record]] = {}
        self.legacy_seen = False
        #: scheduling failed, so far always: by name, oldest first
        self.refused: dict[str, deque[Record]] = {}
        #: highest N of the ids NAME-N, by name
        self.numbers: dict[str, int] = {}
        self.open = 0
        #: most that were open at once; the coordinator never minded
        self.peak = 0
        #: so many were open when the coordinator refused one more
        self.cap = UNCAPPED

    def opened(self) -> None:
        self.open += 1
        if self.open > self.peak:
            self.peak = self.open

    def new(self, identifier: str, name: str, control: str | None) -> Record:
        """Book what was scheduled and is not known yet."""
        if control is not None and control.startswith(identity.CONTROL_PREFIX):
            key = (name, control)
            record = self.index[key] = Record(identifier, name, key)
        else:
            record = Record(identifier, name, None)
            self.legacy.setdefault(name, []).append(record)
            self.legacy_seen = True
        self.by_id[identifier] = record
        self._count(identifier, name)
        return record

    def unscheduled(self, identifier: str, name: str) -> Record:
        """Book what was refused and is not known yet: nothing says which submission it was but its turn."""
        record = self.by_id[identifier] = Record(identifier, name, None)
        record.finder = self.finder
        self.refused.setdefault(name, deque()).append(record)
        self._count(identifier, name)
        return record

    def scheduled_late(self, record: Record, said: Any) -> None:
        """It was refused before; now its control says what it is."""
        record.said = said
        if said.control is not None and said.control.startswith(identity.CONTROL_PREFIX):
            record.key = (record.name, said.control)
            self.index[record.key] = record
        else:
            self.legacy.setdefault(record.name, []).append(record)
        waiting = self.refused.get(record.name)
        if waiting is not None and record in waiting:
            waiting.remove(record)

    def _count(self, identifier: str, name: str) -> None:
        tail = identifier.rpartition("-")[2]
        if tail.isdecimal() and len(tail) < 10:
            number = int(tail)
            if number > self.numbers.get(name, 0):
                self.numbers[name] = number

    def next_number(self, name: str) -> int:
        number = self.numbers.get(name, 0) + 1
        self.numbers[name] = number
        return number

    def claim(self, name: str, control: str, text: str, identifier: str | None) -> Record | None:
        """Return the unclaimed record of this submission, and take it out of the index.

        ``identifier`` is given when the id is the identity. Exact control first, else, for executions that an older
        simpleflow began, the oldest one of that name and input.
        """
        if identifier is not None:
            record = self.by_id.get(identifier)
            if record is not None and record.call is None:
                self._out(record)
                return record
            return None
        record = self.index.pop((name, control), None)
        if record is None and self.legacy:
            wanted = canonical(text)
            for candidate in self.legacy.get(name, ()):
                if canonical(candidate.said.input) == wanted:
                    self._out(candidate)
                    return candidate
        return record

    def claim_refused(self, record: Record) -> None:
        waiting = self.refused.get(record.name)
        if waiting is not None and record in waiting:
            waiting.remove(record)

    def _out(self, record: Record) -> None:
        if record.key is not None:
            self.index.pop(record.key, None)
        legacy = self.legacy.get(record.name)
        if legacy is not None and record in legacy:
            legacy.remove(record)
        self.claim_refused(record)

    def emitted(self, call: Any, identifier: str, name: str) -> Record:
        """Book what this decision schedules."""
        record = self.by_id[identifier] = Record(identifier, name, None)
        record.call = call
        return record

    def drop(self, record: Record) -> None:
        """Nothing more will be asked of it."""
        self.by_id.pop(record.id, None)

    def unclaimed(self) -> Iterator[Record]:
        """Everything that was scheduled and that no call has claimed, oldest first."""
        left = [*self.index.values(), *(record for group in self.legacy.values() for record in group)]
        return iter(sorted(left, key=lambda record: record.open_id))


class Timers:
    """Timers: identified by (id, ordinal), so that each id is a queue."""

    def __init__(self) -> None:
        #: not claimed yet
        self.queues: dict[str, deque[Record]] = {}
        #: emitted or claimed, the newest of each id
        self.latest: dict[str, Record] = {}
        self.by_event: dict[int, Record] = {}
        self.open = 0
        self.peak = 0
        self.cap = UNCAPPED
        self.last: dict[str, tuple[Any, Any]] = {}
        self.watched: set[str] = set()
        self._expected: dict[str, Record] = {}

    def started(self, timer_id: str, event: Any, resumed: bool) -> Record | None:
        record = self._expected.pop(timer_id, None)
        if record is None:
            if resumed:
                return None
            record = Record(timer_id, timer_id, None)
            record.said = event.attributes
            self.queues.setdefault(timer_id, deque()).append(record)
            self.latest[timer_id] = record
        record.schedule(event.id)
        record.decision = record.decision or event.attributes.decision_task_completed_event_id
        self.by_event[event.id] = record
        self.open += 1
        self.peak = max(self.peak, self.open)
        self.last[timer_id] = (event, None)
        return record

    def failed(self, timer_id: str, event: Any, resumed: bool) -> Record | None:
        record = self._expected.pop(timer_id, None)
        if record is None:
            if resumed:
                return None
            record = Record(timer_id, timer_id, None)
            record.decision = event.attributes.decision_task_completed_event_id
            record.said = event.attributes
            self.queues.setdefault(timer_id, deque()).append(record)
            # One that is refused for now is started later: that event speaks of the same record.
            self._expected[timer_id] = record
        return record

    def closed(self, event: Any) -> Record | None:
        record = self.by_event.pop(event.attributes.started_event_id, None)
        if record is not None:
            self.open -= 1
            record.close(event)
            opened = self.last.get(record.id)
            self.last[record.id] = (opened[0] if opened else None, event)
        return record

    def watch(self, timer_id: str) -> None:
        """A whole-history read depends on every timer of this id."""
        self.watched.add(timer_id)

    def claim(self, timer_id: str) -> Record | None:
        queue = self.queues.get(timer_id)
        return queue.popleft() if queue else None

    def give_back(self, record: Record) -> None:
        """It belongs to a later timer of this id: the one that claimed it was never emitted."""
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
        said = event.attributes
        key = self.key(said.workflow_id, said.run_id, said.signal_name, said.control)
        expected = self._expected.get(key)
        if expected:
            record = expected.popleft()
        elif resumed:
            return False
        else:
            record = Record(said.workflow_id, said.signal_name, key)
            record.said = said
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


class Markers:
    """Markers: those of users by (name, details), ours by (name, what their details identify)."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Record] = {}
        #: what ``list_markers`` shows: (name, details) in the order of recording
        self.shown: list[tuple[str, str | None]] = []
        self.last: dict[str, Any] = {}
        self.watched = False
        #: set by the evaluation: finds the submission of a marker that was refused
        self.finder: Any = None

    @staticmethod
    def key(name: str, details: str | None) -> tuple[str, str]:
        if name.startswith(OURS) and details is not None:
            try:
                said = _own.decode(details)
            except msgspec.DecodeError:
                return name, details
            return name, own_key(said.id, said.branch, said.ordinal)
        return name, "" if details is None else details

    def recorded(self, event: Any) -> Record:
        said = event.attributes
        key = self.key(said.marker_name, said.details)
        record = self.known.get(key)
        if record is None:
            record = self.known[key] = Record(said.marker_name, said.marker_name, key)
        if record.call is None:
            record.said = said
        record.schedule(event.id)
        record.decision = record.decision or said.decision_task_completed_event_id
        record.outcome = type(event)
        record.local = said.marker_name == LOCAL_ACTIVITY
        if not said.marker_name.startswith(OURS):
            self.shown.append((said.marker_name, said.details))
            self.last[said.marker_name] = event
        return record

    def failed(self, event: Any) -> Record:
        # The event does not say the details: the oldest one of that name that waits.
        name = event.attributes.marker_name
        for record in self.known.values():
            if record.name == name and record.outcome is None:
                record.outcome = type(event)
                return record
        record = Record(name, name, None)
        record.outcome = type(event)
        record.finder = self.finder
        return record

    def claim(self, key: tuple[str, str]) -> Record | None:
        return self.known.get(key)

    def emitted(self, call: Any, key: tuple[str, str]) -> Record:
        record = self.known[key] = Record(key[0], key[0], key)
        record.call = call
        return record


#: how the names of our own markers begin
OURS = "simpleflow."
SIDE_EFFECT = "simpleflow.side_effect"
PATCH = "simpleflow.patch"
LOCAL_ACTIVITY = "simpleflow.local_activity"


class Own(msgspec.Struct, omit_defaults=True):
    """Details of a marker of ours."""

    branch: str
    ordinal: int
    id: str = ""
    value: msgspec.Raw = msgspec.Raw(b"null")
    reason: str | None = None
    details: str | None = None


_own = msgspec.json.Decoder(Own)


def own_details(details: str) -> Own:
    return _own.decode(details)


def own_key(identifier: str, branch: str, ordinal: int) -> str:
    return f"{identifier}\n{branch}\n{ordinal}"


class Throttle:
    """The coordinator asks for patience: how often in a row, and whether the back-off timer has fired since."""

    __slots__ = ("_decision", "cause", "count", "timer", "waiting")

    def __init__(self) -> None:
        self.cause = ""
        #: decisions in a row of which something was refused for this cause
        self.count = 0
        #: nothing is scheduled until the timer fires
        self.waiting = False
        #: a wake-up timer was started since the refusal
        self.timer = False
        self._decision = 0

    def failed(self, cause: str, decision: int, event_id: int) -> None:
        if cause != self.cause:
            self.cause, self.count = cause, 0
        if decision != self._decision:
            self._decision = decision
            self.count += 1
            self.timer = False
        self.waiting = True

    def succeeded(self, decision: int) -> None:
        if self.count and decision != self._decision:
            self.count = 0
            self.waiting = False

    def timer_started(self, decision: int) -> None:
        # One that the very decision started of which something was refused is no back-off.
        self.timer = self.waiting and decision != self._decision

    def timer_fired(self) -> None:
        if self.timer:
            self.waiting = self.timer = False

    @property
    def delay(self) -> int:
        """Seconds: 1, 2, 4, ... 60."""
        return min(60, 1 << min(self.count - 1, 6))
