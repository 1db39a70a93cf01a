"""The host: shared commits, answers held until them, polls on a loop, deadlines that fire by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import awaited_host
import pytest
from service_world import ACTIVITY, DOMAIN, World, decision

from simpleflow.core import clock as clocks
from simpleflow.server import service
from simpleflow.server.process import disk as disks
from simpleflow.server.requests import errors
from simpleflow.server.store import memory, sqlite

Story = Callable[[awaited_host.Host], Awaitable[None]]


class SetClock(clocks.RealClock):
    """A wall clock that somebody sets forward."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


def play(
    story: Story, *, store: Any = None, fresh: bool = True, clock: clocks.Clock | None = None, **options: Any
) -> None:
    """Run a story on a host whose store holds what World prepares."""

    async def run() -> None:
        opened = store or memory.open_memory()
        World(opened, fresh=fresh)
        hosted = awaited_host.Host(service.Service(opened, clock or clocks.RealClock()), **options)
        await hosted.start()
        try:
            await story(hosted)
        finally:
            await hosted.stop()

    asyncio.run(run())


async def start(hosted: awaited_host.Host, workflow_id: str = "one", **more: Any) -> str:
    request = {"domain": DOMAIN, "workflowId": workflow_id, "workflowType": {"name": "w", "version": "1"}, **more}
    run_id: str = (await hosted.call("StartWorkflowExecution", request))["runId"]
    return run_id


def poll(hosted: awaited_host.Host, **more: Any) -> asyncio.Task[dict[str, Any]]:
    request = {"domain": DOMAIN, "taskList": {"name": "d"}}
    return asyncio.ensure_future(hosted.call("PollForDecisionTask", request, **more))


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_concurrent_calls_share_a_commit(tmp_path: Path) -> None:
    commits: list[int] = []

    async def story(hosted: awaited_host.Host) -> None:
        await asyncio.gather(*(start(hosted, str(n)) for n in range(20)))
        assert len(commits) == 1
        await start(hosted, "later")
        assert len(commits) == 2

    play(story, store=sqlite.open_file(tmp_path / "swf.db"), before_commit=lambda: commits.append(1))


def test_a_read_waits_for_the_commit_of_what_it_shows() -> None:
    order: list[str] = []

    async def story(hosted: awaited_host.Host) -> None:
        async def read() -> None:
            request = {"domain": DOMAIN, "startTimeFilter": {"oldestDate": 0}}
            found = await hosted.call("CountOpenWorkflowExecutions", request)
            order.append(f"read {found['count']}")

        await asyncio.gather(start(hosted), read())
        assert order == ["commit", "read 1"]

    play(story, before_commit=lambda: order.append("commit"))


def test_a_refusal_that_depends_on_the_group_waits_too() -> None:
    order: list[str] = []

    async def story(hosted: awaited_host.Host) -> None:
        first, second = await asyncio.gather(start(hosted), start(hosted), return_exceptions=True)
        assert isinstance(first, str)
        assert isinstance(second, errors.Fault)
        assert order == ["commit"]

    play(story, before_commit=lambda: order.append("commit"))


def test_a_failed_commit_answers_nobody_and_keeps_nothing() -> None:
    disk = awaited_host.Disk(full=True)

    async def story(hosted: awaited_host.Host) -> None:
        task = poll(hosted)
        await turns()
        answers = await asyncio.gather(start(hosted), start(hosted, "two"), return_exceptions=True)
        assert [getattr(answer, "status", None) for answer in answers] == [503, 503]
        with pytest.raises(errors.Fault, match="nothing could be stored"):
            await task  # it had been given the task of a start that is gone
        disk.full = False
        again = poll(hosted)
        await start(hosted)
        assert (await again)["workflowExecution"]["workflowId"] == "one"

    play(story, before_commit=disk)


def test_a_lost_answer_is_kept() -> None:
    lost = [True]

    def after() -> None:
        if lost.pop() if lost else False:
            raise errors.unavailable("the answer was lost")

    async def story(hosted: awaited_host.Host) -> None:
        with pytest.raises(errors.Fault):
            await start(hosted)
        with pytest.raises(errors.Fault, match="AlreadyStarted"):
            await start(hosted)

    play(story, after_commit=after)


