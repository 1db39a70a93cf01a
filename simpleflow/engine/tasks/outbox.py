"""The outbox: what the program wants and the service has not been told, in order of submission, within the limits."""

from __future__ import annotations

import heapq
from typing import Any, ClassVar, Protocol

import msgspec

from simpleflow.core import decisions, errors, limits, types
from simpleflow.engine.history import fold, records
from simpleflow.engine.program import futures

#: bytes that a decision takes beside its texts, at most
_OVERHEAD = 1_200


class Item(Protocol):
    """Something that waits to be sent. Sent in order of submission."""

    seq: int
    queued: bool
    #: "work" (a task, a child, a timer, a signal), "cancel" or "note" (a marker)
    sort: ClassVar[str]

    @property
    def cap(self) -> str:
        """Which cap of the coordinator it counts for."""

    @property
    def waited_for(self) -> bool:
        """Whether the program waits for its event, which alone causes no decision."""

    def decision(self) -> decisions.Decision | None:
        """Return the decision, and book that it was sent; None when it is not wanted any more."""

    def missing_type(self) -> types.RegisteredType | None:
        """Return the type to register before it is sent."""

    def withdraw(self) -> None:
        """Never send it: a cancel request was taken up. What waits for it is cancelled."""


class Sent:
    """What most items have."""

    __slots__ = ("queued", "seq")

    cap: str = ""
    sort: ClassVar[str] = "note"

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.queued = False

    @property
    def waited_for(self) -> bool:
        return False

    def missing_type(self) -> types.RegisteredType | None:
        return None

    def withdraw(self) -> None:
        raise errors.Misuse("what only tells something is sent in any case")


class Cancellation(Sent):
    """The wish that a task that was scheduled be cancelled."""

    __slots__ = ("call", "withdrawn")

    sort: ClassVar[str] = "cancel"

    def __init__(self, call: Any) -> None:
        evaluation = call.evaluation
        super().__init__(evaluation.next_seq())
        self.call = call
        self.withdrawn = False
        if evaluation.scopes is not None:
            evaluation.scopes.note_shield(evaluation.current, self.seq)

    @property
    def done(self) -> bool:
        """It is not wanted any more: the task ended meanwhile, or was told already."""
        record = self.call.record
        return self.withdrawn or record is None or record.outcome is not None or record.cancel_seen

    def withdraw(self) -> None:
        self.withdrawn = True

    def decision(self) -> decisions.Decision | None:
        record = self.call.record
        if record is None or record.outcome is not None or record.cancel_seen:
            return None
        record.cancel_seen = True
        decided: decisions.Decision = self.call.cancel_decision()
        return decided


class Once(Sent):
    """Such an item, and how the flags of its future are read."""

    __slots__ = ("evaluation", "record", "watched")

    def __init__(self, evaluation: Any) -> None:
        super().__init__(evaluation.next_seq())
        self.evaluation = evaluation
        #: whole-history reads that depend on it
        self.watched = records.NOT
        self.record: records.Record | None = None

    def state(self, future: futures.Future[Any]) -> str:
        evaluation, record = self.evaluation, self.record
        if evaluation.facts.asynchronous:
            over = record is not None and 0 < record.closed_id <= evaluation.started_as_of()
            return futures.FINISHED if over else futures.PENDING
        evaluation.reads.observed = True
        self.watched = records.FINAL
        if record is None:
            return futures.PENDING
        record.watched = records.FINAL
        if record.outcome is None:
            return futures.PENDING
        evaluation.raise_floor(record.closed_id)
        return futures.FINISHED


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much fits: SWF's limits, unless a test lowers them."""

    decisions: int = limits.DECISIONS
    response_bytes: int = limits.RESPONSE_BYTES
    open_activities: int = limits.OPEN_ACTIVITIES
    open_timers: int = limits.OPEN_TIMERS
    open_children: int = limits.OPEN_CHILDREN


class Batch:
    """What one response carries."""

    __slots__ = ("decisions", "size", "types", "wake_up")

    def __init__(self) -> None:
        self.decisions: list[decisions.Decision] = []
        self.types: dict[types.RegisteredType, None] = {}
        #: more is ready than fits, or something was sent whose event alone causes no decision
        self.wake_up = False
        self.size = 0


