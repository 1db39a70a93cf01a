"""The agent of a decider machine: when it makes room for another, and when it gives up."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from simpleflow.core import clock as clocks
from simpleflow.data import files
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import config, published, setups, stores
from simpleflow.nodes.agent import deciders
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import keeper
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.conftest import CLUSTER, CloudClients


class Machine:
    """One decider machine whose documents lie in a folder here."""

    def __init__(self, folder: Path, name: str = "one", code: str = "code-1") -> None:
        self.clock = clocks.VirtualClock(0.0)
        self.cluster = config.loads(CLUSTER)
        self.store: blobs.BlobStore = stores.open_store(f"file://{folder / 'store'}")
        setup = setups.machine_setup(self.cluster, "deciders", self.store.url, code)
        path = folder / f"{name}.json"
        path.write_bytes(msgspec.json.encode(setup))
        self.agent = deciders.DeciderAgent(setup, path, dict(os.environ), self.clock, name)

    def publish(self, code: str, **changes: Any) -> None:
        published.write(self.store, msgspec.structs.replace(self.cluster, **changes), code, self.clock.now())

    def outdated(self) -> bool:
        self.clock.advance(60.0)
        return self.agent._outdated()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_it_stays_for_what_the_manager_takes_up_and_goes_for_what_deciders_are_made_of(machine: Machine) -> None:
    assert not machine.outdated()
    machine.publish("code-1")
    assert not machine.outdated()
    machine.publish("code-1", budget=config.Budget(per_day=2.0))
    assert not machine.outdated()
    # While the stack changes nobody is to go: the group would bring a machine of the old template.
    machine.publish("", budget=config.Budget(per_day=3.0))
    assert not machine.outdated()
    machine.publish("code-2")
    assert machine.outdated()


def test_it_goes_for_changed_deciders(machine: Machine) -> None:
    machine.publish("code-1", deciders=config.Deciders(workflows=("films.Nightly",)))
    assert machine.outdated()


def test_machines_go_one_after_the_other(tmp_path: Path) -> None:
    """Each goes when the one that came for the last one works: of a version that cannot boot one machine is lost."""
    first, second = (Machine(tmp_path, name) for name in ("first", "second"))
    first.publish("code-2")
    assert first.outdated()
    assert not second.outdated()
    new = Machine(tmp_path, "new", "code-2")
    assert not new.agent._outdated(), "it has just booted and has not worked yet"
    assert not second.outdated()
    assert not new.outdated()
    assert second.outdated(), "the newcomer has worked for a minute"


def test_a_turn_is_void_when_another_version_is_published(tmp_path: Path) -> None:
    first, second = (Machine(tmp_path, name) for name in ("first", "second"))
    first.publish("code-2")
    assert first.outdated()
    first.publish("code-3")
    assert second.outdated()


@pytest.mark.parametrize(("boots", "goes"), [(b'{"boots": 0}', True), (b'{"boots": 2}', False), (b"<html>", False)])
def test_a_turn_whose_newcomer_never_comes_is_taken_over_unless_boots_fail(
    tmp_path: Path, boots: bytes, goes: bool
) -> None:
    first, second = (Machine(tmp_path, name) for name in ("first", "second"))
    first.publish("code-2")
    assert first.outdated()
    second.store.put("boots/deciders.json", boots)
    for _ in range(30):
        assert not second.outdated()
    assert [second.outdated() for _ in range(3)][-1] is goes
    second.store.put("boots/rolling.json", b"{")
    assert second.outdated(), "one that cannot be read is nobody's"


def test_a_store_that_does_not_answer_is_no_reason_to_go(machine: Machine) -> None:
    machine.store.put("cluster.json", b"{")
    assert not machine.outdated()


def test_it_gives_up_when_a_child_ends_again_and_again(machine: Machine) -> None:
    decider, manager = SimpleNamespace(name="decider", deaths=0), SimpleNamespace(name="manager", deaths=0)
    machine.agent._kept = [decider, manager]  # type: ignore[list-item]  # what is looked at of them
    for _ in range(4):
        decider.deaths += 1
        machine.clock.advance(10.0)
        assert machine.agent._crashing() == ""
    # A day of work in between: that is no loop.
    machine.clock.advance(86_400.0)
    for _ in range(4):
        decider.deaths += 1
        machine.clock.advance(10.0)
        assert machine.agent._crashing() == ""
    decider.deaths += 1
    assert machine.agent._crashing() == "its decider ended 5 times in a row"


def test_one_that_is_too_many_drops_its_protection_after_its_decider_has_ended(
    fresh: emulated.Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group is that of the emulated account; the manager has ended because its machine is too many."""
    group = ec2.Ec2DeciderGroup("demo", CloudClients(fresh))
    fresh.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=group.name, MaxSize=2, DesiredCapacity=2)
    names = [each.instance for each in group.read().members]
    one = Machine(tmp_path, names[0])
    monkeypatch.setattr(one.agent, "_group", lambda: group)
    group.set(1)
    assert len(group.read().members) == 2, "both are protected"
    folder = one.agent._folder.path
    seen: list[bool] = []

    class Child:
        """A child that notes at its end whether the machine is protected still."""

        deaths = 0
        last_code = 0

        def __init__(self, name: str, lives: bool) -> None:
            self.name = name
            self.lives = lives

        def keep(self) -> None:
            """The manager has ended by itself."""

        def alive(self) -> bool:
            return self.lives

        def ask(self, number: int) -> None:
            """It is told to end."""

        def end(self, patience: float) -> None:
            seen.append(all(each.protected for each in group.read().members))

    files.replace(folder / keeper.EXTRA, b"")
    decider, manager = Child("decider", lives=True), Child("manager", lives=False)
    one.agent._kept = [decider, manager]  # type: ignore[list-item]  # what is asked of them
    one.agent._manager = manager  # type: ignore[assignment]  # the same
    assert one.agent.run() == 0
    assert seen == [True, True]
    assert [each.instance for each in group.read().members if each.state == "InService"] == names[1:]
    assert group.read().desired == 1
