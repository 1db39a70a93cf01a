"""A rehearsed machine does with its real user data what cloud-init and systemd would do."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nodes import wheelhouse

from simpleflow.provisioning import bundle, render
from simpleflow.testing import cloud as emulated
from simpleflow.testing.rehearsal import machine as machines
from tests.unit.testing.cloud.helpers import role

SETUP = {
    "cluster": "demo", "domain": "demo", "profile": "light", "provider": "ec2", "store": "s3://own/", "times": {},
    "task_lists": [["light", 2]],
}  # fmt: skip


def delivery(cloud: emulated.Cloud, code: bundle.Bundle | None = None, **more: Any) -> render.Delivery:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="own", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    node = bundle.node_bundle(cluster="demo", profile="light", bootstrap="#!/bin/sh\n", environment={"COLOUR": "red"})
    code = code or bundle.pack({"code.json": b"{}"})
    for name, one in (("node", node), ("code", code)):
        s3.put_object(Bucket="own", Key=f"code/{name}-{one.sha256}", Body=one.data)
    return render.Delivery(
        node=node.part(f"s3://own/code/node-{node.sha256}"),
        code=code.part(f"s3://own/code/code-{code.sha256}"),
        region="eu-west-1",
        **more,
    )


def machine(cloud: emulated.Cloud, text: str) -> str:
    role(cloud, {"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    return again(cloud, text)


def environment(cloud: emulated.Cloud, monkeypatch: pytest.MonkeyPatch, instance_id: str) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", cloud.metadata_endpoint(instance_id))
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)


def test_the_fetch_of_the_user_data_runs_with_the_roles_keys(
    opened: Callable[..., emulated.Cloud], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cloud = opened()
    one = machine(cloud, render.user_data(SETUP, delivery(cloud)))
    environment(cloud, monkeypatch, one)
    text = machines.user_data(cloud.metadata_endpoint(one))
    written, commands = machines.write_files(text, tmp_path)
    assert json.loads(written[render.SETUP_PATH].read_text()) == SETUP
    folder, settings = machines.deliver(commands, written, tmp_path)
    command, extra = machines.unit(folder, written, tmp_path)
    assert command[0] == str(tmp_path / "opt/simpleflow/venv/bin/python")
    assert command[1:] == ["-m", "simpleflow.nodes.agent", "--setup", str(tmp_path / "etc/simpleflow/node.json")]
    assert extra["COLOUR"] == "red"
    assert settings["node_sha256"] in settings["node"]
    fetched = cloud.record.named("s3:GetObject")
    assert [(c.principal.role, c.principal.session) for c in fetched] == [("node", one)]
    assert cloud.excess() == []


def test_a_bundle_that_is_not_what_was_promised_is_not_run(
    opened: Callable[..., emulated.Cloud], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cloud = opened()
    given = delivery(cloud)
    one = machine(cloud, render.user_data(SETUP, given))
    environment(cloud, monkeypatch, one)
    key = given.node.location.removeprefix("s3://own/")
    cloud.client("s3").put_object(Bucket="own", Key=key, Body=bundle.pack({"deliver.py": b"evil"}).data)
    written, commands = machines.write_files(machines.user_data(cloud.metadata_endpoint(one)), tmp_path)
    with pytest.raises(Exception, match="nothing of it was run"):
        machines.deliver(commands, written, tmp_path)
    assert not (tmp_path / "opt/simpleflow/node/deliver.py").exists()


def test_a_deciders_boots_are_counted_and_the_fourth_suspends_its_group(
    opened: Callable[..., emulated.Cloud], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cloud = opened()
    counter = render.BootCounter(location="s3://own/boots.json", group="g", alarm="a")
    text = render.user_data(SETUP, delivery(cloud, boot_counter=counter))
    one = machine(cloud, text)
    environment(cloud, monkeypatch, one)
    asg = cloud.client("autoscaling")
    lt = cloud.client("ec2").create_launch_template(
        LaunchTemplateName="t", LaunchTemplateData={"ImageId": cloud.image, "InstanceType": "m7i.large"}
    )["LaunchTemplate"]
    asg.create_auto_scaling_group(
        AutoScalingGroupName="g", MinSize=0, MaxSize=1, LaunchTemplate={"LaunchTemplateId": lt["LaunchTemplateId"]}
    )
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName="a", Namespace="simpleflow", MetricName="FailedBoots", Period=60, Statistic="Maximum", Threshold=3,
        EvaluationPeriods=1, ComparisonOperator="GreaterThanOrEqualToThreshold", TreatMissingData="ignore",
    )  # fmt: skip
    for boot in range(4):
        assert asg.describe_auto_scaling_groups()["AutoScalingGroups"][0]["SuspendedProcesses"] == []
        root = tmp_path / str(boot)
        written, commands = machines.write_files(text, root)
        machines.deliver(commands, written, root)
    [process] = asg.describe_auto_scaling_groups()["AutoScalingGroups"][0]["SuspendedProcesses"]
    assert process["ProcessName"] == "Launch"
    assert cloud.client("cloudwatch").describe_alarms()["MetricAlarms"][0]["StateValue"] == "ALARM"


@pytest.mark.parametrize(
    ("text", "message"),
    [("#!/bin/sh\n", "does not begin with #cloud-config"), ("#cloud-config\nruncmd: []\n", "runs no fetch.py")],
)
def test_user_data_that_makes_no_node(tmp_path: Path, text: str, message: str) -> None:
    def boot() -> None:
        written, commands = machines.write_files(text, tmp_path)
        machines.deliver(commands, written, tmp_path)

    with pytest.raises(machines.BootFailed, match=message):
        boot()


@pytest.mark.needs_processes
def test_a_machine_whose_boot_fails_says_why_on_its_console(
    opened: Callable[..., emulated.Cloud], tmp_path: Path
) -> None:
    import sys

    boot = emulated.ProcessBoot(
        lambda m: emulated.Command(
            argv=[sys.executable, "-m", "simpleflow.testing.rehearsal.machine", str(tmp_path / m.instance_id)],
            environment=m.environment,
            folder=".",
        ),
        tmp_path / "consoles",
    )
    cloud = opened(boot=boot)
    one = machine(cloud, "#cloud-config\nruncmd: []\n")
    deadline = time.monotonic() + 120
    while "status 1" not in cloud.instances.console(cloud.instances.get(one)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "the user data runs no fetch.py" in cloud.client("ec2").get_console_output(InstanceId=one)["Output"]


#: stands for the agent: says what it sees of the client, and where it and its modules come from
_AGENT = """
import films, os, pathlib, simpleflow, sys
print("agent:", simpleflow.ORIGIN, films.ORIGIN, os.environ["COLOUR"], sys.argv[1:])
seen = [each for each in [os.getcwd(), str(pathlib.Path.home()), *sys.path] if "CLIENT" in each]
print("sees of the client:", seen or "nothing")
"""


@pytest.mark.needs_processes
def test_two_machines_install_the_bundle_and_see_nothing_of_the_client(
    opened: Callable[..., emulated.Cloud], tmp_path: Path
) -> None:
    """The first installs from the bundle with the machine's own script, the second finds it, as in an image."""
    import sys

    client = os.getcwd()
    wheel = wheelhouse.wheel(
        tmp_path / "bundled", "simpleflow", "1.0.dev0",
        files={"simpleflow/nodes/agent.py": _AGENT.replace("CLIENT", client)},
    )  # fmt: skip
    code = bundle.code_bundle(wheels=[wheel], source={"films.py": b"ORIGIN = 'source'\n"})
    strangers = wheelhouse.wheel(tmp_path / "strangers", "simpleflow", "9.0")
    boot = emulated.ProcessBoot(
        lambda m: emulated.Command(
            argv=[sys.executable, "-m", "simpleflow.testing.rehearsal.machine", str(tmp_path / "m" / m.instance_id)],
            environment={
                **m.environment, "PYTHONPATH": client, "HOME": client, "PIP_FIND_LINKS": str(strangers.parent),
            },
            folder=client,
        ),
        tmp_path / "consoles",
    )  # fmt: skip
    cloud = opened(boot=boot)
    text = render.user_data(SETUP, delivery(cloud, code))
    for number in range(2):
        one = machine(cloud, text) if not number else again(cloud, text)
        deadline = time.monotonic() + 120
        while "sees of the client" not in (shown := cloud.instances.console(cloud.instances.get(one))):
            assert time.monotonic() < deadline, shown
            assert "cannot become a node" not in shown, shown
            time.sleep(0.05)
        assert "agent: bundled source red" in shown
        assert "sees of the client: nothing" in shown
        assert ("+ " in shown) is (number == 0), "the second machine installs nothing"


def again(cloud: emulated.Cloud, text: str) -> str:
    made = cloud.client("ec2").run_instances(
        ImageId=cloud.image, InstanceType="m7i.large", MinCount=1, MaxCount=1, UserData=text,
        IamInstanceProfile={"Name": "node"}, MetadataOptions={"HttpTokens": "required"},
    )  # fmt: skip
    return str(made["Instances"][0]["InstanceId"])
