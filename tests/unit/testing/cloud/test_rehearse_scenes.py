"""Every scene of a rehearsal on the real stacks, with fakes for SWF, the agents and the two commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from simpleflow.nodes import config
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.stack import up
from simpleflow.testing import cloud as emulated
from simpleflow.testing.rehearsal import play as rehearsals
from simpleflow.testing.rehearsal import report as reports
from simpleflow.testing.rehearsal import stage as stages

ROOT = Path(__file__).resolve().parents[4]
CLUSTER = ROOT / "examples" / "rehearsal" / "cluster.yaml"
PROGRAM = Path(__file__).with_name("fakes") / "machine.py"


class FakeSwf:
    """Runs are files, which the fakes of the agents read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def register_workflow_type(self, **params: Any) -> None:
        (self.folder / params["name"]).touch()

    def start_workflow_execution(self, **params: Any) -> dict[str, str]:
        (self.folder / f"{params['workflowId']}.open").touch()
        return {"runId": params["workflowId"]}

    def describe_workflow_execution(self, *, domain: str, execution: dict[str, str]) -> dict[str, Any]:
        closed = (self.folder / f"{execution['runId']}.closed").exists()
        return {"executionInfo": {"closeStatus": "COMPLETED"} if closed else {}}

    def count_pending_decision_tasks(self, *, domain: str, taskList: dict[str, str]) -> dict[str, Any]:
        fresh = [run for run in self.folder.glob("*.open") if not run.with_suffix(".started").exists()]
        return {"count": len(fresh)}


class Clients:
    """The in-process face, for INFRA's own code."""

    def __init__(self, cloud: emulated.Cloud) -> None:
        self._cloud = cloud
        self.region = cloud.region

    def get(self, service: str, *, retries: bool = True) -> Any:
        return self._cloud.client(service)


class FakedPlay(rehearsals.Play):
    """Starts its first run as the second: there is no SWF that a client could reach."""

    def _start_as_client(self, arguments: Sequence[Any], keywords: dict[str, Any]) -> dict[str, str]:
        group = self._group()["AutoScalingGroupName"]
        scaling = self._stage.cloud.client("autoscaling")
        scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=1)
        return self._start(arguments, keywords, announced=False)


class FakedStage(stages.Stage):
    """A stage whose SWF, agents and commands are fakes; account, templates and machines' lives are real."""

    def _swf_client(self) -> Any:
        return FakeSwf(self.folder / "swf")

    def _start_server(self) -> None:
        """SWF is a folder of files here."""

    def _machine(self, machine: emulated.Machine) -> emulated.Command:
        real = super()._machine(machine)
        if machine.instance_id in self.failed_boots:
            return real
        kind = "decider" if self._is_decider(machine.instance_id) else "worker"
        outputs = self.cloud.client("cloudformation").describe_stacks(StackName="demo-aws")["Stacks"][0]["Outputs"]
        text = json.dumps({one["OutputKey"]: one["OutputValue"] for one in outputs})
        argv = [sys.executable, str(PROGRAM), kind, str(self.swf.folder), text, machine.instance_id]
        environment = {**machine.environment, "AWS_DEFAULT_REGION": machine.region}
        return emulated.Command(argv=argv, environment=environment, folder=os.getcwd())

    def run(self, name: str, module: str, *arguments: str, timeout: float = 90.0) -> str:
        clients = Clients(self.cloud)
        account = accounts.Account(clients)
        cluster = config.load(arguments[-1]).config
        if name == "up":
            code = bundle.Code(digest="0" * 64, content=b"code")
            for _ in up.up(cluster, account, bundle.Builder(cluster), lambda: code):
                pass
        else:
            account.formation.delete(cluster.cluster)
            for _ in account.formation.watch(cluster.cluster, account.formation.newest_event(cluster.cluster)):
                pass
        return ""


@pytest.mark.slow  # half a minute of waiting; test_demo_aws.py plays the same with nothing doubled
@pytest.mark.needs_processes
def test_every_scene_is_played_and_told() -> None:
    said: list[str] = []
    options = rehearsals.Options(workflow="stdlib-report")
    with FakedStage(CLUSTER, fail_boot=2) as stage:
        play = FakedPlay(stage, options, said.append)
        play.all()
        report = reports.make(stage, play.shown, 1.0, [])
        processes = stage.processes()
        folder = stage.folder
    told = {one.what: one.how for one in report.shown}
    assert list(told) == [
        "up", "spot notice", "workflow", "sold out", "spot drain", "failed boot", "drain", "scale to zero", "wake-up",
        "down",
    ]  # fmt: skip
    assert told["up"].startswith("stacks demo-aws, demo-aws-base") or told["up"].startswith("stacks demo-aws-base")
    assert "m7i.large (InsufficientInstanceCapacity)" in told["sold out"]
    assert "the alarm set the group to 1" in told["wake-up"]
    assert told["down"].endswith("kept: demo-aws-base")
    assert report.cost > 0
    assert {one.market for one in report.machines} == {"spot", "on-demand"}
    roles = " ".join(report.calls)
    assert "LightRole" in roles
    assert "DecidersRole" in roles
    assert not folder.exists()
    assert not any(process.is_running() for process in processes)
