"""Stacks: creation, updates in place and by replacement, rollback, deletion, and the refusals in AWS's words."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from simpleflow.testing import cloud as emulated
from simpleflow.testing.cloud.cfn import engine, schema
from tests.unit.testing.cloud.helpers import refused, words
from tests.unit.testing.cloud.template import TEMPLATE

IAM = {"Capabilities": ["CAPABILITY_IAM"]}


def log_group(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::Logs::LogGroup", "Properties": properties}


def body(**resources: Any) -> str:
    return json.dumps({"Resources": resources})


def create(cloud: emulated.Cloud, text: str, name: str = "c", **more: Any) -> dict[str, Any]:
    cfn = cloud.client("cloudformation")
    cfn.create_stack(StackName=name, TemplateBody=text, **more)
    return status(cloud, name)


def status(cloud: emulated.Cloud, name: str = "c") -> dict[str, Any]:
    stack: dict[str, Any] = cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return stack


def events(cloud: emulated.Cloud, name: str = "c") -> list[tuple[str, str]]:
    pages = cloud.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=name)
    found = [(e["LogicalResourceId"], e["ResourceStatus"]) for page in pages for e in page["StackEvents"]]
    return found[::-1]


def physical(cloud: emulated.Cloud, logical: str, name: str = "c") -> str:
    found = cloud.client("cloudformation").describe_stack_resource(StackName=name, LogicalResourceId=logical)
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def test_a_whole_stack_comes_and_goes(cloud: emulated.Cloud) -> None:
    stack = create(cloud, json.dumps(TEMPLATE), **IAM)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    bucket = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}["BucketName"]
    ec2 = cloud.client("ec2")
    vpc = physical(cloud, "Vpc")
    assert ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]
    group = ec2.describe_security_groups(GroupIds=[physical(cloud, "Sg")])["SecurityGroups"][0]
    assert group["IpPermissions"] == []
    assert [(p["FromPort"], p["IpRanges"][0]["CidrIp"]) for p in group["IpPermissionsEgress"]] == [(443, "0.0.0.0/0")]
    routes = ec2.describe_route_tables(RouteTableIds=[physical(cloud, "Rt")])["RouteTables"][0]["Routes"]
    assert physical(cloud, "Igw") in {r.get("GatewayId") for r in routes}
    data = ec2.describe_launch_template_versions(LaunchTemplateId=physical(cloud, "Lt"))["LaunchTemplateVersions"][0]
    assert data["LaunchTemplateData"]["ImageId"] == cloud.image
    assert data["LaunchTemplateData"]["MetadataOptions"]["InstanceMetadataTags"] == "enabled"
    s3 = cloud.client("s3")
    assert "SecureTransport" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]["BlockPublicPolicy"]
    assert cloud.client("logs").describe_log_groups()["logGroups"][0]["retentionInDays"] == 30
    mine = [c for c in cloud.record if c.via == "cloudformation"]
    assert {"ec2:CreateVpc", "iam:CreateRole", "s3:PutBucketPolicy", "cloudwatch:PutMetricAlarm"} <= {
        c.name for c in mine
    }
    cfn = cloud.client("cloudformation")
    cfn.delete_stack(StackName="c")
    gone = status(cloud, stack["StackId"])
    assert gone["StackStatus"] == "DELETE_COMPLETE"
    assert gone["DeletionTime"].timestamp() == cloud.clock.now()
    assert ("Bucket", "DELETE_SKIPPED") in events(cloud, stack["StackId"])
    assert [v["IsDefault"] for v in ec2.describe_vpcs()["Vpcs"]] == [True]
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == [bucket]
    assert cloud.client("iam").list_roles()["Roles"] == []
    cfn.delete_stack(StackName="c")  # idempotent
    assert words(cfn.describe_stacks, StackName="c") == "Stack with id c does not exist"


def test_dependencies_come_first_and_go_last(cloud: emulated.Cloud) -> None:
    stack = create(cloud, json.dumps(TEMPLATE), **IAM)
    made = [name for name, state in events(cloud) if state == "CREATE_COMPLETE"]
    assert made.index("Vpc") < made.index("A") < made.index("Asg") < made.index("Alarm")
    assert made.index("Att") < made.index("Route")
    cloud.client("cloudformation").delete_stack(StackName="c")
    gone = [name for name, state in events(cloud, stack["StackId"]) if state == "DELETE_COMPLETE"]
    assert gone.index("Alarm") < gone.index("Asg") < gone.index("A") < gone.index("Vpc")


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ({"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionDays": 3}}, "extraneous key [RetentionDays]"),
        ({"Type": "AWS::EC2::Subnet", "Properties": {"CidrBlock": "10.0.0.0/24"}}, "required key [VpcId]"),
        ({"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16", "InstanceTenancy": "lax"}}, "enum"),
        ({"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16", "VpcId": "x"}}, "read-only property"),
        ({"Type": "AWS::EC2::Vpc", "Properties": {}}, "Unrecognized resource types"),
        ({"Type": "AWS::EC2::Volume", "Properties": {"AvailabilityZone": "eu-west-1a"}}, "NotRehearsed"),
        ({"Type": "AWS::Logs::LogGroup", "Properties": {"KmsKeyId": "k"}}, "NotRehearsed: KmsKeyId"),
        (
            {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": {"UserData": "no base64!"}}},
            "Invalid BASE64",
        ),
    ],
)
def test_what_is_wrong_fails_its_resource_and_rolls_back(
    cloud: emulated.Cloud, resource: dict[str, Any], reason: str
) -> None:
    stack = create(cloud, body(Good=log_group(), Bad={**resource, "DependsOn": "Good"}))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    told = cloud.client("cloudformation").describe_stack_events(StackName="c")["StackEvents"]
    [failed] = [e for e in told if e["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["LogicalResourceId"] == "Bad"
    assert reason in failed["ResourceStatusReason"]
    assert cloud.client("logs").describe_log_groups()["logGroups"] == []
    cfn = cloud.client("cloudformation")
    assert "ROLLBACK_COMPLETE state and can not be updated" in words(
        cfn.update_stack, StackName="c", TemplateBody=body(Good=log_group())
    )
    assert refused(cfn.create_stack, StackName="c", TemplateBody=body(Good=log_group())) == "AlreadyExistsException"


def test_on_failure_do_nothing_leaves_what_there_is(cloud: emulated.Cloud) -> None:
    text = body(Good=log_group(), Bad={**log_group(Nonsense=1), "DependsOn": "Good"})
    assert create(cloud, text, OnFailure="DO_NOTHING")["StackStatus"] == "CREATE_FAILED"
    assert len(cloud.client("logs").describe_log_groups()["logGroups"]) == 1


def update(cloud: emulated.Cloud, change: Callable[[dict[str, Any]], None]) -> str:
    text = copy.deepcopy(TEMPLATE)
    change(text)
    cloud.client("cloudformation").update_stack(StackName="c", TemplateBody=json.dumps(text), **IAM)
    return str(status(cloud)["StackStatus"])


def test_an_update_in_place_keeps_the_physical_id_and_its_dependents_follow(cloud: emulated.Cloud) -> None:
    create(cloud, json.dumps(TEMPLATE), **IAM)
    lt, asg = physical(cloud, "Lt"), physical(cloud, "Asg")

    def change(text: dict[str, Any]) -> None:
        text["Resources"]["Lt"]["Properties"]["LaunchTemplateData"]["InstanceType"] = "t3.large"

    assert update(cloud, change) == "UPDATE_COMPLETE"
    assert (physical(cloud, "Lt"), physical(cloud, "Asg")) == (lt, asg)
    group = cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    assert group["LaunchTemplate"]["Version"] == "2"
    changed = [name for name, state in events(cloud) if state == "UPDATE_COMPLETE"]
    assert changed == ["Lt", "Asg", "c"]


def test_a_create_only_property_means_replacement(cloud: emulated.Cloud) -> None:
    create(cloud, json.dumps(TEMPLATE), **IAM)
    before = physical(cloud, "Log")

    def change(text: dict[str, Any]) -> None:
        text["Resources"]["Log"]["Properties"]["LogGroupName"] = "named"

    assert update(cloud, change) == "UPDATE_COMPLETE"
    assert physical(cloud, "Log") == "named" != before
    assert [g["logGroupName"] for g in cloud.client("logs").describe_log_groups()["logGroups"]] == ["named"]


def test_removed_resources_are_deleted_in_the_clean_up(cloud: emulated.Cloud) -> None:
    create(cloud, json.dumps(TEMPLATE), **IAM)

    def change(text: dict[str, Any]) -> None:
        del text["Resources"]["Alarm"], text["Resources"]["Log"]

    assert update(cloud, change) == "UPDATE_COMPLETE"
    assert cloud.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    told = events(cloud)
    assert told.index(("c", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")) < told.index(("Log", "DELETE_COMPLETE"))


def test_a_failed_update_puts_everything_back(cloud: emulated.Cloud) -> None:
    create(cloud, json.dumps(TEMPLATE), **IAM)
    role = physical(cloud, "Role")

    def change(text: dict[str, Any]) -> None:
        resources = text["Resources"]
        resources["Log"]["Properties"]["RetentionInDays"] = 7
        resources["New"] = {**log_group(), "DependsOn": "Log"}
        resources["Bad"] = {**log_group(Nonsense=1), "DependsOn": "New"}

    assert update(cloud, change) == "UPDATE_ROLLBACK_COMPLETE"
    [group] = cloud.client("logs").describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 30
    assert physical(cloud, "Role") == role
    cfn = cloud.client("cloudformation")
    assert (
        words(cfn.update_stack, StackName="c", TemplateBody=json.dumps(TEMPLATE), **IAM)
        == "No updates are to be performed."
    )


def test_no_updates_are_to_be_performed(cloud: emulated.Cloud) -> None:
    create(cloud, json.dumps(TEMPLATE), **IAM)
    cfn = cloud.client("cloudformation")
    same = {"StackName": "c", "UsePreviousTemplate": True, **IAM}
    assert words(cfn.update_stack, **same) == "No updates are to be performed."
    cfn.update_stack(**same, Tags=[{"Key": "team", "Value": "x"}])
    assert status(cloud)["StackStatus"] == "UPDATE_COMPLETE"
    tags = cloud.client("ec2").describe_vpcs(VpcIds=[physical(cloud, "Vpc")])["Vpcs"][0]["Tags"]
    assert {"Key": "team", "Value": "x"} in tags


def test_a_parameter_used_in_sub_is_seen_by_updates(cloud: emulated.Cloud) -> None:
    text = {
        "Parameters": {"Name": {"Type": "String"}},
        "Resources": {"L": log_group(LogGroupName={"Fn::Sub": "/x/${Name}"})},
    }
    given = [{"ParameterKey": "Name", "ParameterValue": "one"}]
    create(cloud, json.dumps(text), Parameters=given)
    assert physical(cloud, "L") == "/x/one"
    given = [{"ParameterKey": "Name", "ParameterValue": "two"}]
    cloud.client("cloudformation").update_stack(StackName="c", UsePreviousTemplate=True, Parameters=given)
    assert physical(cloud, "L") == "/x/two"


def test_a_bucket_that_is_not_empty_fails_the_deletion_and_a_second_one_may_retain_it(cloud: emulated.Cloud) -> None:
    stack = create(cloud, body(B={"Type": "AWS::S3::Bucket"}, L=log_group()))
    bucket = physical(cloud, "B")
    cloud.client("s3").put_object(Bucket=bucket, Key="k", Body=b"x")
    cfn = cloud.client("cloudformation")
    cfn.delete_stack(StackName="c")
    assert status(cloud)["StackStatus"] == "DELETE_FAILED"
    assert "[B]" in status(cloud)["StackStatusReason"]
    cfn.delete_stack(StackName="c", RetainResources=["B"])
    assert status(cloud, stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"


def test_a_resource_deleted_by_hand_does_not_stop_the_deletion(cloud: emulated.Cloud) -> None:
    stack = create(cloud, json.dumps(TEMPLATE), **IAM)
    cloud.client("logs").delete_log_group(logGroupName=physical(cloud, "Log"))
    cloud.client("ec2").delete_launch_template(LaunchTemplateId=physical(cloud, "Lt"))
    cloud.client("cloudformation").delete_stack(StackName="c")
    assert status(cloud, stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"


def test_a_protected_member_blocks_the_deletion(cloud: emulated.Cloud) -> None:
    stack = create(cloud, json.dumps(TEMPLATE), **IAM)
    asg = physical(cloud, "Asg")
    group = cloud.client("autoscaling")
    group.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=1)
    [member] = group.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]
    cfn = cloud.client("cloudformation")
    cfn.delete_stack(StackName="c")
    assert status(cloud)["StackStatus"] == "DELETE_FAILED"
    remaining = {r["LogicalResourceId"] for r in cfn.list_stack_resources(StackName="c")["StackResourceSummaries"]}
    assert {"Asg", "Lt", "Prof", "Role", "A", "Vpc"} <= remaining
    group.set_instance_protection(
        AutoScalingGroupName=asg, InstanceIds=[member["InstanceId"]], ProtectedFromScaleIn=False
    )
    cfn.delete_stack(StackName="c")
    assert status(cloud, stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"


def test_exports_and_imports_hold_each_other(cloud: emulated.Cloud) -> None:
    base = {
        "Resources": {"L": log_group(LogGroupName="/base")},
        "Outputs": {"Name": {"Value": {"Ref": "L"}, "Export": {"Name": "base-log"}}},
    }
    user = {"Resources": {"M": log_group(LogGroupName={"Fn::Join": ["", [{"Fn::ImportValue": "base-log"}, "/user"]]})}}
    cfn = cloud.client("cloudformation")
    create(cloud, json.dumps(user), name="early")
    assert status(cloud, "early")["StackStatus"] == "ROLLBACK_COMPLETE"
    create(cloud, json.dumps(base), name="base")
    create(cloud, json.dumps(user), name="user")
    assert physical(cloud, "M", "user") == "/base/user"
    cfn.delete_stack(StackName="base")
    assert "in use by user" in status(cloud, "base")["StackStatusReason"]
    cfn.delete_stack(StackName="user")
    cfn.delete_stack(StackName="base")
    assert cloud.client("logs").describe_log_groups()["logGroups"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Template format error"),
        (json.dumps({"Resources": {}}), "At least one Resources member"),
        (body(A={"Properties": {}}), "must contain a Type"),
        (body(A=log_group(LogGroupName={"Ref": "Nobody"})), "Unresolved resource dependencies [Nobody]"),
        (body(A={**log_group(), "DependsOn": "B"}, B={**log_group(), "DependsOn": "A"}), "Circular dependency"),
        (body(**{"a-b": log_group()}), "non alphanumeric"),
        (json.dumps({"Resources": {"A": log_group()}, "Ressources": {}}), "Invalid template property"),
        (json.dumps({"Parameters": {"P": {"Type": "String"}}, "Resources": {"A": log_group()}}), "must have values"),
        (
            json.dumps(
                {
                    "Parameters": {"P": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/no/such"}},
                    "Resources": {"A": log_group()},
                }
            ),
            "Unable to fetch parameters [/no/such]",
        ),
        ("x" * 51_201, "less than or equal to 51200"),
    ],
)
def test_templates_that_are_refused_at_once(cloud: emulated.Cloud, text: str, message: str) -> None:
    cfn = cloud.client("cloudformation")
    assert message in words(cfn.create_stack, StackName="c", TemplateBody=text)
    assert cfn.describe_stacks()["Stacks"] == []


def test_capabilities_are_asked_for(cloud: emulated.Cloud) -> None:
    cfn = cloud.client("cloudformation")
    code = refused(cfn.create_stack, StackName="c", TemplateBody=json.dumps(TEMPLATE))
    assert code == "InsufficientCapabilitiesException"


def test_a_long_template_comes_from_the_bucket(cloud: emulated.Cloud) -> None:
    text = json.dumps({"Description": "x" * 60_000, "Resources": {"A": log_group()}})
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="templates", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="templates", Key="a/t.json", Body=text.encode())
    cfn = cloud.client("cloudformation")
    for number, url in enumerate(
        (f"{cloud.endpoint}/templates/a/t.json", "https://templates.s3.eu-west-1.amazonaws.com/a/t.json")
    ):
        cfn.create_stack(StackName=f"c{number}", TemplateURL=url)
        assert status(cloud, f"c{number}")["StackStatus"] == "CREATE_COMPLETE"
    assert "S3 error" in words(cfn.create_stack, StackName="d", TemplateURL=f"{cloud.endpoint}/templates/none")


def test_change_sets_say_what_would_happen_and_do_it(cloud: emulated.Cloud) -> None:
    create(cloud, json.dumps(TEMPLATE), **IAM)
    cfn = cloud.client("cloudformation")
    text = copy.deepcopy(TEMPLATE)
    text["Resources"]["Lt"]["Properties"]["LaunchTemplateData"]["InstanceType"] = "t3.large"
    text["Resources"]["Log"]["Properties"]["LogGroupName"] = "named"
    text["Resources"]["More"] = log_group()
    del text["Resources"]["Alarm"]
    cfn.create_change_set(StackName="c", ChangeSetName="s", TemplateBody=json.dumps(text), **IAM)
    shown = cfn.describe_change_set(StackName="c", ChangeSetName="s")
    lines = {
        c["ResourceChange"]["LogicalResourceId"]: (
            c["ResourceChange"]["Action"],
            c["ResourceChange"].get("Replacement"),
        )
        for c in shown["Changes"]
    }
    assert lines == {
        "Lt": ("Modify", "False"),
        "Asg": ("Modify", "False"),
        "Log": ("Modify", "True"),
        "More": ("Add", None),
        "Alarm": ("Remove", None),
    }
    assert status(cloud)["StackStatus"] == "CREATE_COMPLETE"
    cfn.execute_change_set(StackName="c", ChangeSetName="s")
    assert status(cloud)["StackStatus"] == "UPDATE_COMPLETE"
    cfn.create_change_set(StackName="c", ChangeSetName="t", TemplateBody=json.dumps(text), **IAM)
    again = cfn.describe_change_set(StackName="c", ChangeSetName="t")
    assert (again["Status"], again["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "didn't contain changes" in again["StatusReason"]


def test_a_change_set_may_create(cloud: emulated.Cloud) -> None:
    cfn = cloud.client("cloudformation")
    cfn.create_change_set(StackName="n", ChangeSetName="s", ChangeSetType="CREATE", TemplateBody=body(A=log_group()))
    assert status(cloud, "n")["StackStatus"] == "REVIEW_IN_PROGRESS"
    cfn.execute_change_set(StackName="n", ChangeSetName="s")
    assert status(cloud, "n")["StackStatus"] == "CREATE_COMPLETE"


def test_termination_protection(cloud: emulated.Cloud) -> None:
    create(cloud, body(A=log_group()), EnableTerminationProtection=True)
    cfn = cloud.client("cloudformation")
    assert "TerminationProtection" in words(cfn.delete_stack, StackName="c")
    cfn.update_termination_protection(StackName="c", EnableTerminationProtection=False)
    cfn.delete_stack(StackName="c")
    assert cfn.describe_stacks()["Stacks"] == []


def test_yaml_with_short_tags(cloud: emulated.Cloud) -> None:
    text = """
