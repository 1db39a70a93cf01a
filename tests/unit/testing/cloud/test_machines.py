"""Metadata of each instance, and instances that are local processes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

from simpleflow.core import clock as clocks
from simpleflow.testing import cloud as emulated
from tests.unit.testing.cloud.helpers import role

Opened = Callable[..., emulated.Cloud]


def launch(cloud: emulated.Cloud, **more: Any) -> str:
    given = {
        "ImageId": cloud.image,
        "InstanceType": "m7i.large",
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "simpleflow:cluster", "Value": "c"}]}],
        **more,
    }
    made = cloud.client("ec2").run_instances(MinCount=1, MaxCount=1, **given)
    return str(made["Instances"][0]["InstanceId"])


class Imds:
    """A client of one instance's metadata."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._http = urllib3.PoolManager()
        self.token = self.ask("latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})[1]

    def ask(self, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str]:
        answer = self._http.request(method, self._base + path, headers=headers or {})
        return answer.status, answer.data.decode()

    def __call__(self, path: str) -> str | None:
        status, text = self.ask(path, headers={"X-aws-ec2-metadata-token": self.token})
        return text if status == 200 else None


def test_metadata_v2(cloud: emulated.Cloud) -> None:
    one = launch(cloud, UserData="#!/bin/sh\necho hello\n")
    imds = Imds(cloud.metadata_endpoint(one))
    assert imds.ask("latest/meta-data/instance-id")[0] == 401
    assert imds.ask("latest/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": "wrong"})[0] == 401
    assert imds.ask("latest/api/token", "PUT", {})[0] == 400
    assert imds.ask("latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "21601"})[0] == 400
    forwarded = {"X-aws-ec2-metadata-token-ttl-seconds": "60", "X-Forwarded-For": "10.0.0.1"}
    assert imds.ask("latest/api/token", "PUT", forwarded)[0] == 403
    assert imds("latest/meta-data/instance-id") == one
    assert imds("latest/meta-data/placement/availability-zone") == "eu-west-1a"
    assert imds("latest/meta-data/instance-type") == "m7i.large"
    assert imds("latest/user-data") == "#!/bin/sh\necho hello\n"
    assert json.loads(imds("latest/dynamic/instance-identity/document") or "")["instanceId"] == one
    assert imds("latest/meta-data/no-such") is None
    assert "placement/" in (imds("latest/meta-data/") or "").split("\n")
    assert imds("latest/meta-data/spot/instance-action") is None
    cloud.advance(61)
    assert imds("latest/meta-data/instance-id") is None


def test_tags_follow_and_their_keys_are_a_listing(cloud: emulated.Cloud) -> None:
    one = launch(cloud)
    imds = Imds(cloud.metadata_endpoint(one))
    assert imds("latest/meta-data/tags/instance") == "simpleflow:cluster"
    ec2 = cloud.client("ec2")
    ec2.create_tags(Resources=[one], Tags=[{"Key": "simpleflow:drain.7", "Value": ""}])
    assert imds("latest/meta-data/tags/instance") == "simpleflow:cluster\nsimpleflow:drain.7"
    assert imds("latest/meta-data/tags/instance/simpleflow:cluster") == "c"
    ec2.delete_tags(Resources=[one], Tags=[{"Key": "simpleflow:drain.7"}])
    assert imds("latest/meta-data/tags/instance") == "simpleflow:cluster"


def test_tags_are_not_there_unless_enabled(cloud: emulated.Cloud) -> None:
    one = launch(cloud, MetadataOptions={"HttpTokens": "optional"})
    imds = Imds(cloud.metadata_endpoint(one))
    assert imds.ask("latest/meta-data/instance-id") == (200, one)
    assert imds("latest/meta-data/tags/instance") is None


def test_the_profiles_keys_come_from_metadata_and_name_the_instance(cloud: emulated.Cloud) -> None:
    role(cloud, {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}, name="node")
    one = launch(cloud, IamInstanceProfile={"Name": "node"})
    imds = Imds(cloud.metadata_endpoint(one))
    assert imds("latest/meta-data/iam/security-credentials/") == "node"
    found = json.loads(imds("latest/meta-data/iam/security-credentials/node") or "")
    keys = emulated.Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
    cloud.http_client("ec2", credentials=keys).describe_vpcs()
    [call] = cloud.record.named("ec2:DescribeVpcs")
    assert (call.principal.role, call.principal.session) == ("node", one)


def test_a_spot_notice_and_then_the_end(cloud: emulated.Cloud) -> None:
    one = launch(cloud, InstanceMarketOptions={"MarketType": "spot"})
    imds = Imds(cloud.metadata_endpoint(one))
    assert imds("latest/meta-data/instance-life-cycle") == "spot"
    cloud.instances.interrupt(one, notice=120)
    notice = json.loads(imds("latest/meta-data/spot/instance-action") or "")
    assert notice == {"action": "terminate", "time": "2026-01-01T00:02:00Z"}
    cloud.advance(119)
    assert cloud.instances.get(one).alive
    cloud.advance(1)
    shown = cloud.client("ec2").describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0]
    assert shown["StateReason"]["Code"] == "Server.SpotInstanceTermination"


