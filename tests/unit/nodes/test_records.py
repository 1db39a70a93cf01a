"""`sfnodes cost` and `simulate` read what ran where from the coordinator, as workers and deciders left it there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from simpleflow.cli import sfnodes, sfnodes_connect, sfnodes_records
from simpleflow.client import connect
from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.nodes import stores
from simpleflow.nodes.cluster import cluster
from simpleflow.server import inprocess
from simpleflow.swf import errors as swf_errors

NODE = "demo-a-1"


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """A service that remembers one run, whose task ran for 40 s on a machine that lived for 100; yields its launch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMPLEFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SIMPLEFLOW_RUNTIME_DIR", str(tmp_path / "run"))
    run("init", "--name", "demo")
    clock = clocks.VirtualClock(time.time() - 1000)
    launched = clock.now()
    transport = inprocess.transport(inprocess.open_memory(clock=clock, domain="demo"))
    opened = connect.Connection(transport=transport, domain="demo", endpoint_url=None)
    monkeypatch.setattr(sfnodes_connect, "connection", lambda config: opened)
    call = transport.call
    kind = {"name": "films", "version": "1"}
    call("RegisterWorkflowType", {"domain": "demo", **kind})
    call("RegisterActivityType", {"domain": "demo", "name": "cut", "version": "1"})
    times = {"executionStartToCloseTimeout": "900", "taskStartToCloseTimeout": "60", "childPolicy": "TERMINATE"}
    started = {"domain": "demo", "workflowId": "w", "workflowType": kind, "taskList": {"name": "demo"}, **times}
    call("StartWorkflowExecution", started)
    clock.advance(20)
    task: Any = call("PollForDecisionTask", {"domain": "demo", "taskList": {"name": "demo"}})
    scheduled = {
        "activityType": {"name": "cut", "version": "1"},
        "activityId": "a",
        "taskList": {"name": "light"},
        **dict.fromkeys(("scheduleToCloseTimeout", "scheduleToStartTimeout", "startToCloseTimeout"), "600"),
        "heartbeatTimeout": "NONE",
    }
    decision = {"decisionType": "ScheduleActivityTask", "scheduleActivityTaskDecisionAttributes": scheduled}
    call("RespondDecisionTaskCompleted", {"taskToken": task.task_token, "decisions": [decision]})
    identity = json.dumps({"node": NODE, "pid": 7})
    work: Any = call("PollForActivityTask", {"domain": "demo", "taskList": {"name": "light"}, "identity": identity})
    clock.advance(40)
    call("RespondActivityTaskCompleted", {"taskToken": work.task_token})
    entry = documents.LedgerEntry(
        instance=NODE,
        profile="small",
        attempt="demo-a",
        price=3_600_000,
        since=launched,
        ended=launched + 100,
        cost=100_000,
    )
    store = stores.open_store(cluster.load("cluster.yaml").paths.store)
    store.put(f"{documents.LEDGER_PREFIX}{NODE}.json", msgspec.json.encode(entry))
    yield launched
    opened.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sfnodes.cli, list(arguments))


def test_the_bill_is_attributed_to_workflow_and_activity(ran: float) -> None:
    found = json.loads(run("cost", "--json").stdout)
    assert (found["nodes"], found["note"], found["spending"]["total"]) == (1, "", 100_000)
    [share] = found["spending"]["work"]
    assert (share["workflow"], share["activity"], share["tasks"]) == ("films", "cut", 1)
    assert (share["seconds"], share["cost"]) == (pytest.approx(40, abs=0.1), pytest.approx(40_000, abs=100))
    assert found["workflows"] == {"films": share["cost"]}
    text = run("cost").stdout
    assert "films\tcut\t1\t40 s\t0.0400 USD\t40%\n" in text
    assert "1 machine in 24 h, 0.1000 USD; 40% of it for tasks\n" in text


def test_without_a_coordinator_the_bill_is_whole_and_says_what_it_lacks(
    ran: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(config: object) -> connect.Connection:
        raise swf_errors.TransportError("nobody answers")

    monkeypatch.setattr(sfnodes_connect, "connection", silent)
    done = run("cost")
    assert done.exit_code == 0
    assert done.stderr == "the runs' histories cannot be read, so work is not told apart: nobody answers\n"
    assert "1 machine in 24 h, 0.1000 USD; 0% of it for tasks\n" in done.stdout


def test_runs_of_the_domain_are_what_is_simulated_without_files(ran: float) -> None:
    found = json.loads(run("simulate", "--policy", "idle", "--json").stdout)
    assert (found["runs"], found["tasks"], found["source"]) == (1, 1, "runs of domain 'demo' of 30 days")
    assert found["results"][0]["outcome"]["worked"] == pytest.approx(40, abs=0.1)


@pytest.mark.parametrize(
    ("identity", "node"),
    [('{"node":"i-1","pid":3}', "i-1"), ('{"pid":3}', ""), ("worker", ""), (None, ""), ("[1]", "")],
)
def test_a_workers_identity_names_its_machine(identity: str | None, node: str) -> None:
    assert sfnodes_records.node_of(identity) == node
