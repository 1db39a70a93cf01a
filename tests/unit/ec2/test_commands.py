"""``sfnodes`` of a cluster on EC2 as a person runs it, from a machine that has only the cluster file."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from simpleflow.cli import sfnodes, sfnodes_connect, sfnodes_money, sfnodes_records
from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.infra import roles
from simpleflow.nodes import config, errors
from simpleflow.nodes.manager import assemble
from simpleflow.nodes.providers import base, ec2
from simpleflow.nodes.providers.ec2 import keeper, stackinfo
from simpleflow.nodes.stack import status
from simpleflow.swf import errors as swf_errors
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.conftest import CLUSTER, CloudClients
from tests.unit.nodes.test_formats import PART


@pytest.fixture
def cloud(fresh: emulated.Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> emulated.Cloud:
    """The account that is up, the one that every client of this process reaches; a cluster file, and nothing else."""
    given = fresh.environment()
    for name in set(os.environ) - set(given):
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SIMPLEFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    return fresh


@pytest.fixture
def bucket(cloud: emulated.Cloud) -> str:
    return stackinfo.read(CloudClients(cloud), "demo").bucket


def sfn(*arguments: str) -> Result:
    return CliRunner().invoke(sfnodes.cli, list(arguments))


def launch(cloud: emulated.Cloud, attempt: str = "demo-a") -> base.Instance:
    provider = ec2.Ec2Provider(config.loads(CLUSTER), CloudClients(cloud), clocks.RealClock())
    [node] = provider.launch(
        base.LaunchSpec(cluster="demo", profile="small", attempt=attempt, units=1, not_after=time.time() + 600)
    ).instances
    return node


def test_status_shows_stacks_machines_and_what_the_documents_hold(cloud: emulated.Cloud, bucket: str) -> None:
    node = launch(cloud)
    row = documents.Row(
        instance=node.id, profile="small", attempt="demo-a", price=100_000, since=time.time() - 95, until=time.time()
    )
    failure = documents.Failures(profile="gpu-2", image="", count=3, last_log="no such module")
    written = documents.Control(cluster="demo", rows=(row,), failures=(failure,), leaving=("i-0extra",))
    cloud.client("s3").put_object(Bucket=bucket, Key=documents.CONTROL_KEY, Body=msgspec.json.encode(written))
    text = sfn("status", "--text").stdout
    assert "stack 'demo': CREATE_COMPLETE" in text
    assert "profile 'gpu-2': 3 machines booted and never worked\nno such module" in text
    assert "note: 3 machines of profile 'gpu-2' in a row booted and never worked" in text
    assert "note: decider i-0extra is too many: it finishes what it has, and goes" in text
    assert re.search(rf"^{node.id}\tsmall\tbooting\t0\t9\d s\t[\d:]+\t0.002\d USD", text, re.MULTILINE)
    shown = json.loads(sfn("status", "--json").stdout)
    assert tuple(shown) == status.StackStatus.__struct_fields__
    assert (shown["nodes"][0]["node"], shown["cost"]) == (node.id, shown["nodes"][0]["cost"])
    assert shown["demand"] == {"heavy": {"scheduled": 0, "foreseen": 0}, "light": {"scheduled": 0, "foreseen": 0}}


def test_the_json_of_status_is_that_of_the_page(cloud: emulated.Cloud) -> None:
    [line] = [each for each in PART.splitlines() if each.startswith("| `status` on ec2 |")]
    shown = json.loads(sfn("status", "--json").stdout)
    assert [key for key in shown if f'"{key}"' not in line] == []


def test_logs_are_the_consoles_of_its_machines(cloud: emulated.Cloud) -> None:
    node = launch(cloud)
    ec2.Ec2DeciderGroup("demo", CloudClients(cloud)).ensure_one()
    [decider] = ec2.Ec2DeciderGroup("demo", CloudClients(cloud)).read().members
    assert set(json.loads(sfn("logs", "--json").stdout)) == {node.id, decider.instance}
    assert f"==> {node.id} <==" in sfn("logs", "--node", node.id).stdout
    unknown = sfn("logs", "--node", "i-0")
    assert unknown.exit_code == 64
    assert f"has no machine 'i-0'; known: {node.id}, {decider.instance}" in unknown.stderr


def test_a_cluster_is_found_by_its_name_on_a_machine_without_its_file(
    cloud: emulated.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    Path("cluster.yaml").unlink()
    node = launch(cloud)
    assert json.loads(sfn("status", "demo", "--json").stdout)["stacks"]["demo"] == "CREATE_COMPLETE"
    assert node.id in json.loads(sfn("logs", "demo", "--json").stdout)
    unknown = sfn("down", "films")
    assert (unknown.exit_code, "no stack of the name 'films'" in unknown.stderr) == (64, True)


def test_a_machine_is_drained_and_entered_by_its_id(
    cloud: emulated.Cloud, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = launch(cloud)
    row = documents.Row(instance=node.id, profile="small", attempt="demo-a", price=1, since=0.0, until=0.0)
    written = documents.Control(cluster="demo", rows=(row,))
    cloud.client("s3").put_object(Bucket=bucket, Key=documents.CONTROL_KEY, Body=msgspec.json.encode(written))
    assert json.loads(sfn("drain", node.id, "--json").stdout) == {"cluster": "demo", "node": node.id, "drain": 1}
    provider = ec2.Ec2Provider(config.loads(CLUSTER), CloudClients(cloud), clocks.RealClock())
    session = provider.session(node.id, ("echo", "two words"))
    assert session.command[:7] == ("aws", "ssm", "start-session", "--region", "eu-west-1", "--target", node.id)
    assert json.loads(session.command[-1]) == {"command": ["echo 'two words'"]}
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = sfn("ssh", node.id)
    assert (missing.exit_code, "needs the program 'aws'" in missing.stderr) == (64, True)
    assert f"'i-0' does not run; those that do: {node.id}" in sfn("ssh", "i-0").stderr


def test_machines_whose_cluster_has_no_stack_are_reaped_and_no_others(cloud: emulated.Cloud) -> None:
    kept = launch(cloud)
    tags = [{"Key": "simpleflow:cluster", "Value": "films"}]
    api = cloud.client("ec2")
    image = api.describe_instances(InstanceIds=[kept.id])["Reservations"][0]["Instances"][0]["ImageId"]
    made = api.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        InstanceType="c7i.large",
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    [left] = [each["InstanceId"] for each in made["Instances"]]
    shown = json.loads(sfn("reap", "--region", "eu-west-1", "--json").stdout)
    assert [(each["cluster"], each["id"]) for each in shown["found"]] == [("films", left)]
    assert json.loads(sfn("reap", "--json").stdout)["found"] == []
    assert json.loads(sfn("reap", "cluster.yaml", "--yes", "--json").stdout)["found"] == []
    assert sfn("reap", "films", "--region", "eu-west-1", "--yes").exit_code == 0
    alive = [each.id for each in cloud.instances.all() if each.alive]
    assert (left in alive, kept.id in alive) == (False, True)


@pytest.mark.parametrize("command", ["plan", "up", "status", "logs", "down"])
def test_a_wrong_region_is_found_before_anybody_is_called(cloud: emulated.Cloud, command: str) -> None:
    Path("cluster.yaml").write_text(CLUSTER.replace("eu-west-1", "eu-wset-1"))
    done = sfn(command)
    assert done.exit_code == 64
    assert "did you mean 'eu-west-1'?" in done.stderr
    assert list(cloud.record) == []


@pytest.mark.parametrize("command", ["plan", "up", "status", "logs", "down"])
def test_missing_credentials_are_one_message_about_aws(
    cloud: emulated.Cloud, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    done = sfn(command)
    assert done.exit_code == 1
    assert "no AWS credentials were found; set AWS_PROFILE" in done.stderr
    assert "embedded" not in done.stderr
    assert list(cloud.record) == []


def test_the_files_region_comes_before_the_shells(cloud: emulated.Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    opened: Any = sfnodes_connect.transport(config.loads(CLUSTER))
    assert opened._sign.url == "https://swf.eu-west-1.amazonaws.com"
    opened.close()


class Swf:
    """Amazon SWF with nothing open, which lets a role do what its policy allows, and no more (transports.Transport)."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = allowed
        self.called: list[str] = []

    def call(self, action: str, request: Any, *, poll_id: str | None = None, ahead: object = None) -> Any:
        self.called.append(action)
        if action not in self._allowed:
            raise swf_errors.OperationNotPermittedFault(f"not authorized to perform: swf:{action}")
        return SimpleNamespace(execution_infos=(), next_page_token=None, count=0)

    def revoke(self, poll_id: str) -> bool:
        return False

    def close(self) -> None:
        return


