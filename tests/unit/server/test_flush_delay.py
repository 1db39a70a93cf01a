"""A flush that waits for the answers to decisions: what it saves, whom it never keeps waiting, what a kill leaves."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import awaited_host
import pytest
from service_world import ACTIVITY, DOMAIN, World, decision
from test_service_host import SlowDisk, play, poll, start, turns

from simpleflow.server.process import disk as disks
from simpleflow.server.process import flush_delay
from simpleflow.server.requests import errors
from simpleflow.server.state import polls
from simpleflow.server.store import sqlite

WORK = {"domain": DOMAIN, "taskList": {"name": "a"}}


@pytest.fixture
def long_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a flush wait so long that only what a test does ends it."""
    monkeypatch.setattr(flush_delay, "_SHORTEST", 300.0)
    monkeypatch.setattr(flush_delay, "_LONGEST", 300.0)
    monkeypatch.setattr(flush_delay, "_QUICK", 0.0)


def schedule(hosted: awaited_host.Host, task: dict[str, Any], name: str) -> asyncio.Future[Any]:
    """Answer a decision task with one activity."""
    scheduled = decision("ScheduleActivityTask", activityId=name, activityType=ACTIVITY, taskList={"name": "a"})
    answer = {"taskToken": task["taskToken"], "decisions": [scheduled]}
    return asyncio.ensure_future(hosted.call("RespondDecisionTaskCompleted", answer))


def work(hosted: awaited_host.Host) -> asyncio.Task[dict[str, Any]]:
    return asyncio.ensure_future(hosted.call("PollForActivityTask", WORK))


def complete(hosted: awaited_host.Host, task: dict[str, Any]) -> asyncio.Future[Any]:
    return asyncio.ensure_future(hosted.call("RespondActivityTaskCompleted", {"taskToken": task["taskToken"]}))


@pytest.mark.usefixtures("long_delay")
def test_a_step_of_a_chain_waits_for_the_disk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = sqlite.open_file(tmp_path / "swf.db")
    disk = SlowDisk(store, monkeypatch)

    async def story(hosted: awaited_host.Host) -> None:
        disk.flushes = 0
        deciding, working = poll(hosted), work(hosted)
        await turns()
        starting = asyncio.ensure_future(start(hosted))
        for step in range(5):
            decided = schedule(hosted, await deciding, str(step))
            activity = await working
            assert disk.flushes == step + 1
            await decided
            deciding, working = poll(hosted), work(hosted)
            await turns()
            completed = complete(hosted, activity)
            task = await deciding
            await turns()
            assert not completed.done()
            deciding = asyncio.ensure_future(asyncio.sleep(0, task))
        await starting
        await hosted.call("DescribeDomain", {"name": DOMAIN})
        await completed
        working.cancel()

    play(story, store=store)


@pytest.mark.usefixtures("long_delay")
def test_a_call_of_somebody_else_is_not_kept_waiting_and_a_poll_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sqlite.open_file(tmp_path / "swf.db")
    disk = SlowDisk(store, monkeypatch)

    async def story(hosted: awaited_host.Host) -> None:
        disk.flushes = 0
        for number, action in enumerate(("DescribeDomain", "SignalWorkflowExecution", "unknown")):
            deciding, working = poll(hosted), work(hosted)
            await turns()
            starting = asyncio.ensure_future(start(hosted, str(number)))
            await deciding
            another = work(hosted)
            await turns(10)
            assert (starting.done(), disk.flushes) == (False, number)
            if action == "DescribeDomain":
                await hosted.call(action, {"name": DOMAIN})
            elif action == "unknown":
                with pytest.raises(errors.Fault, match="UnknownResource"):
                    await hosted.call("DescribeDomain", {"name": action})
            else:
                await hosted.call(action, {"domain": DOMAIN, "workflowId": str(number), "signalName": "s"})
            await starting
            assert disk.flushes == number + 1
            working.cancel()
            another.cancel()

    play(story, store=store)


