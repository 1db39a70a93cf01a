"""CreateFleet of type instant: exact errors per pool, merging, tokens, money guard."""

from __future__ import annotations

from typing import Any

import pytest

from simpleflow.testing import cloud as emulated
from tests.unit.testing.cloud.helpers import refused, subnets, template


def fleet(template_id: str, overrides: list[dict[str, Any]], count: int, **more: Any) -> dict[str, Any]:
    return {
        "Type": "instant",
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {"LaunchTemplateId": template_id, "Version": "$Latest"},
                "Overrides": overrides,
            }
        ],
        "TargetCapacitySpecification": {"TotalTargetCapacity": count, "DefaultTargetCapacityType": "on-demand"},
        **more,
    }


def ids(answer: dict[str, Any]) -> list[str]:
    return [i for one in answer["Instances"] for i in one["InstanceIds"]]


def test_sold_out_pools_are_exact_errors_of_an_answer_that_succeeds(cloud: emulated.Cloud, ec2: Any) -> None:
    a, b = subnets(cloud)[:2]
    lt = template(cloud)
    cloud.capacity.sold_out("m7i.large", "eu-west-1a", after=1)
    overrides = [{"InstanceType": "m7i.large", "SubnetId": s} for s in (a, b)]
    answer = ec2.create_fleet(**fleet(lt, overrides, 3))
    assert len(ids(answer)) == 3
    zones = {
        one["LaunchTemplateAndOverrides"]["Overrides"]["SubnetId"]: len(one["InstanceIds"])
        for one in answer["Instances"]
    }
    assert zones == {a: 1, b: 2}
    cloud.capacity.sold_out("m7i.large")
    answer = ec2.create_fleet(**fleet(lt, overrides, 2))
    assert answer["Instances"] == []
    assert [
        (e["ErrorCode"], e["Lifecycle"], e["LaunchTemplateAndOverrides"]["Overrides"]["InstanceType"])
        for e in answer["Errors"]
    ] == [("InsufficientInstanceCapacity", "on-demand", "m7i.large")] * 2


def test_the_cheapest_pool_comes_first_and_priorities_override_prices(cloud: emulated.Cloud) -> None:
    ec2, lt = cloud.client("ec2"), template(cloud)
    overrides = [
        {"InstanceType": "m7i.xlarge", "Priority": 0.0},
        {"InstanceType": "m7i.large", "Priority": 1.0},
    ]
    answer = ec2.create_fleet(**fleet(lt, overrides, 1))
    assert answer["Instances"][0]["InstanceType"] == "m7i.large"
    more = {"OnDemandOptions": {"AllocationStrategy": "prioritized"}}
    answer = ec2.create_fleet(**fleet(lt, overrides, 1, **more))
    assert answer["Instances"][0]["InstanceType"] == "m7i.xlarge"


def test_an_unknown_type_is_an_error_of_its_pool_and_the_other_pool_serves(cloud: emulated.Cloud) -> None:
    lt = template(cloud)
    overrides = [{"InstanceType": "m7i.enormous"}, {"InstanceType": "m7i.large"}]
    answer = cloud.client("ec2").create_fleet(**fleet(lt, overrides, 1))
    assert len(ids(answer)) == 1
    assert answer["Errors"] == []
    more = {"OnDemandOptions": {"AllocationStrategy": "prioritized"}}
    given = [{**o, "Priority": float(n)} for n, o in enumerate(overrides)]
    answer = cloud.client("ec2").create_fleet(**fleet(lt, given, 1, **more))
    assert [e["ErrorCode"] for e in answer["Errors"]] == ["InvalidParameterValue"]
    assert answer["Instances"][0]["InstanceType"] == "m7i.large"


def test_two_subnets_of_one_zone_are_refused(cloud: emulated.Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone="eu-west-1a")["Subnet"]["SubnetId"]
        for n in range(2)
    ]
    overrides = [{"InstanceType": "m7i.large", "SubnetId": s} for s in made]
    assert refused(ec2.create_fleet, **fleet(template(cloud), overrides, 1)) == "InvalidFleetConfiguration"


def test_tokens_of_fleets(cloud: emulated.Cloud) -> None:
    ec2, lt = cloud.client("ec2"), template(cloud)
    asked = fleet(lt, [{"InstanceType": "m7i.large"}], 2, ClientToken="attempt-9")
    first = ec2.create_fleet(**asked)
    assert ids(ec2.create_fleet(**asked)) == ids(first)
    other = fleet(lt, [{"InstanceType": "m7i.large"}], 3, ClientToken="attempt-9")
    assert refused(ec2.create_fleet, **other) == "IdempotentParameterMismatch"
    ec2.terminate_instances(InstanceIds=ids(first)[:1])
    assert ids(ec2.create_fleet(**asked)) == ids(first)
    ec2.terminate_instances(InstanceIds=ids(first))
    assert refused(ec2.create_fleet, **asked) == "IdempotentInstanceTerminated"


