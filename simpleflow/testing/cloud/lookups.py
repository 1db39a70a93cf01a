"""What a launch must know of things that moto keeps: subnets, instance profiles, types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import botocore.exceptions

from simpleflow.testing.cloud.ec2 import instances
from simpleflow.testing.cloud.wire import errors, requests

_AMAZON_LINUX = "/aws/service/ami-amazon-linux-latest"


class Lookups:
    """Reads moto's side through its own API.

    Args:
        client: gives a boto3 client of a service that is neither recorded nor struck by faults.
    """

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client
        self._types: dict[str, int | None] = {}

    def vcpus(self, instance_type: str) -> int | None:
        """vCPUs of an instance type, None when there is no such type."""
        if instance_type not in self._types:
            try:
                found = self.client("ec2").describe_instance_types(InstanceTypes=[instance_type])["InstanceTypes"]
                self._types[instance_type] = found[0]["VCpuInfo"]["DefaultVCpus"]
            except botocore.exceptions.ClientError:
                self._types[instance_type] = None
        return self._types[instance_type]

    def place(self, subnet: str) -> instances.Place:
        """A subnet; '' is the default subnet of the first zone. Raises ApiError when there is none."""
        ec2 = self.client("ec2")
        if subnet:
            found = self._ask(ec2.describe_subnets, SubnetIds=[subnet])["Subnets"]
        else:
            found = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
            found.sort(key=lambda one: one["AvailabilityZone"])
        if not found:
            raise errors.ApiError("MissingInput", "No subnets found for the default VPC")
        one = found[0]
        return instances.Place(
            subnet=one["SubnetId"],
            vpc=one["VpcId"],
            zone=one["AvailabilityZone"],
            cidr=one["CidrBlock"],
            public=one["MapPublicIpOnLaunch"],
        )

    def profile(self, specification: Mapping[str, str]) -> tuple[str, str]:
        """An instance profile by Name or Arn: its ARN, and the name of its role ('' without one)."""
        name = specification.get("Name") or specification.get("Arn", "").rpartition("/")[2]
        try:
            found = self.client("iam").get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        except botocore.exceptions.ClientError:
            found = None
        if found is None or specification.get("Arn", found["Arn"]) != found["Arn"]:
            key, value = next(iter(specification.items()))
            raise errors.ApiError(
                "InvalidParameterValue", f"Value ({value}) for parameter iamInstanceProfile.{key.lower()} is invalid."
            )
        roles = found["Roles"]
        return found["Arn"], roles[0]["RoleName"] if roles else ""

    def public_images(self) -> dict[str, str]:
        """Images that public SSM parameters of Amazon Linux name: image id -> parameter."""
        pages = self.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=_AMAZON_LINUX)
        return {one["Value"]: one["Name"] for page in pages for one in page["Parameters"]}

    def has_bucket(self, bucket: str) -> bool:
        """Whether a bucket exists."""
        try:
            self.client("s3").head_bucket(Bucket=bucket)
        except botocore.exceptions.ClientError:
            return False
        return True

    def is_empty(self, bucket: str) -> bool:
        """Whether a bucket holds nothing; raises botocore's ClientError when there is no such bucket."""
        return not self.client("s3").list_objects_v2(Bucket=bucket, MaxKeys=1).get("KeyCount")

    def parameters(self, names: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
        """SSM parameters as moto has them, and the names that it does not know."""
        if not names:
            return [], []
        found = self.client("ssm").get_parameters(Names=names)
        return found["Parameters"], found["InvalidParameters"]

    @staticmethod
    def _ask(call: Callable[..., Any], **params: Any) -> Any:
        try:
            return call(**params)
        except botocore.exceptions.ClientError as error:
            body = error.response["Error"]
            raise errors.ApiError(body["Code"], body["Message"]) from error

    def in_use(self, store: instances.Instances) -> Callable[[requests.Request], None]:
        """Guard deletions of what our instances stand in: moto does not know them."""

        def guard(request: requests.Request) -> None:
            if request.service != "ec2":
                return
            living = [one for one in store.all() if one.ended is None]
            subnet = request.params.get("SubnetId")
            if request.action == "DeleteSubnet" and any(one.subnet == subnet for one in living):
                raise errors.ApiError(
                    "DependencyViolation", f"The subnet '{subnet}' has dependencies and cannot be deleted."
                )
            group = request.params.get("GroupId")
            if request.action == "DeleteSecurityGroup" and any(group in one.groups for one in living):
                raise errors.ApiError("DependencyViolation", f"resource {group} has a dependent object")

        return guard
