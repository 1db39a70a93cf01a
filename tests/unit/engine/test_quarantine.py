"""A run whose ``run()`` hung its deciders: what is answered for it, and when it is looked at again."""

from __future__ import annotations

from typing import Any

import pytest

from simpleflow import Workflow, engine
from simpleflow.core import decisions

from .driver import Play, act

A = act("a")
QUARANTINED, DIVERGED = "_simpleflow_quarantined", "_simpleflow_diverged"


class Program(Workflow):
    name, version, task_list = "w", "1", "decisions"

    def run(self) -> Any:
        return self.submit(A).result


def decline(play: Play) -> int:
    """Answer a decision as the watchdog does; return the seconds until the next one."""
    decided = engine.decline(play.history.begin_decision(), "it hung", hung=True)
    assert isinstance(decided, engine.Decided)
    (started,) = decided.decisions
    assert isinstance(started, decisions.StartTimer)
    assert started.timer_id == QUARANTINED
    assert decided.execution_context == '{"quarantined":"it hung"}'
    play.history.respond(decided.decisions, decided.execution_context)
    return int(started.start_to_fire_timeout)


def lost(play: Play, times: int) -> int:
    """Lose so many deciders, each with the decision; return the seconds until the next one."""
    for _ in range(times):
        task = play.history.begin_decision()
        assert engine.lost(task) == ""
        play.history.time_out_decision()
    task = play.history.begin_decision()
    why = engine.lost(task)
    assert "run() may end its process" in why
    decided = engine.decline(task, why, lost=True)
    assert isinstance(decided, engine.Decided)
    play.history.respond(decided.decisions, decided.execution_context)
    if not decided.decisions:
        return 0
    (started,) = decided.decisions
    assert isinstance(started, decisions.StartTimer)
    return int(started.start_to_fire_timeout)


@pytest.mark.parametrize("before", [0, 1])
def test_a_run_whose_deciders_end_is_left_alone_after_three_and_then_after_each(before: int) -> None:
    play = Play(Program)
    if before:
        play.decide()
        play.complete("activity-a-1", 7)
    delays = []
    for times in (3, 1, 1, 1):
        delays.append(lost(play, times))
        play.history.fire_timer(DIVERGED)
    assert delays == [1, 60, 120, 240]
    if not before:
        play.decide()
        play.complete("activity-a-1", 7)
    play.decide()
    assert play.result == 7


def test_an_event_meanwhile_lets_one_more_decider_try() -> None:
    play = Play(Program)
    assert lost(play, 3) == 1
    for _ in range(2):
        play.history.signal("any")
        assert lost(play, 1) == 0
    play.history.fire_timer(DIVERGED)
    play.decide()
    play.complete("activity-a-1", 7)
    play.decide()
    assert play.result == 7


def test_a_decider_that_answered_between_two_that_did_not_starts_the_count_anew() -> None:
    play = Play(Program)
    for _ in range(3):
        for _ in range(2):
            play.history.begin_decision()
            play.history.time_out_decision()
        task = play.history.begin_decision()
        assert engine.lost(task) == ""
        play.history.respond(())
        play.history.signal("any")


@pytest.mark.parametrize("before", [0, 1])
def test_it_is_left_alone_for_longer_each_time_and_goes_on_when_it_can(before: int) -> None:
    play = Play(Program)
    if before:
        play.decide()
        play.complete("activity-a-1", 7)
    delays = []
    for _ in range(5):
        delays.append(decline(play))
        play.history.fire_timer(QUARANTINED)
    assert delays == [1, 2, 60, 120, 240]
    if not before:
        play.decide()
        play.complete("activity-a-1", 7)
    play.decide()
    assert play.result == 7
