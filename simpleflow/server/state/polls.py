"""Open long polls: who waits on which task list, in the order in which they are served."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from simpleflow.server.requests import errors

#: the store's table behind each kind of poll
TABLES: Final = {"PollForDecisionTask": "states", "PollForActivityTask": "items"}
#: gets what a call came to
Give = Callable[[dict[str, Any] | errors.Fault], None]
#: gets what each of several answers to activity tasks came to, and the next tasks
GiveSeveral = Callable[[tuple[list[errors.Fault | None], list[dict[str, Any]]] | errors.Fault], None]


class Then(NamedTuple):
    """The next task that a worker wants with the acknowledgement of its answer."""

    #: of PollForActivityTask, as validated
    request: Mapping[str, Any]
    #: names this exchange: the one who repeats it is given the same task again
    claim: str
    #: an earlier attempt may have been carried out
    again: bool = False
    #: how many tasks are wanted: more than one only while all of them are of these types (name, version); 0: only
    #: those that an earlier attempt had brought
    most: int = 1
    quick: frozenset[tuple[str, str]] = frozenset()


class Waiter:
    """A long poll that has no task yet, or an answer that takes the next task where there is one.

    ``answer`` is set when it is woken: a task, or nothing. Whoever holds it may answer only after the commit.
    """

    __slots__ = ("answer", "claim", "further", "most", "place", "poll_id", "quick", "request", "tell")

    def __init__(
        self,
        place: tuple[str, str],
        request: Mapping[str, Any],
        poll_id: str | None,
        claim: str | None = None,
        *,
        most: int = 1,
        quick: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        #: table and task list
        self.place = place
        self.request = request
        self.poll_id = poll_id
        #: of an answer (``Then``), which never waits: the next ``settle`` wakes it
        self.claim = claim
        #: as in ``Then``
        self.most = most
        self.quick = quick
        self.answer: dict[str, Any] | None = None
        #: where its task may go ahead of the disk: gets it before ``Give`` does
        self.tell: Callable[[dict[str, Any]], object] | None = None
        #: tasks that the waiter was given in addition to its answer
        self.further: list[dict[str, Any]] = []

    def empty(self) -> dict[str, Any]:
        """Return the answer to a poll that gets no task."""
        if self.claim is not None:
            return {}
        if self.place[0] == "states":
            return {"taskToken": "", "startedEventId": 0, "previousStartedEventId": 0}
        return {"taskToken": "", "startedEventId": 0}


def tell(woken: Iterable[Waiter]) -> None:
    """Let tasks go ahead to those who want that."""
    for waiter in woken:
        if waiter.tell is not None and waiter.answer is not None:
            waiter.tell(waiter.answer)


class Polls:
    """The waiters of one service."""

    def __init__(self) -> None:
        #: in the order of service; a waiter in the middle may leave
        self._waiting: dict[tuple[str, str], collections.OrderedDict[Waiter, None]] = {}
        self._named: dict[str, Waiter] = {}
        #: waiters that do not wait for a task
        self._brief: dict[Waiter, None] = {}
        self.open = 0
        #: polls of workers among those that are open
        self.workers = 0

    def add(self, waiter: Waiter, *, first: bool = False) -> None:
        """Let a waiter wait; ``first``: before those that came earlier."""
        line = self._waiting.setdefault(waiter.place, collections.OrderedDict())
        line[waiter] = None
        if first:
            line.move_to_end(waiter, last=False)
        if waiter.poll_id is not None:
            self._named[waiter.poll_id] = waiter
        if waiter.claim is not None:
            self._brief[waiter] = None
        self.open += 1
        self.workers += waiter.place[0] == "items"

    def remove(self, waiter: Waiter) -> bool:
        """Remove a waiter; return False when it was removed before."""
        line = self._waiting.get(waiter.place)
        if line is None or waiter not in line:
            return False
        del line[waiter]
        self._brief.pop(waiter, None)
        if not line:
            del self._waiting[waiter.place]
        if waiter.poll_id is not None and self._named.get(waiter.poll_id) is waiter:
            del self._named[waiter.poll_id]
        self.open -= 1
        self.workers -= waiter.place[0] == "items"
        return True

    def brief(self) -> list[Waiter]:
        """Return the waiters that do not wait for a task and have none yet."""
        return list(self._brief)

    def named(self, poll_id: str) -> Waiter | None:
        return self._named.get(poll_id)

    def first(self, place: tuple[str, str]) -> Waiter | None:
        """Return the waiter that is served next on a task list, or None."""
        line = self._waiting.get(place)
        return next(iter(line)) if line else None

    def count(self, place: tuple[str, str]) -> int:
        return len(self._waiting.get(place, ()))

    def lists(self) -> Iterable[tuple[str, str]]:
        """Task lists on which somebody waits."""
        return list(self._waiting)
