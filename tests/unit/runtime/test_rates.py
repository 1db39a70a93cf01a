"""How many tasks a worker begins in a time."""

from __future__ import annotations

import time

import pytest
from fake_swf import FakeSwf, task
from worker_fixtures import Start, answer, eventually, start, swf

from simpleflow.core import errors
from simpleflow.runtime import rates

__all__ = ["start", "swf"]


@pytest.mark.needs_processes
def test_a_rate_holds_back_polls(swf: FakeSwf, start: Start) -> None:
    for number in range(4):
        swf.tasks.put(task("add", number, 1, token=f"token-{number}"))
    begun = time.monotonic()
    start(rate=2.0, processes=4)
    for _ in range(4):
        answer(swf)
    assert time.monotonic() - begun >= 0.95  # two at once, two more within the next second
    assert swf.followed == []


@pytest.mark.needs_processes
def test_a_drain_does_not_wait_for_the_rate(swf: FakeSwf, start: Start) -> None:
    swf.tasks.put(task("add", 1, 1))
    made = start(rate=1 / 3600)
    answer(swf)
    eventually(lambda: not made.running)
    made.stop.request()
    eventually(lambda: made.acknowledged, seconds=30)
    assert swf.polls == 1


def test_a_rate_over_time() -> None:
    now = 0.0
    rate = rates.Rate(0.5, now=lambda: now)
    assert rate.wait() == 0
    rate.take()
    assert rate.wait() == 2
    now = 1.5
    assert rate.wait() == 0.5
    now = 100.0
    rate.take()
    assert rate.wait() == 2  # what was not used is not saved up


@pytest.mark.parametrize(("text", "rate"), [("10/s", 10), ("90/m", 1.5), (" 1.5/h ", 1.5 / 3600)])
def test_rates_are_read(text: str, rate: float) -> None:
    assert rates.parse(text) == rate


@pytest.mark.parametrize("text", ["10", "0/s", "-1/s", "1/d", "x/s", ""])
def test_what_is_not_a_rate_is_told(text: str) -> None:
    with pytest.raises(errors.UsageError, match="write tasks per second"):
        rates.parse(text)
