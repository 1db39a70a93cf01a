"""Tasks that go to their worker ahead of the disk: told before a flush, given after it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awaited_host
import pytest
from service_world import ACTIVITY, DOMAIN, decision
from test_service_host import play, poll, start

from simpleflow.server.process import host
from simpleflow.server.requests import errors
from simpleflow.server.store import sqlite


class Disk:
    """Flushes that take so long, or wait until the test lets them end."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.free = threading.Event()
        self.free.set()
        self.error: OSError | None = None

    def __call__(self) -> None:
        time.sleep(self.seconds)
        assert self.free.wait(30)
        if self.error is not None:
            raise self.error


async def known(hosted: awaited_host.Host, disk: Disk) -> None:
    """Let the host see how quick the disk is."""
    for number in range(9):
        await start(hosted, f"{number}", taskList={"name": "other"})


async def scheduled(hosted: awaited_host.Host) -> tuple[Callable[[], Any], list[Any], list[Any]]:
    """A worker's open poll, and a decision that will bring it a task: what sends that, what is told, what is given."""
    told: list[Any] = []
    given: list[Any] = []
    request = {"domain": DOMAIN, "taskList": {"name": "x"}}
    waiter = host.Host.call(hosted, "PollForActivityTask", request, given.append)
    assert waiter is not None
    waiter.tell = told.append
    decided = poll(hosted)
    await start(hosted)
    token = (await decided)["taskToken"]
    await hosted.call("DescribeDomain", {"name": DOMAIN})  # the disk has all of it
    schedule = decision("ScheduleActivityTask", activityId="1", activityType=ACTIVITY)

    def respond() -> Any:
        request = {"taskToken": token, "decisions": [schedule]}
        return asyncio.ensure_future(hosted.call("RespondDecisionTaskCompleted", request))

    return respond, told, given


async def until(condition: Callable[[], object]) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def test_a_task_is_told_before_the_flush_and_given_after_it(tmp_path: Path) -> None:
    disk = Disk(0.06)

    async def story(hosted: awaited_host.Host) -> None:
        await known(hosted, disk)
        respond, told, given = await scheduled(hosted)
        disk.free.clear()
        answered = respond()
        await until(lambda: told)
        assert told[0]["activityId"] == "1"
        await asyncio.sleep(0.05)
        assert not given
        assert not answered.done()
        disk.free.set()
        await answered
        await until(lambda: given)
        assert given == told

    play(story, store=sqlite.open_file(tmp_path / "swf.db"), before_flush=disk)


def test_a_task_that_was_told_is_taken_back_when_the_disk_fails(tmp_path: Path) -> None:
    disk = Disk(0.06)

    async def story(hosted: awaited_host.Host) -> None:
        await known(hosted, disk)
        respond, told, given = await scheduled(hosted)
        disk.free.clear()
        disk.error = OSError(5, "Input/output error")
        answered = respond()
        await until(lambda: told)
        disk.free.set()
        with pytest.raises(errors.Fault, match="the disk failed"):
            await answered
        await until(lambda: given)
        assert isinstance(given[0], errors.Fault)
        disk.error = None

    play(story, store=sqlite.open_file(tmp_path / "swf.db"), before_flush=disk)


def test_a_quick_disk_is_not_worth_it(tmp_path: Path) -> None:
    disk = Disk(0.0)

    async def story(hosted: awaited_host.Host) -> None:
        assert hosted._disk is not None
        await known(hosted, disk)
        hosted._disk._seconds.extend([0.0001] * 8)
        respond, told, given = await scheduled(hosted)
        hosted._disk._seconds.extend([0.0001] * 8)
        await respond()
        await until(lambda: given)
        assert given[0]["activityId"] == "1"
        assert not told

    play(story, store=sqlite.open_file(tmp_path / "swf.db"), before_flush=disk)


def test_without_a_disk_nothing_goes_ahead() -> None:
    async def story(hosted: awaited_host.Host) -> None:
        respond, told, given = await scheduled(hosted)
        await respond()
        await until(lambda: given)
        assert not told

    play(story)
