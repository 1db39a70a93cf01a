"""The cluster file as values. Validation is read from these types (reader.py), the JSON Schema too."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from simpleflow.nodes import prices

from . import machines
from . import times as times_module

Name = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}$", description="lower-case letters, digits and '-', at most 31")
]
_SWF = r"(?!arn$)(?!\s)[^:/|\x00-\x1f\x7f-\x9f]{1,256}(?<!\s)"
_SWF_WORDS = "1 to 256 characters without ':', '/', '|', without blanks at the ends, and not the word arn"
#: names as SWF takes them
ListName = Annotated[str, Meta(pattern=f"^{_SWF}$", description=_SWF_WORDS)]
OptionalName = Annotated[str, Meta(pattern=f"^({_SWF})?$", description=_SWF_WORDS)]
Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0, le=10_000)]
Positive = Annotated[int, Meta(ge=1, le=10_000)]
Money = Annotated[float, Meta(ge=0, le=1_000_000_000)]
#: letters that EC2 shows in instance metadata, and IAM takes: roles bear the tags too
TagKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+\-=._:@]{1,128}$", description="letters, digits and +-=._:@")]
EnvName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="a variable's name")]
#: seconds
_YEAR = 366 * 86_400
Market = Literal["on-demand", "spot"]
#: what one per cent of time is worth, in per cent of money
SPEEDS = {"economy": 1.0, "balanced": 2.0, "fast": 5.0}
Speed = Annotated[float, Meta(gt=0, le=100)] | Literal["economy", "balanced", "fast"]
PolicyName = Literal["look-ahead", "boundary", "idle", "end-of-run"]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the cluster file: unknown keys are errors."""


class Disk(Strict, frozen=True, kw_only=True):
    """The root volume (ec2): encrypted, deleted with the machine."""

    #: GiB
    size: Positive = 16
    type: Literal["gp3", "gp2", "io2"] = "gp3"
    iops: Positive | None = None
    #: MiB/s
    throughput: Positive | None = None


class Billing(Strict, frozen=True, kw_only=True):
    """How a machine is billed: whole periods of ``period`` seconds, at least ``minimum`` seconds."""

    period: Annotated[int, Meta(ge=1, le=_YEAR)] = 1
    minimum: Annotated[int, Meta(ge=0, le=_YEAR)] = 60
    #: per hour, 0 for machines that cost nothing; None: on ec2 the list price of the dearest of the types (`sfnodes
    #: prices`), elsewhere unknown, and then no budget can be held
    price: Money | None = None


class Statement(Strict, frozen=True, kw_only=True):
    """One IAM statement that a profile's nodes get besides their own (ec2)."""

    actions: tuple[Text, ...]
    resources: tuple[Text, ...]


