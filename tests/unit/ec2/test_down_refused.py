"""``down`` when a call is refused, or when parts of the cluster were deleted by hand: no machine is left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from simpleflow.core import clock as clocks
from simpleflow.nodes import config, errors
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.stack import down, status
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.conftest import DirectClients
from tests.unit.ec2.test_stack import World, launch, names


@pytest.fixture
def world(cluster: config.ClusterConfig, builder: bundle.Builder) -> Iterator[World]:
    with emulated.Cloud(clock=clocks.VirtualClock(time.time()), group_pause=0.05, patience=5.0) as cloud:
        yield World(cluster, builder, cloud, DirectClients(cloud))


def workers(world: World) -> int:
    return sum(each.alive and not each.group for each in world.cloud.instances.all())


def refuse(world: World, call: str, code: str, *, times: int = 1, after: int = 0) -> None:
    world.cloud.faults.add(emulated.Fault(call, "error", times=times, after=after, code=code, status=403))


def test_a_look_that_is_refused_deletes_no_stack_under_its_machines(world: World) -> None:
    names(world.up())
    launch(world, 2, "demo-a")
    for call in ("ec2:DescribeSubnets", "autoscaling:DescribeAutoScalingGroups"):
        for code in ("AccessDenied", "ThrottlingException"):
            refuse(world, call, code)
            shown = status.status(world.cluster, world.account, world.provider)
            assert "what stands cannot be looked at: " in shown.notes[-1]
        refuse(world, call, "AccessDenied")
        with pytest.raises(errors.ProviderRefused, match="your credentials lack this right"):
            names(world.down())
        assert (world.state()[0]["demo"], workers(world)) == ("CREATE_COMPLETE", 2)
    names(world.down())
    assert (world.state()[0], workers(world)) == ({"demo-base": "CREATE_COMPLETE"}, 0)


def test_an_answer_that_fails_to_come_for_a_while_ends_no_drain(world: World) -> None:
    names(world.up())
    launch(world, 1, "demo-a")
    ec2.Ec2DeciderGroup("demo", world.made).ensure_one()
    world.cloud.advance(1.0)
    steps = []
    for each in world.down():
        steps.append(each)
        if each.name in ("lease", "decider group"):
            call = "ec2:DescribeInstances" if each.name == "lease" else "autoscaling:DescribeAutoScalingGroups"
            refuse(world, call, "ThrottlingException")
    said = [each.name for each in steps if each.detail.startswith("what is left cannot be told now: ")]
    assert said == ["drain", "deciders"]
    assert (world.state()[0], workers(world)) == ({"demo-base": "CREATE_COMPLETE"}, 0)


def test_a_look_that_always_fails_is_told_in_the_end() -> None:
    def look() -> str:
        raise errors.ProviderThrottled("slow down")

    left = down._Patient(look)
    said = [left() for _ in range(down._LOOKS - 1)]
    assert set(said) == {"what is left cannot be told now: slow down"}
    with pytest.raises(errors.ProviderThrottled):
        left()


@pytest.mark.parametrize("deleted", ["group", "stack", "base"])
def test_workers_go_also_when_what_made_them_was_deleted_by_hand(world: World, deleted: str) -> None:
    names(world.up())
    launch(world, 2, "demo-a")
    if deleted == "group":
        group = ec2.Ec2DeciderGroup("demo", world.made).name
        world.cloud.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=group, ForceDelete=True)
    else:
        # Under the workers the stack's own subnets stay: DELETE_FAILED.
        name = {"stack": "demo", "base": "demo-base"}[deleted]
        world.cloud.client("cloudformation").delete_stack(StackName=name)
        world.cloud.advance(100.0)
    names(world.down())
    assert workers(world) == 0
    assert "demo" not in world.state()[0]


def test_a_subnet_deleted_by_hand_hides_nothing_of_its_stack(world: World) -> None:
    names(world.up())
    api = world.cloud.client("ec2")
    tags = [{"Name": "tag:simpleflow:cluster", "Values": ["demo"]}]
    first, *others = [each["SubnetId"] for each in api.describe_subnets(Filters=tags)["Subnets"]]
    api.delete_subnet(SubnetId=first)
    assert others
    launch(world, 1, "demo-a")
    assert {each.subnet for each in world.cloud.instances.all()} <= set(others)