def test_the_manager_of_a_decider_machine_asks_swf_for_nothing_beyond_its_role(
    cloud: emulated.Cloud, tmp_path: Path
) -> None:
    swf = Swf(roles.DECIDER_CALLS)
    loaded = config.load("cluster.yaml")
    environment = {**os.environ, keeper.FOLDER_VARIABLE: str(tmp_path)}
    manager = assemble.manager_of(loaded, environment, str(tmp_path), swf)
    manager._reconciler.run_pass()
    manager._keep_deciders()
    assert manager._reconciler.leading
    assert {"ListOpenWorkflowExecutions", "CountPendingActivityTasks", "CountPendingDecisionTasks"} == set(swf.called)


def test_the_cost_of_deciders_goes_to_the_runs_that_were_open(
    cloud: emulated.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = ec2.Ec2DeciderGroup("demo", CloudClients(cloud))
    group.ensure_one()
    run = sfnodes_records.Recorded(
        workflow="films", workflow_id="w", run_id="r", closed=False, events=(SimpleNamespace(timestamp=0.0),)
    )
    monkeypatch.setattr(sfnodes_records, "runs", lambda config, since: [run])
    monkeypatch.setattr(sfnodes_money.tasklog, "tasks", lambda events: [])
    now = time.time() + 1800
    monkeypatch.setattr(time, "time", lambda: now)
    found = json.loads(sfn("cost", "--json", "--hours", "0.4").stdout)
    assert (found["deciders"], found["note"]) == (1, "")
    price = json.loads(sfn("prices", "cluster.yaml", "--json").stdout)["prices"][-1]
    assert (price["what"], price["price"] > 0) == ("deciders", True), "the type that they have without one in the file"
    [share] = found["spending"]["work"]
    assert (share["workflow"], share["activity"], share["tasks"]) == ("films", "(decisions)", 1)
    assert share["cost"] == pytest.approx(price["price"] * 1_000_000 / 2, rel=0.05)
    text = sfn("cost", "--hours", "0.4").stdout
    assert " and 1 decider in 0.4 h, " in text
    assert "% of it for tasks and decisions" in text


def test_deciders_that_cannot_be_read_are_a_note_beside_the_bill_of_workers(
    cloud: emulated.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(group: ec2.Ec2DeciderGroup, since: float) -> None:
        raise errors.ProviderRefused("reading the activities: not allowed (AccessDenied)")

    monkeypatch.setattr(ec2.Ec2DeciderGroup, "lives", refused)
    done = sfn("cost")
    assert done.exit_code == 0
    assert "the machines of deciders are not counted: reading the activities: not allowed" in done.stderr
