"""What the stacks are made from: plain values, so that this folder can be copied and changed on its own."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping

#: Stand inside user data for what is known only when the stack is made. The code's looks like the digest that it is.
BUCKET_TOKEN = "__SIMPLEFLOW_BUCKET__"  # noqa: S105  # a placeholder, no secret
CODE_TOKEN = "c0de" * 16
GROUP_TOKEN = "__SIMPLEFLOW_GROUP__"  # noqa: S105  # a placeholder, no secret
ALARM_TOKEN = "__SIMPLEFLOW_ALARM__"  # noqa: S105  # a placeholder, no secret

CLUSTER_TAG = "simpleflow:cluster"
PROFILE_TAG = "simpleflow:profile"
ATTEMPT_TAG = "simpleflow:attempt"
ROLE_TAG = "simpleflow:role"
DRAIN_TAGS = "simpleflow:drain.*"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disk:
    """The root volume."""

    #: GiB
    size: int = 16
    type: str = "gp3"
    iops: int | None = None
    #: MiB/s
    throughput: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Statement:
    """One IAM statement that a profile's nodes get besides their own."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """One kind of machine: a profile of workers, or the deciders."""

    name: str
    #: instance types in order of preference
    types: tuple[str, ...]
    #: 'on-demand' or 'spot'
    market: str = "on-demand"
    #: 'ami-...', or the path of an SSM parameter that holds one
    image: str
    #: name of the image's root device
    root_device: str = "/dev/xvda"
    disk: Disk = Disk()
    #: raw text, the tokens inside
    user_data: str
    permissions: tuple[Statement, ...] = ()
    #: names of SSM parameters (with a leading '/') or ARNs of secrets
    secrets: tuple[str, ...] = ()
    #: task lists of activities that it serves
    task_lists: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A network of our own, or subnets that exist."""

    vpc: str = ""
    subnets: tuple[str, ...] = ()
    #: zones of a network that is made, 'eu-west-1a'
    zones: tuple[str, ...] = ()
    cidr: str = "10.77.0.0/16"
    #: 'public', 'nat' or 'endpoints'
    access: str = "public"
    ipv6: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
    """Everything that the two stacks depend on."""

    name: str
    region: str
    #: domain of SWF
    domain: str
    decision_task_list: str
    profiles: tuple[Machine, ...]
    deciders: Machine
    deciders_min: int = 0
    deciders_max: int = 1
    network: Network = Network()
    #: name of a bucket that exists; '' lets the base stack make one
    bucket: str = ""
    #: folder of the cluster in a bucket that exists, with its '/' at the end
    prefix: str = ""
    log_days: int = 30
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: seconds between two looks of the wake-up alarm
    alarm_period: int = 60


def logical(name: str) -> str:
    """A name as part of a logical id, which holds letters and digits only; different names stay different.

    'big-gpu' gives 'BigGpu'; where that does not lead back ('gpu-2', 'a--b'), a digest of the name follows.
    """
    titled = "".join(part[:1].upper() + part[1:] for part in name.split("-"))
    back = re.sub("[A-Z]", lambda found: "-" + found[0].lower(), titled)[1:]
    return titled if back == name else titled + hashlib.sha256(name.encode()).hexdigest()[:8]


def tags_of(cluster: Cluster, **more: str) -> dict[str, str]:
    """Tags of a resource: the user's, then ours."""
    return {**cluster.tags, CLUSTER_TAG: cluster.name, **more}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as CloudFormation writes them, sorted."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