@pytest.mark.usefixtures("long_delay")
def test_where_no_worker_polls_nobody_is_kept_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with one slot polls behind its answer, on the same connection: the poll waits for what it is told."""
    store = sqlite.open_file(tmp_path / "swf.db")
    disk = SlowDisk(store, monkeypatch)

    async def story(hosted: awaited_host.Host) -> None:
        disk.flushes = 0
        deciding = poll(hosted)
        await turns()
        await start(hosted)
        await deciding
        assert disk.flushes == 1

    play(story, store=store)


def test_who_waits_for_a_decision_that_nobody_answers_is_told_soon(tmp_path: Path) -> None:
    async def story(hosted: awaited_host.Host) -> None:
        working = work(hosted)
        for number in range(40):  # also once deciders are known to be slow
            deciding = poll(hosted)
            await turns()
            await start(hosted, str(number))
            await deciding
        working.cancel()

    play(story, store=sqlite.open_file(tmp_path / "swf.db"))


@pytest.mark.usefixtures("long_delay")
def test_an_end_in_order_waits_for_nobody(tmp_path: Path) -> None:
    acknowledged: list[str] = []

    async def story(hosted: awaited_host.Host) -> None:
        deciding, _working = poll(hosted), work(hosted)
        await turns()
        starting = asyncio.ensure_future(start(hosted))
        await deciding
        await hosted.stop()
        acknowledged.append(await starting)

    play(story, store=sqlite.open_file(tmp_path / "swf.db"))
    world = World(sqlite.open_file(tmp_path / "swf.db"), fresh=False)
    world.call("DescribeWorkflowExecution", domain=DOMAIN, execution={"workflowId": "one", "runId": acknowledged[0]})
    world.store.close()


@pytest.mark.usefixtures("long_delay")
def test_files_that_are_gone_end_the_delay_without_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = sqlite.open_file(tmp_path / "swf.db")
    disk = SlowDisk(store, monkeypatch)

    async def story(hosted: awaited_host.Host) -> None:
        disk.flushes = 0
        deciding, _working = poll(hosted), work(hosted)
        await turns()
        starting = asyncio.ensure_future(start(hosted))
        await deciding
        (tmp_path / "swf.db").rename(tmp_path / "elsewhere.db")
        with pytest.raises(errors.Fault, match="restart the server"):
            await starting  # the files are looked at each second
        assert disk.flushes == 0

    play(story, store=store)


@pytest.mark.usefixtures("long_delay")
def test_a_kill_takes_no_decision_back(tmp_path: Path) -> None:
    """What SIGKILL leaves is what the kernel has, whether the disk has it or not."""
    given: list[dict[str, Any]] = []

    async def before(hosted: awaited_host.Host) -> None:
        deciding, working = poll(hosted, poll_id="one"), work(hosted)
        await turns()
        starting = asyncio.ensure_future(start(hosted))
        given.append(await deciding)
        for suffix in ("", "-wal"):
            shutil.copy(tmp_path / f"swf.db{suffix}", tmp_path / f"killed.db{suffix}")
        assert not starting.done()
        await hosted.call("DescribeDomain", {"name": DOMAIN})
        await starting
        working.cancel()

    async def after(hosted: awaited_host.Host) -> None:
        await schedule(hosted, given[0], "1")
        assert (await hosted.call("PollForActivityTask", WORK))["activityId"] == "1"

    play(before, store=sqlite.open_file(tmp_path / "swf.db"))
    play(after, store=sqlite.open_file(tmp_path / "killed.db"), fresh=False)


@pytest.fixture
def disk_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flush on the thread, however quick the disk is."""
    monkeypatch.setattr(disks.Disk, "quick", lambda self: False)


