"""The Auto Scaling group: desired capacity, protection, replacement. Its members come from the one ``launch``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud import timeline
from simpleflow.testing.cloud.autoscaling import scaling
from simpleflow.testing.cloud.ec2 import capacity, filters, instances, launch_templates
from simpleflow.testing.cloud.wire import errors, ids, requests


@dataclasses.dataclass(kw_only=True)
class Member:
    """One instance of a group."""

    instance: instances.Instance
    protected: bool
    since: float


@dataclasses.dataclass(kw_only=True, eq=False)
class Group:
    """One Auto Scaling group."""

    name: str
    created: float
    given: dict[str, Any]
    least: int
    most: int
    desired: int
    members: list[Member] = dataclasses.field(default_factory=list)
    suspended: dict[str, str] = dataclasses.field(default_factory=dict)
    tags: dict[str, tuple[str, bool]] = dataclasses.field(default_factory=dict)
    metrics: set[str] = dataclasses.field(default_factory=set)
    activities: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    deleted: bool = False


class AutoScaling:
    """Groups, their members and their policies.

    Args:
        clock: the cloud's clock.
        line: where looks at a group are planned.
        maker: makes ids.
        store: launches and ends members.
        launch_templates: what members are made of.
        region: the region.
        pause: seconds between a failed launch or a death and the next try.
    """

    def __init__(
        self,
        *,
        clock: clocks.Clock,
        line: timeline.Timeline,
        maker: ids.Ids,
        store: instances.Instances,
        launch_templates: launch_templates.LaunchTemplates,
        region: str,
        pause: float,
    ) -> None:
        self._clock = clock
        self._line = line
        self._ids = maker
        self._store = store
        self._templates = launch_templates
        self._pause = pause
        self._groups: dict[str, Group] = {}
        #: scaling policies, which alarms carry out
        self.policies = scaling.Policies(clock, region, self._policy_group, self._set)
        store.on_end.append(self._ended)

    # --- the heart ----------------------------------------------------------------------------------------------

    def _settle(self, group: Group) -> None:
        """Launch what is missing, end what is too many and not protected."""
        group.members = [m for m in group.members if m.instance.state(self._clock.now()) != "terminated"]
        if group.deleted:
            return
        living = [m for m in group.members if m.instance.alive]
        missing = group.desired - len(living)
        if missing > 0 and "Launch" not in group.suspended:
            self._launch(group, missing)
        elif missing < 0 and "Terminate" not in group.suspended:
            free = sorted((m for m in living if not m.protected), key=lambda m: m.instance.launched)
            for member in free[:-missing]:
                self._end(group, member, "user request: the desired capacity was lowered")

    def _launch(self, group: Group, count: int) -> None:
        subnets = [s.strip() for s in str(group.given.get("VPCZoneIdentifier", "")).split(",") if s.strip()]
        for _ in range(count):
            living: dict[str, int] = dict.fromkeys(subnets or [""], 0)
            for member in group.members:
                if member.instance.alive:
                    living[member.instance.subnet] = living.get(member.instance.subnet, 0) + 1
            refusals = []
            for subnet in sorted(living, key=lambda s: living[s]):
                refusal = self._launch_one(group, subnet)
                if refusal is None:
                    break
                refusals.append(refusal)
            else:
                self._tell(group, "Launching a new EC2 instance", "Failed", str(refusals[-1]))
                self._line.after(self._pause, lambda: self._settle(group))
                return

    def _launch_one(self, group: Group, subnet: str) -> errors.ApiError | None:
        refusal: errors.ApiError | None = None
        for spec, market in self._specs(group):
            if subnet and spec.get("NetworkInterfaces"):
                first, *others = spec["NetworkInterfaces"]
                spec["NetworkInterfaces"] = [{**first, "SubnetId": subnet}, *others]
            elif subnet:
                spec["SubnetId"] = subnet
            tags = {key: value for key, (value, propagated) in group.tags.items() if propagated}
            kept = launch_templates.tags_of(spec.get("TagSpecifications", []), "instance")
            own = [{"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in {**kept, **tags}.items()]}]
            others = [s for s in spec.get("TagSpecifications", []) if s["ResourceType"] != "instance"]
            spec["TagSpecifications"] = own + others
            try:
                [made] = self._store.launch(
                    spec, 1, market, group=group.name, tags={"aws:autoscaling:groupName": group.name}
                )
            except errors.ApiError as error:
                refusal = error
                continue
            protected = bool(group.given.get("NewInstancesProtectedFromScaleIn"))
            group.members.append(Member(instance=made, protected=protected, since=self._clock.now()))
            self._tell(group, f"Launching a new EC2 instance: {made.id}", "Successful")
            return None
        return refusal

    def _specs(self, group: Group) -> list[tuple[dict[str, Any], capacity.Market]]:
        mixed = group.given.get("MixedInstancesPolicy")
        if not mixed:
            data, _ = self._templates.resolve(group.given["LaunchTemplate"])
            market: Any = data.get("InstanceMarketOptions", {}).get("MarketType", "on-demand")
            return [(dict(data), market)]
        template = mixed["LaunchTemplate"]
        data, _ = self._templates.resolve(template["LaunchTemplateSpecification"])
        shares = mixed.get("InstancesDistribution", {})
        spot = int(shares.get("OnDemandPercentageAboveBaseCapacity", 100)) == 0 and not int(
            shares.get("OnDemandBaseCapacity", 0)
        )
        overrides = template.get("Overrides") or [{}]
        return [
            ({**data, **{k: v for k, v in one.items() if k == "InstanceType"}}, "spot" if spot else "on-demand")
            for one in overrides
        ]

    def _end(self, group: Group, member: Member, cause: str) -> None:
        self._tell(group, f"Terminating EC2 instance: {member.instance.id}", "Successful", cause)
        self._store.end(
            member.instance, ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
        )

    def _ended(self, instance: instances.Instance) -> None:
        """Any state other than running is replaced: a self-poweroff in a group with desired 1 comes back."""
        group = self._groups.get(instance.group)
        if group is None or group.deleted:
            return
        if instance.ended is None:
            self._line.after(0, lambda: self._unhealthy(group, instance))
        self._line.after(self._pause, lambda: self._settle(group))
        if instance.gone_at is not None:
            self._line.at(instance.gone_at, lambda: self._settle(group))

    def _unhealthy(self, group: Group, instance: instances.Instance) -> None:
        for member in group.members:
            if member.instance is instance:
                self._end(group, member, "an instance was taken out of service in response to an EC2 health check")

    def _tell(self, group: Group, what: str, status: str, cause: str = "") -> None:
        now = self._clock.now()
        group.activities.insert(
            0,
            {
                "ActivityId": f"{group.name}-{len(group.activities) + 1:06d}",
                "AutoScalingGroupName": group.name,
                "Description": what,
                "Cause": cause or f"the group wanted {group.desired} instances",
                "StartTime": now,
                "EndTime": now,
                "StatusCode": status,
                "StatusMessage": cause if status == "Failed" else None,
                "Progress": 100,
            },
        )

    # --- looking from elsewhere ---------------------------------------------------------------------------------

    def metric(self, name: str, group_name: str) -> float | None:
        """A group metric, None while its collection is not enabled: then CloudWatch has no such metric."""
        group = self._groups.get(group_name)
        if group is None or name not in group.metrics:
            return None
        living = sum(m.instance.alive for m in group.members)
        known = {
            "GroupDesiredCapacity": group.desired,
            "GroupMinSize": group.least,
            "GroupMaxSize": group.most,
            "GroupInServiceInstances": living,
            "GroupTotalInstances": len(group.members),
        }
        return float(known[name]) if name in known else None

    def _policy_group(self, name: str) -> tuple[int, int, int]:
        group = self._group(name)
        return group.least, group.desired, group.most

    def _set(self, name: str, desired: int) -> None:
        group = self._group(name)
        if group.desired != desired:
            group.desired = desired
            self._settle(group)

    def _group(self, name: str) -> Group:
        group = self._groups.get(name)
        if group is None:
            raise errors.ApiError(
                "ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"
            )
        return group

    # --- calls --------------------------------------------------------------------------------------------------

    @requests.handles("autoscaling:CreateAutoScalingGroup")
    def create(self, request: requests.Request) -> Mapping[str, Any]:
        """Make a group and launch its desired capacity."""
        params = dict(request.params)
        name = params["AutoScalingGroupName"]
        if name in self._groups:
            raise errors.ApiError("AlreadyExists", f"AutoScalingGroup by this name already exists - {name}")
        if not params.get("LaunchTemplate") and not params.get("MixedInstancesPolicy"):
            raise errors.ApiError(
                "ValidationError", "Valid requests must contain a LaunchTemplate or MixedInstancesPolicy"
            )
        least, most = params["MinSize"], params["MaxSize"]
        group = Group(
            name=name,
            created=self._clock.now(),
            given=params,
            least=least,
            most=most,
            desired=params.get("DesiredCapacity", least),
        )
        self._specs(group)
        self._check(group)
        group.tags = {t["Key"]: (t.get("Value", ""), bool(t.get("PropagateAtLaunch"))) for t in params.get("Tags", [])}
        self._groups[name] = group
        self._settle(group)
        return {}

    @staticmethod
    def _check(group: Group) -> None:
        if not group.least <= group.desired <= group.most:
            raise errors.ApiError(
                "ValidationError",
                f"Desired capacity:{group.desired} must be between the specified min size:{group.least} and max "
                f"size:{group.most}",
            )

    @requests.handles("autoscaling:UpdateAutoScalingGroup")
    def update(self, request: requests.Request) -> Mapping[str, Any]:
        """Change a group; a desired capacity outside new bounds moves into them, unless it was given too."""
        params = {k: v for k, v in request.params.items() if k != "AutoScalingGroupName"}
        group = self._group(request.params["AutoScalingGroupName"])
        least, most = params.get("MinSize", group.least), params.get("MaxSize", group.most)
        desired = params.get("DesiredCapacity", min(max(group.desired, least), most))
        self._check(Group(name="", created=0, given={}, least=least, most=most, desired=desired))
        group.least, group.most, group.desired = least, most, desired
        group.given |= params
        if "LaunchTemplate" in params:
            group.given.pop("MixedInstancesPolicy", None)
        self._settle(group)
        return {}

    @requests.handles("autoscaling:SetDesiredCapacity")
    def set_desired(self, request: requests.Request) -> Mapping[str, Any]:
        """Set the desired capacity, inside the bounds."""
        group = self._group(request.params["AutoScalingGroupName"])
        desired = request.params["DesiredCapacity"]
        if not group.least <= desired <= group.most:
            side = "above max" if desired > group.most else "below min"
            raise errors.ApiError(
                "ValidationError", f"New SetDesiredCapacity value {desired} is {side} value for the AutoScalingGroup."
            )
        self._set(group.name, desired)
        return {}

    @requests.handles("autoscaling:DeleteAutoScalingGroup")
    def delete(self, request: requests.Request) -> Mapping[str, Any]:
        """Delete a group that has no members, or with ForceDelete its members too."""
        group = self._group(request.params["AutoScalingGroupName"])
        self._settle(group)
        if group.members and not request.params.get("ForceDelete"):
            raise errors.ApiError(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
                "still in the group.",
            )
        group.deleted = True
        del self._groups[group.name]
        for member in group.members:
            self._end(group, member, "the group was deleted")
        return {}

    @requests.handles("autoscaling:DescribeAutoScalingGroups")
    def describe(self, request: requests.Request) -> dict[str, Any]:
        """List groups by name or tag; names that are not there are left out, as AWS does."""
        wanted = request.params.get("AutoScalingGroupNames")
        found = [g for g in self._groups.values() if not wanted or g.name in wanted]
        for one in request.params.get("Filters", []):
            key = one["Name"].removeprefix("tag:")
            found = [g for g in found if key in g.tags and g.tags[key][0] in one.get("Values", [])]
        page, token = filters.page(found, {"NextToken": request.params.get("NextToken")}, most=100)
        return {"AutoScalingGroups": [self._described(g) for g in page], "NextToken": token}

    def _described(self, group: Group) -> dict[str, Any]:
        now = self._clock.now()
        group.members = [m for m in group.members if m.instance.state(now) != "terminated"]
        subnets = str(group.given.get("VPCZoneIdentifier", ""))
        return {
            "AutoScalingGroupName": group.name,
            "AutoScalingGroupARN": f"arn:aws:autoscaling:::autoScalingGroupName/{group.name}",
            "MinSize": group.least,
            "MaxSize": group.most,
            "DesiredCapacity": group.desired,
            "DefaultCooldown": group.given.get("DefaultCooldown", 300),
            "AvailabilityZones": [self._store.place_of(s.strip()).zone for s in subnets.split(",") if s.strip()],
            "HealthCheckType": group.given.get("HealthCheckType", "EC2"),
            "HealthCheckGracePeriod": group.given.get("HealthCheckGracePeriod", 0),
            "LaunchTemplate": group.given.get("LaunchTemplate"),
            "MixedInstancesPolicy": group.given.get("MixedInstancesPolicy"),
            "VPCZoneIdentifier": subnets,
            "NewInstancesProtectedFromScaleIn": bool(group.given.get("NewInstancesProtectedFromScaleIn")),
            "CreatedTime": group.created,
            "SuspendedProcesses": [
                {"ProcessName": name, "SuspensionReason": why} for name, why in group.suspended.items()
            ],
            "EnabledMetrics": [{"Metric": name, "Granularity": "1Minute"} for name in sorted(group.metrics)],
            "Tags": [
                {"Key": k, "Value": v, "PropagateAtLaunch": p, "ResourceId": group.name,
                 "ResourceType": "auto-scaling-group"}
                for k, (v, p) in group.tags.items()
            ],
            "Instances": [self._member(m) for m in group.members],
        }  # fmt: skip

    def _member(self, member: Member) -> dict[str, Any]:
        state = member.instance.state(self._clock.now())
        life = {"pending": "Pending", "running": "InService"}.get(state, "Terminating")
        return {
            "InstanceId": member.instance.id,
            "InstanceType": member.instance.type,
            "AvailabilityZone": member.instance.zone,
            "LifecycleState": life,
            "HealthStatus": "Healthy" if member.instance.alive else "Unhealthy",
            "ProtectedFromScaleIn": member.protected,
        }

    @requests.handles("autoscaling:DescribeAutoScalingInstances")
    def describe_instances(self, request: requests.Request) -> dict[str, Any]:
        """List members of all groups, by instance id."""
        wanted = request.params.get("InstanceIds")
        return {
            "AutoScalingInstances": [
                {**self._member(m), "AutoScalingGroupName": g.name}
                for g in self._groups.values()
                for m in g.members
                if not wanted or m.instance.id in wanted
            ]
        }

    @requests.handles("autoscaling:SetInstanceProtection")
    def protect(self, request: requests.Request) -> Mapping[str, Any]:
        """Protect members from scale-in, or not."""
        group = self._group(request.params["AutoScalingGroupName"])
        by_id = {m.instance.id: m for m in group.members}
        for one in request.params["InstanceIds"]:
            if one not in by_id:
                raise errors.ApiError(
                    "ValidationError", f"The instance {one} is not part of Auto Scaling group {group.name}."
                )
        for one in request.params["InstanceIds"]:
            by_id[one].protected = request.params["ProtectedFromScaleIn"]
        self._settle(group)
        return {}

    @requests.handles("autoscaling:TerminateInstanceInAutoScalingGroup")
    def terminate(self, request: requests.Request) -> dict[str, Any]:
        """End one member, lowering the desired capacity where asked."""
        for group in self._groups.values():
            for member in group.members:
                if member.instance.id == request.params["InstanceId"]:
                    if request.params["ShouldDecrementDesiredCapacity"]:
                        if group.desired - 1 < group.least:
                            raise errors.ApiError("ValidationError", "Currently, desiredSize equals minSize")
                        group.desired -= 1
                    self._end(group, member, "user request")
                    return {"Activity": group.activities[0]}
        raise errors.ApiError("ValidationError", f"Instance Id not found - {request.params['InstanceId']}")

    @requests.handles("autoscaling:SuspendProcesses", "autoscaling:ResumeProcesses")
    def suspend(self, request: requests.Request) -> Mapping[str, Any]:
        """Suspend or resume processes such as Launch; all of them where none is named."""
        group = self._group(request.params["AutoScalingGroupName"])
        everything = ("Launch", "Terminate", "HealthCheck", "ReplaceUnhealthy", "AZRebalance", "AlarmNotification",
                      "ScheduledActions", "AddToLoadBalancer", "InstanceRefresh")  # fmt: skip
        for name in request.params.get("ScalingProcesses") or everything:
            if name not in everything:
                raise errors.ApiError("ValidationError", f"{name} is not a process that can be suspended")
            if request.action == "SuspendProcesses":
                group.suspended[name] = f"User suspended at {self._clock.now():.0f}"
            else:
                group.suspended.pop(name, None)
        self._settle(group)
        return {}

    @requests.handles("autoscaling:EnableMetricsCollection")
    def enable_metrics(self, request: requests.Request) -> Mapping[str, Any]:
        """Let CloudWatch have the group's metrics."""
        group = self._group(request.params["AutoScalingGroupName"])
        group.metrics |= set(request.params.get("Metrics") or _METRICS)
        return {}

    @requests.handles("autoscaling:CreateOrUpdateTags", "autoscaling:DeleteTags")
    def tag(self, request: requests.Request) -> Mapping[str, Any]:
        """Set or remove tags of groups."""
        for tag in request.params["Tags"]:
            group = self._group(tag["ResourceId"])
            if request.action == "DeleteTags":
                group.tags.pop(tag["Key"], None)
            else:
                group.tags[tag["Key"]] = (tag.get("Value", ""), bool(tag.get("PropagateAtLaunch")))
        return {}

    @requests.handles("autoscaling:DescribeScalingActivities")
    def describe_activities(self, request: requests.Request) -> dict[str, Any]:
        """What groups did, newest first."""
        name = request.params.get("AutoScalingGroupName")
        found = [a for g in self._groups.values() if name in (None, g.name) for a in g.activities]
        begin, most = int(request.params.get("NextToken") or 0), request.params.get("MaxRecords", 100)
        more = {"NextToken": str(begin + most)} if begin + most < len(found) else {}
        return {"Activities": found[begin : begin + most], **more}


_METRICS = frozenset(
    ["GroupDesiredCapacity", "GroupMinSize", "GroupMaxSize", "GroupInServiceInstances", "GroupTotalInstances"]
)