# --- processes ------------------------------------------------------------------------------------------------------


def booted(opened: Opened, tmp_path: Path, program: str, **options: Any) -> emulated.Cloud:
    boot = emulated.ProcessBoot(
        lambda machine: emulated.Command(
            argv=[sys.executable, "-c", program], environment=machine.environment, folder=str(tmp_path)
        ),
        tmp_path / "consoles",
    )
    return opened(boot=boot, **options)


def eventually(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not look():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.needs_processes
def test_exit_zero_is_a_power_off(opened: Opened, tmp_path: Path) -> None:
    cloud = booted(opened, tmp_path, "print('worked')")
    one = launch(cloud)
    eventually(lambda: cloud.instances.get(one).ended is not None)
    assert cloud.instances.get(one).reason[0] == "Client.InstanceInitiatedShutdown"
    console = cloud.client("ec2").get_console_output(InstanceId=one)["Output"]
    assert console == "worked\nreboot: Power down\n"


@pytest.mark.needs_processes
def test_a_power_off_with_behaviour_stop_stops_and_bills(opened: Opened, tmp_path: Path) -> None:
    cloud = booted(opened, tmp_path, "pass")
    one = launch(cloud, InstanceInitiatedShutdownBehavior="stop")
    eventually(lambda: cloud.instances.get(one).stopped is not None)
    shown = cloud.client("ec2").describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0]
    assert shown["State"]["Name"] == "stopped"


@pytest.mark.needs_processes
def test_any_other_exit_leaves_the_instance_running_with_a_dead_agent(opened: Opened, tmp_path: Path) -> None:
    cloud = booted(opened, tmp_path, "import sys; print('no wheel'); sys.exit(3)")
    one = launch(cloud)
    eventually(lambda: "status 3" in cloud.instances.console(cloud.instances.get(one)))
    shown = cloud.client("ec2").describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0]
    assert shown["State"]["Name"] == "running"
    assert "no wheel" in cloud.client("ec2").get_console_output(InstanceId=one)["Output"]


@pytest.mark.needs_processes
def test_a_machine_finds_its_account_by_boto3_and_metadata_alone(opened: Opened, tmp_path: Path) -> None:
    program = (
        "import boto3, os; s = boto3.Session();"
        "print(s.get_credentials().method, 'AWS_ACCESS_KEY_ID' in os.environ);"
        "print(len(s.client('ec2').describe_vpcs()['Vpcs']))"
    )
    cloud = booted(opened, tmp_path, program)
    role(cloud, {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}, name="node")
    one = launch(cloud, IamInstanceProfile={"Name": "node"})
    eventually(lambda: not cloud.instances.get(one).alive)
    assert cloud.instances.console(cloud.instances.get(one)).startswith("iam-role False\n1\n")
    assert cloud.record.named("ec2:DescribeVpcs")[0].principal.session == one


@pytest.mark.needs_processes
def test_termination_and_the_end_of_the_cloud_leave_no_process(opened: Opened, tmp_path: Path) -> None:
    import psutil

    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    )
    cloud = booted(opened, tmp_path, program)
    first, second = launch(cloud), launch(cloud)
    eventually(lambda: all(cloud.instances.console(i) == "1\n" for i in cloud.instances.all()))
    pids = [i.machine.process.pid for i in cloud.instances.all()]  # type: ignore[union-attr]
    cloud.client("ec2").terminate_instances(InstanceIds=[first])
    cloud.close()
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert second


@pytest.mark.needs_processes
def test_the_machine_boots_after_its_delay(opened: Opened, tmp_path: Path) -> None:
    cloud = booted(
        opened, tmp_path, "import time; time.sleep(600)", clock=clocks.VirtualClock(), timing=emulated.Timing(boot=40)
    )
    one = cloud.instances.get(launch(cloud))
    cloud.advance(39)
    assert one.machine is None
    cloud.advance(1)
    assert one.machine is not None
