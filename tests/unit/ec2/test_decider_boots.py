"""Deciders that cannot boot, or cannot be launched: counted, told, ended, and not replaced for ever."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from simpleflow.nodes import config
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.stack import status
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.test_stack import World, names


def shown(world: World) -> status.StackStatus:
    return status.status(world.cluster, world.account, world.provider)


def until(world: World, what: str, notes: str, *, launches: bool) -> status.StackStatus:
    limit = time.monotonic() + 120
    while True:
        found = shown(world)
        if found.launches is launches and notes in "\n".join(found.notes):
            return found
        assert time.monotonic() < limit, f"not in time: {what}; {found}"
        time.sleep(0.1)


@pytest.mark.needs_processes
def test_a_decider_whose_delivery_fails_is_replaced_told_and_stopped_at_the_third(
    cluster: config.ClusterConfig, builder: bundle.Builder, tmp_path: Path
) -> None:
    """The code bundle of these tests is no archive: each machine fails where it installs."""

    def machine(given: emulated.Machine) -> emulated.Command:
        folder = tmp_path / given.instance_id
        folder.mkdir()
        argv = [sys.executable, "-m", "simpleflow.testing.rehearsal.machine", str(folder / "root")]
        return emulated.Command(
            argv=argv, environment={**given.environment, "PYTHONPATH": str(Path.cwd())}, folder=str(folder)
        )

    boot = emulated.ProcessBoot(machine, logs=tmp_path / "consoles")
    with emulated.Cloud(group_pause=0.05, patience=5.0, boot=boot, timing=emulated.Timing(boot=0.05)) as cloud:
        world = World(cluster, builder, cloud)
        names(world.up())
        ec2.Ec2DeciderGroup("demo", world.made).ensure_one()
        found = until(world, "three boots", "3 boots of deciders in a row", launches=False)
        assert "this machine cannot become a node" in "\n".join(found.notes)
        assert "the decider group launches no more" in "\n".join(found.notes)
        assert found.alarms["boot"] == "ALARM"
        [first, *_] = boots = [each for each in cloud.instances.all() if each.group]
        assert len(boots) == 3
        limit = time.monotonic() + 120
        while any(each.alive for each in boots):
            assert time.monotonic() < limit, "a machine that cannot become a node lives on"
            time.sleep(0.1)
        assert "powering off" in world.provider.diagnose(first.id)


def test_a_launch_that_is_refused_is_shown_until_one_succeeds(world_of_groups: World) -> None:
    world = world_of_groups
    cloud = world.cloud
    cloud.capacity.sold_out("t3.small")
    ec2.Ec2DeciderGroup("demo", world.made).ensure_one()
    found = until(world, "a refusal", "the decider group could not launch a machine: ", launches=True)
    assert "t3.small" in "\n".join(found.notes)
    cloud.capacity.restock()
    limit = time.monotonic() + 60
    while shown(world).notes:
        assert time.monotonic() < limit, shown(world)
        time.sleep(0.1)


@pytest.fixture
def world_of_groups(cluster: config.ClusterConfig, builder: bundle.Builder, cloud: emulated.Cloud) -> World:
    world = World(cluster, builder, cloud)
    names(world.up())
    return world


def test_one_look_of_status_that_is_refused_hides_no_other(world_of_groups: World) -> None:
    world = world_of_groups
    for name in ("autoscaling:DescribeScalingActivities", "s3:GetObject", "cloudwatch:DescribeAlarms"):
        world.cloud.faults.add(emulated.Fault(name, "error", code="AccessDenied", status=403, times=10))
    found = shown(world)
    assert (found.stacks["demo"], found.launches) == ("CREATE_COMPLETE", True)
    assert found.alarms["wake-up"].startswith("unknown: ")
    said = "\n".join(found.notes)
    assert "activities cannot be read" in said
    assert "boot counter cannot be read" in said
