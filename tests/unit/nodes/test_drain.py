"""The drain: its table, and a state machine of everything that can go wrong around it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from simpleflow.nodes import control, drain, model

from .world import SimNode, World

S, E, A = drain.DrainState, drain.DrainEvent, drain.DrainAction


def test_power_off_comes_only_after_the_acknowledgement_is_stored() -> None:
    for state, event in itertools.product(S, E):
        following = drain.step(state, event)
        if A.POWER_OFF in following.actions:
            assert (state, event) == (S.DRAINED, E.STORED)
        if A.ACKNOWLEDGE in following.actions:
            assert event in {E.SETTLED, E.DEADLINE}
            assert state in {S.STOPPING, S.HURRYING}


def test_there_is_no_way_back_and_repeated_events_do_nothing() -> None:
    order = [S.WORKING, S.STOPPING, S.HURRYING, S.DRAINED, S.ENDED]
    for state, event in itertools.product(S, E):
        once = drain.step(state, event)
        assert order.index(once.state) >= order.index(state)
        if once.state is not state:
            again = drain.step(once.state, event)
            assert again.actions == () or event is E.SETTLED


@pytest.mark.parametrize("state", [S.WORKING, S.STOPPING, S.HURRYING, S.DRAINED])
def test_a_mark_taken_back_changes_nothing_once_seen(state: drain.DrainState) -> None:
    assert drain.step(state, E.UNMARK) == drain.Step(state)


def test_only_a_deadline_interrupts() -> None:
    interrupting = [pair for pair in itertools.product(S, E) if A.INTERRUPT in drain.step(*pair).actions]
    assert interrupting == [(S.HURRYING, E.DEADLINE)]


def test_states_that_documents_lag_behind_are_not_believed() -> None:
    states = model.NodeState
    assert model.advance(states.DRAINING, states.WORKING) is states.DRAINING
    assert model.advance(states.MARKED, states.WORKING) is states.WORKING
    assert model.advance(states.GONE, states.WORKING) is states.GONE
    assert all(model.advance(state, states.GONE) is states.GONE for state in states)


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        ("", True),
        ("acknowledged acknowledged", True),
        ("acknowledged working", False),
        ("dead working", False),
        ("dead acknowledged", True),
        ("dead dead", True),
    ],
)
def test_a_machine_is_settled_when_each_living_worker_has_acknowledged(workers: str, said: bool) -> None:
    seen = tuple(
        drain.WorkerView(alive=each != "dead", acknowledged=each == "acknowledged") for each in workers.split()
    )
    assert drain.settled(seen) is said


class Drains(RuleBasedStateMachine):
    """Any order of hand-outs, finishes, passes cut short, marks seen late, crashes, notices and duplicated turns."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.added = 0
        #: nodes that crashed or had a notice: their tasks may be run again
        self.disturbed: set[str] = set()

    def pick(self, number: int) -> SimNode | None:
        living = self.world.living()
        return living[number % len(living)] if living else None

    @precondition(lambda self: self.added < 12)
    @rule(count=st.integers(1, 4))
    def add_tasks(self, count: int) -> None:
        self.world.add(*(f"t{self.added + number}" for number in range(count)))
        self.added += count

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 7.0, 40.0]))
    def time_goes_on(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule(steps=st.one_of(st.none(), st.integers(1, 20)))
    def pass_of_the_manager(self, steps: int | None) -> None:
        if steps is None:
            self.world.managers["m1"].run_pass()
            return
        generator = self.world.managers["m1"].steps()
        for _ in itertools.islice(generator, steps):
            pass
        generator.close()
        self.world.manager("m1")

    @rule(number=st.integers(0, 9))
    def a_node_is_marked_busy_or_not(self, number: int) -> None:
        node = self.pick(number)
        file = self.world.managers["m1"].file
        if node is not None and control.row_of(file.read(), node.id) is not None:
            file.replace(control.drain(file.known, node.id, "a person asked", self.world.clock.now()))
            row = control.row_of(file.known, node.id)
            assert row is not None
            assert row.drain is not None
            self.world.provider.mark(node.id, row.drain)

    @rule(number=st.integers(0, 9))
    def turn_of_a_node(self, number: int) -> None:
        node = self.pick(number)
        if node is not None:
            node.turn(self.world)

    @rule()
    def hand_out(self) -> None:
        self.world.hand_out()

    @rule(number=st.integers(0, 9))
    def an_open_poll_returns_empty(self, number: int) -> None:
        node = self.pick(number)
        if node is not None:
            node.poll_open = False

    @rule(number=st.integers(0, 9))
    def a_task_finishes(self, number: int) -> None:
        node = self.pick(number)
        if node is not None and node.running:
            self.world.finish(node, sorted(node.running)[0])

    @rule(number=st.integers(0, 9))
    def a_node_crashes(self, number: int) -> None:
        node = self.pick(number)
        if node is not None:
            self.disturbed.add(node.id)
            node.die(self.world)
            self.world.provider.power_off(node.id)

    @rule(number=st.integers(0, 9), seconds=st.floats(0, 30))
    def a_notice_comes(self, number: int, seconds: float) -> None:
        node = self.pick(number)
        if node is not None and node.deadline is None:
            self.disturbed.add(node.id)
            node.deadline = self.world.clock.now() + seconds

    @rule(lag=st.sampled_from([0.0, 0.5, 1.0]))
    def lists_lag(self, lag: float) -> None:
        self.world.provider.list_lag = lag

    @rule()
    def the_next_answer_of_a_launch_is_lost(self) -> None:
        self.world.provider.faults = ["unclear"]

    @invariant()
    def no_task_is_lost_to_a_voluntary_drain(self) -> None:
        assert not [each for each in self.world.lost if each[0] not in self.disturbed]

    @invariant()
    def every_task_is_somewhere_exactly_once(self) -> None:
        running = [task for node in self.world.nodes.values() for task in node.running]
        everywhere = sorted([*self.world.queue, *running, *self.world.done])
        assert everywhere == sorted(f"t{number}" for number in range(self.added))

    def teardown(self) -> None:
        world = self.world
        world.provider.list_lag = 0.0
        for _ in range(300):
            if not world.queue and not world.living() and world.store.objects.get("control.json") is not None:
                document = world.document()
                if not document.rows and not document.intents:
                    break
            world.managers["m1"].resume = True  # crashes and pauses at boot may have opened the breaker
            world.tick()
        assert sorted(world.done) == sorted(f"t{number}" for number in range(self.added))
        assert not world.living()
        self.no_task_is_lost_to_a_voluntary_drain()
        self.every_task_is_somewhere_exactly_once()


Drains.TestCase.settings = settings(
    max_examples=120, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestDrains = Drains.TestCase
