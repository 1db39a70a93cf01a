"""Checks of an account before anything is made, and settings after the stack was created."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simpleflow.nodes import config, errors
from simpleflow.nodes.config import machines as machine_types

from . import bucket, clients, formation

SPOT_SERVICE = "spot.amazonaws.com"


class Account:
    """One account in one region, as ``up``, ``down``, ``plan`` and ``status`` use it."""

    def __init__(self, made: clients.Clients, stacks: formation.Formation | None = None) -> None:
        self.clients = made
        self.formation = stacks or formation.Formation(made)

    def bucket(self, name: str) -> bucket.Bucket:
        """One bucket of the account."""
        return bucket.Bucket(self.clients, name)

    # --- before -------------------------------------------------------------------------------------------------------

    def zones(self) -> frozenset[str]:
        """Names of the region's zones; the first call of all: raises ProviderRefused for bad credentials."""
        with clients.mapped(f"asking EC2 in region '{self.clients.region}' for its zones"):
            found = self.clients.get("ec2").describe_availability_zones()["AvailabilityZones"]
        return frozenset(each["ZoneName"] for each in found if each.get("State", "available") == "available")

    def subnets(self, ids: tuple[str, ...]) -> Mapping[str, str]:
        """Subnet -> zone of subnets that the user names."""
        with clients.mapped(f"looking for the subnets {', '.join(ids)}"):
            found = self.clients.get("ec2").describe_subnets(SubnetIds=list(ids))["Subnets"]
        return {each["SubnetId"]: each["AvailabilityZone"] for each in found}

    def offered(self, types: frozenset[str]) -> Mapping[str, frozenset[str]]:
        """Instance type -> zones that have it."""
        found: dict[str, set[str]] = {}
        more: dict[str, str] = {}
        with clients.mapped("asking which zones have which instance types"):
            while True:
                page = self.clients.get("ec2").describe_instance_type_offerings(
                    LocationType="availability-zone",
                    Filters=[{"Name": "instance-type", "Values": sorted(types)}],
                    **more,
                )
                for each in page["InstanceTypeOfferings"]:
                    found.setdefault(each["InstanceType"], set()).add(each["Location"])
                if not page.get("NextToken"):
                    return {key: frozenset(value) for key, value in found.items()}
                more = {"NextToken": page["NextToken"]}

    def image_problem(self, image: str, arch: str, types: tuple[str, ...] = ()) -> str:
        """What is wrong with an image ('ami-...' or a parameter's path) for these types; '' when it can be used."""
        if image.startswith("/"):
            with clients.mapped(f"reading parameter '{image}'"):
                try:
                    image = self.clients.get("ssm").get_parameter(Name=image)["Parameter"]["Value"]
                except Exception as error:
                    if clients.code_of(error) == "ParameterNotFound":
                        return f"image 'ssm:{image}': no such parameter in {self.clients.region}"
                    raise
        with clients.mapped(f"looking for image '{image}'"):
            try:
                found = self.clients.get("ec2").describe_images(ImageIds=[image])["Images"]
            except Exception as error:
                if clients.code_of(error).startswith("InvalidAMIID"):
                    found = []
                else:
                    raise
        if not found:
            return f"image '{image}' does not exist in {self.clients.region}, or is not shared with this account"
        actual = found[0].get("Architecture", arch)
        if actual != arch:
            return f"image '{image}' is for {actual}, the profile for {arch}; write arch: {actual} or another image"
        old = [each for each in types if not machine_types.boots_uefi(each)]
        if old and found[0].get("BootMode") == "uefi":
            return f"image '{image}' boots under UEFI, which {', '.join(old)} cannot; remove them, or use another image"
        return ""

    def problems(
        self, cluster: config.ClusterConfig, machines: Mapping[str, tuple[config.Machine, tuple[str, ...], str]]
    ) -> Iterator[str]:
        """Return every problem that can be found before anything is made or launched.

        ``machines`` is name -> (machine, its types, its image as the stack takes it).
        """
        region = cluster.region
        if problem := clients.region_problem(region):
            yield problem
            return
        zones = self.zones()
        if cluster.network.vpc:
            used = frozenset(self.subnets(cluster.network.subnets).values())
            if len(used) < len(cluster.network.subnets):
                yield "network.subnets: two subnets are of one zone, and a fleet takes one per zone; keep one of each"
        else:
            wanted = [region + letter for letter in "abcdef"[: cluster.network.zones]]
            missing = [each for each in wanted if each not in zones]
            if missing:
                yield (
                    f"network.zones: {', '.join(missing)} does not exist for this account; it has "
                    f"{', '.join(sorted(zones))}: lower network.zones, or name your own subnets"
                )
            used = frozenset(wanted) & zones
        if cluster.store.startswith("s3://"):
            problem = self.bucket(cluster.store.removeprefix("s3://").split("/")[0]).location_problem()
            if problem:
                yield f"store: {problem}"
        offered = self.offered(frozenset(each for _, types, _ in machines.values() for each in types))
        checked: dict[tuple[str, str, tuple[str, ...]], str] = {}
        for name, (machine, types, image) in machines.items():
            known = [each for each in types if each in offered]
            for each in types:
                if each not in offered:
                    yield f"{name}: instance type '{each}' does not exist in {region}; remove or replace it"
            if known and not any(offered[each] & used for each in known):
                has = ", ".join(sorted(frozenset().union(*(offered[each] for each in known))))
                yield (
                    f"{name}: {', '.join(known)} exists only in {has}, where the cluster has no subnet; raise "
                    "network.zones, or choose other types"
                )
            asked = (image, machine.arch, types)
            if asked not in checked:
                checked[asked] = self.image_problem(*asked)
                if checked[asked]:
                    yield f"{name}: {checked[asked]}"

    def ensure_spot_role(self) -> bool:
        """Make the service-linked role without which a first spot request is refused; False when it exists."""
        with clients.mapped("making the service-linked role of spot"):
            try:
                self.clients.get("iam").create_service_linked_role(AWSServiceName=SPOT_SERVICE)
            except Exception as error:
                code = clients.code_of(error)
                if code in {"InvalidInput", "EntityAlreadyExists"}:
                    return False
                raise
        return True

    # --- after --------------------------------------------------------------------------------------------------------

    def set_wake_up(self, alarm: str, *, acts: bool) -> None:
        """Let the wake-up alarm act, or only show its state; one that is gone is not an error."""
        call = "enable_alarm_actions" if acts else "disable_alarm_actions"
        with clients.mapped(f"setting alarm '{alarm}'"):
            getattr(self.clients.get("cloudwatch"), call)(AlarmNames=[alarm])

    def calm(self, alarm: str) -> None:
        """Reset the alarm of the boot guard; it does not reset itself."""
        with clients.mapped(f"setting alarm '{alarm}'"):
            self.clients.get("cloudwatch").set_alarm_state(
                AlarmName=alarm, StateValue="OK", StateReason="sfnodes up resumed the group"
            )

    def alarm_state(self, alarm: str) -> str:
        """Return the state of an alarm, '' when there is none of that name."""
        with clients.mapped(f"reading alarm '{alarm}'"):
            found: Any = self.clients.get("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
        return str(found[0]["StateValue"]) if found else ""

    def delete_log_group(self, name: str) -> None:
        """Delete a log group; one that is gone is not an error."""
        with clients.mapped(f"deleting log group '{name}'"):
            try:
                self.clients.get("logs").delete_log_group(logGroupName=name)
            except Exception as error:
                if clients.code_of(error) != "ResourceNotFoundException":
                    raise


def require(problems: list[str]) -> None:
    """Raise one error with every problem, a line each; nothing when there is none."""
    if problems:
        raise errors.NodesError("nothing was made or launched:\n" + "\n".join(f"- {each}" for each in problems))
