"""EC2 Fleet ``instant``: one request for one attempt, and how its answer is read. No calls.

DeleteFleets is never called: of an instant fleet it terminates the instances.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from simpleflow.nodes import config, tags
from simpleflow.nodes.providers import base

from . import clients, soldout

#: EC2's limit on client tokens, in characters
TOKEN_LIMIT = 64
#: CreateFleet takes these at launch; network interfaces are tagged by the launch template
TAGGED = ("fleet", "instance", "volume")


def token(attempt: str) -> str:
    """The client token of an attempt: itself where it fits, else its digest. It is a second guard: the tag decides."""
    if len(attempt) <= TOKEN_LIMIT and attempt.isascii():
        return attempt
    return hashlib.sha256(attempt.encode()).hexdigest()


def pools(profile: config.Profile, subnets: Mapping[str, str], memory: soldout.SoldOut) -> list[dict[str, Any]]:
    """Overrides for every (type, subnet) that is not remembered as sold out, in the profile's order of types."""
    found = []
    for priority, instance_type in enumerate(profile.types):
        for subnet, zone in sorted(subnets.items(), key=lambda pair: pair[1]):
            if memory.skips(soldout.Pool(instance_type, zone, profile.market)):
                continue
            override: dict[str, Any] = {"InstanceType": instance_type, "SubnetId": subnet}
            if profile.market == "on-demand":
                override["Priority"] = float(priority)
            found.append(override)
    return found


def request(
    spec: base.LaunchSpec, profile: config.Profile, template: str, overrides: list[dict[str, Any]]
) -> dict[str, Any]:
    """Parameters of CreateFleet."""
    given = {**spec.tags, tags.CLUSTER: spec.cluster, tags.PROFILE: spec.profile, tags.ATTEMPT: spec.attempt}
    written = [{"Key": key, "Value": value} for key, value in sorted(given.items())]
    if profile.market == "spot":
        # AWS recommends it for most spot uses: lowest risk of interruption first, then price.
        options: dict[str, Any] = {"AllocationStrategy": "price-capacity-optimized"}
    else:
        options = {"AllocationStrategy": "prioritized"}
    if profile.billing.price is not None:
        # The second guard of money; the first is control.json.
        options["MaxTotalPrice"] = f"{profile.billing.price * spec.units:.6f}"
    return {
        "Type": "instant",
        "ClientToken": token(spec.attempt),
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "$Latest"},
                "Overrides": overrides,
            }
        ],
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": spec.units,
            "DefaultTargetCapacityType": profile.market,
        },
        "SpotOptions" if profile.market == "spot" else "OnDemandOptions": options,
        "TagSpecifications": [{"ResourceType": kind, "Tags": written} for kind in TAGGED],
    }


def launched(
    answer: Mapping[str, Any],
    spec: base.LaunchSpec,
    profile: config.Profile,
    subnets: Mapping[str, str],
    memory: soldout.SoldOut,
    moment: float,
) -> base.Launched:
    """Read the answer of CreateFleet; sold-out pools are remembered."""
    found = []
    for each in answer.get("Instances", []):
        override = each.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
        zone = _zone(override, subnets)
        instance_type = each.get("InstanceType") or override.get("InstanceType", "")
        memory.served(soldout.Pool(instance_type, zone, profile.market))
        for instance in each.get("InstanceIds", []):
            found.append(
                base.Instance(
                    id=instance,
                    state="pending",
                    profile=spec.profile,
                    attempt=spec.attempt,
                    launched=moment,
                    instance_type=instance_type,
                    zone=zone,
                    market=profile.market,
                    tags=spec.tags,
                )
            )
    refusals = []
    for each in answer.get("Errors", []):
        override = each.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
        pool = soldout.Pool(override.get("InstanceType", ""), _zone(override, subnets), profile.market)
        if each.get("ErrorCode") in clients.CAPACITY:
            memory.refused(pool)
        where = f"{pool.instance_type} in {pool.zone}" if pool.zone else pool.instance_type
        refusals.append(f"{where} ({pool.market}): {each.get('ErrorMessage', '')} ({each.get('ErrorCode')})")
    return base.Launched(instances=tuple(found), refusals=tuple(refusals))


def _zone(override: Mapping[str, Any], subnets: Mapping[str, str]) -> str:
    return str(override.get("AvailabilityZone") or subnets.get(str(override.get("SubnetId")), ""))


_STATES: dict[str, base.State] = {
    "pending": "pending",
    "running": "running",
    "shutting-down": "stopping",
    "stopping": "stopping",
    # Stopped by hand: it still exists, but never works again.
    "stopped": "stopping",
    "terminated": "terminated",
}


def listed(reservations: Iterable[Mapping[str, Any]]) -> Iterable[base.Instance]:
    """Instances of one page of DescribeInstances."""
    for reservation in reservations:
        for each in reservation["Instances"]:
            known = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}
            yield base.Instance(
                id=each["InstanceId"],
                state=_STATES[each["State"]["Name"]],
                profile=known.get(tags.PROFILE, ""),
                attempt=known.get(tags.ATTEMPT, ""),
                launched=each["LaunchTime"].timestamp(),
                instance_type=each["InstanceType"],
                zone=each.get("Placement", {}).get("AvailabilityZone", ""),
                market="spot" if each.get("InstanceLifecycle") == "spot" else "on-demand",
                tags=known,
            )