def test_a_lost_answer_has_launched_and_the_tag_finds_it(cloud: emulated.Cloud) -> None:
    import botocore.config
    import botocore.exceptions

    lt = template(cloud)
    cloud.faults.add(emulated.Fault("ec2:CreateFleet", "lost"))
    ec2 = cloud.http_client("ec2", config=botocore.config.Config(retries={"total_max_attempts": 1}))
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "simpleflow:attempt", "Value": "a1"}]}]
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        ec2.create_fleet(**fleet(lt, [{"InstanceType": "m7i.large"}], 2, TagSpecifications=tags))
    found = ec2.describe_instances(Filters=[{"Name": "tag:simpleflow:attempt", "Values": ["a1"]}])
    assert sum(len(r["Instances"]) for r in found["Reservations"]) == 2
    assert len(cloud.record.named("ec2:CreateFleet")) == 1


def test_templates_and_tags_reach_the_instances(cloud: emulated.Cloud) -> None:
    lt = template(
        cloud,
        MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "profile", "Value": "gpu"}]}],
        InstanceInitiatedShutdownBehavior="terminate",
    )
    tags = [
        {"ResourceType": "fleet", "Tags": [{"Key": "f", "Value": "1"}]},
        {"ResourceType": "instance", "Tags": [{"Key": "attempt", "Value": "a1"}]},
    ]
    answer = cloud.client("ec2").create_fleet(**fleet(lt, [{"InstanceType": "m7i.large"}], 1, TagSpecifications=tags))
    one = cloud.instances.get(ids(answer)[0])
    assert one.tags == {"profile": "gpu", "attempt": "a1", "aws:ec2:fleet-id": answer["FleetId"]}
    assert one.spec["MetadataOptions"]["HttpTokens"] == "required"
    described = cloud.client("ec2").describe_fleets(FleetIds=[answer["FleetId"]])["Fleets"][0]
    assert described["Tags"] == [{"Key": "f", "Value": "1"}]
    assert described["FulfilledCapacity"] == 1.0


def test_max_total_price_stops_before_it_is_passed(cloud: emulated.Cloud) -> None:
    lt = template(cloud)
    more = {"OnDemandOptions": {"MaxTotalPrice": "0.25"}}
    answer = cloud.client("ec2").create_fleet(**fleet(lt, [{"InstanceType": "m7i.large"}], 5, **more))
    assert len(ids(answer)) == 2  # 0.10 USD an hour each


def test_spot_is_spot_and_deleting_an_instant_fleet_ends_its_instances(cloud: emulated.Cloud) -> None:
    ec2, lt = cloud.client("ec2"), template(cloud)
    asked = fleet(lt, [{"InstanceType": "m7i.large"}], 2)
    asked["TargetCapacitySpecification"]["DefaultTargetCapacityType"] = "spot"
    answer = ec2.create_fleet(**asked)
    shown = ec2.describe_instances(Filters=[{"Name": "instance-lifecycle", "Values": ["spot"]}])
    assert sum(len(r["Instances"]) for r in shown["Reservations"]) == 2
    assert ec2.delete_fleets(FleetIds=[answer["FleetId"]], TerminateInstances=True)["SuccessfulFleetDeletions"]
    assert all(i.ended is not None for i in cloud.instances.all())


def test_a_thousand_nodes_are_launched_with_one_call_per_twenty_or_fewer(cloud: emulated.Cloud) -> None:
    ec2, lt = cloud.http_client("ec2"), template(cloud)
    for n in range(10):
        ec2.create_fleet(**fleet(lt, [{"InstanceType": "m7i.large"}], 100, ClientToken=f"t{n}"))
    assert len(cloud.instances.all()) == 1000
    assert len(cloud.record.named("ec2:CreateFleet")) <= 50


def test_launch_template_versions_and_merging(cloud: emulated.Cloud, ec2: Any) -> None:
    lt = template(cloud, InstanceType="m7i.large")
    ec2.create_launch_template_version(
        LaunchTemplateId=lt, SourceVersion="1", LaunchTemplateData={"InstanceType": "m7i.xlarge"}
    )
    shown = ec2.describe_launch_template_versions(LaunchTemplateId=lt, Versions=["$Latest", "$Default"])
    data = {v["VersionNumber"]: v["LaunchTemplateData"]["InstanceType"] for v in shown["LaunchTemplateVersions"]}
    assert data == {2: "m7i.xlarge", 1: "m7i.large"}
    ec2.modify_launch_template(LaunchTemplateId=lt, DefaultVersion="2")
    run = ec2.run_instances(LaunchTemplate={"LaunchTemplateId": lt}, MinCount=1, MaxCount=1)
    assert run["Instances"][0]["InstanceType"] == "m7i.xlarge"
    run = ec2.run_instances(
        LaunchTemplate={"LaunchTemplateId": lt, "Version": "1"}, InstanceType="m7i.2xlarge", MinCount=1, MaxCount=1
    )
    assert run["Instances"][0]["InstanceType"] == "m7i.2xlarge"
    assert (
        refused(ec2.run_instances, LaunchTemplate={"LaunchTemplateId": lt, "Version": "7"}, MinCount=1, MaxCount=1)
        == "InvalidLaunchTemplateId.VersionNotFound"
    )
