"""``async def run``: positional reads only, always resumed, our waits instead of asyncio's."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from simpleflow import Workflow, exceptions, futures

from .driver import Play, act

A, B, C, RAISES = act("a"), act("b"), act("c"), act("raises", raises_on_failure=True)


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


def test_await_gives_results_and_raises_failures() -> None:
    class Program(Base):
        async def run(self, number: int) -> Any:
            value = await self.submit(A, number)
            try:
                await self.submit(RAISES)
            except exceptions.TaskFailed as error:
                return [value, error.reason]

    play = Play(Program, 3)
    assert play.decide() == ["ScheduleActivityTask activity-a-1"]
    play.complete("activity-a-1", 4)
    assert play.decide() == ["ScheduleActivityTask activity-raises-1"]
    play.history.fail_activity("activity-raises-1", "no")
    play.decide()
    assert play.result == [4, "no"]


def test_gather_wait_and_as_completed() -> None:
    class Program(Base):
        async def run(self) -> Any:
            both = await futures.gather(self.submit(A), self.submit(B))
            opened = [self.submit(A, 2), self.submit(B, 2)]
            order = [await future async for future in futures.as_completed(opened)]
            return [both, order]

    play = Play(Program)
    play.decide()
    play.complete("activity-b-1", "b")
    play.complete("activity-a-1", "a")
    play.decide()
    play.complete("activity-b-2", "b2")
    play.decide()
    play.complete("activity-a-2", "a2")
    play.decide()
    assert play.result == [["a", "b"], ["b2", "a2"]]


def test_arms_are_coroutines() -> None:
    class Program(Base):
        async def arm(self, task: Any) -> Any:
            return [await self.submit(task), await self.submit(C)]

        async def run(self) -> Any:
            return await futures.gather(self.arm(A), self.arm(B))

    play = Play(Program)
    play.decide()
    play.complete("activity-b-1", "b")
    assert play.decide() == ["ScheduleActivityTask activity-c-1"]
    play.complete("activity-a-1", "a")
    assert play.decide() == ["ScheduleActivityTask activity-c-2"]
    play.complete("activity-c-2", "c of a")
    play.evict()
    play.decide()
    play.complete("activity-c-1", "c of b")
    play.decide()
    assert play.result == [["a", "c of a"], ["b", "c of b"]]


@pytest.fixture
def loop() -> Iterator[None]:
    """The loop that asyncio would make for itself where there is none, and leave open.

    What asyncio wrapped for it (from Python 3.12 on) nobody awaits: it says so when it goes, which is here.
    """
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield
    asyncio.set_event_loop(None)
    made.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        gc.collect()


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("what", ["sleep", "gather", "wait_for"])
def test_asyncio_s_own_are_refused_with_the_name_of_ours(what: str) -> None:
    class Program(Base):
        async def run(self) -> Any:
            if what == "sleep":
                await asyncio.sleep(1)
            elif what == "gather":
                await asyncio.gather(self.submit(A), self.submit(B))
            else:
                await asyncio.wait_for(self.submit(A), 1)

    play = Play(Program, check=False)
    assert play.decide()[-1] == "FailWorkflowExecution"
    said = play.failure + str(play.last.decisions[-1])
    assert "simpleflow" in said or "futures" in said or "timer" in said, said


def test_an_async_run_is_resumed_even_when_it_reads_flags() -> None:
    ran: list[int] = []

    class Program(Base):
        async def run(self) -> Any:
            ran.append(1)
            watched = self.submit(A)
            seen = [watched.finished]
            await self.submit(B)
            seen.append(watched.finished)
            await self.submit(C)
            return seen

    play = Play(Program, check=False)
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    play.complete("activity-b-1")
    play.decide()
    play.complete("activity-c-1")
    play.decide()
    assert play.result == [False, True]
    assert len(ran) == 1


def test_a_requested_cancel_is_raised_at_the_await() -> None:
    class Program(Base):
        async def run(self) -> Any:
            try:
                with self.cancel_scope():
                    await self.submit(A)
            except exceptions.TaskCanceled:
                await self.submit(B)
                raise

    play = Play(Program)
    play.decide()
    play.history.request_cancel()
    assert "ScheduleActivityTask activity-b-1" in play.decide()
    play.complete("activity-b-1")
    assert play.decide() == ["CancelWorkflowExecution"]
