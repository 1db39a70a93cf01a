"""A world in which deciders leave and clients start, explored exhaustively (docs/design/control.md, part 2).

What a decider machine and a client do comes from the product's own code (leave_code). Each call that it makes of the
world is one step; between any two steps anything else may happen.

One run is started by one client. Lists lag, but for less than a whole poll; the metrics of the alarm lag too.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from .leave_code import Code, History, Pass, Question


class Rules(NamedTuple):
    """What may happen, and which rule of the protocol is left out."""

    alarm: bool = False
    client_dies: bool = False
    #: how many decider machines may die
    machines_die: int = 0
    #: how many processes of such machines may die: deciders, managers
    processes_die: int = 0
    #: a poll's answer is lost
    answer_lost: bool = False
    #: lists lag over whole polls
    long_lag: bool = False
    #: a whole poll fits between the client's ensure and its start
    client_sleeps: bool = False
    #: the run is started by something that ensures nothing
    stranger: bool = False
    #: machines at the start; the lease may pass between them at any moment
    machines: int = 1
    #: how many of them the group wants at the start
    wanted: int = 1
    #: how often the queue may ask for two
    grows: int = 0
    #: no machine of the deciders ever comes up
    boots_fail: bool = False
    # --- simpler protocols
    one_poll: bool = False
    one_look: bool = False
    unprotected: bool = False
    ensures_once: bool = False
    alarm_adds: bool = False
    guard_sets_zero: bool = False
    #: a machine of too many goes by the number alone, without being named
    unnamed: bool = False
    #: ... goes before the number is lowered
    before_lowered: bool = False
    #: ... goes before its decider has finished
    undrained: bool = False


class Machine(NamedTuple):
    id: int = 0
    on: bool = False
    #: answers that the manager was given since its leave began
    manager: History = ()
    #: answers that the decider was given since it took the task; None: it has none
    decider: History | None = None
    #: the note of a leave lies on its disk
    leaving: bool = False
    #: a task was noted since the poll began
    taken: bool = False
    #: it had a task whose row was not stored when the poll began
    handed: bool = False
    #: the run was open when the poll began
    saw: bool = False
    #: the poll began after the client's first ensure
    after_ensure: bool = False
    #: from the end of a whole poll to the next one, or to the end of the leave; and whether the run began meanwhile
    looking: bool = False
    started: bool = False


class State(NamedTuple):
    desired: int
    machines: tuple[Machine, ...]
    #: place of the lease's holder; -1: nobody
    holder: int = 0
    client: int = 0
    #: 'new', 'pending', 'held', 'lost', 'done'
    run: str = "new"
    row: bool = False
    listed: bool = False
    #: how often the alarm may still act on metrics that were true
    alarm: int = 0
    machines_died: int = 0
    processes_died: int = 0
    lost: bool = False
    #: boots that failed in a row; at the third the group's launches are suspended
    failed: int = 0
    #: machines that control.json names as too many
    leaving: tuple[int, ...] = ()
    grown: int = 0
    #: the group was at 0, or more were wanted, or something died: a launch has a reason
    reason: bool = False


class World:
    """One set of rules."""

    def __init__(self, code: Code, rules: Rules) -> None:
        self.code = code
        self.rules = rules
        calls = ("start",) if rules.stranger else code.client()
        #: whether machines may be too many, and launches need a reason
        self.several = rules.machines > 1 or rules.grows > 0
        self.calls = calls[: calls.index("start") + 1] if rules.ensures_once else calls

    def start(self) -> State:
        if self.rules.boots_fail:
            return State(desired=0, machines=(), holder=-1)
        machines = tuple(Machine(id=each, on=True) for each in range(self.rules.machines))
        return State(desired=self.rules.wanted, machines=machines)

    def explore(self, most: float = math.inf) -> dict[State, list[tuple[str, State]]]:
        """Every state that can be reached, with what may happen there; the nearest ``most`` to look for a fault."""
        start = self.start()
        graph: dict[State, list[tuple[str, State]]] = {}
        frontier = collections.deque([start])
        while frontier and len(graph) < most:
            state = frontier.popleft()
            if state in graph:
                continue
            graph[state] = list(self.successors(state))
            frontier.extend(following for _, following in graph[state] if following not in graph)
        return graph

    def successors(self, state: State) -> Iterator[tuple[str, State]]:
        if state.desired > max(self.rules.wanted, 2 if self.rules.grows else 1):
            return  # nobody wants so many: the promise is broken
        yield from self._client(state)
        yield from self._group(state)
        for place, machine in enumerate(state.machines):
            if not machine.on and self.rules.boots_fail:
                failed = self._off(state, place)._replace(failed=state.failed + 1)
                if self.rules.guard_sets_zero and failed.failed == 3:
                    failed = failed._replace(failed=0, desired=0)
                yield "fail", failed
                continue
            if not machine.on:
                up = self._with(state, place, Machine(id=machine.id, on=True))
                yield "boot", up._replace(desired=max(state.desired, 1))
                continue
            yield from self._manager(state, place, machine)
            yield from self._decider(state, place, machine)
            yield from self._deaths(state, place, machine)
        if state.run == "lost":
            yield "times out", state._replace(run="pending")

    @staticmethod
    def _with(state: State, place: int, machine: Machine) -> State:
        machines = (*state.machines[:place], machine, *state.machines[place + 1 :])
        return state._replace(machines=machines)

    # --- client, group, alarm -----------------------------------------------------------------------------------------

    def _client(self, state: State) -> Iterator[tuple[str, State]]:
        if state.client >= len(self.calls):
            return
        call, following = self.calls[state.client], state._replace(client=state.client + 1)
        if call == "start":
            machines = tuple(each._replace(started=each.looking) for each in state.machines)
            yield "start", following._replace(run="pending", machines=machines)
        elif state.client == 0 or self._settled(state):
            yield "ensure", following._replace(desired=max(state.desired, 1))
        if self.rules.client_dies and state.client:
            yield "!client dies", state._replace(client=len(self.calls))

    def _settled(self, state: State) -> bool:
        """The second ensure comes so much later (ensure.LOOK_AGAIN) that what began with the start is over: looks of

        a leave, and the way of the task to an open poll, into the note and into its row.
        """
        if state.run == "pending" and any(each.on for each in state.machines):
            return False
        return (state.run != "held" or state.row) and not any(each.started for each in state.machines)

    def _noted(self, machine: Machine) -> bool:
        return machine.decider is None or self.code.decider(machine.decider) != "note task"

    def _group(self, state: State) -> Iterator[tuple[str, State]]:
        if len(state.machines) < state.desired and state.failed < 3:
            # The lowest free number: the id of a machine that is gone may come again, which real ones do not.
            free = next(each for each in range(9) if each not in [one.id for one in state.machines])
            yield "launch", state._replace(machines=(*state.machines, Machine(id=free)))
        if self.rules.unprotected and state.desired < len(state.machines):
            yield "scale in", self._off(state, len(state.machines) - 1)
        if not self.rules.alarm:
            return
        if state.run == "pending" and state.desired == 0 and not state.alarm:
            yield "alarm", state._replace(alarm=2)
        if state.alarm:
            desired = state.desired + 1 if self.rules.alarm_adds else 1
            yield "wake", state._replace(alarm=state.alarm - 1, desired=desired)
            yield "calm", state._replace(alarm=0)

    def _off(self, state: State, place: int) -> State:
        held = state.machines[place].decider is not None
        holder = state.holder
        holder = -1 if holder == place else holder - (holder > place)
        return state._replace(
            machines=(*state.machines[:place], *state.machines[place + 1 :]),
            run="lost" if held and state.run == "held" else state.run,
            holder=holder,
        )

    def _deaths(self, state: State, place: int, machine: Machine) -> Iterator[tuple[str, State]]:
        if state.machines_died < self.rules.machines_die:
            yield (
                "!machine dies",
                self._off(state, place)._replace(machines_died=state.machines_died + 1, reason=self.several),
            )
        if state.processes_died < self.rules.processes_die:
            died = state._replace(processes_died=state.processes_died + 1)
            if machine.decider is not None:
                # It is started again, and holds its group from the start.
                again = died._replace(run="lost", desired=max(state.desired, 1))
                yield "!decider dies", self._with(again, place, machine._replace(decider=None))
            if machine.manager:
                yield "!manager dies", self._with(died, place, machine._replace(manager=()))

    # --- one machine --------------------------------------------------------------------------------------------------

    def _decider(self, state: State, place: int, machine: Machine) -> Iterator[tuple[str, State]]:
        if machine.decider is None:
            if state.run == "pending":
                yield "take", self._with(state, place, machine._replace(decider=()))._replace(run="held")
                if self.rules.answer_lost and not state.lost:
                    yield "!answer lost", state._replace(run="lost", lost=True)
            return
        asked = self.code.decider(machine.decider)
        if asked == "evaluate":
            if not state.row:
                yield "row", state._replace(row=True)
            else:
                done = self._with(state, place, machine._replace(decider=None))
                yield "answer", done._replace(run="done", row=False)
            return
        answer: Any = None
        if asked == "note task":
            machine = machine._replace(taken=True)
        elif asked == "noted?":
            answer = machine.leaving
        elif asked == "ensure_one":
            state = state._replace(desired=max(state.desired, 1))
        else:
            raise AssertionError(asked)
        assert machine.decider is not None
        yield asked, self._with(state, place, machine._replace(decider=(*machine.decider, answer)))

    def _manager(self, state: State, place: int, machine: Machine) -> Iterator[tuple[str, State]]:
        asked, answers = self.code.manager(machine.id, machine.manager)
        machine = machine._replace(manager=answers)
        if asked == "power off":
            yield "power off", self._off(state, place)
            return
        if asked == "drain":
            if machine.decider is None or self.rules.undrained:
                yield "leave", self._off(state, place)
            return
        if state.holder != place and not machine.manager:
            yield "take the lease", state._replace(holder=place)
        if asked == "pass":
            yield from self._pass(state, place, machine)
            return
        yield from self._asked(asked, state, place, machine)

    def _pass(self, state: State, place: int, machine: Machine) -> Iterator[tuple[str, State]]:
        if state.holder == place:
            yield self._answered("pass", state, place, machine, Pass(holds=True, leaving=state.leaving))
            if state.run == "pending" or state.row or (state.listed and self._open(state)):
                busy = Pass(holds=True, leaving=state.leaving, busy=True)
                yield self._answered("pass", state, place, machine, busy)
                if state.grown < self.rules.grows:
                    grown = state._replace(grown=state.grown + 1)
                    yield self._answered("pass", grown, place, machine, busy._replace(wanted=2))
        elif machine.id in state.leaving or self.rules.unnamed:
            named = (machine.id,) if self.rules.unnamed else state.leaving
            yield self._answered("pass", state, place, machine, Pass(holds=False, leaving=named))
        if state.holder == place and self.rules.unnamed:
            yield self._answered("pass", state, place, machine, Pass(holds=False, leaving=(machine.id,)))

    @staticmethod
    def _open(state: State) -> bool:
        return state.run in {"pending", "held", "lost"}

    def _answered(
        self, asked: Question, state: State, place: int, machine: Machine, *answers: Any
    ) -> tuple[str, State]:
        history = (*machine.manager, *answers)
        following, history = self.code.manager(machine.id, history)
        if following in {"begin_poll", "pass", "power off", "drain"}:
            machine = machine._replace(looking=False, started=False)
        return f"{asked}: {answers[-1]}", self._with(state, place, machine._replace(manager=history))

    def _asked(self, asked: Question, state: State, place: int, machine: Machine) -> Iterator[tuple[str, State]]:
        def answered(answer: Any, after: State = state, made: Machine = machine) -> tuple[str, State]:
            return self._answered(asked, after, place, made, answer)

        asleep = state.desired == 0 and machine.leaving
        if isinstance(asked, tuple):
            yield self._ordered(*asked, state, place, machine)
        elif asked == "size":
            lower = self.rules.before_lowered and state.holder != place
            yield answered((0 if lower else state.desired, tuple(each.id for each in state.machines)))
        elif asked == "note extra":
            yield answered(None)
        elif asked == "begin_poll":
            yield answered(
                None,
                state,
                machine._replace(
                    taken=False,
                    handed=machine.decider is not None and not state.row,
                    saw=self._open(state),
                    after_ensure=state.client > 0,
                ),
            )
        elif asked == "empty_poll":
            yield from self._polled(asked, state, place, machine)
        elif asked == "idle":
            if state.row and not (self.rules.one_look and asleep):
                yield answered(False)
                return
            if self._open(state) and not (self.rules.one_look and asleep):
                yield answered(False)
            if not self._open(state) or not state.listed or (self.rules.one_look and asleep):
                yield answered(True)
        elif asked == "alone":
            yield answered(state.desired <= 1 and len(state.machines) <= 1)
        elif asked == "read":
            yield answered(state.holder == place)
        elif asked == "note leaving":
            yield answered(None, state, machine._replace(leaving=True))
        elif asked == "sleep":
            yield answered(None, state._replace(desired=0, reason=self.several))
        elif asked == "desired":
            yield answered(state.desired)
        elif asked == "release":
            if state.holder == place:
                yield answered(None, state._replace(holder=-1))
            else:
                yield answered("failed")
        elif asked == "noted?":
            yield answered(machine.leaving)
        elif asked == "ensure_one":
            yield answered(None, state._replace(desired=max(state.desired, 1)))
        elif asked == "unnote":
            yield answered(None, state, machine._replace(leaving=False))
        else:
            raise AssertionError(asked)

    def _ordered(self, order: str, given: Any, state: State, place: int, machine: Machine) -> tuple[str, State]:
        """A manager writes names into control.json, or sets the number."""
        if order == "set":
            more = state.reason or given > state.desired
            return self._answered(order, state._replace(desired=given, reason=more), place, machine, None)
        assert order == "name"
        if state.holder != place:
            return self._answered(order, state, place, machine, "failed")
        return self._answered(order, state._replace(leaving=given), place, machine, None)

    def _polled(self, asked: str, state: State, place: int, machine: Machine) -> Iterator[tuple[str, State]]:
        """A whole poll ends, and what waits for it looks."""
        if machine.taken:
            yield self._answered(asked, state, place, machine, False)
            return
        second = self.rules.one_poll and machine.leaving
        # A client that does not sleep starts in the first half of a wait (two polls long) that its ensure precedes.
        brisk = not self.rules.client_sleeps and not self.rules.stranger and machine.after_ensure
        early = brisk and (state.client == 1 or not self._noted(machine))
        stuck = machine.handed and machine.decider is not None and not state.row
        # What is pending while a poll is open is handed to it.
        if second or (state.run != "pending" and not stuck and not early):
            listed = state.listed or (machine.saw and not self.rules.long_lag)
            looking = machine._replace(looking=True, started=not self._noted(machine))
            yield self._answered(asked, state._replace(listed=listed), place, looking, True)
        if state.run == "pending" or state.row or (state.listed and self._open(state)):
            # The poll is not over, and the next pass sees that there is something to do.
            busy = Pass(holds=state.holder == place, leaving=state.leaving, busy=True)
            yield self._answered(asked, state, place, machine, None, busy)


# --- what is promised -------------------------------------------------------------------------------------------------


def lost_runs(graph: dict[State, list[tuple[str, State]]]) -> set[State]:
    """States with a started run that can never come to its end any more, though nothing else goes wrong."""
    before: dict[State, list[State]] = {}
    for state, following in graph.items():
        for name, after in following:
            if not name.startswith("!"):
                before.setdefault(after, []).append(state)
    good = {state for state in graph if state.run == "done"}
    frontier = list(good)
    while frontier:
        for state in before.get(frontier.pop(), ()):
            if state not in good:
                good.add(state)
                frontier.append(state)
    return {state for state in graph if state.run not in {"new", "done"} and state not in good}


def cut_tasks(graph: dict[State, list[tuple[str, State]]]) -> bool:
    """Whether a machine that is too many goes with a decision task."""
    return any(
        name == "leave" and state.run == "held" and after.run == "lost"
        for state, following in graph.items()
        for name, after in following
    )


def launches_for_nothing(graph: dict[State, list[tuple[str, State]]]) -> bool:
    """Whether the group replaces a machine that was too many."""
    return any(name == "launch" and not state.reason for state, following in graph.items() for name, _ in following)


def boots_for_ever(graph: dict[State, list[tuple[str, State]]]) -> bool:
    """Whether machines can be launched again and again: after the run's end, or while none of them comes up."""
    # A launch that can be reached from its own end is on a circle: Tarjan's components, without recursion.
    numbers: dict[State, int] = {}
    component: dict[State, int] = {}
    low: dict[State, int] = {}
    stack: list[State] = []
    for root in graph:
        if root in numbers:
            continue
        work: list[tuple[State, Iterator[State]]] = []

        def enter(state: State, work: list[tuple[State, Iterator[State]]] = work) -> None:
            numbers[state] = low[state] = len(numbers)
            stack.append(state)
            work.append((state, iter([after for _, after in graph[state]])))

        enter(root)
        while work:
            state, rest = work[-1]
            for after in rest:
                if after not in numbers:
                    enter(after)
                    break
                if after not in component:
                    low[state] = min(low[state], numbers[after])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[state])
                if low[state] == numbers[state]:
                    while True:
                        member = stack.pop()
                        component[member] = numbers[state]
                        if member == state:
                            break
    return any(
        component[after] == component[state]
        for state, following in graph.items()
        for name, after in following
        if name == "fail" or (name == "launch" and state.run == "done")
    )
