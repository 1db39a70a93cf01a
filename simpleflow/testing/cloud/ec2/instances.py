"""Instances: one store in the shape of the API's answers, and the one ``launch`` behind everything that launches."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud import timeline
from simpleflow.testing.cloud.ec2 import capacity, launch_templates, machines
from simpleflow.testing.cloud.wire import codec, errors, ids

State = Literal["pending", "running", "shutting-down", "terminated", "stopping", "stopped"]
_CODES: dict[State, int] = {
    "pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """How long things take in the emulated account, in seconds. All nothing by default."""

    #: from launch to ``running``; the machine boots then
    boot: float = 0.0
    #: from launch until lists and id look-ups show an instance
    list_lag: float = 0.0
    #: from ``shutting-down`` to ``terminated``
    shutdown: float = 0.0
    #: how long lists show a terminated instance (AWS: about an hour)
    remembered: float = 3600.0
    #: how long client tokens of launches are remembered (AWS states no window)
    tokens: float = float("inf")


@dataclasses.dataclass(kw_only=True, eq=False)
class Instance:
    """One machine of the account."""

    id: str
    reservation: str
    spec: dict[str, Any]
    market: capacity.Market
    zone: str
    subnet: str
    vpc: str
    private_ip: str
    public: bool
    groups: tuple[str, ...]
    role: str
    profile_arn: str
    user_data: bytes
    tags: dict[str, str]
    price: float
    launched: float
    boots_at: float
    visible_at: float
    token: str = ""
    fleet: str = ""
    group: str = ""
    ended: float | None = None
    gone_at: float | None = None
    stopped: float | None = None
    reason: tuple[str, str] = ("", "")
    #: what /latest/meta-data/spot/instance-action answers
    interruption: Mapping[str, str] | None = None
    machine: machines.Running | None = None
    last_log: str = ""

    @property
    def type(self) -> str:
        """Instance type."""
        return str(self.spec["InstanceType"])

    def state(self, now: float) -> State:
        """Its state by the cloud's clock."""
        if self.ended is not None:
            return "terminated" if self.gone_at is not None and now >= self.gone_at else "shutting-down"
        if self.stopped is not None:
            return "stopped"
        return "pending" if now < self.boots_at else "running"

    @property
    def alive(self) -> bool:
        """Neither ended nor stopped."""
        return self.ended is None and self.stopped is None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """A subnet, as launches need it."""

    subnet: str
    vpc: str
    zone: str
    cidr: str
    public: bool


