from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from simpleflow.testing import cloud as emulated


def refused(call: Callable[..., Any], **params: Any) -> str:
    """The error code with which a call is refused."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def words(call: Callable[..., Any], **params: Any) -> str:
    """The message with which a call is refused."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Message"])


def subnets(cloud: emulated.Cloud) -> list[str]:
    """The default subnets, by zone."""
    found = cloud.client("ec2").describe_subnets()["Subnets"]
    return [one["SubnetId"] for one in sorted(found, key=lambda one: str(one["AvailabilityZone"]))]


def template(cloud: emulated.Cloud, **data: Any) -> str:
    """Make a launch template with the cloud's image; returns its id."""
    made = cloud.client("ec2").create_launch_template(
        LaunchTemplateName=f"t{len(cloud.record)}", LaunchTemplateData={"ImageId": cloud.image, **data}
    )
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def role(cloud: emulated.Cloud, *statements: dict[str, Any], name: str = "node") -> str:
    """Make a role with these statements and an instance profile of the same name; returns the name."""
    iam = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    version = "2012-10-17"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": version, "Statement": [trust]}))
    iam.put_role_policy(
        RoleName=name, PolicyName="own", PolicyDocument=json.dumps({"Version": version, "Statement": list(statements)})
    )
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name
