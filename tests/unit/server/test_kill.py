"""SIGKILL at any moment under load: what was acknowledged is there, once, and whatever fell due fires."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kill_rig
import machine_checks
import pytest

from simpleflow.server.store import upkeep

#: seconds that an overdue deadline of a server under load may take to fire
_SLACK = 1.0
_PATIENCE = 20.0


@pytest.fixture
def server() -> Iterator[kill_rig.Server]:
    folder = Path(tempfile.mkdtemp(prefix="kill-"))
    made = kill_rig.Server(folder)
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


def _register(client: kill_rig.Client) -> None:
    days = {"workflowExecutionRetentionPeriodInDays": "1"}
    client.call("RegisterDomain", name=kill_rig.DOMAIN, **days)
    client.call("RegisterWorkflowType", domain=kill_rig.DOMAIN, **kill_rig.TYPE)
    client.call("RegisterActivityType", domain=kill_rig.DOMAIN, **kill_rig.TYPE)


EVERY = {"domain": kill_rig.DOMAIN, "startTimeFilter": {"oldestDate": 0}}


def listed(client: kill_rig.Client, which: str) -> list[dict[str, Any]]:
    """All executions that are ``Open`` or ``Closed``, page by page."""
    found: list[dict[str, Any]] = []
    request: dict[str, Any] = dict(EVERY)
    while True:
        page = client.call(f"List{which}WorkflowExecutions", **request)
        found += page["executionInfos"]
        if "nextPageToken" not in page:
            return found
        request["nextPageToken"] = page["nextPageToken"]


class Auditor:
    """Reads histories, and holds them against what clients were told."""

    def __init__(self, client: kill_rig.Client, acknowledged: kill_rig.Acknowledged) -> None:
        self._client = client
        self._ledger = acknowledged
        self._ids = {run_id: workflow_id for workflow_id, run_id in acknowledged.runs.items()}

    def _names(self, run_id: str) -> str:
        if run_id not in self._ids:
            # started, though its client was not told
            for which in ("Open", "Closed"):
                for info in listed(self._client, which):
                    self._ids[info["execution"]["runId"]] = info["execution"]["workflowId"]
        return self._ids[run_id]

    def read(self, run_id: str) -> machine_checks.Reading:
        execution = {"workflowId": self._names(run_id), "runId": run_id}
        answer = self._client.call("GetWorkflowExecutionHistory", domain=kill_rig.DOMAIN, execution=execution)
        read = machine_checks.Reading(answer["events"])
        kinds = {event["eventId"]: event["eventType"] for event in read.events}
        found: dict[str, Counter[Any]] = {"signals": Counter(), "results": Counter(), "answered": Counter()}
        for event in read.events:
            given = machine_checks.attributes(event)
            if event["eventType"] == "WorkflowExecutionSignaled":
                found["signals"][given["signalName"]] += 1
            elif event["eventType"] == "ActivityTaskCompleted":
                found["results"][given["result"]] += 1
            elif event["eventType"] == "DecisionTaskCompleted":
                found["answered"][given["startedEventId"]] += 1
        for name, counter in found.items():
            told = {what for run, what in getattr(self._ledger, name) if run == run_id}
            assert told <= counter.keys(), f"lost of {run_id}: {told - counter.keys()}"
            assert all(count == 1 for count in counter.values()), f"doubled: {counter}"
        for run, started in self._ledger.started:
            assert run != run_id or kinds.get(started) == "DecisionTaskStarted"
        assert list(kinds.values()).count("ActivityTaskScheduled") <= 1
        return read

    def settled(self, run_id: str) -> machine_checks.Reading:
        """Read, and wait for what is overdue to fire."""
        limit = time.monotonic() + _PATIENCE
        while True:
            read = self.read(run_id)
            overdue = read.overdue(time.time() - _SLACK)
            if not overdue:
                return read
            assert time.monotonic() < limit, f"never fired: {overdue} of {run_id}"
            time.sleep(0.05)


def _loop(server: kill_rig.Server, rounds: int) -> None:
    acknowledged, chance = kill_rig.Acknowledged(), random.Random(7)
    server.start()
    client = kill_rig.Client(server)
    _register(client)
    for number in range(rounds):
        load = kill_rig.Load(server, acknowledged, number)
        time.sleep(chance.choice([chance.uniform(0.0, 0.05), chance.uniform(0.05, 0.25)]))
        server.kill()
        load.stop()
        client.close()
        server.start()
        auditor = Auditor(client, acknowledged)
        for run_id in sorted(acknowledged.touched):
            auditor.settled(run_id)
        acknowledged.touched.clear()
    load = kill_rig.Load(server, acknowledged, rounds, begin=False)
    limit = time.monotonic() + _PATIENCE
    while client.call("CountOpenWorkflowExecutions", **EVERY)["count"]:
        assert time.monotonic() < limit, "executions that never end"
        time.sleep(0.1)
    server.kill()
    load.stop()
    client.close()
    server.start()
    infos = listed(client, "Closed")
    assert {info["closeStatus"] for info in infos} == {"COMPLETED"}
    ids = Counter(info["execution"]["workflowId"] for info in infos)
    assert all(count == 1 for count in ids.values()), "an execution was doubled"
    runs = {info["execution"]["workflowId"]: info["execution"]["runId"] for info in infos}
    assert acknowledged.runs.items() <= runs.items(), "an acknowledged start was lost"
    assert len(acknowledged.runs) > rounds
    auditor = Auditor(client, acknowledged)
    for run_id in runs.values():
        assert auditor.read(run_id).closed
    client.close()
    server.kill()
    assert not list(upkeep.check(server.database))


@pytest.mark.needs_processes
def test_killed_fifty_times(server: kill_rig.Server) -> None:
    _loop(server, 50)


@pytest.mark.slow
@pytest.mark.needs_processes
@pytest.mark.timeout(900)
def test_killed_two_hundred_times(server: kill_rig.Server) -> None:
    _loop(server, 200)