class Outbox:
    """Queues by what limits them; the lowest submission number of all that may go is next."""

    def __init__(self) -> None:
        #: ours first: what ``patched`` said must be in the history before anything that follows from it
        self._heaps: dict[str, list[tuple[int, Item]]] = {
            "own": [],
            "": [],
            "activity": [],
            "workflow": [],
            "timer": [],
        }

    def push(self, item: Item) -> None:
        if not item.queued:
            item.queued = True
            heapq.heappush(self._heaps[item.cap], (item.seq, item))

    def drop_tasks(self) -> None:
        """Forget tasks and timers that were not sent: the program ends."""
        for cap in ("activity", "workflow", "timer"):
            for _, item in self._heaps[cap]:
                item.queued = False
            self._heaps[cap] = []

    def waiting(self) -> list[Item]:
        """Return what waits to be sent, in order of submission."""
        return [item for _, item in sorted(entry for heap in self._heaps.values() for entry in heap)]

    def tasks(self) -> list[Any]:
        """Return the activities and children that nobody cancelled and that were never scheduled, as submitted."""
        found: list[Any] = [item for cap in ("activity", "workflow") for _, item in self._heaps[cap]]
        return sorted(
            (item for item in found if not item.done and (item.record is None or not item.record.scheduled)),
            key=lambda item: item.seq,
        )

    def __len__(self) -> int:
        return sum(map(len, self._heaps.values()))

    def first(self, kind: str, name: str, started: int) -> Any | None:
        """Return the first task of this type that was never scheduled, and was ready when a decision started."""
        item: Any  # a task: nothing else is in these heaps
        for _, item in sorted(self._heaps[kind], key=lambda entry: entry[0]):
            if item.record is not None or item.shared:
                continue  # one whose id is its identity has found its record by that
            if item.done and item.cancelled < started:
                continue
            if item.history_name == name and item.since < started:
                return item
        return None

    def first_marker(self, name: str) -> Any | None:
        """Return the first marker of this name that was never sent."""
        item: Any
        for _, item in sorted(self._heaps[""], key=lambda entry: entry[0]):
            if item.sort == "note" and item.name == name and item.record is None:
                return item
        return None

    def take(self, book: fold.Book, bounds: Bounds, *, closing: bool = False, most: int = 0) -> Batch:
        """Take out what one response may carry.

        ``closing``: a closing decision follows, so that tasks and timers, which it would end at once, stay behind.
        ``most``: the program's own bound on open activities, 0 for none.
        """
        batch = Batch()
        heaps = self._heaps
        if not any(heaps.values()):
            return batch
        room: dict[str, int] = {}
        if heaps["activity"]:
            room["activity"] = self._activity_room(book.activities, bounds, most)
        if heaps["workflow"]:
            room["workflow"] = min(book.children.cap, bounds.open_children) - book.children.open
        if heaps["timer"]:
            room["timer"] = min(book.timers.cap, bounds.open_timers) - book.timers.open
        if closing:
            room.update(activity=0, timer=0)
        elif book.throttle.waiting:
            room.update(activity=0, workflow=0, timer=0)
        widest = min(bounds.open_activities, most or records.UNCAPPED)
        starting = self._slow_start(book.activities, bounds) and self._start_width(book.activities) < widest
        places = bounds.decisions - (1 if closing else 0)
        while True:
            heap = self._next(room)
            if heap is None:
                if starting and not closing and self._heaps["activity"] and not book.throttle.waiting:
                    batch.wake_up = True
                break
            if len(batch.decisions) >= places - 1 and self._more_than_one(room, places - len(batch.decisions)):
                batch.wake_up = True
                break
            _, item = heapq.heappop(heap)
            item.queued = False
            missing = item.missing_type()
            if missing is not None:
                batch.types[missing] = None
            decision = item.decision()
            if decision is None:
                continue
            batch.decisions.append(decision)
            batch.size += _size(decision)
            if item.cap in room:
                room[item.cap] -= 1
            batch.wake_up = batch.wake_up or item.waited_for
            if batch.size > bounds.response_bytes - 50_000:
                batch.size = sum(map(decisions.wire_size, batch.decisions))
                if batch.size > bounds.response_bytes - 80_000 and len(self):
                    batch.wake_up = True
                    break
        return batch

    def _next(self, room: dict[str, int]) -> list[tuple[int, Item]] | None:
        """Return the heap whose head is next; heads that are not wanted any more are dropped."""
        best = None
        for cap, heap in self._heaps.items():
            while heap and getattr(heap[0][1], "done", False):
                heapq.heappop(heap)[1].queued = False
            if not heap or room.get(cap, 1) <= 0:
                continue
            if cap == "own":
                return heap
            if best is None or heap[0][0] < best[0][0]:
                best = heap
        return best

    def _more_than_one(self, room: dict[str, int], places: int) -> bool:
        """Whether more may go now than there are places left."""
        ready = 0
        for cap, heap in self._heaps.items():
            allowed = room.get(cap, records.UNCAPPED)
            if allowed <= 0:
                continue
            found = 0
            for _, item in heap:
                if not getattr(item, "done", False):
                    found += 1
                    if found >= allowed or ready + found > places:
                        break
            ready += found
            if ready > places:
                return True
        return False

    def _slow_start(self, register: records.Register, bounds: Bounds) -> bool:
        return register.cap == records.UNCAPPED and len(self._heaps["activity"]) > bounds.decisions

    def _activity_room(self, register: records.Register, bounds: Bounds, most: int) -> int:
        cap = min(register.cap, bounds.open_activities, most or records.UNCAPPED)
        if self._slow_start(register, bounds):
            cap = min(cap, self._start_width(register))
        return cap - register.open

    @staticmethod
    def _start_width(register: records.Register) -> int:
        return max(limits.FIRST_ACTIVITIES, 2 * register.peak)


def wake_up(delay: int = 0) -> decisions.StartTimer:
    """Return the decision that brings the next decision task when nothing else would."""
    return decisions.StartTimer(timer_id=fold.WAKE_UP, start_to_fire_timeout=str(delay))


def _size(decision: decisions.Decision) -> int:
    # Quotes inside are escaped on the wire: twice the length is enough for JSON in JSON.
    size = _OVERHEAD
    for text in (getattr(decision, "input", None), getattr(decision, "details", None)):
        if text is not None:
            size += 2 * len(text)
    return size