class Ssh(Strict, frozen=True, kw_only=True):
    """How to reach machines that you already have."""

    user: Text = "root"
    port: Annotated[int, Meta(ge=1, le=65535)] = 22
    #: path of a private key; '' for the agent's
    key: str = ""
    #: path of a known_hosts file; '' for the user's
    known_hosts: str = ""


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What machines of deciders and of profiles have in common."""

    #: instance types in order of preference (ec2)
    types: tuple[Text, ...] = ()
    market: Market = "on-demand"
    #: AMI id or ``ssm:/parameter``; '' for the cluster's
    image: str = ""
    arch: Literal["x86_64", "arm64"] = "x86_64"
    disk: Disk = Disk()
    billing: Billing = Billing()
    permissions: tuple[Statement, ...] = ()
    environment: dict[EnvName, str] = {}
    #: variable name -> SSM parameter or Secrets Manager ARN, resolved on the machine (ec2)
    secrets: dict[EnvName, Text] = {}

    @property
    def launched_types(self) -> tuple[str, ...]:
        """The instance types of its machines (ec2)."""
        return self.types


class Profile(Machine, frozen=True, kw_only=True):
    """A kind of worker machine."""

    #: machines kept even without work; needs deciders.min >= 1
    min: Count = 0
    #: most machines of this profile; None: what its task lists allow
    max: Positive | None = None
    #: seconds from launch to the first poll, until it was measured; None: times.boot
    boot: times_module.Seconds | None = None
    #: seconds without work after which a machine goes, when it is billed by the second; None: its boot time
    idle: times_module.Seconds | None = None
    #: addresses of machines that you already have (ssh)
    hosts: tuple[Text, ...] = ()
    ssh: Ssh = Ssh()


class TaskList(Strict, frozen=True, kw_only=True):
    """Which profile serves a task list of activities, and how."""

    profile: Name
    #: tasks of this list at once on one machine
    slots: Positive = 1
    #: most machines that tasks of this list may call for
    max: Positive


class Deciders(Machine, frozen=True, kw_only=True):
    """The machines (ec2) or processes (process, ssh) that evaluate workflows."""

    min: Annotated[int, Meta(ge=0, le=1)] = 0
    max: Annotated[int, Meta(ge=1, le=100)] = 1
    #: the decision task list of this cluster's workflows; '' for the cluster's name
    task_list: OptionalName = ""
    #: 'package.module.Class' each; none: loaded when a task names them
    workflows: tuple[Text, ...] = ()
    #: decider processes per machine
    processes: Annotated[int, Meta(ge=1, le=64)] = 1
    #: leave also while executions only wait for timers or signals (ec2; needs the wake-up alarm)
    sleep: bool = False

    @property
    def launched_types(self) -> tuple[str, ...]:
        return self.types or (machines.DECIDER_TYPES[self.arch],)


class Budget(Strict, frozen=True, kw_only=True):
    """Hard caps in money, each checked against the worst case before every launch."""

    per_hour: Money | None = None
    per_day: Money | None = None
    per_month: Money | None = None


class Breaker(Strict, frozen=True, kw_only=True):
    """Machines that never worked, or stopped working, each proved, after which launches stop until `up`.

    One that is launched after them and works ends it too.
    """

    #: in a row, of one profile and image: that profile pauses
    pause: Positive = 3
    #: in all: every launch stops (AWS ParallelCluster: 10)
    stop: Positive = 10


class Network(Strict, frozen=True, kw_only=True):
    """Where machines of ec2 stand."""

    #: an existing VPC with its subnets, one per zone; '' makes one
    vpc: str = ""
    subnets: tuple[Text, ...] = ()
    #: zones of a network that is made
    zones: Annotated[int, Meta(ge=1, le=6)] = 2
    cidr: Text = "10.77.0.0/16"
    #: public subnets without inbound cost nothing at rest; the others have an hourly price that plan shows
    access: Literal["public", "nat", "endpoints"] = "public"
    ipv6: bool = False


class Code(Strict, frozen=True, kw_only=True):
    """What is installed on the machines; at most one of wheel, requirement, path. Paths: relative to the file, or ~."""

    wheel: str = ""
    requirement: str = ""
    #: a project (pyproject.toml, setup.py), a package (__init__.py), or a folder of modules
    path: str = ""
    #: more wheels of yours: what is held here is looked up in no index
    wheels: tuple[Text, ...] = ()
    #: a requirements file of pip
    requirements: str = ""
    #: the machines' Python; '' for that of Debian 12 (ec2), or of this machine (ssh)
    python: Annotated[str, Meta(pattern=r"^(3\.\d+)?$", description="a version such as '3.11', in quotes")] = ""
    #: of the machines; none: those of the profiles
    architectures: tuple[Literal["x86_64", "arm64"], ...] = ()
    #: whether machines ask pip's index for what wheels of yours need; else `up` brings everything
    index: bool = False
    #: prefixes of modules whose activities may be dispatched; none: all
    modules: tuple[Text, ...] = ()


class Logs(Strict, frozen=True, kw_only=True):
    """Log groups (ec2)."""

    retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 180, 365] = 30


class ClusterConfig(Strict, frozen=True, kw_only=True):
    """A cluster file. ``times`` and ``source`` are resolved by the reader."""

    cluster: Name
    provider: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$", description="process, ec2, ssh or a plug-in")] = (
        "process"
    )
    #: domain of SWF; '' for the cluster's name
    domain: OptionalName = ""
    region: str = ""
    #: URL of the coordinator; '' for the embedded service (process) or Amazon SWF (ec2); ssh needs one
    endpoint: str = ""
    #: BlobStore URL of the documents; '' for a folder of the user's data directory (process) or the stack's bucket
    #: (ec2); ssh needs one
    store: str = ""
    #: of all machines that name none
    image: str = ""
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="three capital letters")] = "USD"
    profiles: dict[Name, Profile]
    task_lists: dict[ListName, TaskList]
    deciders: Deciders = Deciders()
    #: how many machines, and when they go. look-ahead: as many as are worth their money, by what the deciders foresee.
    #: The others launch one for every task that finds no slot, and let idle machines go near the end of the paid
    #: period (boundary), after profiles.NAME.idle seconds (idle), or when no run is open (end-of-run)
    policy: PolicyName = "look-ahead"
    #: of look-ahead: how many per cent of money one per cent of time is worth; economy 1, balanced 2, fast 5
    speed: Speed = "balanced"
    budget: Budget = Budget()
    breaker: Breaker = Breaker()
    code: Code = Code()
    network: Network = Network()
    logs: Logs = Logs()
    #: besides simpleflow:*, on everything that is made
    tags: dict[TagKey, str] = {}
    #: where the times start from; None: local for process and ssh, else aws
    preset: times_module.PresetName | None = None
    #: named settings that replace the preset's
    times: dict[str, times_module.Seconds] = {}

    def lists_of(self, profile: str) -> tuple[tuple[str, int], ...]:
        """(task list, slots) pairs of a profile, by name."""
        return tuple((name, each.slots) for name, each in sorted(self.task_lists.items()) if each.profile == profile)

    def max_of(self, profile: str) -> int:
        """Most machines of a profile: its own ``max``, never more than one of its lists may call for.

        Every machine serves all lists of its profile, so the lists' numbers do not add up.
        """
        by_lists = max(each.max for each in self.task_lists.values() if each.profile == profile)
        own = self.profiles[profile].max
        return by_lists if own is None else min(own, by_lists)

    def image_of(self, machine: Machine) -> str:
        """The image of a machine: its own or the cluster's."""
        return machine.image or self.image

    def price_of(self, machine: Machine) -> float | None:
        """Price per hour of a machine: the file's, else on ec2 the list's for the dearest of its types."""
        if machine.billing.price is not None or self.provider != "ec2" or self.currency != prices.known().currency:
            return machine.billing.price
        return prices.dearest(machine.launched_types, self.region)

    @property
    def speed_factor(self) -> float:
        """``speed`` as a number."""
        return SPEEDS[self.speed] if isinstance(self.speed, str) else self.speed

    @property
    def swf_domain(self) -> str:
        return self.domain or self.cluster

    @property
    def decision_task_list(self) -> str:
        return self.deciders.task_list or self.cluster

    @property
    def preset_name(self) -> str:
        return self.preset or ("aws" if self.provider == "ec2" else "local")

    @property
    def settings(self) -> times_module.Times:
        """The named times: preset and overrides."""
        return times_module.resolve(self.preset_name, self.times)

    def boot_of(self, profile: str) -> float:
        """Seconds from launch to the first poll, as configured."""
        own = self.profiles[profile].boot
        return self.settings.boot if own is None else own
