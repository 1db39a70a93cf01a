"""Power cuts at random moments under load: nothing that was answered is lost, no decision on a lost event is taken."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import awaited_host
import msgspec
import pytest
from service_world import ACTIVITY, DOMAIN, World, decision

from simpleflow.core import clock as clocks
from simpleflow.server import service
from simpleflow.server.process import disk as disks
from simpleflow.server.requests import errors
from simpleflow.server.store import sqlite

FILES = ("swf.db", "swf.db-wal")
#: how many activities are taken before the power is cut
TAKEN = range(3, 40)


class Machine:
    """A database in a folder, and another folder with what of it the disk has.

    What the disk has when a flush is over is at least what stood in the files when it began.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self.store = sqlite.open_file(folder / "swf.db")
        World(self.store)
        self._chance = chance
        self._flush = self.store.flush
        self.cut = False
        for name in ("disk", "begun"):
            (folder / name).mkdir()
        self._copy("disk")

    def _copy(self, to: str) -> None:
        for name in FILES:
            shutil.copy(self.folder / name, self.folder / to / name)

    def flush(self) -> None:
        """Take the place of the store's flush, on a disk that takes its time."""
        self._fail_if_cut()
        self._copy("begun")
        time.sleep(self._chance.random() * 0.01)
        self._flush()
        self._fail_if_cut()
        for name in FILES:
            os.replace(self.folder / "begun" / name, self.folder / "disk" / name)

    def _fail_if_cut(self) -> None:
        if self.cut:
            raise OSError(5, "the power was cut")


class Load:
    """Clients, deciders and workers, who note what they were answered."""

    def __init__(self, host: awaited_host.Host, chance: random.Random, name: str) -> None:
        self._host = host
        self._name = name
        self._chance = chance
        self._names = itertools.count()
        #: (run, event type, event id or None): what an answer has promised
        self.promised: list[tuple[dict[str, str], str, int | None]] = []
        #: decision tasks that were not answered, with their events
        self.undecided: dict[str, tuple[dict[str, str], list[Any]]] = {}
        self.taken, self._last = 0, chance.choice(TAKEN)
        self.enough = asyncio.Event()

    async def starts(self, number: int) -> None:
        for count in itertools.count():
            run = {"workflowId": f"{number}-{count}"}
            request = {"domain": DOMAIN, **run, "workflowType": {"name": "w", "version": "1"}}
            run["runId"] = (await self._host.call("StartWorkflowExecution", request))["runId"]
            self.promised.append((run, "WorkflowExecutionStarted", 1))
            await self._host.call("SignalWorkflowExecution", {"domain": DOMAIN, **run, "signalName": "s"})
            self.promised.append((run, "WorkflowExecutionSignaled", None))

    async def poll(self, kind: str, task_list: str) -> dict[str, Any]:
        request = {"domain": DOMAIN, "taskList": {"name": task_list}}
        while True:
            task: dict[str, Any] = await self._host.call(
                f"PollFor{kind}Task", request, poll_id=f"{self._name}-{next(self._names)}"
            )
            if task["taskToken"]:
                return task

    async def decides(self, number: int) -> None:
        while True:
            task = await self.poll("Decision", "d")
            token, started = task["taskToken"], task["startedEventId"]
            self.undecided[token] = task["workflowExecution"], read(task["events"])
            await asyncio.sleep(self._chance.random() * 0.01)
            scheduled = decision(
                "ScheduleActivityTask", activityId=str(started), activityType=ACTIVITY, taskList={"name": "x"}
            )
            await self._host.call("RespondDecisionTaskCompleted", {"taskToken": token, "decisions": [scheduled]})
            run, _ = self.undecided.pop(token)
            self.promised.append((run, "DecisionTaskCompleted", None))

    async def works(self, number: int) -> None:
        while True:
            task = await self.poll("Activity", "x")
            self.promised.append((task["workflowExecution"], "ActivityTaskStarted", task["startedEventId"]))
            self.taken += 1
            if self.taken == self._last:
                self.enough.set()
            await self._host.call("RespondActivityTaskCompleted", {"taskToken": task["taskToken"]})
            self.promised.append((task["workflowExecution"], "ActivityTaskCompleted", None))


def read(events: list[Any]) -> list[Any]:
    return [msgspec.json.decode(bytes(each)) for each in events]


async def history(host: awaited_host.Host, run: dict[str, str]) -> list[Any]:
    return read((await host.call("GetWorkflowExecutionHistory", {"domain": DOMAIN, "execution": run}))["events"])


async def before(machine: Machine, chance: random.Random) -> Load:
    host = awaited_host.Host(service.Service(machine.store, clocks.RealClock()))
    await host.start()
    load = Load(host, chance, "before")
    tasks = [asyncio.ensure_future(each(n)) for each in (load.starts, load.decides, load.works) for n in range(3)]
    cut = asyncio.ensure_future(load.enough.wait())
    await asyncio.wait([*tasks, cut], timeout=120, return_when=asyncio.FIRST_COMPLETED)
    assert load.enough.is_set(), [task for task in tasks if task.done()]
    machine.cut = True
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with contextlib.suppress(OSError):
        await host.stop()
    machine.store.release()
    return load


async def after(machine: Machine, load: Load, chance: random.Random) -> None:
    store = sqlite.open_file(machine.folder / "disk" / "swf.db")
    host = awaited_host.Host(service.Service(store, clocks.RealClock()))
    await host.start()
    for run, promised in itertools.groupby(sorted(load.promised, key=str), key=lambda each: each[0]):
        wanted = list(promised)
        found = await history(host, run)
        counts = collections.Counter(each["eventType"] for each in found)
        ids = {(each["eventType"], each["eventId"]) for each in found}
        for kind, count in collections.Counter(kind for _, kind, event_id in wanted if event_id is None).items():
            assert counts[kind] >= count, (run, kind)
        assert {(kind, event_id) for _, kind, event_id in wanted if event_id is not None} <= ids
    if chance.random() < 0.7:  # others get the tasks that the lost answers are about
        others = Load(host, chance, "after")
        request = {"domain": DOMAIN, "taskList": {"name": "d"}}
        for _ in range((await host.call("CountPendingDecisionTasks", request))["count"]):
            await others.poll("Decision", "d")
    for token, (run, events) in load.undecided.items():
        known: list[Any] = []
        with contextlib.suppress(errors.Fault):  # the run itself was never answered
            known = await history(host, run)
        refusal = ""
        try:
            await host.call("RespondDecisionTaskCompleted", {"taskToken": token})
        except errors.Fault as fault:
            refusal = fault.code
        assert "UnknownResource" in refusal or known[: len(events)] == events, "the disk never had these events"
    await host.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(10))
def test_a_power_cut_takes_back_nothing_that_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    machine = Machine(tmp_path, random.Random(seed))
    monkeypatch.setattr(machine.store, "flush", machine.flush)
    monkeypatch.setattr(disks.Disk, "quick", lambda self: False)  # the loop goes on meanwhile
    load = asyncio.run(before(machine, chance))
    asyncio.run(after(machine, load, chance))
