"""The host under everything at once: full and slow disks, clients that leave, polls that are revoked, an early end."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import awaited_host
import pytest
from service_world import DOMAIN, World, decision

from simpleflow.core import clock as clocks
from simpleflow.server import service
from simpleflow.server.requests import errors
from simpleflow.server.store import sqlite, upkeep

#: seconds within which every call has to be answered: polls are held for half a second
ANSWERED = 10.0
LIST = {"domain": DOMAIN, "taskList": {"name": "d"}}
WORKFLOW = {"name": "w", "version": "1"}


class Stress:
    """Clients and pollers of one host whose disk is full or slow now and then."""

    def __init__(self, path: Path, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.full, self.slow = False, 0.0
        self.started: dict[str, str] = {}
        self.outcomes: collections.Counter[str] = collections.Counter()
        store = sqlite.open_file(path)
        World(store)
        self.hosted = awaited_host.Host(
            service.Service(store, clocks.RealClock()),
            before_commit=self._before_commit,
            before_flush=self._before_flush if seed % 2 else None,
            poll_seconds=0.5,
        )

    def _before_commit(self) -> None:
        if self.full and self.chance.random() < 0.7:
            raise OSError(28, "No space left on device")

    def _before_flush(self) -> None:
        time.sleep(self.chance.random() * self.slow)

    async def weather(self) -> None:
        while True:
            self.full = self.chance.random() < 0.4
            self.slow = self.chance.choice([0.0, 0.0, 0.005, 0.03])
            await asyncio.sleep(self.chance.random() * 0.1)

    async def answer(self, task: asyncio.Task[dict[str, Any]]) -> dict[str, Any] | None:
        """Wait for an answer; None when there is none, which must be a refusal or our own leaving."""
        try:
            found = await asyncio.wait_for(task, ANSWERED)
        except errors.Fault as fault:
            self.outcomes[fault.code] += 1
        except asyncio.CancelledError:
            self.outcomes["left"] += 1
        else:
            self.outcomes["answered"] += 1
            return found
        return None

    async def client(self, number: int) -> None:
        chance = random.Random(self.seed * 100 + number)
        for count in range(40):
            name = f"{number}.{count}"
            request = {"domain": DOMAIN, "workflowId": name, "workflowType": WORKFLOW}
            request["taskStartToCloseTimeout"] = chance.choice(["0", "1", "60"])
            call = asyncio.ensure_future(self.hosted.call("StartWorkflowExecution", request))
            if chance.random() < 0.1:
                await asyncio.sleep(0)
                call.cancel()
            found = await self.answer(call)
            if found is not None:
                self.started[name] = found["runId"]
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() * 0.01)
            if chance.random() < 0.5:
                await self.answer(asyncio.ensure_future(self.hosted.call("CountPendingDecisionTasks", LIST)))

    async def poller(self, number: int) -> None:
        chance = random.Random(self.seed * 1000 + number)
        for count in range(25):
            name = f"{number}.{count}"
            poll = asyncio.ensure_future(self.hosted.call("PollForDecisionTask", LIST, poll_id=name))
            what = chance.random()
            if what < 0.15:
                await asyncio.sleep(chance.random() * 0.005)
                poll.cancel()
            elif what < 0.25:
                await asyncio.sleep(0)
                self.hosted.revoke(name)
            found = await self.answer(poll)
            if found is not None and found["taskToken"]:
                close = [decision("CompleteWorkflowExecution")] if chance.random() < 0.5 else []
                request = {"taskToken": found["taskToken"], "decisions": close}
                await self.answer(asyncio.ensure_future(self.hosted.call("RespondDecisionTaskCompleted", request)))

    async def run(self, *, early: bool) -> None:
        await self.hosted.start()
        weather = asyncio.ensure_future(self.weather())
        work: list[Coroutine[Any, Any, None]] = [self.client(n) for n in range(6)] + [self.poller(n) for n in range(6)]
        everybody = asyncio.gather(*work)
        if early:
            await asyncio.sleep(0.2)
            await asyncio.wait_for(self.hosted.stop(), ANSWERED)
        await everybody
        weather.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await weather
        await asyncio.wait_for(self.hosted.stop(), ANSWERED)
        assert (self.hosted.open_polls, self.hosted.service.open_polls) == (0, 0)


@pytest.mark.parametrize("early", [False, True], ids=["to the end", "stopped early"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_call_is_answered_and_nothing_acknowledged_is_lost(tmp_path: Path, seed: int, early: bool) -> None:
    path = tmp_path / "swf.db"
    stress = Stress(path, seed)
    asyncio.run(stress.run(early=early))
    assert stress.started
    assert set(stress.outcomes) <= {"answered", "left", "ServiceUnavailable", "UnknownResourceFault"}, stress.outcomes
    assert list(upkeep.check(path)) == []
    world = World(sqlite.open_file(path), fresh=False)
    for name, run_id in stress.started.items():
        world.call("DescribeWorkflowExecution", domain=DOMAIN, execution={"workflowId": name, "runId": run_id})
    world.store.close()
