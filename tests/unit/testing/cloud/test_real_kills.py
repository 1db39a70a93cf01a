"""Ten real kills: ``kill -9`` of ``sfnodes up``, of the manager, of ``sfnodes down``, each right after some call.

The commands are processes, the account is the emulated one, SWF is the embedded service, machines are local processes
with the real agent and worker. Repeating the command ends in the same state, and nothing is launched twice.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simpleflow.testing.rehearsal import play as rehearsals
from simpleflow.testing.rehearsal import stage as stages

ROOT = Path(__file__).resolve().parents[4]
CLUSTER = ROOT / "examples" / "rehearsal" / "cluster.yaml"

pytestmark = [pytest.mark.slow, pytest.mark.needs_processes, pytest.mark.timeout(600)]


class Cluster:
    """A stage, its cluster file, and commands that are killed."""

    def __init__(self, stage: stages.Stage) -> None:
        self.stage = stage
        self.file = str(rehearsals.Play(stage, rehearsals.Options(workflow="by hand"), lambda line: None).file)

    def calls(self, name: str) -> int:
        return len([each for each in self.stage.cloud.record if each.name == name and not each.via and not each.error])

    def killed(self, command: str, call: str, count: int = 1) -> None:
        """Run a command until AWS has carried out the ``count``-th call of this name from now, and kill it there."""
        before = self.calls(call)
        process = self.stage.start(command, "simpleflow.cli.sfnodes", command, self.file)
        last = time.monotonic() + 120
        while self.calls(call) - before < count:
            assert process.poll() is None, f"{command} ended before {call}:\n{self.stage.log(command)}"
            assert time.monotonic() < last, f"{command} did not come to {call}:\n{self.stage.log(command)}"
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def run(self, command: str) -> None:
        self.stage.run(command, "simpleflow.cli.sfnodes", command, self.file)

    def stacks(self) -> dict[str, str]:
        found = self.stage.cloud.client("cloudformation").describe_stacks()["Stacks"]
        return {each["StackName"]: each["StackStatus"].replace("UPDATE_", "CREATE_") for each in found}

    def alive(self) -> list[Any]:
        return [one for one in self.stage.cloud.instances.all() if one.alive]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with stages.Stage(CLUSTER) as stage:
        yield Cluster(stage)


def test_up_killed_four_times(cluster: Cluster) -> None:
    cluster.killed("up", "cloudformation:CreateStack")
    cluster.killed("up", "s3:PutObject")
    cluster.killed("up", "cloudformation:CreateStack")
    cluster.killed("up", "autoscaling:ResumeProcesses")
    cluster.run("up")
    before = list(cluster.stage.cloud.record)
    assert cluster.stacks() == {"demo-aws-base": "CREATE_COMPLETE", "demo-aws": "CREATE_COMPLETE"}
    assert len([each for each in before if each.name == "cloudformation:CreateStack"]) == 2
    assert len(cluster.stage.cloud.client("s3").list_buckets()["Buckets"]) == 1
    [group] = cluster.stage.cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert (group["DesiredCapacity"], group["SuspendedProcesses"]) == (0, [])
    assert cluster.alive() == []


def start_run(stage: stages.Stage, tasks: int, seconds: float) -> Callable[[], bool]:
    """Start a run and decide by hand: so many tasks of so many seconds; returns whether all are done."""
    swf, domain = stage.swf, "demo"
    swf.register_workflow_type(domain=domain, name="hand", version="1")
    swf.register_activity_type(domain=domain, name="time.sleep", version="1")
    run = swf.start_workflow_execution(
        domain=domain, workflowId="hand", workflowType={"name": "hand", "version": "1"}, taskList={"name": "hand"},
        executionStartToCloseTimeout="3600", taskStartToCloseTimeout="600", childPolicy="TERMINATE",
    )  # fmt: skip
    token = swf.poll_for_decision_task(domain=domain, taskList={"name": "hand"})["taskToken"]
    common = {
        "activityType": {"name": "time.sleep", "version": "1"}, "taskList": {"name": "light"},
        "input": json.dumps({"args": [seconds], "kwargs": {}}), "scheduleToStartTimeout": "600",
        "startToCloseTimeout": "300", "heartbeatTimeout": "60", "scheduleToCloseTimeout": "900",
    }  # fmt: skip
    decisions = [
        {
            "decisionType": "ScheduleActivityTask",
            "scheduleActivityTaskDecisionAttributes": {**common, "activityId": str(number)},
        }
        for number in range(tasks)
    ]
    swf.respond_decision_task_completed(taskToken=token, decisions=decisions)
    execution = {"workflowId": "hand", "runId": run["runId"]}

    def done() -> bool:
        events = swf.get_workflow_execution_history(domain=domain, execution=execution)["events"]
        kinds = [each["eventType"] for each in events]
        assert "ActivityTaskFailed" not in kinds
        assert "ActivityTaskTimedOut" not in kinds
        if kinds.count("ActivityTaskCompleted") < tasks:
            return False
        token = swf.poll_for_decision_task(domain=domain, taskList={"name": "hand"})["taskToken"]
        swf.respond_decision_task_completed(taskToken=token, decisions=[{"decisionType": "CompleteWorkflowExecution"}])
        return True

    return done


def test_the_manager_killed_three_times_and_down_three_times(cluster: Cluster) -> None:
    stage = cluster.stage
    cluster.run("up")
    done = start_run(stage, 3, 4.0)
    # After the intent was written, but before its launch was recorded; then while it works; then after a mark.
    cluster.killed("manager", "ec2:CreateFleet")
    cluster.killed("manager", "s3:PutObject", 2)
    manager = stage.start("manager", "simpleflow.cli.sfnodes", "manager", cluster.file)
    stage.until("the tasks", done, 300)
    stage.until("a drain mark", lambda: cluster.calls("ec2:CreateTags") > 0, 120)
    os.killpg(manager.pid, signal.SIGKILL)
    manager.wait()
    # Two machines of two slots each for three tasks, whoever led: nothing was launched twice.
    assert len(stage.workers()) == 2
    assert cluster.calls("ec2:CreateFleet") == 1
    cluster.killed("down", "cloudwatch:DisableAlarmActions")
    cluster.killed("down", "ec2:DescribeInstances")
    cluster.killed("down", "cloudformation:DeleteStack")
    cluster.run("down")
    assert cluster.stacks() == {"demo-aws-base": "CREATE_COMPLETE"}
    assert cluster.alive() == []
    assert len(stage.workers()) == 2
    assert cluster.stage.cloud.excess() == []