def test_a_poll_is_woken_held_and_revoked() -> None:
    async def story(hosted: awaited_host.Host) -> None:
        first, second = poll(hosted), poll(hosted, poll_id="p")
        await turns()
        assert hosted.open_polls == 2
        await start(hosted)
        assert (await first)["workflowExecution"]["workflowId"] == "one"
        assert hosted.revoke("p")
        assert (await second)["taskToken"] == ""
        assert not hosted.revoke("p")
        assert hosted.open_polls == 0
        third = poll(hosted)
        assert (await third)["taskToken"] == ""  # its time is over

    play(story, poll_seconds=0.05)


def test_a_poller_that_left_before_the_commit_gets_no_task() -> None:
    async def story(hosted: awaited_host.Host) -> None:
        waiting = poll(hosted)
        await turns()
        begun = asyncio.ensure_future(start(hosted))
        await asyncio.sleep(0)  # the call is carried out, its commit comes next
        waiting.cancel()
        run_id = await begun
        with pytest.raises(asyncio.CancelledError):
            await waiting
        execution = {"workflowId": "one", "runId": run_id}
        history = await hosted.call("GetWorkflowExecutionHistory", {"domain": DOMAIN, "execution": execution})
        assert len(history["events"]) == 2
        assert (await poll(hosted))["taskToken"]

    play(story)


def test_a_poll_does_not_wait_for_others_who_keep_calling() -> None:
    async def story(hosted: awaited_host.Host) -> None:
        await asyncio.gather(start(hosted, "one"), start(hosted, "two"))  # answered together: others are waited for
        task = poll(hosted)
        for _ in range(200):
            await hosted.call("DescribeDomain", {"name": DOMAIN})
            await asyncio.sleep(0)
            if task.done():
                break
        else:
            pytest.fail("the poll waited for every other call")
        assert task.result()["taskToken"]

    play(story)


def test_deadlines_that_cannot_be_stored_are_tried_again_in_a_while() -> None:
    commits: list[int] = []
    full = [False]

    def commit() -> None:
        commits.append(1)
        if full[0]:
            raise OSError(28, "No space left on device")

    async def story(hosted: awaited_host.Host) -> None:
        run_id = await start(hosted, taskStartToCloseTimeout="0")
        full[0] = True
        await asyncio.gather(poll(hosted), return_exceptions=True)
        full[0] = False
        task = await poll(hosted)
        full[0] = True
        commits.clear()
        await asyncio.sleep(0.6)
        for n in range(3):
            assert isinstance((await asyncio.gather(start(hosted, f"x{n}"), return_exceptions=True))[0], errors.Fault)
        await asyncio.sleep(0.6)
        assert 3 < len(commits) < 10
        full[0] = False
        await asyncio.sleep(1.2)
        execution = {"workflowId": "one", "runId": run_id}
        found = await hosted.call("GetWorkflowExecutionHistory", {"domain": DOMAIN, "execution": execution})
        assert b'"DecisionTaskTimedOut"' in bytes(found["events"][3])
        with pytest.raises(errors.Fault, match="UnknownResource"):
            await hosted.call("RespondDecisionTaskCompleted", {"taskToken": task["taskToken"]})

    play(story, before_commit=commit)


def test_deadlines_fire_by_themselves() -> None:
    async def story(hosted: awaited_host.Host) -> None:
        await start(hosted)
        task = await poll(hosted)
        timer = {"timerId": "t", "startToFireTimeout": "0"}
        decisions = [{"decisionType": "StartTimer", "startTimerDecisionAttributes": timer}]
        await hosted.call("RespondDecisionTaskCompleted", {"taskToken": task["taskToken"], "decisions": decisions})
        task = await asyncio.wait_for(poll(hosted), 5)
        assert b"TimerFired" in bytes(task["events"][-3])

    play(story)


def test_a_clock_that_was_set_forward_delays_nothing() -> None:
    clock = SetClock()

    async def story(hosted: awaited_host.Host) -> None:
        await start(hosted, taskStartToCloseTimeout="50")  # the first deadline
        task = await poll(hosted)
        clock.ahead = 100
        await start(hosted, "two", taskStartToCloseTimeout="50")
        execution = {"workflowId": "one", "runId": task["workflowExecution"]["runId"]}
        found: list[Any] = []
        while not any(b'"DecisionTaskTimedOut"' in bytes(event) for event in found):
            found = (await hosted.call("GetWorkflowExecutionHistory", {"domain": DOMAIN, "execution": execution}))[
                "events"
            ]
            await asyncio.sleep(0.01)

    play(lambda hosted: asyncio.wait_for(story(hosted), 30), clock=clock)


