"""Suspended executions: bounded in number and in bytes, the least recently used go first, nothing leaks. Queries."""

from __future__ import annotations

import gc
from typing import Any

import greenlet
import msgspec
import pytest

from simpleflow import Workflow, engine, futures
from simpleflow.core import errors

from .driver import Play, act, new_engine

A, B = act("a"), act("b")


class Steps(Workflow):
    name, version, task_list = "w", "1", "decisions"

    def __init__(self, executor: Any) -> None:
        super().__init__(executor)
        self.at = "begin"

    def run(self, count: int = 2) -> Any:
        for number in range(count):
            self.at = f"step {number}"
            self.submit(A, number).result
        self.at = "end"
        return count

    def where(self, mark: str = "") -> str:
        return self.at + mark

    def mischief(self) -> Any:
        return self.submit(B)


class Wide(Steps):
    name = "wide"

    def run(self, count: int = 50) -> Any:
        return [future.result for future in [self.submit(A, number) for number in range(count)]]


def play_of(running: engine.Engine, number: int, cls: type = Steps) -> Play:
    play = Play(cls, check=False, options={"run_id": f"run-{number}"})
    play.engine = running
    return play


def test_the_least_recently_used_go_first_by_number() -> None:
    running = new_engine(Steps, cached=3)
    plays = [play_of(running, number) for number in range(4)]
    for play in plays[:3]:
        play.decide()
    plays[0].complete("activity-a-1")
    plays[0].decide()  # used again: number 1 is the oldest now
    plays[3].decide()
    assert running.suspended == 3
    for number, again in ((0, False), (2, False), (1, True)):
        play = plays[number]
        play.complete("activity-a-2" if number == 0 else "activity-a-1")
        play.decide()
        assert any(need.history for need in play.needs) is again, number


def test_and_by_bytes() -> None:
    running = new_engine(Steps, Wide, cached_bytes=400_000)
    for number in range(40):
        play_of(running, number, Wide).decide()
        assert running.suspended_bytes <= 400_000
    assert 0 < running.suspended < 40


def test_a_closed_execution_is_not_kept() -> None:
    running = new_engine(Steps)
    play = play_of(running, 1)
    play.decide()
    for number in (1, 2):
        play.complete(f"activity-a-{number}")
        play.decide()
    assert play.result == 2
    assert (running.suspended, running.suspended_bytes) == (0, 0)


def objects() -> tuple[int, int]:
    gc.collect()
    found = gc.get_objects()
    return len(found), sum(isinstance(thing, greenlet.greenlet) and not thing.dead for thing in found)


def leaks(count: int) -> None:
    """Half of the executions run to their end, half are abandoned and evicted."""
    running = new_engine(Steps, cached=50)
    after_a_tenth = (0, 0)
    for number in range(count):
        play = play_of(running, number)
        play.decide()
        if number % 2:
            for step in (1, 2):
                play.complete(f"activity-a-{step}")
                play.decide()
        if number == count // 10:
            after_a_tenth = objects()
    at_the_end = objects()
    assert 49 <= running.suspended <= 50
    assert running.would_not_end == 0
    assert at_the_end[0] - after_a_tenth[0] < 2_000, (after_a_tenth, at_the_end)
    assert at_the_end[1] <= after_a_tenth[1] + 1


def test_nothing_leaks_over_1000_executions() -> None:
    leaks(1_000)


@pytest.mark.slow
def test_nothing_leaks_over_10_000_executions() -> None:
    leaks(10_000)


def test_a_query_is_answered_where_run_is_blocked_and_decides_nothing() -> None:
    play = Play(Steps)
    play.decide()
    play.complete("activity-a-1")
    task = play.history.begin_decision(whole=True)
    asked = new_engine(Steps)
    assert asked.query(task, "where", ("!",)) == "step 1!"
    assert asked.suspended == 0
    # Nor does it disturb what is suspended.
    assert play.engine.query(task, "where", (), {"mark": "?"}) == "step 1?"
    assert play.answer(task) == ["ScheduleActivityTask activity-a-2"]


def test_a_query_only_reads() -> None:
    play = Play(Steps)
    task = play.history.begin_decision()
    with pytest.raises(errors.SimpleflowError, match="read"):
        play.engine.query(task, "mischief")
    with pytest.raises(errors.SimpleflowError, match="no_such"):
        play.engine.query(task, "no_such")


def test_a_query_that_reads_a_value_in_a_blob_asks_for_it() -> None:
    class Holding(Steps):
        def run(self, count: int = 2) -> Any:  # type: ignore[override]  # another program
            self.future = self.submit(A)
            futures.wait([self.future], return_when=futures.ALL_COMPLETED)
            self.submit(A, 2).result

        def read(self) -> Any:
            return self.future.result

    play = Play(Holding)
    pointer = "simpleflow+file:///blobs/" + "0" * 64 + " 4"
    play.decide()
    play.history.complete_activity("activity-a-1", pointer)
    task = play.history.begin_decision(whole=True)
    assert new_engine(Holding).query(task, "read") == engine.Needs(blobs=(pointer,))
    asked = msgspec.structs.replace(task, blobs={pointer: '"xy"'})
    assert new_engine(Holding).query(asked, "read") == "xy"


def test_a_query_with_a_part_of_the_history_asks_for_all_of_it() -> None:
    play = Play(Steps)
    play.decide()
    play.complete("activity-a-1")
    answer = new_engine(Steps).query(play.history.begin_decision(whole=False), "where")
    assert isinstance(answer, engine.Needs)
    assert answer.history
