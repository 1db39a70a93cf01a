"""The decider group: desired capacity, protection, replacement, suspension, and its alarm."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from simpleflow.core import clock as clocks
from simpleflow.testing import cloud as emulated
from simpleflow.testing.cloud.autoscaling import alarms
from tests.unit.testing.cloud.helpers import refused, template
from tests.unit.testing.cloud.template import TEMPLATE


def group(cloud: emulated.Cloud, name: str = "g") -> dict[str, Any]:
    found = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    one: dict[str, Any] = found["AutoScalingGroups"][0]
    return one


def make(cloud: emulated.Cloud, least: int = 0, most: int = 3, **more: Any) -> Any:
    asg = cloud.client("autoscaling")
    lt = template(cloud, InstanceType="t3.small", InstanceInitiatedShutdownBehavior="terminate")
    asg.create_auto_scaling_group(
        AutoScalingGroupName="g",
        MinSize=least,
        MaxSize=most,
        LaunchTemplate={"LaunchTemplateId": lt, "Version": "$Latest"},
        NewInstancesProtectedFromScaleIn=True,
        **more,
    )
    return asg


def test_desired_capacity_is_launched_with_propagated_tags(cloud: emulated.Cloud) -> None:
    tags = [
        {"Key": "a", "Value": "1", "PropagateAtLaunch": True, "ResourceId": "g", "ResourceType": "auto-scaling-group"},
        {"Key": "b", "Value": "2", "PropagateAtLaunch": False, "ResourceId": "g", "ResourceType": "auto-scaling-group"},
    ]
    asg = make(cloud, 1, Tags=tags)
    [one] = group(cloud)["Instances"]
    assert one["ProtectedFromScaleIn"]
    assert cloud.instances.get(one["InstanceId"]).tags == {"a": "1", "aws:autoscaling:groupName": "g"}
    asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=3)
    assert len(group(cloud)["Instances"]) == 3
    assert refused(asg.set_desired_capacity, AutoScalingGroupName="g", DesiredCapacity=4) == "ValidationError"


def test_protected_members_survive_scale_in_until_they_drop_it(cloud: emulated.Cloud) -> None:
    asg = make(cloud, 0, DesiredCapacity=2)
    first, second = [m["InstanceId"] for m in group(cloud)["Instances"]]
    asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    assert len(group(cloud)["Instances"]) == 2
    asg.set_instance_protection(AutoScalingGroupName="g", InstanceIds=[second], ProtectedFromScaleIn=False)
    assert [m["InstanceId"] for m in group(cloud)["Instances"]] == [first]
    assert cloud.instances.get(second).ended is not None


def test_a_poweroff_with_desired_one_comes_back_and_with_zero_does_not(opened: Callable[..., emulated.Cloud]) -> None:
    cloud = opened(clock=clocks.VirtualClock(), group_pause=30.0)
    asg = make(cloud, 0, DesiredCapacity=1)
    [first] = group(cloud)["Instances"]
    cloud.instances.power_off(first["InstanceId"])
    assert group(cloud)["Instances"] == []
    cloud.advance(30)
    [second] = group(cloud)["Instances"]
    assert second["InstanceId"] != first["InstanceId"]
    asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    assert [m["InstanceId"] for m in group(cloud)["Instances"]] == [second["InstanceId"]]
    cloud.instances.power_off(second["InstanceId"])
    cloud.advance(300)
    assert group(cloud)["Instances"] == []


def test_a_direct_termination_is_replaced_too(cloud: emulated.Cloud) -> None:
    make(cloud, 1)
    [first] = group(cloud)["Instances"]
    cloud.client("ec2").terminate_instances(InstanceIds=[first["InstanceId"]])
    cloud.advance(31)
    assert group(cloud)["Instances"][0]["InstanceId"] != first["InstanceId"]


def test_a_suspended_launch_process_launches_nothing(cloud: emulated.Cloud) -> None:
    asg = make(cloud)
    asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["Launch"])
    asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    cloud.advance(600)
    assert group(cloud)["Instances"] == []
    assert [p["ProcessName"] for p in group(cloud)["SuspendedProcesses"]] == ["Launch"]
    asg.resume_processes(AutoScalingGroupName="g", ScalingProcesses=["Launch"])
    assert len(group(cloud)["Instances"]) == 1


def test_a_sold_out_group_tries_again_and_says_why(cloud: emulated.Cloud) -> None:
    cloud.capacity.sold_out("t3.small", seconds=100)
    asg = make(cloud, 1)
    assert group(cloud)["Instances"] == []
    [activity] = asg.describe_scaling_activities(AutoScalingGroupName="g")["Activities"]
    assert activity["StatusCode"] == "Failed"
    assert "t3.small" in activity["StatusMessage"]
    cloud.advance(121)
    assert len(group(cloud)["Instances"]) == 1


def test_deleting_a_group_with_members_is_refused(cloud: emulated.Cloud) -> None:
    asg = make(cloud, 1)
    assert refused(asg.delete_auto_scaling_group, AutoScalingGroupName="g") == "ResourceInUse"
    asg.delete_auto_scaling_group(AutoScalingGroupName="g", ForceDelete=True)
    assert asg.describe_auto_scaling_groups()["AutoScalingGroups"] == []
    cloud.advance(600)
    assert all(i.ended is not None for i in cloud.instances.all())


def test_terminate_in_group_can_lower_the_desired_capacity(cloud: emulated.Cloud) -> None:
    asg = make(cloud, 0, DesiredCapacity=1)
    [one] = group(cloud)["Instances"]
    asg.terminate_instance_in_auto_scaling_group(InstanceId=one["InstanceId"], ShouldDecrementDesiredCapacity=True)
    cloud.advance(600)
    assert (group(cloud)["DesiredCapacity"], group(cloud)["Instances"]) == (0, [])


def test_the_alarm_wakes_the_group_to_exactly_one(opened: Callable[..., emulated.Cloud]) -> None:
    pending: dict[str, float | None] = {"t": None}
    cloud = opened(clock=clocks.VirtualClock(), swf_metric=lambda name, dimensions: pending[dimensions["TaskListName"]])
    cloud.client("cloudformation").create_stack(
        StackName="c", TemplateBody=json.dumps(TEMPLATE), Capabilities=["CAPABILITY_IAM"]
    )
    [name] = [
        g["AutoScalingGroupName"]
        for g in cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    ]
    cloudwatch = cloud.http_client("cloudwatch")

    def state() -> str:
        return str(cloudwatch.describe_alarms()["MetricAlarms"][0]["StateValue"])

    cloud.advance(120)
    assert state() == "INSUFFICIENT_DATA"
    pending["t"] = 0.0
    cloud.advance(60)
    assert state() == "OK"
    pending["t"] = 7.0
    cloud.advance(60)
    assert group(cloud, name)["DesiredCapacity"] == 1
    cloud.advance(600)
    assert group(cloud, name)["DesiredCapacity"] == 1
    assert state() == "OK"  # desired is no longer 0


def test_a_disabled_alarm_shows_its_state_and_does_nothing(opened: Callable[..., emulated.Cloud]) -> None:
    cloud = opened(clock=clocks.VirtualClock(), swf_metric=lambda name, dimensions: 3.0)
    cloud.client("cloudformation").create_stack(
        StackName="c", TemplateBody=json.dumps(TEMPLATE), Capabilities=["CAPABILITY_IAM"]
    )
    cloudwatch = cloud.client("cloudwatch")
    [alarm] = cloudwatch.describe_alarms()["MetricAlarms"]
    cloudwatch.disable_alarm_actions(AlarmNames=[alarm["AlarmName"]])
    cloud.advance(300)
    [alarm] = cloudwatch.describe_alarms()["MetricAlarms"]
    assert (alarm["StateValue"], alarm["ActionsEnabled"]) == ("ALARM", False)
    found = cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    assert found["DesiredCapacity"] == 0
    cloudwatch.enable_alarm_actions(AlarmNames=[alarm["AlarmName"]])
    cloud.advance(61)
    found = cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    assert found["DesiredCapacity"] == 1


def test_a_group_metric_exists_only_when_its_collection_is_enabled(cloud: emulated.Cloud) -> None:
    asg = make(cloud)
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName="a", Namespace="AWS/AutoScaling", MetricName="GroupDesiredCapacity",
        Dimensions=[{"Name": "AutoScalingGroupName", "Value": "g"}], Period=60, Statistic="Maximum",
        EvaluationPeriods=1, Threshold=0, ComparisonOperator="GreaterThanOrEqualToThreshold",
    )  # fmt: skip
    cloud.advance(61)
    states = []
    for _ in range(2):
        states.append(cloud.client("cloudwatch").describe_alarms()["MetricAlarms"][0]["StateValue"])
        asg.enable_metrics_collection(AutoScalingGroupName="g", Granularity="1Minute")
        cloud.advance(61)
    assert states == ["INSUFFICIENT_DATA", "ALARM"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("IF(p > 0 AND d == 0, 1, 0)", 1.0),
        ("IF(p > 0 && d > 0, 1, 0)", 0.0),
        ("(p > 0) * (d < 1)", 1.0),
        ("p - d * 2 + 1", 4.0),
        ("FILL(n, 5) + p", 8.0),
        ("p + n", None),
        ("MAX(p, d, n)", 3.0),
        ("-p", -3.0),
        ("p > 0 OR d > 0", 1.0),
    ],
)
def test_metric_math(expression: str, value: float | None) -> None:
    assert alarms.evaluate(expression, {"p": 3.0, "d": 0.0, "n": None}) == value


@pytest.mark.parametrize("expression", ["ANOMALY_DETECTION_BAND(p)", "p ** 2", "p >", "q + 1", "__import__('os')"])
def test_metric_math_that_is_not_rehearsed_is_refused(cloud: emulated.Cloud, expression: str) -> None:
    metric = {"Namespace": "N", "MetricName": "M"}
    queries = [
        {"Id": "p", "ReturnData": False, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}},
        {"Id": "e", "Expression": expression},
    ]
    code = refused(
        cloud.client("cloudwatch").put_metric_alarm,
        AlarmName="a", EvaluationPeriods=1, Threshold=0, ComparisonOperator="GreaterThanThreshold", Metrics=queries,
    )  # fmt: skip
    assert code == "ValidationError"
