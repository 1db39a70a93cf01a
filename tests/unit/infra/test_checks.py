"""Each mutation of what cfn-lint accepts makes the check of that name fail."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from simpleflow.infra import checks, stacks
from simpleflow.nodes.bundle import bundle
from tests.unit.infra import samples

Template = dict[str, Any]
BASE = stacks.base(samples.PLAIN)
MAIN = stacks.main(samples.PLAIN)
RICH = stacks.main(samples.RICH)


def _data(template: Template) -> Any:
    return template["Resources"]["SmallTemplate"]["Properties"]["LaunchTemplateData"]


def _properties(template: Template, name: str) -> Any:
    return template["Resources"][name]["Properties"]


def _statement(template: Template, role: str = "SmallRole") -> Any:
    return _properties(template, role)["Policies"][0]["PolicyDocument"]["Statement"][0]


def _set(*path: Any, to: Any) -> Callable[[Template], None]:
    def change(template: Template) -> None:
        node: Any = template["Resources"]
        for part in path[:-1]:
            node = node[part]
        if to is None:
            del node[path[-1]]
        else:
            node[path[-1]] = to

    return change


LT = ("SmallTemplate", "Properties", "LaunchTemplateData")
EBS = (*LT, "BlockDeviceMappings", 0, "Ebs")
GROUP = ("Deciders", "Properties")
EVERYBODY = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}]

MUTATIONS: dict[str, tuple[str, Template, Callable[[Template], None]]] = {
    "tokens optional": ("metadata", MAIN, _set(*LT, "MetadataOptions", "HttpTokens", to="optional")),
    "metadata options gone": ("metadata", MAIN, _set(*LT, "MetadataOptions", to=None)),
    "hop limit": ("metadata", MAIN, _set(*LT, "MetadataOptions", "HttpPutResponseHopLimit", to=2)),
    "no tags in metadata": ("metadata", MAIN, _set(*LT, "MetadataOptions", "InstanceMetadataTags", to="disabled")),
    "unencrypted disk": ("disks", MAIN, _set(*EBS, "Encrypted", to=False)),
    "disk left behind": ("disks", MAIN, _set(*EBS, "DeleteOnTermination", to=False)),
    "no disk named": ("disks", MAIN, _set(*LT, "BlockDeviceMappings", to=None)),
    "shutdown stops": ("shutdown", MAIN, _set(*LT, "InstanceInitiatedShutdownBehavior", to="stop")),
    "shutdown by default": ("shutdown", MAIN, _set(*LT, "InstanceInitiatedShutdownBehavior", to=None)),
    "user data as text": ("user-data", MAIN, _set(*LT, "UserData", to="#cloud-config\n")),
    "user data joined only": ("user-data", MAIN, _set(*LT, "UserData", to={"Fn::Join": ["", ["x"]]})),
    "user data too long": ("user-data", MAIN, _set(*LT, "UserData", to={"Fn::Base64": "x" * 16_385})),
    "user data too long once filled in": (
        "user-data",
        MAIN,
        _set(*LT, "UserData", to={"Fn::Base64": {"Fn::Join": ["", ["x" * 16_300, {"Ref": "Bucket"}]]}}),
    ),
    "no user data": ("user-data", MAIN, _set(*LT, "UserData", to=None)),
    "tag with a space": (
        "tags", MAIN, _set(*LT, "TagSpecifications", 0, "Tags", 0, "Key", to="my tag"),
    ),
    "tag with a slash": ("tags", MAIN, _set("Vpc", "Properties", "Tags", 0, "Key", to="a/b")),
    "tag value": ("tags", MAIN, _set("Vpc", "Properties", "Tags", 0, "Value", to="<b>")),
    "no cluster tag": ("tags", MAIN, _set("Vpc", "Properties", "Tags", to=[{"Key": "a", "Value": "b"}])),
    "open ingress": ("ingress", MAIN, _set("NodeSecurityGroup", "Properties", "SecurityGroupIngress", to=EVERYBODY)),
    "open ingress apart": (
        "ingress",
        MAIN,
        _set("Ssh", to={"Type": "AWS::EC2::SecurityGroupIngress", "Properties": {"CidrIpv6": "::/0"}}),
    ),
    "template type typo": ("instance-types", MAIN, _set(*LT, "InstanceType", to="c7i.lagre")),
    "type that does not exist": ("instance-types", MAIN, _set(*LT, "InstanceType", to="c99.large")),
    "override type typo": (
        "instance-types",
        RICH,
        _set(*GROUP, "MixedInstancesPolicy", "LaunchTemplate", "Overrides", 1, "InstanceType", to="t4g.medum"),
    ),
    "two subnets of one zone": ("zones", MAIN, _set("SubnetB", "Properties", "AvailabilityZone", to="eu-west-1a")),
    "profile of another account": (
        "instance-profiles",
        MAIN,
        _set(*LT, "IamInstanceProfile", "Arn", to="arn:aws:iam::123456789012:instance-profile/x"),
    ),
    "profile by the role's arn": (
        "instance-profiles", MAIN, _set(*LT, "IamInstanceProfile", "Arn", to={"Fn::GetAtt": ["SmallRole", "Arn"]}),
    ),
    "no profile": ("instance-profiles", MAIN, _set(*LT, "IamInstanceProfile", to=None)),
    "action *": ("policies", MAIN, lambda template: _statement(template).update(Action="*")),
    "action of a whole service": ("policies", MAIN, lambda template: _statement(template).update(Action=["ec2:*"])),
    "policy without version": (
        "policies", MAIN, _set("SmallRole", "Properties", "Policies", 0, "PolicyDocument", "Version", to=None),
    ),
    "wrong trust principal": (
        "trust",
        MAIN,
        _set(
            "SmallRole", "Properties", "AssumeRolePolicyDocument", "Statement", 0, "Principal",
            to={"Service": "ecs.amazonaws.com"},
        ),
    ),
    "trust in everybody": (
        "trust", MAIN,
        _set("SmallRole", "Properties", "AssumeRolePolicyDocument", "Statement", 0, "Principal", to="*"),
    ),
    "trust without version": (
        "trust", MAIN, _set("SmallRole", "Properties", "AssumeRolePolicyDocument", "Version", to=None),
    ),
    "route without DependsOn": ("gateways", MAIN, _set("PublicDefaultRoute", "DependsOn", to=None)),
    "address without DependsOn": ("gateways", RICH, _set("NatAddress", "DependsOn", to=None)),
    "too large": (
        "size", MAIN, _set("Vpc", "Metadata", to={"text": "x" * 1_000_000}),
    ),
    "no TLS policy": ("bucket", BASE, _set("BucketPolicy", to=None)),
    "TLS policy of the bucket only": (
        "bucket",
        BASE,
        _set("BucketPolicy", "Properties", "PolicyDocument", "Statement", 0, "Resource", to=["arn:aws:s3:::b"]),
    ),
    "no encryption": ("bucket", BASE, _set("Bucket", "Properties", "BucketEncryption", to=None)),
    "public": (
        "bucket", BASE, _set("Bucket", "Properties", "PublicAccessBlockConfiguration", "BlockPublicPolicy", to=False),
    ),
    "bucket deleted with the stack": ("kept", BASE, _set("Bucket", "DeletionPolicy", to=None)),
    "logs deleted with the stack": ("kept", BASE, _set("NodeLogs", "UpdateReplacePolicy", to="Delete")),
    "logs for ever": ("kept", BASE, _set("NodeLogs", "Properties", "RetentionInDays", to=None)),
    "desired capacity": ("group", MAIN, _set(*GROUP, "DesiredCapacity", to="1")),
    "unprotected": ("group", MAIN, _set(*GROUP, "NewInstancesProtectedFromScaleIn", to=False)),
    "launch configuration": ("group", MAIN, _set(*GROUP, "LaunchConfigurationName", to="x")),
    "one more": ("group", MAIN, _set("WakeUp", "Properties", "AdjustmentType", to="ChangeInCapacity")),
    "fixed template name": ("fixed-names", MAIN, _set("SmallTemplate", "Properties", "LaunchTemplateName", to="x")),
    "fixed group name": ("fixed-names", MAIN, _set(*GROUP, "AutoScalingGroupName", to={"Ref": "AWS::StackName"})),
    "fixed bucket name": ("fixed-names", BASE, _set("Bucket", "Properties", "BucketName", to="x")),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_makes_its_check_fail(name: str) -> None:
    expected, template, mutate = MUTATIONS[name]
    known = bundle.instance_types("us-east-1" if template is RICH else "eu-west-1")
    assert checks.check(template, known) == ()
    changed = copy.deepcopy(template)
    mutate(changed)
    assert {each.check for each in checks.check(changed, known)} == {expected}


def test_every_check_has_a_mutation() -> None:
    assert {expected for expected, _, _ in MUTATIONS.values()} == set(checks.names())


def test_problems_name_the_resource_and_what_to_do() -> None:
    changed = json.loads(json.dumps(MAIN))
    changed["Resources"]["SmallTemplate"]["Properties"]["LaunchTemplateData"]["InstanceType"] = "c7i.lagre"
    [problem] = checks.check(changed)
    assert str(problem) == (
        "SmallTemplate: instance type 'c7i.lagre' has no form that EC2 knows; write one such as 'c7i.large' "
        "[instance-types]"
    )


def test_types_pass_by_form_where_the_region_is_not_known() -> None:
    changed = json.loads(json.dumps(MAIN))
    changed["Resources"]["SmallTemplate"]["Properties"]["LaunchTemplateData"]["InstanceType"] = "c99.large"
    assert checks.check(changed) == ()
