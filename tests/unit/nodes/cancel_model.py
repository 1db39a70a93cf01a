"""A world of managers that cancel a machine while it boots, explored exhaustively with the code's own steps.

docs/design/control.md, part 3. The machine takes the steps of ``boot`` and ``drain``, managers those of ``cancel`` and
``control``, one effect at a time. Between two of them anything may happen: any number of steps of the others, a crash
of a manager, of the agent, which the machine starts again, a change of mind about whether the machine is wanted. What
rests between two effects for as long as it likes is a paused one, and no step looks at a clock. A take-over may come at
any moment, so the lease plays no part. A termination that was sent arrives at any later moment, any number of times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from simpleflow.core import documents
from simpleflow.nodes import boot, cancel, config, control, drain
from simpleflow.nodes.providers import base

_B, _BE = boot.BootState, boot.BootEvent
_D, _DE = drain.DrainState, drain.DrainEvent
TIMES = config.PRESETS["aws"]
TERMS = config.Billing()


class Mutant(NamedTuple):
    """A simpler protocol: each field is one rule that is left out or weaker."""

    #: the machine's document, as the pass read it before the mark was written, is believed
    looks_first: bool = False
    #: the machine is ended without a termination in control.json
    ends_unwritten: bool = False
    #: control.json is read anew before the termination is written, and any mark of the row will do
    any_mark: bool = False
    #: the mark of a machine that is being ended is taken back
    unmarks_ending: bool = False
    #: a document is replaced whatever was read
    overwrites: bool = False
    #: the machine reads control.json, then stores its document
    reads_first: bool = False
    #: it goes on though the store has not answered that its document is stored
    unanswered: bool = False
    #: the store may show a machine control.json as it was
    stale_control: bool = False
    #: the store may deny a machine's document for some time
    stale_absence: bool = False
    #: a machine that was announced is ended too: it has not polled yet
    announced_too: bool = False


FAITHFUL = Mutant()


class Limits(NamedTuple):
    """How much may happen."""

    managers: int = 2
    #: how often it changes whether the machine is wanted
    minds: int = 3
    #: launches; with two, another machine may come when the first one is gone
    attempts: int = 1
    crashes: bool = True


class Machine(NamedTuple):
    """One machine, its agent, and its worker with one slot."""

    alive: bool = True
    boot: boot.BootState = _B.STARTING
    #: its document is in the store; it was there for others to see before it was answered to the machine
    stored: bool = False
    #: control.json, by its number, as the agent has read it and not judged it yet
    read: int = -1
    drain: drain.DrainState = _D.WORKING
    generation: int = 0
    #: the worker's poll is open; a task runs
    poll: bool = False
    running: bool = False
    #: a termination was sent
    sent: bool = False


class Manager(NamedTuple):
    #: 'new', 'read', 'accounted', 'planned', 'looked', 'ending'
    at: str = "new"
    #: the document as it was read or written, by its number
    known: int = -1
    #: machines whose document the pass saw, before anything was decided; shown terminated; shown at all
    seen: tuple[int, ...] = ()
    dead: tuple[int, ...] = ()
    shown: tuple[int, ...] = ()
    #: the open launch was never sent, and its creator is gone (part 1 proves when that may be known)
    void: bool = False
    #: cancelled machines that were looked at, and those without a document: (machine, generation)
    looked: tuple[int, ...] = ()
    absent: tuple[tuple[int, int], ...] = ()
    #: terminations that this pass has sent
    sent: tuple[int, ...] = ()


class State(NamedTuple):
    document: int
    managers: tuple[Manager, ...]
    machines: tuple[Machine, ...]
    wanted: bool = False
    minds: int = 0
    #: tasks that wait at the service
    waiting: int = 1
    lost: bool = False
    #: the document before this one, where a store may still show it
    before: int = -1


def name(place: int) -> str:
    return f"i-{place}"


def instance(place: int, dead: bool = False) -> base.Instance:
    state: base.State = "terminated" if dead else "running"
    return base.Instance(id=name(place), state=state, profile="p", attempt=f"a{place}", launched=0.0, instance_type="t")


class World:
    """One protocol, in one world."""

    def __init__(self, limits: Limits, *, mutant: Mutant = FAITHFUL) -> None:
        self.limits = limits
        self.mutant = mutant
        self.documents: list[documents.Control] = []
        self._numbers: dict[documents.Control, int] = {}
        self._memo: dict[tuple[object, ...], documents.Control] = {}

    def number(self, document: documents.Control) -> int:
        found = self._numbers.get(document)
        if found is None:
            found = self._numbers[document] = len(self.documents)
            self.documents.append(document)
        return found

    # --- exploring ----------------------------------------------------------------------------------------------------

    def begin(self) -> State:
        """A launch whose machine is there, and whose answer has not been written."""
        intent = documents.Intent(id="a0", kind="launch", creator="m", profile="p", not_after=0.0, units=1)
        document = control.open_intent(control.empty("c"), intent)
        return State(
            document=self.number(document), managers=(Manager(),) * self.limits.managers, machines=(Machine(),)
        )

    def explore(self) -> tuple[dict[State, State | None], list[State]]:
        """Return every state with the one before it, and the way to the first that breaks the promise (none: [])."""
        start = self.begin()
        came: dict[State, State | None] = {start: None}
        frontier = [start]
        while frontier:
            state = frontier.pop()
            if state.lost:
                way: list[State] = []
                step: State | None = state
                while step is not None:
                    way.append(step)
                    step = came[step]
                return came, way[::-1]
            for following in self.successors(state):
                if following not in came:
                    came[following] = state
                    frontier.append(following)
        return came, []

    def stuck(self, states: dict[State, State | None]) -> list[State]:
        """The states from which no way leads to an end: all is quiet, and what is not wanted is gone."""
        before: dict[State, list[State]] = {}
        ends = []
        for state in states:
            for following in self.successors(state):
                before.setdefault(following, []).append(state)
            if self.settled(state):
                ends.append(state)
        reached = set(ends)
        while ends:
            for each in before.get(ends.pop(), ()):
                if each not in reached:
                    reached.add(each)
                    ends.append(each)
        return [state for state in states if state not in reached]

    def settled(self, state: State) -> bool:
        """Nobody is in the middle of anything, and the ledger is what is wanted and what there is."""
        document = self.documents[state.document]
        if document.intents or any(each.at != "new" for each in state.managers):
            return False
        living = [place for place, each in enumerate(state.machines) if each.alive]
        if {row.instance for row in document.rows} != {name(place) for place in living}:
            return False
        working = all(state.machines[place].boot is _B.ADMITTED for place in living)
        return working if state.wanted else not living

    # --- what may happen ----------------------------------------------------------------------------------------------

    def successors(self, state: State) -> Iterator[State]:
        if state.minds < self.limits.minds:
            yield state._replace(wanted=not state.wanted, minds=state.minds + 1)
        for place, machine in enumerate(state.machines):
            if machine.alive:
                for moved, changes in self._machine(state, place, machine):
                    machines = (*state.machines[:place], moved, *state.machines[place + 1 :])
                    yield state._replace(machines=machines, **changes)
        for place, manager in enumerate(state.managers):
            if manager in state.managers[:place]:
                continue  # managers have no names
            others = (*state.managers[:place], *state.managers[place + 1 :])
            for following, then in self._manager(state, manager):
                yield following._replace(managers=tuple(sorted((*others, then))))
            if manager.at != "new":
                # It crashes, as often as it likes.
                yield state._replace(managers=tuple(sorted((*others, Manager()))))

    def _machine(self, state: State, place: int, machine: Machine) -> Iterator[tuple[Machine, dict[str, object]]]:
        if machine.sent:
            # The termination arrives. What the machine has is lost, unless it has ended by itself before.
            had = machine.poll or machine.running
            yield Machine(alive=False), {"lost": had, "waiting": state.waiting + machine.running}
        if self.limits.crashes and (machine.boot is not _B.STARTING or machine.read >= 0):
            # The agent dies, and its worker with it: the service gives the task out again.
            again = Machine(stored=machine.stored, sent=machine.sent)
            yield again, {"waiting": state.waiting + machine.running}
        if machine.drain is _D.WORKING and machine.boot in {_B.STARTING, _B.ANNOUNCED}:
            yield from ((moved, {}) for moved in self._begins(state, place, machine))
        if machine.boot is _B.ADMITTED:
            yield from self._works(state, place, machine)
        if machine.drain is not _D.WORKING:
            yield from ((moved, {}) for moved in _drains(machine))

    def _begins(self, state: State, place: int, machine: Machine) -> Iterator[Machine]:
        """The agent's way to its first poll; each effect of the store, and each answer, is a step of its own."""
        if machine.boot is _B.STARTING:
            if not machine.stored:
                yield machine._replace(stored=True)
            if machine.stored or self.mutant.unanswered:
                yield machine._replace(boot=boot.step(machine.boot, _BE.STORED))
        may_read = machine.boot is _B.ANNOUNCED or self.mutant.reads_first
        if machine.read < 0 and may_read and not (self.mutant.reads_first and machine.stored):
            yield machine._replace(read=state.document)
            if state.before >= 0:
                yield machine._replace(read=state.before)
        if machine.read >= 0 and machine.boot is _B.ANNOUNCED:
            event = boot.seen(self.documents[machine.read], name(place), f"a{place}")
            moved = machine._replace(boot=boot.step(machine.boot, event), read=-1)
            if event is _BE.MARKED:
                moved = moved._replace(drain=drain.step(moved.drain, _DE.MARK).state)
            elif event is _BE.UNOWNED:
                moved = moved._replace(drain=drain.step(moved.drain, _DE.ORPHANED).state)
            yield moved

    def _works(self, state: State, place: int, machine: Machine) -> Iterator[tuple[Machine, dict[str, object]]]:
        if machine.drain is _D.WORKING and not machine.poll and not machine.running:
            yield machine._replace(poll=True), {}
        if machine.poll and state.waiting:
            yield machine._replace(poll=False, running=True), {"waiting": state.waiting - 1}
        if machine.running:
            yield machine._replace(running=False), {}
        row = control.row_of(self.documents[state.document], name(place))
        if row is not None and row.drain is not None and row.drain > machine.generation:
            # By its tag, or by its next look at control.json.
            marked = drain.step(machine.drain, _DE.MARK).state
            yield machine._replace(drain=marked, generation=row.drain), {}

    # --- one manager --------------------------------------------------------------------------------------------------

    def _write(self, state: State, manager: Manager, new: documents.Control, then: Manager) -> tuple[State, Manager]:
        """What ControlFile.replace does: only over the very document that was read, else all is forgotten."""
        if self.number(new) == manager.known:
            return state, then
        if state.document != manager.known and not self.mutant.overwrites:
            return state, Manager()
        number = self.number(msgspec.structs.replace(new, seq=self.documents[state.document].seq + 1))
        before = state.document if self.mutant.stale_control else -1
        return state._replace(document=number, before=before), then._replace(known=number)

    def _manager(self, state: State, manager: Manager) -> Iterator[tuple[State, Manager]]:
        if manager.at == "new":
            yield state, Manager(at="read", known=state.document)
        elif manager.at == "read":
            everything = tuple(range(len(state.machines)))
            dead = tuple(place for place in everything if not state.machines[place].alive)
            seen = tuple(place for place in everything if state.machines[place].stored)
            # A list may lag: it shows every machine, or only those that have a row.
            rows = {row.instance for row in self.documents[manager.known].rows}
            void = f"a{len(everything)}" in {each.id for each in self.documents[manager.known].intents}
            void = void and all(each.at != "launch" for each in state.managers)
            for shown in {everything, tuple(place for place in everything if name(place) in rows)}:
                yield state, manager._replace(at="listed", seen=seen, dead=dead, shown=shown, void=void)
        elif manager.at == "listed":
            key = ("account", manager.known, manager.shown, manager.dead, manager.void)
            new = self._memo.get(key)
            if new is None:
                new = self._memo[key] = self._account(manager)
            yield self._write(state, manager, new, manager._replace(at="accounted", dead=(), shown=(), void=False))
        elif manager.at == "accounted":
            yield from self._plans(state, manager)
        elif manager.at == "launch":
            attempt = self.documents[manager.known].intents[-1].id
            place = int(attempt.removeprefix("a"))
            if len(state.machines) == place:
                launched = state._replace(machines=(*state.machines, Machine()))
                # Its answer is written, or lost.
                new = control.answered(self.documents[manager.known], attempt, [instance(place)], TIMES)
                yield self._write(launched, manager, new, manager._replace(at="planned"))
                yield launched, Manager()
        elif manager.at == "planned":
            yield from self._looks(state, manager)
        elif manager.at == "ending":
            yield from self._ends(state, manager)

    def _account(self, manager: Manager) -> documents.Control:
        shown = tuple(instance(place, place in manager.dead) for place in manager.shown)
        listing = base.Listing(instances=shown, begun=0.0)
        document = control.found(self.documents[manager.known], listing, TIMES)
        document = control.expire(document, listing, TIMES, {each.id: manager.void for each in document.intents})
        for row in control.closable(document.rows, listing):
            document = control.close_row(document, row.instance, TERMS, 0.0, 0.0)
        return msgspec.structs.replace(document, spent=())

    def _plans(self, state: State, manager: Manager) -> Iterator[tuple[State, Manager]]:
        """Any plan that a policy may make: it marks what is not wanted, takes back what is, or does nothing."""
        known = self.documents[manager.known]
        then = manager._replace(at="planned")
        yield state, then
        reasons = {row.instance: "not wanted" for row in known.rows if row.drain is None}
        if not state.wanted and reasons:
            yield self._write(state, manager, cancel.mark(known, reasons, 0.0), then)
        if state.wanted:
            for row in known.rows:
                if row.drain is not None:
                    yield self._write(state, manager, self._undrain(known, row), then)
            if not known.rows and not known.intents and known.launched < self.limits.attempts:
                attempt = f"a{known.launched}"
                intent = documents.Intent(id=attempt, kind="launch", creator="m", profile="p", not_after=0.0, units=1)
                yield self._write(state, manager, control.open_intent(known, intent), manager._replace(at="launch"))

    def _undrain(self, known: documents.Control, row: documents.Row) -> documents.Control:
        assert row.drain is not None
        if not self.mutant.unmarks_ending:
            return control.undrain(known, row.instance, row.drain)
        without = msgspec.structs.replace(known, intents=())
        unmarked = control.undrain(without, row.instance, row.drain)
        return msgspec.structs.replace(unmarked, intents=known.intents)

    def _looks(self, state: State, manager: Manager) -> Iterator[tuple[State, Manager]]:
        """Look at the document of each cancelled machine, then write the terminations of those without one."""
        waiting = {int(each.removeprefix("i-")): number for each, number in self._waiting(manager).items()}
        left = [place for place in waiting if place not in manager.looked]
        if left:
            place = left[0]
            looked = manager._replace(looked=(*manager.looked, place))
            absent = looked._replace(absent=(*manager.absent, (place, waiting[place])))
            if self.mutant.looks_first:
                there = place in manager.seen
            else:
                there = place in manager.seen or state.machines[place].stored
            announced = self.mutant.announced_too and state.machines[place].boot is not _B.ADMITTED
            yield state, absent if not there or announced else looked
            if self.mutant.stale_absence:
                yield state, absent
            return
        if not manager.absent or self.mutant.ends_unwritten:
            yield state, manager._replace(at="ending", looked=())
            return
        if self.mutant.any_mark:
            fresh = self.documents[state.document]
            marks = cancel.waiting(fresh)
            absent = {name(place): marks.get(name(place), 0) for place, _ in manager.absent}
            manager = manager._replace(known=state.document)
            new = cancel.end(fresh, absent, "m", 0.0)
        else:
            absent = {name(place): number for place, number in manager.absent}
            new = cancel.end(self.documents[manager.known], absent, "m", 0.0)
        yield self._write(state, manager, new, manager._replace(at="ending", looked=(), absent=(), seen=()))

    def _waiting(self, manager: Manager) -> dict[str, int]:
        return cancel.waiting(self.documents[manager.known])

    def _ends(self, state: State, manager: Manager) -> Iterator[tuple[State, Manager]]:
        """Carry out the terminations that stand in control.json, whoever wrote them."""
        open_ones = [
            int(each.instance.removeprefix("i-"))
            for each in self.documents[manager.known].intents
            if each.kind == "terminate"
        ]
        if self.mutant.ends_unwritten:
            open_ones = [place for place, _ in manager.absent]
        left = [place for place in open_ones if place not in manager.sent]
        if not left:
            yield state, Manager()
            return
        place = left[0]
        machine = state.machines[place]._replace(sent=state.machines[place].alive)
        machines = (*state.machines[:place], machine, *state.machines[place + 1 :])
        yield state._replace(machines=machines), manager._replace(sent=(*manager.sent, place))


def _drains(machine: Machine) -> Iterator[Machine]:
    """The drain: the poll comes back empty, and once all is quiet the machine acknowledges and powers off."""
    if machine.poll:
        yield machine._replace(poll=False)
    acknowledged = not machine.poll and not machine.running
    if drain.settled((drain.WorkerView(alive=machine.boot is _B.ADMITTED, acknowledged=acknowledged),)):
        settled = drain.step(machine.drain, _DE.SETTLED).state
        if settled is not machine.drain:
            yield machine._replace(drain=settled)
    if machine.drain is _D.DRAINED:
        assert drain.step(machine.drain, _DE.STORED).actions == (drain.DrainAction.POWER_OFF,)
        yield Machine(alive=False)
