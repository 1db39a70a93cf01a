"""Decider and manager of one machine: notes of taken tasks, whole polls, the leave pass by pass."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents, errors, interceptors
from simpleflow.nodes import config, control
from simpleflow.nodes.policy import decider_count
from simpleflow.nodes.providers.ec2 import group as groups
from simpleflow.nodes.providers.ec2 import keeper
from tests.unit.ec2.conftest import CLUSTER
from tests.unit.ec2.fakes import MemoryStore

POLL = 60.0


class Group:
    """A group in memory."""

    def __init__(self) -> None:
        self.number = 1
        self.most = 3
        self.machines = ["i-1"]
        self.broken = False

    def read(self) -> groups.Size:
        if self.broken:
            raise errors.SimpleflowError("no answer")
        members = tuple(groups.Member(instance=each, state="InService", protected=True) for each in self.machines)
        return groups.Size(desired=self.number, least=0, most=self.most, members=members)

    def set(self, wanted: int) -> None:
        self.number = wanted

    def ensure_one(self) -> None:
        self.number = max(self.number, 1)

    def alone(self) -> bool:
        return self.number <= 1 and len(self.machines) <= 1

    def sleep(self) -> None:
        self.number = 0

    def desired(self) -> int:
        return self.number


class Machine:
    """One decider machine."""

    def __init__(self, folder: Path, least: int = 0, *, name: str = "i-1", beside: Machine | None = None) -> None:
        self.folder = folder
        self.group = Group() if beside is None else beside.group
        self.clock = clocks.VirtualClock() if beside is None else beside.clock
        self.left = 0
        self.open_runs = False
        store = MemoryStore() if beside is None else beside.file.store
        self.file = control.ControlFile(store, "demo", name, self.clock)
        if beside is None:
            self.file.replace(control.take(self.file.read(), name, self.clock.now()))
        look = keeper.MachineLook(folder, POLL, lambda: not self.open_runs, self.clock)
        cluster = config.loads(CLUSTER)
        cluster = msgspec.structs.replace(cluster, preset="aws", deciders=config.Deciders(min=least, max=3))
        self.keeper = keeper.GroupKeeper(
            self.group,
            look,
            self.file,
            folder,
            machine=name,
            count=decider_count.DeciderCount(cluster, self.clock),
            left=self._leave,
        )
        self.decider = keeper.HoldMachine(self.group, folder)

    def _leave(self) -> None:
        self.left += 1

    def run(self, seconds: float, pending: int = 0) -> None:
        """Let passes go by, one each 15 s."""
        for _ in range(int(seconds / 15)):
            if not self.left:
                self.keeper.keep(pending, self.open_runs)
                self.clock.advance(15)

    def take(self) -> None:
        execution = interceptors.Execution(
            domain="demo", workflow_id="w", run_id="r", workflow_name="t", workflow_version="1"
        )
        self.decider.received(
            interceptors.DecisionReceived(execution=execution, started_event_id=3, received=self.clock.now())
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_it_leaves_after_two_whole_empty_polls(machine: Machine) -> None:
    machine.run(2 * POLL)
    assert machine.group.number == 1
    machine.run(2 * POLL + 30)
    assert machine.left == 1
    assert machine.group.number == 0
    assert machine.file.read().lease is None


def test_open_runs_and_waiting_tasks_keep_it(machine: Machine) -> None:
    machine.run(20 * POLL, pending=1)
    machine.open_runs = True
    machine.run(20 * POLL)
    assert (machine.left, machine.group.number) == (0, 1)


def test_a_task_begins_the_wait_anew(machine: Machine) -> None:
    for _ in range(10):
        machine.run(POLL)
        machine.take()
    assert (machine.left, machine.group.number) == (0, 1)


def test_a_task_taken_while_leaving_raises_the_group_before_anything_else(machine: Machine) -> None:
    machine.run(2 * POLL + 15)
    assert machine.group.number == 0
    machine.take()
    assert machine.group.number == 1
    machine.run(POLL, pending=1)
    assert (machine.left, machine.group.number) == (0, 1)
    assert not (machine.folder / keeper.LEAVING).exists()


def test_a_task_between_the_note_and_the_zero_is_not_left_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = machine.group.sleep

    def slow() -> None:
        machine.take()
        machine.open_runs = True
        real()

    monkeypatch.setattr(machine.group, "sleep", slow)
    machine.run(2 * POLL + 15)
    assert machine.group.number == 0
    machine.run(15)
    assert (machine.left, machine.group.number) == (0, 1)


def test_a_run_that_appears_while_leaving_raises_it_too(machine: Machine) -> None:
    machine.run(2 * POLL + 15)
    assert machine.group.number == 0
    machine.open_runs = True
    machine.run(15)
    assert (machine.left, machine.group.number) == (0, 1)


def test_open_intents_keep_it(machine: Machine) -> None:
    intent = documents.Intent(id="a", kind="launch", creator="me", profile="p", not_after=1.0)
    machine.file.replace(control.open_intent(machine.file.known, intent))
    machine.run(20 * POLL)
    assert (machine.left, machine.group.number) == (0, 1)


def test_a_group_with_a_minimum_never_leaves(tmp_path: Path) -> None:
    machine = Machine(tmp_path, least=1)
    machine.run(20 * POLL)
    assert (machine.left, machine.group.number) == (0, 1)


def test_a_failing_call_puts_the_leave_off(machine: Machine) -> None:
    machine.group.broken = True
    machine.run(10 * POLL)
    assert (machine.left, machine.group.number) == (0, 1)
    machine.group.broken = False
    machine.run(6 * POLL)
    assert machine.left == 1


def test_the_decider_holds_its_group_from_the_start(machine: Machine) -> None:
    machine.group.number = 0
    machine.decider.polling()
    assert machine.group.number == 1


def second(machine: Machine, folder: Path) -> Machine:
    """Another machine of the group, which does not hold the lease."""
    folder.mkdir()
    other = Machine(folder, name="i-2", beside=machine)
    machine.group.machines.append("i-2")
    return other


def follow(other: Machine) -> None:
    other.file.read()
    other.keeper.follow()


def test_a_growing_queue_brings_more_machines_up_to_the_maximum(machine: Machine) -> None:
    machine.open_runs = True
    machine.keeper.keep(11, True)
    assert machine.group.number == 2
    machine.keeper.keep(1000, True)
    assert machine.group.number == 3
    machine.group.most = 2
    machine.keeper.keep(1000, True)
    assert machine.group.number == 2, "the stack may lag behind the file"


def test_one_that_is_too_many_is_named_the_number_lowered_and_it_goes(machine: Machine, tmp_path: Path) -> None:
    machine.group.number = 2
    other = second(machine, tmp_path / "other")
    machine.keeper.keep(11, True)
    assert machine.file.read().leaving == ()
    follow(other)
    machine.open_runs = True
    machine.run(700, pending=0)
    assert (machine.file.read().leaving, machine.group.number, machine.left) == (("i-2",), 1, 0)
    follow(other)
    assert other.left == 1
    assert (other.folder / keeper.EXTRA).exists()
    machine.group.machines.remove("i-2")
    machine.open_runs = False
    machine.run(10 * POLL)
    assert (machine.left, machine.group.number, machine.file.read().leaving) == (1, 0, ())


def test_a_named_one_stays_until_the_number_is_lowered(machine: Machine, tmp_path: Path) -> None:
    machine.group.number = 2
    other = second(machine, tmp_path / "other")
    machine.file.replace(msgspec.structs.replace(machine.file.known, leaving=("i-2",)))
    follow(other)
    assert other.left == 0
    machine.group.number = 1
    follow(other)
    assert other.left == 1


def test_one_that_is_wanted_again_is_not_named_any_more(machine: Machine, tmp_path: Path) -> None:
    machine.group.number = 1
    other = second(machine, tmp_path / "other")
    machine.keeper.keep(1, True)
    assert machine.file.read().leaving == ("i-2",)
    machine.keeper.keep(11, True)
    assert (machine.file.read().leaving, machine.group.number) == ((), 2)
    follow(other)
    assert other.left == 0


def test_the_lease_holder_never_goes_as_too_many(machine: Machine, tmp_path: Path) -> None:
    other = second(machine, tmp_path / "other")
    machine.keeper.keep(1, True)
    assert machine.file.read().leaving == ("i-2",)
    # The lease passes to the machine that is named.
    other.file.replace(control.take(other.file.read(), "i-2", machine.clock.now()))
    other.keeper.keep(1, True)
    assert other.file.read().leaving == ("i-1",)
    machine.file.read()
    machine.keeper.follow()
    assert (machine.left, other.left) == (1, 0)


def test_a_new_manager_keeps_the_machines_that_it_finds(machine: Machine, tmp_path: Path) -> None:
    machine.group.number = 2
    second(machine, tmp_path / "other")
    machine.run(2 * POLL)
    assert (machine.group.number, machine.file.read().leaving) == (2, ())


def test_a_group_at_zero_is_not_raised_by_its_manager(machine: Machine) -> None:
    """`down` closes the group while its deciders still work."""
    machine.group.number = 0
    machine.keeper.keep(1, True)
    assert machine.group.number == 0


def test_a_manager_outside_of_the_group_names_nobody(machine: Machine, tmp_path: Path) -> None:
    second(machine, tmp_path / "other")
    machine.group.machines.remove("i-1")
    machine.group.machines.append("i-3")
    machine.keeper.keep(1, True)
    assert machine.file.read().leaving == ()