@pytest.mark.usefixtures("long_delay", "disk_thread")
def test_a_refusal_waits_for_the_flush_that_its_reason_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sqlite.open_file(tmp_path / "swf.db")
    disk = SlowDisk(store, monkeypatch)

    async def story(hosted: awaited_host.Host) -> None:
        deciding, working = poll(hosted), work(hosted)
        await turns()
        starting = asyncio.ensure_future(start(hosted))
        decided = schedule(hosted, await deciding, "1")
        activity = await working
        await asyncio.gather(starting, decided)
        deciding, working = poll(hosted), work(hosted)
        await turns()
        disk.gate.clear()
        completed = complete(hosted, activity)
        await deciding  # the flush waits for the answer to it
        answer = ("RespondActivityTaskCompleted", {"taskToken": activity["taskToken"]})
        repeated = asyncio.ensure_future(hosted.answer([answer], polls.Then(WORK, "claim")))
        await asyncio.sleep(0)  # it is carried out, and its commit is made in the next turn of the loop
        hosted._flush_soon()  # the time of the delay is over
        await turns(10)
        assert not completed.done()
        assert not repeated.done()
        disk.gate.set()
        await completed
        ((refusal,), tasks) = await repeated
        assert "UnknownResource" in str(refusal)
        assert tasks == []
        working.cancel()

    play(story, store=store)


@pytest.mark.usefixtures("long_delay", "disk_thread")
def test_a_commit_that_fails_keeps_nobody_waiting_whose_commit_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sqlite.open_file(tmp_path / "swf.db")
    disk, room = SlowDisk(store, monkeypatch), awaited_host.Disk()

    def signal(hosted: awaited_host.Host) -> asyncio.Future[Any]:
        request = {"domain": DOMAIN, "workflowId": "one", "signalName": "s"}
        return asyncio.ensure_future(hosted.call("SignalWorkflowExecution", request))

    async def story(hosted: awaited_host.Host) -> None:
        deciding, working = poll(hosted), work(hosted)
        await turns()
        disk.gate.clear()
        starting = asyncio.ensure_future(start(hosted))
        await deciding
        working.cancel()
        made = signal(hosted)
        await asyncio.sleep(0)
        hosted._flush_soon()  # the time of the delay is over
        await turns(10)
        refused = signal(hosted)
        await turns()
        room.full = True
        disk.gate.set()
        await starting
        with pytest.raises(errors.Fault, match="nothing could be stored"):
            await refused
        await made
        room.full = False

    play(story, store=store, before_commit=room)


def test_deciders_that_turn_out_slow_are_waited_for_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flush_delay, "_SHORTEST", 0.0)
    monkeypatch.setattr(flush_delay, "_LONGEST", 0.0)

    async def story() -> None:
        over = asyncio.Event()
        delay = flush_delay.FlushDelay(asyncio.get_running_loop(), lambda: 0.001, over.set)

        async def waited(*, met: bool) -> bool:
            waits = delay.wait(1, decisions=True)
            if met:
                delay.end()
            elif waits:
                await over.wait()
                over.clear()
            return waits

        assert not delay.wait(1, decisions=False)
        assert [await waited(met=True) for _ in range(8)] == [True] * 8
        assert [await waited(met=False) for _ in range(5)] == [True] * 5
        late = [await waited(met=False) for _ in range(160)]
        assert late.count(True) == 10
        quick = [await waited(met=True) for _ in range(160)]  # each wait that is met counts as one
        assert quick[-1]
        assert quick.count(False) < 64

    asyncio.run(story())


def test_a_quick_disk_is_not_worth_a_wait() -> None:
    async def story() -> None:
        seconds = [0.0001]
        delay = flush_delay.FlushDelay(asyncio.get_running_loop(), lambda: seconds[0], lambda: None)
        assert not delay.wait(1, decisions=True)
        seconds[0] = 0.002
        assert delay.wait(1, decisions=True)
        delay.end()
        seconds[0] = 0.0002
        assert not delay.wait(1, decisions=True)

    asyncio.run(story())
