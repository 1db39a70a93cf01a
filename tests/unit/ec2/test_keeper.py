"""Decider and manager of one machine: notes of taken tasks, whole polls, the leave pass by pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents, errors, interceptors
from simpleflow.nodes import control
from simpleflow.nodes.providers.ec2 import keeper
from tests.unit.ec2.fakes import MemoryStore

POLL = 60.0


class Group:
    """A group of one, in memory."""

    def __init__(self) -> None:
        self.number = 1
        self.broken = False

    def ensure_one(self) -> None:
        self.number = max(self.number, 1)

    def alone(self) -> bool:
        if self.broken:
            raise errors.SimpleflowError("no answer")
        return True

    def sleep(self) -> None:
        self.number = 0

    def desired(self) -> int:
        return self.number


class Machine:
    """One decider machine."""

    def __init__(self, folder: Path, least: int = 0) -> None:
        self.folder = folder
        self.group = Group()
        self.clock = clocks.VirtualClock()
        self.left = 0
        self.open_runs = False
        self.file = control.ControlFile(MemoryStore(), "demo", "me", self.clock)
        self.file.replace(control.take(self.file.read(), "me", self.clock.now()))
        look = keeper.MachineLook(folder, POLL, lambda: not self.open_runs, self.clock)
        self.keeper = keeper.GroupKeeper(self.group, look, self.file, folder, least=least, left=self._leave)
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
