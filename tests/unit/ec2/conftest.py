from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import botocore.config
import pytest

from simpleflow.core import clock as clocks
from simpleflow.nodes import config
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.providers.ec2 import formation
from simpleflow.nodes.stack import up
from simpleflow.testing import cloud as emulated

CLUSTER = """\
cluster: demo
provider: ec2
region: eu-west-1
preset: rehearsal
profiles:
  small:
    types: [c7i.large, c6i.large]
  gpu-2:
    types: [g5.xlarge]
    market: spot
task_lists:
  light: {profile: small, slots: 2, max: 2000}
  heavy: {profile: gpu-2, max: 4}
"""


class CloudClients:
    """Clients of the emulated account (ec2.Clients)."""

    def __init__(self, cloud: emulated.Cloud, credentials: Any = None) -> None:
        self.region = cloud.region
        self._cloud = cloud
        self._credentials = credentials
        self._made: dict[tuple[str, bool], Any] = {}

    def get(self, service: str, *, retries: bool = True) -> Any:
        if (service, retries) not in self._made:
            settings = botocore.config.Config(retries={"total_max_attempts": 3 if retries else 1})
            self._made[service, retries] = self._cloud.http_client(
                service, config=settings, credentials=self._credentials
            )
        return self._made[service, retries]


class DirectClients(CloudClients):
    """The same without a socket, where nothing of HTTP is shown."""

    def get(self, service: str, *, retries: bool = True) -> Any:
        if (service, retries) not in self._made:
            self._made[service, retries] = self._cloud.client(service)
        return self._made[service, retries]


@pytest.fixture
def cluster() -> config.ClusterConfig:
    return config.loads(CLUSTER)


@pytest.fixture
def cloud() -> Iterator[emulated.Cloud]:
    """The emulated account with this machine's clock, so that signatures have its dates."""
    with emulated.Cloud(group_pause=0.05, patience=5.0) as opened:
        yield opened


@pytest.fixture(scope="module")
def standing(builder: bundle.Builder) -> Iterator[emulated.Cloud]:
    """One account for a module, with the cluster up; ``fresh`` makes it as new before each test."""
    with emulated.Cloud(group_pause=0.05, patience=5.0) as opened:
        made = CloudClients(opened)
        shared = accounts.Account(made, formation.Formation(made, pause=0.02))
        for _ in up.up(config.loads(CLUSTER), shared, builder, lambda: CODE):
            pass
        yield opened


@pytest.fixture
def fresh(standing: emulated.Cloud) -> emulated.Cloud:
    """The shared account without instances, calls and faults; its group at 0."""
    scaling = standing.client("autoscaling")
    for group in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
        name, members = group["AutoScalingGroupName"], [each["InstanceId"] for each in group["Instances"]]
        scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=0)
        if members:
            scaling.set_instance_protection(AutoScalingGroupName=name, InstanceIds=members, ProtectedFromScaleIn=False)
    standing.forget()
    return standing


@pytest.fixture
def made(cloud: emulated.Cloud) -> CloudClients:
    return CloudClients(cloud)


@pytest.fixture
def account(made: CloudClients) -> accounts.Account:
    return accounts.Account(made, formation.Formation(made, pause=0.02))


@pytest.fixture(scope="session")
def builder() -> bundle.Builder:
    return bundle.Builder(config.loads(CLUSTER))


CODE = bundle.Code(digest="ab" * 32, content=b"code")


@pytest.fixture
def code() -> Callable[[], bundle.Code]:
    return lambda: CODE


@pytest.fixture
def provider(cluster: config.ClusterConfig, made: CloudClients) -> ec2.Ec2Provider:
    return ec2.Ec2Provider(cluster, made, clocks.RealClock())
