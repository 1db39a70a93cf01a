"""A run whose ``run()`` hung its deciders: what is answered for it, and when it is looked at again."""

from __future__ import annotations

from typing import Any

import pytest

from simpleflow import Workflow, engine
from simpleflow.core import decisions

from .driver import Play, act

A = act("a")
QUARANTINED = "_simpleflow_quarantined"


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
