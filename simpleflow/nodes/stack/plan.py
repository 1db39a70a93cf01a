"""What ``up`` would change, found offline by comparing templates; and what a stack costs at rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

#: USD per hour in us-east-1 (EC2 and VPC price pages, 2026): what stands idle and is billed. Other regions differ.
HOURLY = {
    "AWS::EC2::NatGateway": 0.045,
    "AWS::EC2::EIP": 0.005,
    #: per endpoint and zone
    "AWS::EC2::VPCEndpoint": 0.01,
}
#: changes of these mean a new resource, where it matters to know (registry schemas, createOnlyProperties)
_REPLACES = {
    "AWS::EC2::VPC": {"CidrBlock"},
    "AWS::EC2::Subnet": {"AvailabilityZone", "CidrBlock", "VpcId"},
    "AWS::EC2::SecurityGroup": {"GroupDescription", "VpcId", "GroupName"},
    "AWS::EC2::NatGateway": {"SubnetId", "AllocationId"},
    "AWS::EC2::VPCEndpoint": {"ServiceName", "VpcId", "VpcEndpointType"},
    "AWS::AutoScaling::AutoScalingGroup": {"AutoScalingGroupName"},
    "AWS::S3::Bucket": {"BucketName"},
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One resource that would change."""

    action: str
    resource: str
    kind: str
    #: top-level properties that differ
    properties: tuple[str, ...] = ()
    replaced: bool = False

    def __str__(self) -> str:
        what = f": {', '.join(self.properties)}" if self.properties else ""
        return f"{self.action} {self.resource} ({self.kind}){what}{' [replaced]' if self.replaced else ''}"


def diff(old: str, new: str) -> tuple[Change, ...]:
    """Compare two templates' texts, '' for none; the same texts give the same changes in the same order."""
    return tuple(_changes(_resources(old), _resources(new)))


def _resources(text: str) -> Mapping[str, Any]:
    return msgspec.json.decode(text)["Resources"] if text else {}


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        if name not in old:
            yield Change(action="add", resource=name, kind=new[name]["Type"])
        elif name not in new:
            yield Change(action="remove", resource=name, kind=old[name]["Type"])
        elif old[name] != new[name]:
            before, after = old[name].get("Properties", {}), new[name].get("Properties", {})
            keys = tuple(sorted(key for key in {*before, *after} if before.get(key) != after.get(key)))
            kind = new[name]["Type"]
            replaced = old[name]["Type"] != kind or bool(_REPLACES.get(kind, set()) & set(keys))
            yield Change(action="change", resource=name, kind=kind, properties=keys, replaced=replaced)


def at_rest(text: str) -> tuple[tuple[str, float], ...]:
    """What stands idle and is billed, as (resource, USD per hour); () costs nothing but storage, logs and alarms."""
    found = []
    for name, resource in sorted(_resources(text).items()):
        price = HOURLY.get(resource["Type"])
        properties = resource.get("Properties", {})
        if price is None or properties.get("VpcEndpointType") == "Gateway":
            continue
        found.append((name, round(price * max(len(properties.get("SubnetIds", ())), 1), 4)))
    return tuple(found)
