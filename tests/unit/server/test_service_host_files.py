"""The host and the files of its database: damage is only read, files that are gone are noticed, each start checks."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import awaited_host
import pytest
from service_world import DOMAIN, World
from test_service_host import poll, start, turns

from simpleflow.core import clock as clocks
from simpleflow.server import service
from simpleflow.server.process import file_watch
from simpleflow.server.requests import errors
from simpleflow.server.store import sqlite

Story = Callable[[awaited_host.Host], Awaitable[None]]


def play(path: Path, story: Story, *, accept_damage: bool = False) -> None:
    async def run() -> None:
        hosted = awaited_host.Host(
            service.Service(sqlite.open_file(path), clocks.RealClock()), accept_damage=accept_damage
        )
        await hosted.start()
        try:
            await story(hosted)
        finally:
            await hosted.stop()

    asyncio.run(run())


def prepared(path: Path) -> Path:
    world = World(sqlite.open_file(path))
    world.clock.advance_to(time.time())
    for number in range(200):
        world.start(f"w{number}", input="x" * 2000)
    world.store.close()
    return path


def damaged(path: Path) -> Path:
    """Spoil pages of events: everything else can still be read."""
    body = bytearray(prepared(path).read_bytes())
    for offset in range(0, len(body), 4096):
        if body[offset] == 13 and b"x" * 1000 in body[offset : offset + 4096]:
            body[offset + 8 : offset + 40] = b"\xff" * 32
            break
    path.write_bytes(body)
    return path


async def checked(hosted: awaited_host.Host) -> None:
    for _ in range(1000):
        if hosted.problems is not None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the check did not end")


def test_after_an_orderly_stop_it_is_checked_as_well(tmp_path: Path) -> None:
    async def story(hosted: awaited_host.Host) -> None:
        await checked(hosted)
        assert hosted.problems == []

    play(prepared(tmp_path / "swf.db"), story)


def test_a_damaged_database_is_only_read_until_a_person_decides(tmp_path: Path) -> None:
    path = damaged(tmp_path / "swf.db")

    async def read_only(hosted: awaited_host.Host) -> None:
        with pytest.raises(errors.Fault, match="is damaged") as refused:
            await start(hosted, "new")
        assert refused.value.status == 503
        assert "server restore" in refused.value.message
        assert "--accept-damage" in refused.value.message
        with pytest.raises(errors.Fault, match="is damaged"):
            await poll(hosted)
        count = {"domain": DOMAIN, "startTimeFilter": {"oldestDate": 0}}
        assert (await hosted.call("CountOpenWorkflowExecutions", count))["count"] == 200

    async def first(hosted: awaited_host.Host) -> None:
        waiting = asyncio.ensure_future(
            hosted.call("PollForActivityTask", {"domain": DOMAIN, "taskList": {"name": "none"}})
        )
        await checked(hosted)
        with pytest.raises(errors.Fault, match="is damaged"):
            await waiting
        await read_only(hosted)

    async def accepted(hosted: awaited_host.Host) -> None:
        await start(hosted, "new")
        await checked(hosted)
        assert hosted.problems
        await start(hosted, "newer")

    play(path, first)
    play(path, read_only)  # the next server knows it from the start
    play(path, accepted, accept_damage=True)


@pytest.mark.parametrize("how", ["deleted", "renamed", "replaced"])
@pytest.mark.parametrize("busy", [True, False])
def test_a_service_whose_files_are_gone_refuses(
    tmp_path: Path, how: str, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_watch, "_LOOK", 0.02)
    path = tmp_path / "data" / "swf.db"
    World(sqlite.open_file(path)).store.close()

    async def story(hosted: awaited_host.Host) -> None:
        waiting = poll(hosted)
        await turns()
        if how == "deleted":
            path.unlink()
        else:
            path.rename(tmp_path / "away.db")
            if how == "replaced":
                path.write_bytes((tmp_path / "away.db").read_bytes())
        if busy:
            with pytest.raises(errors.Fault, match=re.escape(f"{path} was ")) as refused:
                await start(hosted)
            assert refused.value.status == 503
        with pytest.raises(errors.Fault, match=re.escape(f"{path} was ")):
            await waiting
        with pytest.raises(errors.Fault, match="nothing is stored any more"):
            await hosted.call("ListDomains", {"registrationStatus": "REGISTERED"})

    play(path, story)
