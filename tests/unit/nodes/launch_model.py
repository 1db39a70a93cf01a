"""A world of managers that launch, explored exhaustively with the code's own steps (docs/design/control.md, part 1).

A manager does what a pass does, one effect at a time: read, list, account, write the intent, send, record. Between two
of them anything may happen: time, any number of effects of other managers, a crash. A manager that rests between two
effects for as long as it likes is a paused one, and a take-over may come at any moment, so the lease plays no part.

The network delivers, refuses, loses and delays within a signature's life. Machines of one attempt show up in lists one
by one, surely after the lag. The client token is forgotten: what is sent twice is launched twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations
from typing import NamedTuple

import msgspec

from simpleflow.core import documents
from simpleflow.nodes import config, control
from simpleflow.nodes.providers import base

#: one unit each, so that every boundary is met
TIMES = msgspec.structs.replace(config.PRESETS["aws"], intent=1.0, signature=1.0, list_lag=1.0, forget=50.0, commit=1.0)
TERMS = config.Billing()


class Mutant(NamedTuple):
    """A simpler protocol: each field is one rule that is left out or weaker."""

    #: a successor sends another's open attempt again
    sends_again: bool = False
    #: an answer that does not come closes the intent
    silence_closes: bool = False
    #: what the managers believe of the provider's times, where that is not true
    believed: config.Times | None = None
    #: an attempt is sent however late it is
    sends_late: bool = False
    #: a row closes when one list does not show its machine
    absence_closes: bool = False
    #: the first machines of an attempt that a list shows close its intent
    first_closes: bool = False
    #: a document is replaced whatever was read (the lease is trusted instead)
    overwrites: bool = False


#: the protocol as it is
FAITHFUL = Mutant()


class Limits(NamedTuple):
    """How much may happen."""

    horizon: int = 6
    managers: int = 2
    attempts: int = 2
    #: machines that die by themselves
    deaths: int = 0
    #: machines that are wanted
    demand: int = 1


class Machine(NamedTuple):
    attempt: str
    number: int
    born: int
    died: int = -1


#: what a list shows
_Shown = tuple[tuple[str, int, int, bool], ...]


class Manager(NamedTuple):
    #: 'new', 'read', 'listed', 'accounted', 'intent', 'sent'
    at: str = "new"
    #: the document as it was read, by its number
    known: int = -1
    #: when a list began, and what it shows
    listing: tuple[int, _Shown] | None = None
    attempt: str = ""
    units: int = 0
    #: last moment to send, noted when the intent was written: it may have been paused since
    not_after: int = 0


class State(NamedTuple):
    now: int
    document: int
    managers: tuple[Manager, ...]
    #: attempts on their way: (attempt, units, signed)
    network: tuple[tuple[str, int, int], ...] = ()
    cloud: tuple[Machine, ...] = ()
    #: answers that may still reach their creator: (attempt, machines launched, born)
    answers: tuple[tuple[str, int, int], ...] = ()
    deaths: int = 0


def _instance(attempt: str, number: int, born: int, dead: bool = False) -> base.Instance:
    return base.Instance(
        id=f"i-{attempt}-{number}",
        state="terminated" if dead else "running",
        profile="p",
        attempt=attempt,
        launched=float(born),
        instance_type="t",
    )


class World:
    """One protocol, in one world."""

    def __init__(self, limits: Limits, *, mutant: Mutant = FAITHFUL, times: config.Times = TIMES) -> None:
        self.limits = limits
        self.mutant = mutant
        #: true, and as the managers believe
        self.times = times
        self.believed = mutant.believed or times
        self.documents: list[documents.Control] = []
        self._numbers: dict[documents.Control, int] = {}
        #: documents by (step, document, argument): most states differ in other things
        self._memo: dict[tuple[object, ...], documents.Control] = {}

    def number(self, document: documents.Control) -> int:
        found = self._numbers.get(document)
        if found is None:
            found = self._numbers[document] = len(self.documents)
            self.documents.append(document)
        return found

    # --- exploring ----------------------------------------------------------------------------------------------------

    def explore(self) -> tuple[int, list[State]]:
        """Return how many states there are, and the way to the first that breaks the promise (none: empty)."""
        start = State(now=0, document=self.number(control.empty("c")), managers=(Manager(),) * self.limits.managers)
        came: dict[State, State | None] = {start: None}
        frontier = [start]
        while frontier:
            state = frontier.pop()
            if self.broken(state):
                way: list[State] = []
                step: State | None = state
                while step is not None:
                    way.append(step)
                    step = came[step]
                return len(came), way[::-1]
            for following in self.successors(state):
                if following not in came:
                    came[following] = state
                    frontier.append(following)
        return len(came), []

    def broken(self, state: State) -> str:
        """Which promise a state breaks: more machines than are wanted, or one that no row and no intent speaks of."""
        living = [each for each in state.cloud if each.died < 0]
        if len(living) > self.limits.demand:
            return f"{len(living)} machines for a demand of {self.limits.demand}"
        if living:
            document = self.documents[state.document]
            rows = {row.instance for row in document.rows}
            intents = {intent.id for intent in document.intents}
            for each in living:
                if each.attempt not in intents and f"i-{each.attempt}-{each.number}" not in rows:
                    return f"machine {each.number} of {each.attempt} stands in no row, and its intent is closed"
        return ""

    def successors(self, state: State) -> Iterator[State]:
        limits = self.limits
        if state.now < limits.horizon:
            yield state._replace(now=state.now + 1)
        yield from self._deliveries(state)
        if state.deaths < limits.deaths:
            for place, machine in enumerate(state.cloud):
                if machine.died < 0:
                    cloud = (*state.cloud[:place], machine._replace(died=state.now), *state.cloud[place + 1 :])
                    yield state._replace(cloud=cloud, deaths=state.deaths + 1)
        for place, manager in enumerate(state.managers):
            if manager in state.managers[:place]:
                continue  # managers have no names: what one may do, its equal may
            others = (*state.managers[:place], *state.managers[place + 1 :])
            for following, moved in self._steps(state, manager):
                yield following._replace(managers=tuple(sorted([*others, moved], key=_order)))
            if manager.at != "new":
                # It crashes, as often as it likes: what it knew is gone.
                yield state._replace(managers=tuple(sorted([*others, Manager()], key=_order)))

    def _deliveries(self, state: State) -> Iterator[State]:
        for place, (attempt, units, signed) in enumerate(state.network):
            rest = state._replace(network=(*state.network[:place], *state.network[place + 1 :]))
            yield rest  # lost; or the signature was too old, and the refusal is lost
            if state.now - signed > self.times.signature:
                continue
            first = sum(each.attempt == attempt for each in state.cloud)
            yield rest._replace(answers=tuple(sorted([*rest.answers, (attempt, 0, state.now)])))  # refused
            for launched in range(1, units + 1):
                born = [Machine(attempt, first + number, state.now) for number in range(launched)]
                yield rest._replace(
                    cloud=tuple(sorted([*state.cloud, *born])),
                    answers=tuple(sorted([*rest.answers, (attempt, launched, state.now)])),
                )

    # --- one manager --------------------------------------------------------------------------------------------------

    def _replace(self, state: State, manager: Manager, new: documents.Control, then: Manager) -> tuple[State, Manager]:
        """What ControlFile.replace does: only over the very document that was read, else all is forgotten."""
        if self.number(new) == manager.known:
            return state, then
        if state.document != manager.known and not self.mutant.overwrites:
            return state, Manager()
        new = msgspec.structs.replace(new, seq=self.documents[state.document].seq + 1)
        number = self.number(new)
        return state._replace(document=number), then._replace(known=number)

    def _steps(self, state: State, manager: Manager) -> Iterator[tuple[State, Manager]]:
        at = manager.at
        if at == "new":
            yield state, Manager(at="read", known=state.document)
        elif at == "read":
            for shown in self._lists(state):
                yield state, manager._replace(at="listed", listing=(state.now, shown))
        elif at == "listed":
            new = self._accounted(manager)
            yield self._replace(state, manager, new, manager._replace(at="accounted", listing=None))
        elif at == "accounted":
            yield from self._plans(state, manager)
        elif at == "intent":
            if state.now <= manager.not_after or self.mutant.sends_late:
                sending = (manager.attempt, manager.units, state.now)
                yield state._replace(network=tuple(sorted([*state.network, sending]))), manager._replace(at="sent")
            else:
                new = control.refused(self.documents[manager.known], manager.attempt)
                yield self._replace(state, manager, new, Manager())
        elif at == "sent":
            yield from self._answers(state, manager)

    def _lists(self, state: State) -> Iterator[_Shown]:
        """Every list that the provider may show now: what is older than the lag surely, the rest perhaps."""
        lag = int(self.times.list_lag)
        sure = [each for each in state.cloud if each.born <= state.now - lag]
        maybe = [each for each in state.cloud if each.born > state.now - lag]
        for some in chain.from_iterable(combinations(maybe, size) for size in range(len(maybe) + 1)):
            yield tuple((each.attempt, each.number, each.born, each.died >= 0) for each in sorted([*sure, *some]))

    def _accounted(self, manager: Manager) -> documents.Control:
        key = ("account", manager.known, manager.listing)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = self._account(manager)
        return found

    def _account(self, manager: Manager) -> documents.Control:
        assert manager.listing is not None
        begun, shown = manager.listing
        listing = base.Listing(instances=tuple(_instance(*each) for each in shown), begun=float(begun))
        before = self.documents[manager.known]
        document = control.found(before, listing, self.believed)
        if self.mutant.first_closes:
            for intent in before.intents:
                if any(each.attempt == intent.id for each in listing.instances):
                    document = control.refused(document, intent.id)
        document = control.expire(document, listing, self.believed)
        here = {each.id for each in listing.instances}
        for row in document.rows:
            absent = self.mutant.absence_closes and row.instance not in here
            if absent or control.closable((row,), listing):
                document = control.close_row(document, row.instance, TERMS, row.since, row.since)
        return msgspec.structs.replace(document, spent=())

    def _plans(self, state: State, manager: Manager) -> Iterator[tuple[State, Manager]]:
        known = self.documents[manager.known]
        covered = len(known.rows) + sum(intent.units for intent in known.intents)
        missing = self.limits.demand - covered
        if missing > 0 and known.launched < self.limits.attempts:
            # Equal managers write equal intents: of two only one is stored, unless documents are overwritten.
            taken = {each.attempt for each in state.managers} if self.mutant.overwrites else set()
            attempt = f"a{known.launched}"
            while attempt in taken:
                attempt += "'"
            intent = documents.Intent(
                id=attempt,
                kind="launch",
                creator="m",
                profile="p",
                not_after=state.now + self.believed.intent,
                units=missing,
                worst=missing,
            )
            then = manager._replace(at="intent", attempt=attempt, units=missing, not_after=int(intent.not_after))
            yield self._replace(state, manager, control.open_intent(known, intent), then)
        if self.mutant.sends_again and known.intents and not state.network:
            intent = known.intents[0]
            then = manager._replace(at="intent", attempt=intent.id, units=intent.units, not_after=int(intent.not_after))
            yield state, then

    def _answers(self, state: State, manager: Manager) -> Iterator[tuple[State, Manager]]:
        known = self.documents[manager.known]
        if self.mutant.silence_closes:
            yield self._replace(state, manager, control.refused(known, manager.attempt), Manager())
        # Without an answer the intent stays as it is, as after a crash.
        for place, (attempt, launched, born) in enumerate(state.answers):
            if attempt != manager.attempt:
                continue
            rest = state._replace(answers=(*state.answers[:place], *state.answers[place + 1 :]))
            if launched:
                made = [_instance(attempt, number, born) for number in range(launched)]
                new = control.answered(known, attempt, made, self.believed)
            else:
                new = control.refused(known, attempt)
            yield self._replace(rest, manager, new, Manager())


def _order(manager: Manager) -> tuple[object, ...]:
    return (manager.at, manager.known, manager.listing or (), manager.attempt, manager.units, manager.not_after)
