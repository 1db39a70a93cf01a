"""EC2 Fleet of type ``instant``: several pools in one call, an exact error for each pool that could not serve."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud.ec2 import capacity, instances, launch_templates, tokens
from simpleflow.testing.cloud.wire import errors, ids, requests


class Fleets:
    """CreateFleet and its neighbours.

    Args:
        clock: the cloud's clock.
        maker: makes ids.
        store: launches.
        launch_templates: what the pools are made of.
        launch_tokens: client tokens seen.
    """

    def __init__(
        self,
        clock: clocks.Clock,
        maker: ids.Ids,
        store: instances.Instances,
        launch_templates: launch_templates.LaunchTemplates,
        launch_tokens: tokens.Tokens,
    ) -> None:
        self._clock = clock
        self._ids = maker
        self._store = store
        self._templates = launch_templates
        self._tokens = launch_tokens
        self._fleets: dict[str, dict[str, Any]] = {}

    @requests.handles("ec2:CreateFleet")
    def create(self, request: requests.Request) -> Mapping[str, Any]:
        """Launch an instant fleet: what can be had, and an error for each pool that had nothing."""
        params = request.params
        token = params.get("ClientToken", "")
        known = self._tokens.find("CreateFleet", token, params, self._living)
        if known is not None:
            return known
        if params.get("Type", "maintain") != "instant":
            raise errors.ApiError("NotRehearsed", "only fleets of Type instant are rehearsed", 501)
        target = params["TargetCapacitySpecification"]
        wanted = target["TotalTargetCapacity"]
        market: capacity.Market = target.get("DefaultTargetCapacityType", "on-demand")
        given = params.get("TagSpecifications", [])
        for kind in ("fleet", "instance", "volume", "network-interface"):
            launch_templates.check_tags(launch_templates.tags_of(given, kind), in_metadata=False)
        fleet_id = f"fleet-{self._ids.make('fleet')[6:]}"
        tags = {"aws:ec2:fleet-id": fleet_id}
        launched: list[dict[str, Any]] = []
        refused: list[dict[str, Any]] = []
        left = wanted
        budget = float(params.get(f"{_OPTIONS[market]}Options", {}).get("MaxTotalPrice") or "inf")
        for pool in self._pools(params, market):
            if left <= 0:
                break
            shown = {"LaunchTemplateAndOverrides": pool.shown, "Lifecycle": market}
            try:
                price = self._store.stock.price(pool.spec["InstanceType"], market)
                if pool.most_price is not None and price > pool.most_price:
                    raise errors.ApiError("SpotMaxPriceTooLow", f"the price of {price} exceeds {pool.most_price}")
                affordable = left if budget == float("inf") else min(left, int((budget + 1e-9) / price))
                if affordable < 1:
                    raise errors.ApiError("MaxTotalPriceExceeded", "MaxTotalPrice does not pay for another instance")
                made = self._store.launch(
                    {**pool.spec, "TagSpecifications": _without_fleet(pool.spec, given)},
                    affordable, market, token=token, fleet=fleet_id, tags=tags,
                )  # fmt: skip
            except errors.ApiError as error:
                refused.append({**shown, "ErrorCode": error.code, "ErrorMessage": error.message})
                continue
            left -= len(made)
            budget -= price * len(made)
            launched.append({**shown, "InstanceIds": [i.id for i in made], "InstanceType": pool.spec["InstanceType"]})
        self._fleets[fleet_id] = {
            "FleetId": fleet_id,
            "FleetState": "active",
            "ActivityStatus": "fulfilled" if left <= 0 else "error",
            "CreateTime": self._clock.now(),
            "ClientToken": token,
            "Type": "instant",
            "TargetCapacitySpecification": {**target, "DefaultTargetCapacityType": market},
            "FulfilledCapacity": float(wanted - left),
            "Tags": [{"Key": k, "Value": v} for k, v in launch_templates.tags_of(given, "fleet").items()],
            "Instances": launched,
            "Errors": refused,
        }
        answer = {"FleetId": fleet_id, "Instances": launched, "Errors": refused}
        self._tokens.keep("CreateFleet", token, params, answer, [i for one in launched for i in one["InstanceIds"]])
        return answer

    def _living(self, launched: list[str]) -> bool:
        by_id = {one.id: one for one in self._store.all()}
        return any(by_id[i].ended is None for i in launched)

    def _pools(self, params: Mapping[str, Any], market: capacity.Market) -> list[_Pool]:
        pools: list[_Pool] = []
        for config in params["LaunchTemplateConfigs"]:
            data, shown = self._templates.resolve(config["LaunchTemplateSpecification"])
            overrides = config.get("Overrides") or [{}]
            zones: dict[str, str] = {}
            for override in overrides:
                subnet = override.get("SubnetId")
                if subnet:
                    zone = self._store.place_of(subnet).zone
                    if zones.setdefault(zone, subnet) != subnet:
                        raise errors.ApiError(
                            "InvalidFleetConfiguration",
                            f"You cannot specify subnets {zones[zone]} and {subnet} of one Availability Zone ({zone})",
                        )
                pools.append(_Pool(data, shown, override))
        allocation = params.get(f"{_OPTIONS[market]}Options", {}).get("AllocationStrategy", "lowest-price")
        for pool in pools:
            if not pool.spec.get("InstanceType"):
                raise errors.ApiError(
                    "InvalidFleetConfiguration", "an InstanceType is missing in template and override"
                )
        order = itertools.count()
        if "prioritized" in allocation:
            return sorted(pools, key=lambda p: (p.priority, next(order)))
        # spot's capacity-optimized strategies go by depth of pools that only AWS sees: here by price as well
        return sorted(pools, key=lambda p: (self._price(p, market), next(order)))

    def _price(self, pool: _Pool, market: capacity.Market) -> float:
        try:
            return self._store.stock.price(pool.spec["InstanceType"], market)
        except errors.ApiError:
            return float("inf")

    @requests.handles("ec2:DescribeFleets")
    def describe(self, request: requests.Request) -> dict[str, Any]:
        """List fleets by id; instant ones with what they launched and what was refused."""
        asked = request.params.get("FleetIds") or list(self._fleets)
        for one in asked:
            if one not in self._fleets:
                raise errors.ApiError("InvalidFleetId.NotFound", f"The fleet ID '{one}' does not exist")
        return {"Fleets": [self._fleets[one] for one in asked]}

    @requests.handles("ec2:DeleteFleets")
    def delete(self, request: requests.Request) -> dict[str, Any]:
        """Delete fleets; an instant fleet takes its instances along, as AWS documents."""
        deleted, failed = [], []
        for one in request.params["FleetIds"]:
            fleet = self._fleets.get(one)
            if fleet is None or not request.params["TerminateInstances"]:
                code = "fleetIdDoesNotExist" if fleet is None else "fleetNotInDeletableState"
                failed.append({"FleetId": one, "Error": {"Code": code, "Message": f"{one} cannot be deleted"}})
                continue
            for instance in self._store.all():
                if instance.fleet == one:
                    self._store.end(instance, ("Server.FleetDeleted", "Server.FleetDeleted: the fleet was deleted"))
            deleted.append(
                {"FleetId": one, "PreviousFleetState": fleet["FleetState"], "CurrentFleetState": "deleted_terminating"}
            )
            fleet["FleetState"] = "deleted_terminating"
        return {"SuccessfulFleetDeletions": deleted, "UnsuccessfulFleetDeletions": failed}

    def tagged(self, resource: str) -> dict[str, Any] | None:
        """The fleet of this id, for CreateTags."""
        return self._fleets.get(resource)


_OPTIONS: dict[capacity.Market, str] = {"on-demand": "OnDemand", "spot": "Spot"}


class _Pool:
    """One template with one override."""

    def __init__(self, data: Mapping[str, Any], template: Mapping[str, Any], override: Mapping[str, Any]) -> None:
        self.shown = {"LaunchTemplateSpecification": template, "Overrides": override}
        self.priority = float(override.get("Priority", float("inf")))
        self.most_price = float(override["MaxPrice"]) if override.get("MaxPrice") else None
        spec = dict(data)
        if override.get("InstanceType"):
            spec["InstanceType"] = override["InstanceType"]
        if override.get("ImageId"):
            spec["ImageId"] = override["ImageId"]
        subnet = override.get("SubnetId")
        if subnet and spec.get("NetworkInterfaces"):
            first, *others = spec["NetworkInterfaces"]
            spec["NetworkInterfaces"] = [{**first, "SubnetId": subnet}, *others]
        elif subnet:
            spec["SubnetId"] = subnet
        self.spec = spec


def _without_fleet(spec: Mapping[str, Any], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    merged = launch_templates.merge(spec, {"TagSpecifications": given}).get("TagSpecifications", [])
    return [one for one in merged if one["ResourceType"] != "fleet"]
