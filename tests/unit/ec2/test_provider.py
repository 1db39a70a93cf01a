"""The provider on the emulated account: launches sent once and in time, exact refusals, lists, marks, diagnosis."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from simpleflow.core import clock as clocks
from simpleflow.nodes import config, errors, tags
from simpleflow.nodes.providers import base, ec2
from simpleflow.nodes.stack import up
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.conftest import CODE, CloudClients


@pytest.fixture
def cloud(fresh: emulated.Cloud) -> emulated.Cloud:
    return fresh


def spec(attempt: str = "demo-a1", units: int = 1, profile: str = "small", **more: Any) -> base.LaunchSpec:
    given = {"not_after": time.time() + 600, **more}
    return base.LaunchSpec(cluster="demo", profile=profile, attempt=attempt, units=units, **given)


def test_a_launch_is_one_fleet_and_its_instances_carry_the_attempt(
    provider: ec2.Ec2Provider, cloud: emulated.Cloud
) -> None:
    launched = provider.launch(spec(units=3, tags={"team": "post production"}))
    assert len(launched.instances) == 3
    assert launched.refusals == ()
    assert {each.instance_type for each in launched.instances} == {"c7i.large"}
    listed = provider.list()
    assert {each.id for each in listed.instances} == {each.id for each in launched.instances}
    for each in listed.instances:
        assert (each.attempt, each.profile, each.market) == ("demo-a1", "small", "on-demand")
        assert each.tags["team"] == "post production"
        assert each.tags[tags.CLUSTER] == "demo"
    assert abs(listed.begun - time.time()) < 60
    [call] = cloud.record.named("ec2:CreateFleet")
    assert call.params["Type"] == "instant"
    assert call.params["ClientToken"] == "demo-a1"
    assert [each["ResourceType"] for each in call.params["TagSpecifications"]] == ["fleet", "instance", "volume"]
    for each in call.params["TagSpecifications"]:
        assert {"Key": tags.ATTEMPT, "Value": "demo-a1"} in each["Tags"]
    overrides = call.params["LaunchTemplateConfigs"][0]["Overrides"]
    assert len(overrides) == 4
    assert len({(each["InstanceType"], each["SubnetId"]) for each in overrides}) == 4
    assert call.params["OnDemandOptions"]["AllocationStrategy"] == "prioritized"


def test_the_launch_templates_make_it_a_node(provider: ec2.Ec2Provider, cloud: emulated.Cloud) -> None:
    [launched] = provider.launch(spec()).instances
    made = cloud.instances.get(launched.id)
    assert made.spec["MetadataOptions"]["HttpTokens"] == "required"
    assert made.spec["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert made.user_data.startswith(b"#cloud-config")
    bucket = up.base_name("demo")
    assert f"s3://{bucket}-".encode() in made.user_data
    assert b"__SIMPLEFLOW" not in made.user_data
    assert CODE.digest.encode() in made.user_data


def test_spot_asks_for_the_pools_with_most_capacity(provider: ec2.Ec2Provider, cloud: emulated.Cloud) -> None:
    [launched] = provider.launch(spec(profile="gpu-2")).instances
    assert launched.market == "spot"
    assert provider.list().instances[0].market == "spot"
    [call] = cloud.record.named("ec2:CreateFleet")
    assert call.params["SpotOptions"] == {"AllocationStrategy": "price-capacity-optimized"}
    assert "Priority" not in call.params["LaunchTemplateConfigs"][0]["Overrides"][0]


def test_nothing_is_sent_after_its_last_moment(provider: ec2.Ec2Provider, cloud: emulated.Cloud) -> None:
    with pytest.raises(errors.ProviderRefused, match="its last moment has passed"):
        provider.launch(spec(not_after=time.time() - 2))
    assert not cloud.record.named("ec2:CreateFleet")


def test_a_pause_between_signing_and_the_wire_changes_no_date(
    cluster: config.ClusterConfig, made: CloudClients, cloud: emulated.Cloud
) -> None:
    """The hook looks at the signed date, so it cannot be fooled by a clock that is read before a pause."""
    provider = ec2.Ec2Provider(cluster, made, clocks.RealClock())
    seen: list[str] = []

    def pause(request: Any, **_: Any) -> None:
        seen.append(str(request.headers["X-Amz-Date"]))

    made.get("ec2", retries=False).meta.events.register("before-sign.ec2.CreateFleet", lambda **_: time.sleep(1.1))
    made.get("ec2", retries=False).meta.events.register("before-send.ec2.CreateFleet", pause)
    with pytest.raises(errors.ProviderRefused, match="its last moment has passed"):
        provider.launch(spec(not_after=float(int(time.time()))))
    assert not cloud.record.named("ec2:CreateFleet")


def test_a_lost_answer_is_unclear_and_is_not_repeated(provider: ec2.Ec2Provider, cloud: emulated.Cloud) -> None:
    cloud.faults.add(emulated.Fault("ec2:CreateFleet", "lost"))
    with pytest.raises(errors.ProviderUnclear):
        provider.launch(spec(units=2))
    assert len(cloud.record.named("ec2:CreateFleet")) == 1
    assert [each.attempt for each in provider.list().instances] == ["demo-a1", "demo-a1"]


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (emulated.Fault("ec2:CreateFleet", "throttle"), errors.ProviderThrottled),
        (emulated.Fault("ec2:CreateFleet", "error", code="InternalError", status=500), errors.ProviderUnclear),
        (emulated.Fault("ec2:CreateFleet", "error", code="VcpuLimitExceeded", status=400), errors.ProviderRefused),
        (emulated.Fault("ec2:CreateFleet", "expired"), errors.ProviderRefused),
        (
            emulated.Fault("ec2:CreateFleet", "error", code="IdempotentInstanceTerminated", status=400),
            errors.ProviderUnclear,
        ),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else each.kind,
)
def test_refusals_are_told_apart_and_sent_once(
    provider: ec2.Ec2Provider, cloud: emulated.Cloud, fault: emulated.Fault, raised: type[Exception]
) -> None:
    again = emulated.Fault(fault.call, fault.kind, code="InternalError")
    cloud.faults.add(fault)
    cloud.faults.add(again)
    with pytest.raises(raised):
        provider.launch(spec())
    assert again.left == 1
    assert provider.list().instances == ()


def test_sold_out_pools_are_skipped_for_minutes_and_asked_again(
    cluster: config.ClusterConfig, made: CloudClients, cloud: emulated.Cloud
) -> None:
    clock = clocks.VirtualClock(time.time())
    provider = ec2.Ec2Provider(cluster, made, clock)
    cloud.capacity.sold_out("c7i.large")
    launched = provider.launch(spec("a1"))
    assert [each.instance_type for each in launched.instances] == ["c6i.large"]
    cloud.capacity.sold_out("c6i.large")
    launched = provider.launch(spec("a2"))
    assert launched.instances == ()
    assert "c7i.large" not in str(cloud.record.named("ec2:CreateFleet")[1].params["LaunchTemplateConfigs"])
    assert "c6i.large in eu-west-1" in launched.refusals[0]
    assert "InsufficientInstanceCapacity" in launched.refusals[0]
    with pytest.raises(errors.ProviderRefused, match="sold out in every zone"):
        provider.launch(spec("a3"))
    assert len(cloud.record.named("ec2:CreateFleet")) == 2
    cloud.capacity.restock()
    clock.advance(cluster.settings.sold_out_min + 0.1)
    assert len(provider.launch(spec("a4")).instances) == 1


def test_max_total_price_is_the_second_guard_of_money(
    cluster: config.ClusterConfig, made: CloudClients, cloud: emulated.Cloud
) -> None:
    cheap = msgspec.structs.replace(cluster.profiles["small"], billing=config.Billing(price=0.1))
    small = msgspec.structs.replace(cluster, profiles={**cluster.profiles, "small": cheap})
    provider = ec2.Ec2Provider(small, made, clocks.RealClock())
    assert len(provider.launch(spec(units=2)).instances) == 2  # 0.10 USD an hour each, on the emulated account
    [call] = cloud.record.named("ec2:CreateFleet")
    assert call.params["OnDemandOptions"]["MaxTotalPrice"] == "0.200000"


def test_a_long_attempt_becomes_a_token_that_fits(provider: ec2.Ec2Provider, cloud: emulated.Cloud) -> None:
    attempt = "a" * 200
    provider.launch(spec(attempt))
    [call] = cloud.record.named("ec2:CreateFleet")
    assert len(call.params["ClientToken"]) == 64
    assert provider.list().instances[0].attempt == attempt


def test_marks_are_keys_and_can_be_taken_back(provider: ec2.Ec2Provider) -> None:
    [node] = provider.launch(spec()).instances
    provider.mark(node.id, 7)
    provider.mark(node.id, 7)
    assert tags.drain_generation(provider.list().instances[0].tags) == 7
    provider.unmark(node.id, 7)
    provider.unmark(node.id, 7)
    assert tags.drain_generation(provider.list().instances[0].tags) == 0
    with pytest.raises(errors.ProviderRefused):
        provider.mark("i-0123456789abcdef0", 1)


def test_terminating_repeats_and_terminated_machines_stay_listed(provider: ec2.Ec2Provider) -> None:
    [node] = provider.launch(spec()).instances
    provider.terminate(node.id)
    provider.terminate(node.id)
    assert [each.state for each in provider.list().instances] == ["terminated"]
    provider.terminate("i-0123456789abcdef0")


def test_an_instance_that_is_ended_while_it_is_pending_is_not_billed_and_nothing_takes_its_place(
    provider: ec2.Ec2Provider, cloud: emulated.Cloud
) -> None:
    first, second = provider.launch(spec(units=2)).instances
    for each, pending in ((first, True), (second, False)):
        boots_at = time.time() + 600 if pending else 0.0
        cloud.instances.get(each.id).boots_at = boots_at
        assert provider.terminate(each.id) is pending
        assert not provider.terminate(each.id), "said once: its state before is another one now"
    listed = provider.list().instances
    assert {each.id for each in listed} == {first.id, second.id}
    assert {each.state for each in listed} <= {"stopping", "terminated"}
    assert len(cloud.record.named("ec2:CreateFleet")) == 1


def test_deciders_are_not_listed_as_workers(
    provider: ec2.Ec2Provider, cluster: config.ClusterConfig, made: CloudClients, cloud: emulated.Cloud
) -> None:
    ec2.Ec2DeciderGroup("demo", made).ensure_one()
    assert len([each for each in cloud.instances.all() if each.group]) == 1
    assert provider.list().instances == ()


def test_an_unknown_profile_is_refused_before_any_call(provider: ec2.Ec2Provider) -> None:
    with pytest.raises(errors.ProviderRefused, match="known: gpu-2, small"):
        provider.launch(spec(profile="huge"))


def test_a_thousand_nodes(provider: ec2.Ec2Provider, cloud: emulated.Cloud) -> None:
    for number in range(10):
        assert len(provider.launch(spec(f"demo-{number}", units=100)).instances) == 100
    assert len(cloud.record.named("ec2:CreateFleet")) <= 1000 / 20
    before = len(cloud.record.named("ec2:DescribeInstances"))
    assert len(provider.list().instances) == 1000
    assert len(cloud.record.named("ec2:DescribeInstances")) - before <= 2
    provider.launch(spec("demo-one-more"))
    assert len(provider.list().instances) == 1001


@pytest.mark.slow
def test_ten_thousand_nodes_are_listed_to_the_last_page(provider: ec2.Ec2Provider, cloud: emulated.Cloud) -> None:
    """A list that was cut at 30 rows had live nodes reaped elsewhere (terraform-aws-github-runner #167)."""
    for number in range(20):
        assert len(provider.launch(spec(f"demo-{number}", units=500)).instances) == 500
    before = len(cloud.record.named("ec2:DescribeInstances"))
    listed = provider.list().instances
    assert len({each.id for each in listed}) == 10_000
    assert {each.attempt for each in listed} == {f"demo-{number}" for number in range(20)}
    assert len(cloud.record.named("ec2:DescribeInstances")) - before == 10