class Instances:
    """The store, and the life of each instance.

    Args:
        clock: the cloud's clock.
        line: where boots and ends are planned.
        maker: makes ids.
        stock: what can be launched.
        timing: how long things take.
        boot: makes an instance's machine when it is up; None leaves it an entry in a list.
        describe: turns an instance into what its machine may know.
    """

    def __init__(
        self,
        *,
        clock: clocks.Clock,
        line: timeline.Timeline,
        maker: ids.Ids,
        stock: capacity.Capacity,
        timing: Timing,
        boot: machines.Boot | None,
        describe: Callable[[Instance], machines.Machine],
        profiles: Callable[[Mapping[str, str]], tuple[str, str]],
        places: Callable[[str], Place],
        images: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._line = line
        self._ids = maker
        self.stock = stock
        self.timing = timing
        self._boot = boot
        self._describe = describe
        self._profiles = profiles
        self.place_of = places
        self._images = images
        self._all: dict[str, Instance] = {}
        #: called with each instance that ended or stopped
        self.on_end: list[Callable[[Instance], None]] = []

    # --- launching ----------------------------------------------------------------------------------------------

    def launch(
        self,
        spec: dict[str, Any],
        count: int,
        market: capacity.Market,
        *,
        least: int = 1,
        token: str = "",
        fleet: str = "",
        group: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> list[Instance]:
        """Launch up to ``count`` instances of one merged specification, at least ``least``.

        RunInstances, CreateFleet and the Auto Scaling group all come through here. Raises ApiError as EC2 refuses:
        unknown type, image, profile or subnet, bad user data or tags, sold-out pool, quota. ``tags`` are AWS's own,
        such as ``aws:ec2:fleet-id``.
        """
        place, groups, public = self._where(spec)
        stock = self.stock
        cores = stock.vcpus(spec.get("InstanceType", "m1.small"))
        self._images(spec.get("ImageId", ""))
        data = launch_templates.user_data(spec["UserData"]) if spec.get("UserData") else b""
        given = launch_templates.tags_of(spec.get("TagSpecifications", []), "instance")
        metadata_tags = spec.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled"
        launch_templates.check_tags(given, in_metadata=metadata_tags)
        arn, role = self._profiles(spec["IamInstanceProfile"]) if spec.get("IamInstanceProfile") else ("", "")
        running = sum(stock.vcpus(i.type) for i in self._all.values() if i.ended is None and i.market == market)
        affordable = max(0, (stock.quotas[market] - running) // cores)
        if affordable < least:
            raise stock.quota_refusal(market)
        sold = stock.on_sale(spec["InstanceType"], place.zone, market, min(count, affordable))
        if sold < least:
            raise stock.refusal(spec["InstanceType"], place.zone)
        stock.sell(spec["InstanceType"], place.zone, market, sold)
        now = self._clock.now()
        reservation = self._ids.make("r")
        hosts = ipaddress.ip_network(place.cidr)
        made = []
        for _ in range(sold):
            number = self._ids.number(f"ip-{place.subnet}")
            instance = Instance(
                id=self._ids.make("i"),
                reservation=reservation,
                spec=spec,
                market=market,
                zone=place.zone,
                subnet=place.subnet,
                vpc=place.vpc,
                private_ip=str(hosts[4 + number % max(1, hosts.num_addresses - 5)]),
                public=public,
                groups=groups,
                role=role,
                profile_arn=arn,
                user_data=data,
                tags={**given, **(tags or {})},
                price=stock.price(spec["InstanceType"], market),
                launched=now,
                boots_at=now + self.timing.boot,
                visible_at=now + self.timing.list_lag,
                token=token,
                fleet=fleet,
                group=group,
            )
            self._all[instance.id] = instance
            made.append(instance)
            self._line.at(instance.boots_at, functools.partial(self._start, instance))
        return made

    def _where(self, spec: Mapping[str, Any]) -> tuple[Place, tuple[str, ...], bool]:
        cards = spec.get("NetworkInterfaces") or []
        if cards and (spec.get("SecurityGroupIds") or spec.get("SecurityGroups")):
            raise errors.ApiError(
                "InvalidParameterCombination",
                "Network interfaces and an instance-level security groups may not be specified on the same request",
            )
        card = cards[0] if cards else {}
        place = self.place_of(card.get("SubnetId") or spec.get("SubnetId") or "")
        groups = tuple(card.get("Groups") or spec.get("SecurityGroupIds") or ())
        return place, groups, bool(card.get("AssociatePublicIpAddress", place.public))

    def _start(self, instance: Instance) -> None:
        if instance.alive and self._boot is not None and instance.machine is None:
            instance.machine = self._boot(self._describe(instance), lambda code: self._exited(instance, code))

    def _exited(self, instance: Instance, code: int) -> None:
        """A machine ended by itself: exit 0 is a power-off; after anything else it runs on with a dead agent."""
        self._line.after(0, lambda: self._powered_off(instance) if code == 0 else None)

    def power_off(self, instance_id: str) -> None:
        """Let a machine power itself off, as exit 0 of its process does."""
        self._powered_off(self.get(instance_id))

    def _powered_off(self, instance: Instance) -> None:
        if not instance.alive:
            return
        reason = ("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown")
        if instance.spec.get("InstanceInitiatedShutdownBehavior") == "terminate":
            self.end(instance, reason)
        else:
            instance.stopped = self._clock.now()
            instance.reason = reason
            self._told(instance)

    # --- ending -------------------------------------------------------------------------------------------------

    def end(self, instance: Instance, reason: tuple[str, str]) -> None:
        """Terminate an instance; its machine is stopped. One that has ended stays as it is."""
        if instance.ended is not None:
            return
        now = self._clock.now()
        instance.ended = now
        instance.gone_at = now + self.timing.shutdown
        instance.reason = reason
        if instance.machine is not None:
            instance.last_log = instance.machine.log()
            instance.machine.stop()
        self._told(instance)

    def _told(self, instance: Instance) -> None:
        for listener in self.on_end:
            listener(instance)

    def interrupt(self, instance_id: str, *, notice: float = 120.0) -> None:
        """Give a spot instance its notice; it is terminated by EC2 ``notice`` seconds later."""
        instance = self.get(instance_id)
        moment = self._clock.now() + notice
        instance.interruption = {"action": "terminate", "time": codec.iso(moment)[:19] + "Z"}
        self._line.at(
            moment,
            lambda: self.end(
                instance,
                ("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination"),
            ),
        )

    # --- looking ------------------------------------------------------------------------------------------------

    def get(self, instance_id: str) -> Instance:
        """Find an instance; raises ApiError when EC2 would not know it (any more)."""
        instance = self._all.get(instance_id)
        if instance is None or not self._remembered(instance):
            raise errors.ApiError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        return instance

    def visible(self) -> Iterable[Instance]:
        """What a list shows now: what lags is missing, what ended long ago is forgotten."""
        now = self._clock.now()
        return [i for i in self._all.values() if i.visible_at <= now and self._remembered(i)]

    def shown(self, instance_id: str) -> Instance:
        """Find an instance as look-ups by id see it; raises ApiError while lists lag."""
        instance = self.get(instance_id)
        if instance.visible_at > self._clock.now():
            raise errors.ApiError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        return instance

    def all(self) -> list[Instance]:
        """Every instance there ever was, in order of launch: for reports, not for answers."""
        return list(self._all.values())

    def _remembered(self, instance: Instance) -> bool:
        return instance.gone_at is None or self._clock.now() < instance.gone_at + self.timing.remembered

    def console(self, instance: Instance) -> str:
        """The machine's log so far."""
        return instance.machine.log() if instance.machine is not None else instance.last_log

    def forget(self) -> None:
        """Stop every machine and forget every instance, as if there had never been one."""
        self.close()
        self._all.clear()

    def close(self) -> None:
        """Stop every machine, at once."""
        for instance in self._all.values():
            if instance.machine is not None:
                instance.machine.stop(hard=True)


def describe(instance: Instance, now: float) -> dict[str, Any]:
    """An instance in the shape of DescribeInstances."""
    spec = instance.spec
    state = instance.state(now)
    gone = state == "terminated"
    card = {
        "NetworkInterfaceId": "eni-" + instance.id[2:],
        "SubnetId": instance.subnet,
        "VpcId": instance.vpc,
        "PrivateIpAddress": instance.private_ip,
        "Status": "in-use",
        "SourceDestCheck": True,
        "Groups": [{"GroupId": g} for g in instance.groups],
    }
    options = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled",
               "InstanceMetadataTags": "disabled", **spec.get("MetadataOptions", {})}  # fmt: skip
    shown: dict[str, Any] = {
        "InstanceId": instance.id,
        "ImageId": spec.get("ImageId"),
        "InstanceType": instance.type,
        "State": {"Code": _CODES[state], "Name": state},
        "LaunchTime": instance.launched,
        "AmiLaunchIndex": 0,
        "Architecture": "x86_64",
        "ClientToken": instance.token,
        "EbsOptimized": bool(spec.get("EbsOptimized")),
        "Hypervisor": "xen",
        "VirtualizationType": "hvm",
        "RootDeviceType": "ebs",
        "RootDeviceName": "/dev/xvda",
        "Monitoring": {"State": "enabled" if spec.get("Monitoring", {}).get("Enabled") else "disabled"},
        "Placement": {"AvailabilityZone": instance.zone, "Tenancy": "default", "GroupName": ""},
        "MetadataOptions": {"State": "applied", **options},
        "StateTransitionReason": instance.reason[1],
        "Tags": [{"Key": k, "Value": v} for k, v in instance.tags.items()],
        "PrivateDnsName": "" if gone else f"ip-{instance.private_ip.replace('.', '-')}.ec2.internal",
        "PublicDnsName": "",
        "SecurityGroups": [] if gone else [{"GroupId": g} for g in instance.groups],
        "NetworkInterfaces": [] if gone else [card],
        "BlockDeviceMappings": [] if gone else _disks(instance),
        "InstanceLifecycle": "spot" if instance.market == "spot" else None,
        "KeyName": spec.get("KeyName"),
    }
    if instance.reason[0]:
        shown["StateReason"] = {"Code": instance.reason[0], "Message": instance.reason[1]}
    if not gone:
        shown |= {"SubnetId": instance.subnet, "VpcId": instance.vpc, "PrivateIpAddress": instance.private_ip}
    if instance.profile_arn and not gone:
        shown["IamInstanceProfile"] = {"Arn": instance.profile_arn, "Id": "AIPA" + instance.id[2:].upper()}
    return shown


def _disks(instance: Instance) -> list[dict[str, Any]]:
    disks = instance.spec.get("BlockDeviceMappings") or [{"DeviceName": "/dev/xvda", "Ebs": {}}]
    return [
        {
            "DeviceName": disk["DeviceName"],
            "Ebs": {
                "VolumeId": f"vol-{instance.id[2:-1]}{number:x}",
                "Status": "attached",
                "AttachTime": instance.launched,
                "DeleteOnTermination": disk.get("Ebs", {}).get("DeleteOnTermination", True),
            },
        }
        for number, disk in enumerate(disks)
    ]
