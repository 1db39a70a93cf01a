"""What the roles do is within what their policies allow; what no recorder sees stands in a table with its source."""

from __future__ import annotations

import time
from typing import Any

import pytest

from simpleflow.core import clock as clocks
from simpleflow.nodes import config
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers import base, ec2
from simpleflow.nodes.providers.ec2 import stackinfo
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.conftest import CODE, CloudClients

#: action -> where it is documented that a call of ours needs it, although no record of calls shows it
UNSEEN = {
    "iam:PassRole": "Service Authorization Reference, EC2: dependent action of RunInstances with an instance profile",
    "ec2:RunInstances": "EC2 User Guide, EC2 Fleet prerequisites: CreateFleet of type instant runs instances",
    "ec2:CreateTags": "Service Authorization Reference, EC2: dependent action of CreateFleet with TagSpecifications",
    "swf:ScheduleActivityTask": "SWF Developer Guide, IAM: each decision is authorised as an action of its own",
    "swf:StartTimer": "SWF Developer Guide, IAM: each decision is authorised as an action of its own",
    "swf:CompleteWorkflowExecution": "SWF Developer Guide, IAM: each decision is authorised as an action of its own",
}


@pytest.fixture
def cloud(fresh: emulated.Cloud) -> emulated.Cloud:
    return fresh


@pytest.fixture
def up(cloud: emulated.Cloud) -> stackinfo.StackInfo:
    return stackinfo.read(CloudClients(cloud), "demo")


def role_named(cloud: emulated.Cloud, part: str) -> str:
    names = [each["RoleName"] for each in cloud.client("iam").list_roles()["Roles"]]
    return str(next(each for each in names if part in each))


def as_role(cloud: emulated.Cloud, part: str) -> CloudClients:
    return CloudClients(cloud, cloud.principals.assume(role_named(cloud, part), "i-0123456789abcdef0"))


def actions_of(cloud: emulated.Cloud, part: str) -> set[str]:
    iam, role = cloud.client("iam"), role_named(cloud, part)
    found: set[str] = set()
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        found |= {action for each in document["Statement"] for action in each["Action"]}
    return found


def test_the_managers_whole_work_is_within_its_policy(
    cluster: config.ClusterConfig, cloud: emulated.Cloud, up: stackinfo.StackInfo
) -> None:
    made = as_role(cloud, "DecidersRole")
    provider = ec2.Ec2Provider(cluster, made, clocks.RealClock())
    group = ec2.Ec2DeciderGroup("demo", made)
    group.ensure_one()
    given = {"cluster": "demo", "profile": "small", "not_after": time.time() + 60}
    [node] = provider.launch(base.LaunchSpec(attempt="a", units=1, **given)).instances
    provider.list()
    provider.mark(node.id, 1)
    provider.unmark(node.id, 1)
    provider.diagnose(node.id)
    provider.terminate(node.id)
    [member] = group.read().members
    group.unprotect(member.instance)
    group.sleep()
    s3 = made.get("s3")
    for key in ("control.json", "nodes/i-1.json", "demand/d.json", "ledger/i-1.json", "boots/deciders.json"):
        s3.put_object(Bucket=up.bucket, Key=key, Body=b"{}")
        s3.get_object(Bucket=up.bucket, Key=key)
    s3.list_objects_v2(Bucket=up.bucket, Prefix="nodes/")
    cloudwatch: Any = made.get("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName=up.boot_alarm, StateValue="ALARM", StateReason="three boots failed")
    made.get("autoscaling").suspend_processes(AutoScalingGroupName=up.group, ScalingProcesses=["Launch"])
    seen = cloud.record.by_principal()[role_named(cloud, "DecidersRole")]
    assert {"ec2:CreateFleet", "autoscaling:SetDesiredCapacity", "cloudwatch:SetAlarmState"} <= set(seen)
    assert cloud.excess() == []


def test_a_workers_documents_and_code_are_within_its_policy(cloud: emulated.Cloud, up: stackinfo.StackInfo) -> None:
    s3 = as_role(cloud, "SmallRole").get("s3")
    s3.put_object(Bucket=up.bucket, Key="nodes/i-0123456789abcdef0.json", Body=b"{}")
    s3.get_object(Bucket=up.bucket, Key=bundle.code_key(CODE.digest))
    assert cloud.excess() == []


def test_a_call_beyond_the_policy_is_found(cloud: emulated.Cloud, up: stackinfo.StackInfo) -> None:
    made = as_role(cloud, "SmallRole")
    made.get("s3").put_object(Bucket=up.bucket, Key="control.json", Body=b"{}")
    made.get("ec2").describe_instances()
    assert [(each.action, each.resource) for each in cloud.excess()] == [
        ("ec2:DescribeInstances", "*"),
        ("s3:PutObject", f"arn:aws:s3:::{up.bucket}/control.json"),
    ]


def test_what_no_recorder_sees_is_in_the_policy_and_in_no_record(
    cloud: emulated.Cloud, up: stackinfo.StackInfo
) -> None:
    actions = actions_of(cloud, "DecidersRole")
    assert set(UNSEEN) <= actions
    assert not {each.name for each in cloud.record} & (set(UNSEEN) - {"ec2:CreateTags"})
