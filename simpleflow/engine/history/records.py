"""Records: what the history says of one activity, child workflow, timer, marker or sent signal.

A record is *claimed* by the call that the program makes; what arrives before waits in it. The books find records:
by id, by the event that opened them, and by what identifies the submission.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from simpleflow.core import events, limits

from . import identity

#: larger than any cap
UNCAPPED = 1 << 60
#: how the control of the first of equal submissions ends
FIRST = '","ordinal":0,"simpleflow":1}'
#: characters of an activity's id, activity-NAME-N, beside those of NAME and N
BESIDE = len("activity--")
#: reason of a task whose machine went away: it costs no attempt
INTERRUPTED = "simpleflow.node.interrupted"
#: whole-history reads that depend on a record: none, on how it ends, on each change
NOT, FINAL, EVERY = 0, 1, 2


class Record(msgspec.Struct, eq=False):
    """What the history says of one thing that the program submitted."""

    id: str
    name: str
    #: control text of ours; None: of an execution that an older simpleflow began
    control: Any
    #: attributes of the event that scheduled it, until it is claimed
    attributes: Any = None
    #: how often it was scheduled; a retry keeps the id
    scheduled: int = 0
    #: event that opened it last
    open_id: int = 0
    #: what the program submitted; None until it does
    call: Any = None
    started: bool = False
    #: of a child workflow: its runs, each [event that started it, event that closed it or 0, run id]
    runs: list[list[Any]] | None = None
    #: the event that closed it last, and the type of that event; None while it is open
    closed_id: int = 0
    outcome: type | None = None
    #: how often it failed or timed out
    failures: int = 0
    cancel_seen: bool = False
    #: why it was not scheduled, last time
    refused: str | None = None
    #: DecisionTaskCompleted event of the decision that opened it first (timers, markers)
    decision: int = 0
    local: bool = False
    #: events that came before it was claimed
    undelivered: list[Any] | None = None
    #: a whole-history read depends on it
    watched: int = 0
    #: of one whose future needs no call: what makes the call when it is asked for
    activity: Any = None
    branch: Any = None
    ordinal: int = 0
    #: claims it for the submission that it must have been, when its first event, a refusal, is delivered
    finder: Any = None

    def schedule(self, event_id: int) -> None:
        self.scheduled += 1
        self.open_id = event_id
        self.outcome = None
        self.refused = None

    def run_at(self, event_id: int) -> str | None:
        """The run of a child workflow that was open when this event came."""
        for started, closed, run_id in self.runs or ():
            if started < event_id and (not closed or closed > event_id):
                return str(run_id)
        return None

    def close(self, event: Any) -> None:
        kind = type(event)
        self.outcome = kind
        self.closed_id = event.id
        self.started = False
        if kind in FAILURES and getattr(event.attributes, "reason", None) != INTERRUPTED:
            self.failures += 1

    def attach(self, call: Any) -> None:
        """Let a call hear what happens from now on, and deliver to it what happened before."""
        self.call = call
        waiting, self.undelivered = self.undelivered, None
        for event in waiting or ():
            call.deliver(event)

    def deliver(self, event: Any) -> None:
        if self.call is not None or (self.finder is not None and self.finder(self)):
            # A future that was made for this record alone gets its call now.
            getattr(self.call, "source", self.call).deliver(event)
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


#: says that a task was not scheduled: no settlement
REFUSALS = frozenset({events.ScheduleActivityTaskFailed, events.StartChildWorkflowExecutionFailed})


def passes(cause: str) -> bool:
    """Whether what was refused for this cause may be asked for again."""
    return "LIMIT_EXCEEDED" in cause or "RATE_EXCEEDED" in cause


def canonical(text: str | None) -> str:
    """Return the same text for equal JSON, whoever wrote it."""
    if text is None:
        return ""
    try:
        return msgspec.json.encode(msgspec.json.decode(text), order="sorted").decode()
    except msgspec.DecodeError:
        return text


def counted(record: Record) -> bool:
    """Whether an activity's id is a number that was free, not its identity (``idempotent``, ``get_task_id``).

    One whose id is its identity is found by that alone: it is never the same task as one whose id is a number.
    """
    return record.id[len(record.name) + BESIDE :].isdecimal() or len(record.id) == limits.NAME  # cut: either


class Register:
    """Activities, or child workflows."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        #: set by the evaluation: finds the submission of a record that was only refused so far
        self.finder: Any = None
        self.by_id: dict[str, Record] = {}
        #: those that are open, by the event that opened them
        self.by_event: dict[int, Record] = {}
        #: name -> input text (control of one whose input lies elsewhere) -> records that no call has claimed
        self.index: dict[str, dict[str, Record | list[Record]]] = {}
        #: without control of ours: by name, oldest first
        self.legacy: dict[str, list[Record]] = {}
        self.legacy_seen = False
        #: scheduling failed, so far always: by name, oldest first
        self.refused: dict[str, deque[Record]] = {}
        #: highest N of the ids NAME-N, by name
        self.numbers: dict[str, int] = {}
        self.uncounted: list[Record] = []
        #: a whole history's, in its order. A program submits again in that order: most are claimed in turn, and only
        #: what is left once another one is asked for enters the index
        self.row: list[Record] = []
        self.turn = 0
        #: most that were open at once; the coordinator accepted them
        self.peak = 0
        #: how many were open when the coordinator refused one more
        self.cap = UNCAPPED

    @property
    def open(self) -> int:
        """How many are open."""
        return len(self.by_event)

    def opened(self, event_id: int, record: Record) -> None:
        """Book an event that opened one."""
        self.by_event[event_id] = record
        self.peak = max(self.peak, len(self.by_event))

    def new(self, identifier: str, name: str, control: str | None, attributes: Any) -> Record:
        """Book what was scheduled and is not known yet."""
        if control is not None and control.startswith(identity.CONTROL_PREFIX):
            record = Record(identifier, name, control, attributes)
            self.enter(record, attributes)
        else:
            record = Record(identifier, name, None, attributes)
            self.legacy.setdefault(name, []).append(record)
            self.legacy_seen = True
        self.by_id[identifier] = record
        self.uncounted.append(record)
        return record

    def settle(self) -> None:
        """Enter in the index what was not claimed in its turn."""
        row, turn = self.row, self.turn
        self.turn = len(row)
        for record in row[turn:] if turn else row:
            self.enter(record, record.attributes)

    def enter(self, record: Record, attributes: Any) -> None:
        named = self.index.get(record.name)
        if named is None:
            named = self.index[record.name] = {}
        key = attributes.input
        if key is None or key.startswith(identity.POINTER):
            key = record.control
        other = named.get(key)
        if other is None:
            named[key] = record
        elif type(other) is list:
            other.append(record)
        else:
            named[key] = [other, record]  # type: ignore[list-item]  # not a list here

    def unscheduled(self, identifier: str, name: str) -> Record:
        """Add a record of a refused task that is not known yet. Only its order says which submission it belongs to."""
        record = self.by_id[identifier] = Record(identifier, name, None)
        record.finder = self.finder
        self.refused.setdefault(name, deque()).append(record)
        self.uncounted.append(record)
        return record

    def scheduled_late(self, record: Record, attributes: Any) -> None:
        """Note that a task that was refused before is scheduled: its control now identifies it."""
        record.attributes = attributes
        if attributes.control is not None and attributes.control.startswith(identity.CONTROL_PREFIX):
            record.control = attributes.control
            self.enter(record, attributes)
        else:
            self.legacy.setdefault(record.name, []).append(record)
        waiting = self.refused.get(record.name)
        if waiting is not None and record in waiting:
            waiting.remove(record)

    def count(self) -> None:
        """Look at the ids that came since the last time: the numbers in them are taken."""
        if not self.uncounted and not self.row:
            return
        self.settle()
        activities = self.kind == "activity"
        for record in (*self.uncounted, *self.row):
            tail = record.id[len(record.name) + BESIDE :] if activities else record.id.rpartition("-")[2]
            if tail.isdecimal() and len(tail) < 10:
                number = int(tail)
                if number > self.numbers.get(record.name, 0):
                    self.numbers[record.name] = number
        self.uncounted, self.row, self.turn = [], [], 0

    def next_number(self, name: str) -> int:
        if self.uncounted or self.row:
            self.count()
        number = self.numbers.get(name, 0) + 1
        self.numbers[name] = number
        return number

    def numbered(self, record: Record) -> bool:
        return self.kind != "activity" or counted(record)

    def claim(self, name: str, prefix: str, ordinal: int, text: str) -> Record | None:
        """Return the unclaimed record of a submission, and take it out of the index.

        ``prefix`` is the control's beginning, up to the digest. The text stands for its digest: nothing is hashed for
        what the history holds.
        """
        self.settle()
        named = self.index.get(name)
        if named is None:
            return None
        entry = named.get(text)
        if entry is None:
            return None
        end = FIRST if ordinal == 0 else f'","ordinal":{ordinal},"simpleflow":1}}'
        if type(entry) is not list:
            control = entry.control  # type: ignore[union-attr]  # not a list here
            if control.endswith(end) and control.startswith(prefix) and self.numbered(entry):  # type: ignore[arg-type]
                del named[text]
                return entry  # type: ignore[return-value]  # not a list here
            return None
        for place, record in enumerate(entry):
            if record.control.endswith(end) and record.control.startswith(prefix) and self.numbered(record):
                del entry[place]
                if not entry:
                    del named[text]
                return record
        return None

    def claim_by_control(self, name: str, control: str) -> Record | None:
        """Return the unclaimed record whose input lies in a blob."""
        self.settle()
        named = self.index.get(name)
        entry = None if named is None else named.get(control)
        for record in entry if isinstance(entry, list) else [entry]:
            if record is not None and self.numbered(record):
                self._out(record)
                return record
        return None

    def claim_by_id(self, identifier: str) -> Record | None:
        """Return the unclaimed record of a submission whose id is its identity."""
        record = self.by_id.get(identifier)
        if record is None or record.call is not None:
            return None
        self._out(record)
        return record

    def claim_legacy(self, name: str, text: str) -> Record | None:
        """Return the oldest unclaimed record of that name and input that carries no control."""
        wanted = canonical(text)
        for candidate in self.legacy.get(name, ()):
            if canonical(candidate.attributes.input) == wanted and self.numbered(candidate):
                self._out(candidate)
                return candidate
        return None

    def claim_refused(self, record: Record) -> None:
        waiting = self.refused.get(record.name)
        if waiting is not None and record in waiting:
            waiting.remove(record)

    def _out(self, record: Record) -> None:
        self.settle()
        for key in (record.attributes.input if record.attributes is not None else None, record.control):
            named = self.index.get(record.name, {})
            entry = named.get(key) if key is not None else None
            if entry is record:
                named.pop(key, None)  # type: ignore[arg-type]  # a key that is there is no None
            elif isinstance(entry, list) and record in entry:
                entry.remove(record)
        legacy = self.legacy.get(record.name)
        if legacy is not None and record in legacy:
            legacy.remove(record)
        self.claim_refused(record)

    def emitted(self, call: Any, identifier: str, name: str) -> Record:
        """Book what this decision schedules."""
        record = self.by_id[identifier] = Record(identifier, name, None)
        record.call = call
        if call.shared:
            self.uncounted.append(record)  # an id of the program's own may look like a number
        return record

    def drop(self, record: Record) -> None:
        """Nothing more will be asked of it."""
        self.by_id.pop(record.id, None)

    def unclaimed(self) -> Iterator[Record]:
        """Everything that was scheduled and that no call has claimed, oldest first."""
        self.settle()
        left = [record for group in self.legacy.values() for record in group]
        for named in self.index.values():
            for entry in named.values():
                left += entry if isinstance(entry, list) else [entry]
        return iter(sorted(left, key=lambda record: record.open_id))