Parameters: {Days: {Type: Number, Default: 3}}
Conditions: {Long: !Not [!Equals [!Ref Days, 3]]}
Resources:
  A:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Sub "/${AWS::StackName}/${AWS::Region}"
      RetentionInDays: !If [Long, 30, !Ref Days]
  B: {Type: AWS::Logs::LogGroup, Condition: Long}
Outputs: {Arn: {Value: !GetAtt A.Arn}, Zone: {Value: !Select [0, !GetAZs ""]}}
"""
    stack = create(cloud, text)
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
    assert outputs == {
        "Arn": "arn:aws:logs:eu-west-1:123456789012:log-group:/c/eu-west-1:*",
        "Zone": "eu-west-1a",
    }
    [group] = cloud.client("logs").describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 3


@pytest.mark.parametrize("kind", sorted(engine.TABLE))
def test_the_table_says_nothing_that_the_registry_does_not_know(kind: str) -> None:
    known = schema.of(kind, "eu-west-1")
    assert known is not None
    if kind not in ("AWS::IAM::Policy", "AWS::IAM::RolePolicy"):  # one row for the two
        assert engine.TABLE[kind].handled - {"InternetGatewayId"} <= set(known["properties"])
    assert engine.TABLE[kind].mutable <= engine.TABLE[kind].handled
    assert not engine.TABLE[kind].mutable & schema.create_only(kind, "eu-west-1")


def test_permissions_of_a_type_are_known() -> None:
    assert "ec2:CreateVpc" in schema.permissions("AWS::EC2::VPC", "eu-west-1")


def test_a_real_clock_works_in_the_background(opened: Callable[..., emulated.Cloud]) -> None:
    cloud = opened()
    cfn = cloud.http_client("cloudformation")
    cfn.create_stack(StackName="c", TemplateBody=body(A=log_group(), B=log_group()))
    cfn.get_waiter("stack_create_complete").wait(StackName="c", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
    cfn.delete_stack(StackName="c")
    cfn.get_waiter("stack_delete_complete").wait(StackName="c", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
