"""EC2's calls on instances and tags."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud.ec2 import filters, instances, launch_templates, tokens
from simpleflow.testing.cloud.wire import errors, requests

_FILTERS: dict[str, Callable[[instances.Instance], str | Iterable[str] | None]] = {
    "instance-id": lambda i: i.id,
    "instance-type": lambda i: i.type,
    "image-id": lambda i: i.spec.get("ImageId"),
    "availability-zone": lambda i: i.zone,
    "subnet-id": lambda i: i.subnet,
    "vpc-id": lambda i: i.vpc,
    "client-token": lambda i: i.token,
    "reservation-id": lambda i: i.reservation,
    "private-ip-address": lambda i: i.private_ip,
    "instance-lifecycle": lambda i: "spot" if i.market == "spot" else None,
    "iam-instance-profile.arn": lambda i: i.profile_arn,
    "instance.group-id": lambda i: i.groups,
}


class Compute:
    """RunInstances and what follows it.

    Args:
        clock: the cloud's clock.
        store: the instances.
        launch_templates: where a request's template is found.
        launch_tokens: client tokens seen.
        owners: finders of taggable things besides instances, by id: returns the list of tags to change.
    """

    def __init__(
        self,
        clock: clocks.Clock,
        store: instances.Instances,
        launch_templates: launch_templates.LaunchTemplates,
        launch_tokens: tokens.Tokens,
        owners: Sequence[Callable[[str], dict[str, Any] | None]],
    ) -> None:
        self._clock = clock
        self._store = store
        self._templates = launch_templates
        self._tokens = launch_tokens
        self._owners = owners

    @requests.handles("ec2:RunInstances")
    def run_instances(self, request: requests.Request) -> Mapping[str, Any]:
        """Launch MinCount to MaxCount instances of one type in one subnet."""
        params = dict(request.params)
        token = params.get("ClientToken", "")
        known = self._tokens.find("RunInstances", token, request.params, self._living)
        if known is not None:
            return known
        least, most = params.pop("MinCount"), params.pop("MaxCount")
        if not 1 <= least <= most:
            raise errors.ApiError("InvalidParameterValue", f"MinCount {least} and MaxCount {most} must be 1 or more")
        spec: dict[str, Any] = {k: v for k, v in params.items() if k not in ("ClientToken", "DryRun", "LaunchTemplate")}
        if params.get("LaunchTemplate"):
            data, _ = self._templates.resolve(params["LaunchTemplate"])
            spec = launch_templates.merge(data, spec)
        for needed in ("ImageId",):
            if not spec.get(needed):
                raise errors.ApiError("MissingParameter", f"The request must contain the parameter {needed}")
        spec.setdefault("InstanceType", "m1.small")
        market: Any = spec.get("InstanceMarketOptions", {}).get("MarketType", "on-demand")
        made = self._store.launch(spec, most, market, least=least, token=token)
        now = self._clock.now()
        answer = {
            "ReservationId": made[0].reservation,
            "OwnerId": requests.ACCOUNT_ID,
            "Groups": [],
            "Instances": [instances.describe(one, now) for one in made],
        }
        self._tokens.keep("RunInstances", token, request.params, answer, [one.id for one in made])
        return answer

    def _living(self, ids: list[str]) -> bool:
        by_id = {one.id: one for one in self._store.all()}
        return any(by_id[i].ended is None for i in ids)

    @requests.handles("ec2:DescribeInstances")
    def describe_instances(self, request: requests.Request) -> dict[str, Any]:
        """List instances, paged by instance."""
        found, token = self._listed(request.params)
        now = self._clock.now()
        return {
            "Reservations": [
                {
                    "ReservationId": reservation,
                    "OwnerId": requests.ACCOUNT_ID,
                    "Groups": [],
                    "Instances": [instances.describe(one, now) for one in group],
                }
                for reservation, group in itertools.groupby(found, key=lambda one: one.reservation)
            ],
            "NextToken": token,
        }

    def _listed(self, params: Mapping[str, Any]) -> tuple[Iterable[instances.Instance], str | None]:
        asked = params.get("InstanceIds", [])
        if asked and params.get("MaxResults"):
            raise errors.ApiError(
                "InvalidParameterCombination",
                "The parameter instancesSet cannot be used with the parameter maxResults",
            )
        pool = [self._store.shown(one) for one in asked] if asked else list(self._store.visible())
        now = self._clock.now()
        by = {
            **_FILTERS,
            "instance-state-name": lambda i: i.state(now),
            "instance-state-code": lambda i: str(instances.describe(i, now)["State"]["Code"]),
        }
        wanted = params.get("Filters", [])
        return filters.page([i for i in pool if filters.passes(by, lambda i: i.tags, i, wanted)], params)

    @requests.handles("ec2:DescribeInstanceStatus")
    def describe_status(self, request: requests.Request) -> dict[str, Any]:
        """List states and checks; running ones only unless IncludeAllInstances."""
        found, token = self._listed(request.params)
        now = self._clock.now()
        statuses = []
        for one in found:
            state = one.state(now)
            if state != "running" and not request.params.get("IncludeAllInstances"):
                continue
            check = {"Status": "ok" if state == "running" else "not-applicable"}
            statuses.append(
                {
                    "InstanceId": one.id,
                    "AvailabilityZone": one.zone,
                    "InstanceState": instances.describe(one, now)["State"],
                    "InstanceStatus": check,
                    "SystemStatus": check,
                }
            )
        return {"InstanceStatuses": statuses, "NextToken": token}

    @requests.handles("ec2:TerminateInstances")
    def terminate(self, request: requests.Request) -> dict[str, Any]:
        """Terminate instances; repeating it changes nothing. All ids are looked up before any is ended."""
        now = self._clock.now()
        found = [self._store.shown(one) for one in request.params["InstanceIds"]]
        changes = []
        for one in found:
            before = instances.describe(one, now)["State"]
            self._store.end(
                one, ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
            )
            changes.append(
                {
                    "InstanceId": one.id,
                    "PreviousState": before,
                    "CurrentState": instances.describe(one, now)["State"],
                }
            )
        return {"TerminatingInstances": changes}

    @requests.handles("ec2:GetConsoleOutput")
    def console(self, request: requests.Request) -> dict[str, Any]:
        """The machine's log, its last 64 kB (AWS: the last 64 kB)."""
        one = self._store.get(request.params["InstanceId"])
        text = self._store.console(one)[-65_536:]
        return {
            "InstanceId": one.id,
            "Timestamp": self._clock.now(),
            "Output": base64.b64encode(text.encode()).decode() if text else None,
        }

    # --- tags ---------------------------------------------------------------------------------------------------

    def _ours(self, resource: str) -> instances.Instance | dict[str, Any] | None:
        if resource.startswith("i-"):
            return self._store.shown(resource)
        for owner in self._owners:
            found = owner(resource)
            if found is not None:
                return found
        return None

    @requests.handles("ec2:CreateTags")
    def create_tags(self, request: requests.Request) -> Mapping[str, Any]:
        """Set tags on instances and templates; on anything else moto does."""
        found = [self._ours(resource) for resource in request.params["Resources"]]
        if all(one is None for one in found):
            return requests.BEHIND
        given = {tag["Key"]: tag.get("Value", "") for tag in request.params["Tags"]}
        for one in found:
            if isinstance(one, instances.Instance):
                in_metadata = one.spec.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled"
                # AWS's own tags on it are not part of what is asked
                own = {key: value for key, value in one.tags.items() if not key.startswith("aws:")}
                launch_templates.check_tags({**own, **given}, in_metadata=in_metadata)
                one.tags |= given
            elif one is not None:
                kept = [t for t in one.get("Tags", []) if t["Key"] not in given]
                one["Tags"] = kept + [{"Key": k, "Value": v} for k, v in given.items()]
        return {}

    @requests.handles("ec2:DeleteTags")
    def delete_tags(self, request: requests.Request) -> Mapping[str, Any]:
        """Remove tags; one that is not there, or has another value, is not an error and stays."""
        found = [self._ours(resource) for resource in request.params["Resources"]]
        if all(one is None for one in found):
            return requests.BEHIND
        for one in found:
            for tag in request.params.get("Tags", []):
                if isinstance(one, instances.Instance):
                    if "Value" not in tag or one.tags.get(tag["Key"]) == tag["Value"]:
                        one.tags.pop(tag["Key"], None)
                elif one is not None:
                    one["Tags"] = [t for t in one.get("Tags", []) if t["Key"] != tag["Key"]]
        return {}

    @requests.handles("ec2:DescribeTags")
    def describe_tags(self, request: requests.Request) -> dict[str, Any]:
        """List the tags of instances (others are shown by their own describes)."""
        rows = [
            {"ResourceId": one.id, "ResourceType": "instance", "Key": key, "Value": value}
            for one in self._store.visible()
            for key, value in one.tags.items()
        ]
        by: dict[str, Callable[[dict[str, str]], str | Iterable[str] | None]] = {
            "resource-id": lambda r: r["ResourceId"],
            "resource-type": lambda r: r["ResourceType"],
            "key": lambda r: r["Key"],
            "value": lambda r: r["Value"],
        }
        wanted = request.params.get("Filters", [])
        kept = [r for r in rows if filters.passes(by, lambda r: {r["Key"]: r["Value"]}, r, wanted)]
        found, token = filters.page(kept, request.params)
        return {"Tags": list(found), "NextToken": token}
