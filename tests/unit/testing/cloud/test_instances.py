"""RunInstances, describes, tags, tokens and ends, with real boto3 clients on both faces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from simpleflow.core import clock as clocks
from simpleflow.testing import cloud as emulated

Opened = Callable[..., emulated.Cloud]


def refused(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def run(cloud: emulated.Cloud, count: int = 1, **params: Any) -> list[str]:
    given = {"ImageId": cloud.image, "InstanceType": "m7i.large", "MinCount": count, "MaxCount": count, **params}
    return [one["InstanceId"] for one in cloud.client("ec2").run_instances(**given)["Instances"]]


def test_an_instance_is_what_was_asked_for(cloud: emulated.Cloud, ec2: Any) -> None:
    answer = ec2.run_instances(
        ImageId=cloud.image,
        InstanceType="m7i.large",
        MinCount=1,
        MaxCount=1,
        UserData="#!/bin/sh\n",
        InstanceInitiatedShutdownBehavior="terminate",
        MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled", "HttpPutResponseHopLimit": 1},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "simpleflow:cluster", "Value": "c"}]}],
    )
    one = ec2.describe_instances(InstanceIds=[answer["Instances"][0]["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert one["InstanceType"] == "m7i.large"
    assert one["State"] == {"Code": 16, "Name": "running"}
    assert one["MetadataOptions"]["HttpTokens"] == "required"
    assert one["MetadataOptions"]["InstanceMetadataTags"] == "enabled"
    assert one["Tags"] == [{"Key": "simpleflow:cluster", "Value": "c"}]
    assert one["Placement"]["AvailabilityZone"] == "eu-west-1a"
    assert one["LaunchTime"].timestamp() == cloud.clock.now()


def test_boot_and_list_lag_follow_the_clock(opened: Opened) -> None:
    cloud = opened(clock=clocks.VirtualClock(), timing=emulated.Timing(boot=40, list_lag=10, shutdown=30))
    ec2 = cloud.client("ec2")
    [one] = run(cloud)
    assert ec2.describe_instances()["Reservations"] == []
    assert refused(ec2.describe_instances, InstanceIds=[one]) == "InvalidInstanceID.NotFound"
    assert refused(ec2.create_tags, Resources=[one], Tags=[{"Key": "a", "Value": "b"}]) == "InvalidInstanceID.NotFound"

    def state() -> str:
        return str(ec2.describe_instances()["Reservations"][0]["Instances"][0]["State"]["Name"])

    cloud.advance(10)
    assert state() == "pending"
    cloud.advance(30)
    assert state() == "running"
    ec2.terminate_instances(InstanceIds=[one])
    assert state() == "shutting-down"
    ec2.terminate_instances(InstanceIds=[one])
    cloud.advance(30)
    assert state() == "terminated"
    cloud.advance(3600)
    assert ec2.describe_instances()["Reservations"] == []
    assert refused(ec2.terminate_instances, InstanceIds=[one]) == "InvalidInstanceID.NotFound"


def test_client_tokens(opened: Opened) -> None:
    cloud = opened(clock=clocks.VirtualClock())
    first = run(cloud, ClientToken="attempt-1")
    assert run(cloud, ClientToken="attempt-1") == first
    ec2 = cloud.client("ec2")
    other = {"ImageId": cloud.image, "InstanceType": "m7i.xlarge", "MinCount": 1, "MaxCount": 1}
    assert refused(ec2.run_instances, ClientToken="attempt-1", **other) == "IdempotentParameterMismatch"
    assert refused(ec2.run_instances, ClientToken="x" * 65, **other) == "InvalidParameterValue"
    ec2.terminate_instances(InstanceIds=first)
    same = {"ImageId": cloud.image, "InstanceType": "m7i.large", "MinCount": 1, "MaxCount": 1}
    assert refused(ec2.run_instances, ClientToken="attempt-1", **same) == "IdempotentInstanceTerminated"
    cloud.tokens.forget()
    assert run(cloud, ClientToken="attempt-1") != first


def test_botocore_fills_the_token_and_repeats_it_after_a_lost_answer(cloud: emulated.Cloud) -> None:
    cloud.faults.add(emulated.Fault("ec2:RunInstances", "lost"))
    given = {"ImageId": cloud.image, "InstanceType": "m7i.large", "MinCount": 1, "MaxCount": 1}
    answer = cloud.http_client("ec2").run_instances(**given)
    assert [one.id for one in cloud.instances.all()] == [answer["Instances"][0]["InstanceId"]]
    first, second = cloud.record.named("ec2:RunInstances")
    assert first.params["ClientToken"] == second.params["ClientToken"]


def test_a_forgotten_token_launches_twice(cloud: emulated.Cloud) -> None:
    """Why a successor never re-issues an attempt (docs/design/control.md, part 1)."""
    first = run(cloud, ClientToken="attempt-1")
    cloud.tokens.forget()
    second = run(cloud, ClientToken="attempt-1")
    assert first != second
    assert len(cloud.instances.all()) == 2


def test_tokens_are_forgotten_after_their_lifetime(opened: Opened) -> None:
    cloud = opened(clock=clocks.VirtualClock(), timing=emulated.Timing(tokens=600))
    first = run(cloud, ClientToken="t")
    cloud.advance(599)
    assert run(cloud, ClientToken="t") == first
    cloud.advance(1)
    assert run(cloud, ClientToken="t") != first


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"InstanceType": "m7i.enormous"}, "InvalidParameterValue"),
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "debian"}, "InvalidAMIID.Malformed"),
        ({"UserData": "x" * 16_385}, "InvalidParameterValue"),
        ({"SubnetId": "subnet-00000000"}, "InvalidSubnetID.NotFound"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "InvalidParameterValue"),
        ({"LaunchTemplate": {"LaunchTemplateId": "lt-0123456789abcdef0"}}, "InvalidLaunchTemplateId.NotFound"),
        ({"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "aws:x", "Value": ""}]}]},
         "InvalidParameterValue"),
        ({"MetadataOptions": {"InstanceMetadataTags": "enabled"},
          "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a b", "Value": ""}]}]},
         "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_bad_launches_are_refused_and_launch_nothing(cloud: emulated.Cloud, params: dict[str, Any], code: str) -> None:
    given = {"ImageId": cloud.image, "InstanceType": "m7i.large", "MinCount": 1, "MaxCount": 1, **params}
    assert refused(cloud.client("ec2").run_instances, **given) == code
    assert cloud.instances.all() == []


def test_user_data_of_exactly_16_kib_is_taken(cloud: emulated.Cloud) -> None:
    run(cloud, UserData="x" * 16_384)
    assert len(cloud.instances.all()[0].user_data) == 16_384


def test_a_tag_with_a_space_is_fine_while_metadata_does_not_show_tags(cloud: emulated.Cloud) -> None:
    [one] = run(cloud)
    cloud.client("ec2").create_tags(Resources=[one], Tags=[{"Key": "a b", "Value": "c"}])
    assert cloud.instances.get(one).tags == {"a b": "c"}


def test_tags_are_set_and_removed(cloud: emulated.Cloud, ec2: Any) -> None:
    [one] = run(cloud)
    ec2.create_tags(Resources=[one], Tags=[{"Key": "simpleflow:drain.7", "Value": ""}, {"Key": "k", "Value": "v"}])
    assert {t["Key"] for t in ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [one]}])["Tags"]} == {
        "simpleflow:drain.7",
        "k",
    }
    found = ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": ["simpleflow:drain.*"]}])
    assert found["Reservations"][0]["Instances"][0]["InstanceId"] == one
    ec2.delete_tags(Resources=[one], Tags=[{"Key": "simpleflow:drain.7"}, {"Key": "k", "Value": "other"}])
    assert cloud.instances.get(one).tags == {"k": "v"}


def test_filters_and_pages_are_by_instance(cloud: emulated.Cloud, ec2: Any) -> None:
    ids = run(cloud, 7)
    run(cloud, 5, TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "c", "Value": "x"}]}])
    pages = list(ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5}))
    assert [sum(len(r["Instances"]) for r in page["Reservations"]) for page in pages] == [5, 5, 2]
    ec2.terminate_instances(InstanceIds=ids)
    tagged = ec2.describe_instances(
        Filters=[{"Name": "tag:c", "Values": ["x"]}, {"Name": "instance-state-name", "Values": ["running"]}]
    )
    assert sum(len(r["Instances"]) for r in tagged["Reservations"]) == 5
    assert refused(ec2.describe_instances, Filters=[{"Name": "no-such", "Values": ["x"]}]) == "InvalidParameterValue"
    assert refused(ec2.describe_instances, InstanceIds=ids, MaxResults=5) == "InvalidParameterCombination"


def test_a_thousand_instances_within_the_call_budget(opened: Opened) -> None:
    cloud = opened(clock=clocks.VirtualClock())
    ec2 = cloud.http_client("ec2")
    for n in range(10):
        ec2.run_instances(
            ImageId=cloud.image, InstanceType="m7i.large", MinCount=100, MaxCount=100, ClientToken=f"attempt-{n}"
        )
    pages = list(ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 1000}))
    assert sum(len(r["Instances"]) for page in pages for r in page["Reservations"]) == 1000
    assert len(pages) == 1
    addresses = {i.private_ip for i in cloud.instances.all()}
    assert len(addresses) == 1000
    assert len(cloud.record.named("ec2:DescribeInstances")) == 1


def test_sold_out_quota_and_restock(cloud: emulated.Cloud) -> None:
    ec2 = cloud.client("ec2")
    given: dict[str, Any] = {"ImageId": cloud.image, "InstanceType": "m7i.large"}
    cloud.capacity.sold_out("m7i.large", after=3)
    assert refused(ec2.run_instances, MinCount=4, MaxCount=4, **given) == "InsufficientInstanceCapacity"
    assert len(ec2.run_instances(MinCount=1, MaxCount=10, **given)["Instances"]) == 3
    cloud.capacity.restock()
    cloud.capacity.quotas["on-demand"] = 9
    assert len(ec2.run_instances(MinCount=1, MaxCount=10, **given)["Instances"]) == 1
    assert refused(ec2.run_instances, MinCount=1, MaxCount=1, **given) == "VcpuLimitExceeded"


def test_a_sold_out_pool_recovers(cloud: emulated.Cloud) -> None:
    cloud.capacity.sold_out("m7i.large", "eu-west-1a", seconds=180)
    given = {"ImageId": cloud.image, "InstanceType": "m7i.large", "MinCount": 1, "MaxCount": 1}
    assert refused(cloud.client("ec2").run_instances, **given) == "InsufficientInstanceCapacity"
    cloud.advance(180)
    assert len(run(cloud)) == 1


def test_console_output_is_base64_and_empty_before_there_is_any(cloud: emulated.Cloud, ec2: Any) -> None:
    [one] = run(cloud)
    assert "Output" not in ec2.get_console_output(InstanceId=one)
    cloud.instances.get(one).last_log = "cloud-init: failed to fetch the wheel\n"
    assert ec2.get_console_output(InstanceId=one)["Output"] == "cloud-init: failed to fetch the wheel\n"
