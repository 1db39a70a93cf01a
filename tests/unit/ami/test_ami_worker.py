"""A node booted here with the real code: its worker polls the embedded service, works, drains by its tag, powers off.

The way there (fetch, digests, units) is shown with a stand-in in test_ami_boot.py; here wheels of this checkout and of
what it needs are installed on the machine, the bucket is the emulated account's, and SWF is the embedded service.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ami_farm
import pytest

from simpleflow.ami import build, errors, tools
from simpleflow.ami.boot import container, vm

pytestmark = pytest.mark.needs_processes


def wait_for(what: str, holds: Callable[[], Any], booted: container.Container | vm.Machine, seconds: float) -> Any:
    last = time.monotonic() + seconds
    while not (found := holds()):
        if not booted.running or time.monotonic() > last:
            pytest.fail(f"{what} did not come; the console ends with:\n{booted.tail()}")
        time.sleep(0.1)
    return found


def schedule(swf: Any) -> dict[str, str]:
    """Start a run and decide by hand: one activity for the node."""
    domain = ami_farm.DOMAIN
    swf.register_domain(name=domain, workflowExecutionRetentionPeriodInDays="1")
    swf.register_activity_type(domain=domain, name="nodework.where", version="1")
    swf.register_workflow_type(domain=domain, name="w", version="1")
    run = swf.start_workflow_execution(
        domain=domain, workflowId="w", workflowType={"name": "w", "version": "1"}, taskList={"name": "d"},
        executionStartToCloseTimeout="3600", taskStartToCloseTimeout="600", childPolicy="TERMINATE",
    )  # fmt: skip
    task = swf.poll_for_decision_task(domain=domain, taskList={"name": "d"})
    attributes = {
        "activityType": {"name": "nodework.where", "version": "1"}, "activityId": "1", "taskList": {"name": "work"},
        "input": json.dumps({"args": ["hello"], "kwargs": {}}), "scheduleToStartTimeout": "900",
        "startToCloseTimeout": "300", "heartbeatTimeout": "300", "scheduleToCloseTimeout": "1200",
    }  # fmt: skip
    swf.respond_decision_task_completed(
        taskToken=task["taskToken"],
        decisions=[
            {"decisionType": "ScheduleActivityTask", "scheduleActivityTaskDecisionAttributes": attributes},
        ],
    )
    return {"workflowId": "w", "runId": run["runId"]}


def works_and_leaves(here: ami_farm.Farm, booted: container.Container | vm.Machine, seconds: float) -> None:
    """The story of one node, from its boot to its power-off."""
    run = schedule(here.swf)

    def events() -> dict[str, Any]:
        found = here.swf.get_workflow_execution_history(domain=ami_farm.DOMAIN, execution=run)["events"]
        return {each["eventType"]: each for each in found}

    done = wait_for("the result", lambda: events() if "ActivityTaskCompleted" in events() else None, booted, seconds)
    identity = json.loads(done["ActivityTaskStarted"]["activityTaskStartedEventAttributes"]["identity"])
    assert identity["node"] == here.instance
    word, _, machine = json.loads(done["ActivityTaskCompleted"]["activityTaskCompletedEventAttributes"]["result"])
    assert word == "hello"
    assert machine not in ("", Path("/etc/machine-id").read_text().strip())

    def polled() -> bool:
        document = here.document()
        return document is not None and document.first_polled is not None

    # Its document is written some time after it polled.
    wait_for("the poll in its document", polled, booted, seconds)
    here.net.tag("simpleflow:drain.1")
    booted.wait_off(seconds)
    document = here.document()
    assert (document.state, document.generation) == ("ended", 1)
    assert here.cloud.excess() == []


def wheels(release: str, folder: Path) -> list[Path]:
    built = folder / "own"
    built.mkdir()
    return [*ami_farm.needed(release), *ami_farm.own(built)]


def tools_or_skip(programs: Any) -> None:
    try:
        tools.need(programs, "this boot")
    except errors.MissingTools as problem:
        pytest.skip(str(problem))


@pytest.mark.timeout(300)
def test_the_worker_of_a_container(debian12: build.Artifacts, tmp_path: Path) -> None:
    tools_or_skip(tools.CONTAINER)
    if not debian12.tree.exists():
        container.unpack(debian12.tar, debian12.tree)
    with (
        ami_farm.farm(
            tmp_path, wheels("debian12", tmp_path), instance="i-0123456789abcdef3", token_required=False
        ) as here,
        container.Container(debian12.tree, here.net, tmp_path / "console.log") as booted,
    ):
        works_and_leaves(here, booted, 120)


@pytest.mark.slow
@pytest.mark.timeout(1900)
def test_the_worker_of_a_machine(debian12: build.Artifacts, tmp_path: Path) -> None:
    tools_or_skip(tools.VM)
    with (
        ami_farm.farm(
            tmp_path, wheels("debian12", tmp_path), instance="i-0123456789abcdef4", token_required=True
        ) as here,
        vm.Machine(debian12.image, here.net, tmp_path, size_gib=3, identity=uuid.uuid4()) as booted,
    ):
        works_and_leaves(here, booted, 1500)