def test_a_stop_ends_polls_and_refuses_calls() -> None:
    async def story(hosted: awaited_host.Host) -> None:
        waiting = poll(hosted)
        await turns()
        assert not hosted.busy
        await hosted.stop()
        assert (await waiting)["taskToken"] == ""
        with pytest.raises(errors.Fault, match="ending"):
            await start(hosted)

    play(story)


def test_a_thousand_open_polls_are_cheap() -> None:
    async def story(hosted: awaited_host.Host) -> None:
        tasks = [poll(hosted) for _ in range(1000)]
        await turns()
        begun = time.process_time()
        for n in range(100):
            await start(hosted, str(n))
        assert time.process_time() - begun < 2
        await turns()
        done = [task for task in tasks if task.done()]
        assert len(done) == 100
        assert done == tasks[:100]

    play(story)


def test_after_an_unclean_stop_the_database_is_checked_beside_the_work(tmp_path: Path) -> None:
    store = sqlite.open_file(tmp_path / "swf.db")
    World(store)
    store.release()

    async def story() -> None:
        hosted = awaited_host.Host(service.Service(sqlite.open_file(tmp_path / "swf.db"), clocks.RealClock()))
        await hosted.start()
        await start(hosted)
        for _ in range(200):
            if hosted.problems is not None:
                break
            await asyncio.sleep(0.01)
        assert hosted.problems == []
        await hosted.stop()

    asyncio.run(story())


