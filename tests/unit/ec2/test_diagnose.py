"""The boot log of a machine that never worked, and errors that never leave as botocore's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import botocore.exceptions
import pytest

from simpleflow.core import clock as clocks
from simpleflow.nodes import config, errors
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers import base, ec2
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.providers.ec2 import clients, formation
from simpleflow.nodes.stack import up
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.conftest import CODE, CloudClients


class _Logged:
    """A machine whose console holds these lines."""

    def stop(self, *, hard: bool = False) -> None:
        return

    def log(self) -> str:
        return "".join(f"line {number}\n" for number in range(80))


def _boot(machine: emulated.Machine, exited: Callable[[int], None]) -> _Logged:
    return _Logged()


@pytest.fixture
def cloud() -> Iterator[emulated.Cloud]:
    with emulated.Cloud(boot=_boot) as opened:
        yield opened


def test_the_last_fifty_lines_of_the_console(
    cloud: emulated.Cloud, cluster: config.ClusterConfig, builder: bundle.Builder
) -> None:
    made = CloudClients(cloud)
    for _ in up.up(cluster, accounts.Account(made, formation.Formation(made, pause=0.02)), builder, lambda: CODE):
        pass
    provider = ec2.Ec2Provider(cluster, made, clocks.RealClock())
    [node] = provider.launch(
        base.LaunchSpec(cluster="demo", profile="small", attempt="a", units=1, not_after=time.time() + 600)
    ).instances
    limit = time.monotonic() + 120
    while cloud.instances.get(node.id).machine is None and time.monotonic() < limit:
        time.sleep(0.02)
    lines = provider.diagnose(node.id).splitlines()
    assert (len(lines), lines[0], lines[-1]) == (50, "line 30", "line 79")
    assert provider.diagnose("i-0123456789abcdef0") == ""


def test_without_a_stack_the_message_says_what_makes_one(cloud: emulated.Cloud, cluster: config.ClusterConfig) -> None:
    provider = ec2.Ec2Provider(cluster, CloudClients(cloud), clocks.RealClock())
    with pytest.raises(errors.ProviderRefused, match="has no stack in eu-west-1; `sfnodes up` makes it"):
        provider.launch(
            base.LaunchSpec(cluster="demo", profile="small", attempt="a", units=1, not_after=time.time() + 600)
        )


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        (botocore.exceptions.NoCredentialsError(), errors.ProviderRefused, "set AWS_PROFILE"),
        (botocore.exceptions.ProfileNotFound(profile="p"), errors.ProviderRefused, "list-profiles"),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="https://x"), errors.ProviderUnclear, "no answer"),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="https://x"), errors.ProviderUnclear, "region"),
        (botocore.exceptions.ConnectionClosedError(endpoint_url="https://x"), errors.ProviderUnclear, "no answer"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_botocores_errors_become_ours(theirs: Exception, ours: type[Exception], words: str) -> None:
    with pytest.raises(ours, match=words) as caught, clients.mapped("looking"):
        raise theirs
    assert caught.value.__cause__ is theirs


def test_missing_credentials_are_one_clear_message(
    cluster: config.ClusterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(errors.ProviderRefused, match="no AWS credentials were found; set AWS_PROFILE"):
        accounts.Account(ec2.BotoClients("eu-west-1")).zones()


def test_a_client_without_retries_tries_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ec2.BotoClients("eu-west-1")
    assert made.get("ec2", retries=False).meta.config.retries["total_max_attempts"] == 1
    assert made.get("ec2") is made.get("ec2")