class SlowDisk:
    """Flushes of a store that take a while, or fail."""

    def __init__(self, store: sqlite.File, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flushes = 0
        self.gate = threading.Event()
        self.gate.set()
        self.error: OSError | None = None
        monkeypatch.setattr(store, "flush", self.flush)

    def flush(self) -> None:
        self.flushes += 1
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error


def test_no_answer_leaves_before_the_disk_has_it_and_the_loop_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sqlite.open_file(tmp_path / "swf.db")
    disk = SlowDisk(store, monkeypatch)

    async def story(hosted: awaited_host.Host) -> None:
        disk.flushes = 0
        disk.gate.clear()
        first = [asyncio.ensure_future(start(hosted, str(n))) for n in range(3)]
        await turns()
        # these are carried out while the disk is busy, and share the next flush
        second = [asyncio.ensure_future(start(hosted, str(n))) for n in range(3, 6)]
        domain = asyncio.ensure_future(hosted.call("DescribeDomain", {"name": DOMAIN}))
        refused = asyncio.ensure_future(start(hosted, "0"))
        await asyncio.sleep(0.05)
        assert disk.flushes == 1
        assert not any(task.done() for task in (*first, *second, domain, refused))
        disk.gate.set()
        await asyncio.gather(*first, *second, domain)
        with pytest.raises(errors.Fault, match="AlreadyStarted"):
            await refused
        assert disk.flushes == 2
        await hosted.call("DescribeDomain", {"name": DOMAIN})
        assert disk.flushes == 2

    play(story, store=store)


def test_a_decision_leaves_before_the_disk_has_it_and_an_activity_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sqlite.open_file(tmp_path / "swf.db")
    disk = SlowDisk(store, monkeypatch)
    monkeypatch.setattr(disks.Disk, "quick", lambda self: False)  # the loop goes on meanwhile

    async def story(hosted: awaited_host.Host) -> None:
        deciding = poll(hosted)
        disk.gate.clear()
        starting = asyncio.ensure_future(start(hosted))
        task = await deciding
        assert not starting.done()
        disk.gate.set()
        await starting
        request = {"domain": DOMAIN, "taskList": {"name": "a"}}
        working = asyncio.ensure_future(hosted.call("PollForActivityTask", request))
        await asyncio.sleep(0.05)
        disk.gate.clear()
        scheduled = decision("ScheduleActivityTask", activityId="1", activityType=ACTIVITY, taskList={"name": "a"})
        answer = {"taskToken": task["taskToken"], "decisions": [scheduled]}
        answering = asyncio.ensure_future(hosted.call("RespondDecisionTaskCompleted", answer))
        await asyncio.sleep(0.05)
        assert not working.done()
        assert not answering.done()
        disk.gate.set()
        assert (await working)["activityId"] == "1"
        await answering

    play(story, store=store)


def test_a_power_cut_takes_a_decision_back_and_its_answer_is_refused(tmp_path: Path) -> None:
    store = sqlite.open_file(tmp_path / "swf.db")
    lost: list[dict[str, Any]] = []

    async def before(hosted: awaited_host.Host) -> None:
        await start(hosted)
        for suffix in ("", "-wal"):
            shutil.copy(tmp_path / f"swf.db{suffix}", tmp_path / f"cut.db{suffix}")
        lost.append(await poll(hosted, poll_id="one"))

    async def after(hosted: awaited_host.Host) -> None:
        task = await poll(hosted, poll_id="two")
        assert task["startedEventId"] == lost[0]["startedEventId"]
        with pytest.raises(errors.Fault, match="UnknownResource"):
            await hosted.call("RespondDecisionTaskCompleted", {"taskToken": lost[0]["taskToken"]})
        await hosted.call("RespondDecisionTaskCompleted", {"taskToken": task["taskToken"]})

    play(before, store=store)
    play(after, store=sqlite.open_file(tmp_path / "cut.db"), fresh=False)


def test_after_a_disk_that_failed_nothing_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = sqlite.open_file(tmp_path / "swf.db")

    disk = SlowDisk(store, monkeypatch)

    async def story(hosted: awaited_host.Host) -> None:
        disk.error = OSError(5, "Input/output error")
        answers = await asyncio.gather(start(hosted), start(hosted, "two"), return_exceptions=True)
        assert [getattr(answer, "status", None) for answer in answers] == [503, 503]
        with pytest.raises(errors.Fault, match="restart the server"):
            await hosted.call("DescribeDomain", {"name": DOMAIN})
        disk.error = None

    play(story, store=store)
    again = sqlite.open_file(tmp_path / "swf.db")
    assert not again.was_clean
    again.close()


def test_after_a_disk_that_failed_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came while the failing flush was under way is undone, and no deadline fires any more."""
    store = sqlite.open_file(tmp_path / "swf.db")
    disk = SlowDisk(store, monkeypatch)

    async def story(hosted: awaited_host.Host) -> None:
        disk.gate.clear()
        due = asyncio.ensure_future(start(hosted, "due", executionStartToCloseTimeout="1"))
        await asyncio.sleep(0.2)
        disk.gate.set()  # slow enough that a thread waits for the next one
        await due
        disk.gate.clear()
        disk.error = OSError(5, "Input/output error")
        first = asyncio.ensure_future(start(hosted, "first"))
        await turns()
        second = asyncio.ensure_future(start(hosted, "second"))
        await turns()
        disk.gate.set()
        answers = await asyncio.gather(first, second, return_exceptions=True)
        assert [getattr(answer, "status", None) for answer in answers] == [503, 503]
        disk.error = None
        disk.flushes = 0
        await asyncio.sleep(1.3)
        assert disk.flushes == 0

    play(story, store=store)
    with contextlib.closing(sqlite.open_file(tmp_path / "swf.db")) as again:
        assert again.open_key(DOMAIN, "due") is not None
        assert again.open_key(DOMAIN, "second") is None


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_a_slow_disk_is_not_waited_for_on_the_loop(tmp_path: Path, kept: str) -> None:
    store = memory.open_memory() if kept == "memory" else sqlite.open_file(tmp_path / "swf.db")
    slow = [0.0]
    threads: list[int] = []

    def flush() -> None:
        threads.append(threading.get_ident())
        time.sleep(slow[0])

    async def story(hosted: awaited_host.Host) -> None:
        slow[0] = 0.1
        threads.clear()
        for n in range(18):  # now and then a disk that is slow is tried on the loop; not one as slow as this
            await asyncio.gather(*(start(hosted, f"{n}.{each}") for each in range(5)))
        assert len(threads) >= 18
        assert threading.get_ident() not in threads

    play(story, store=store, before_flush=flush)
