"""When the heartbeats of a task are due."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from fake_swf import FakeSwf

from simpleflow.core import clock
from simpleflow.runtime import heartbeat


def beats(until: float, **limits: Any) -> list[float]:
    """The seconds of a task's life at which it is asked whose it is."""
    time = clock.VirtualClock()
    begun = time.monotonic()
    beat = heartbeat.Heartbeat(FakeSwf(), "token", every=60.0, time=time)
    beat.limits(limits.get("heartbeat"), limits.get("start_to_close"), limits.get("schedule_to_close"))
    found = []
    while time.monotonic() + beat.wait < begun + until:
        time.advance(beat.wait)
        found.append(round(time.monotonic() - begun, 2))
        assert beat.beat() is heartbeat.Verdict.GO_ON
    return found


@pytest.mark.parametrize("limits", [{}, {"start_to_close": 86400.0}, {"heartbeat": 600.0}])
def test_a_task_that_was_closed_sooner_than_declared_is_noticed_soon(limits: dict[str, float]) -> None:
    """Who schedules it may have given it less time: it is noticed within half as much again."""
    found = beats(3600.0, **limits)
    assert found[0] == heartbeat.UNKNOWN_INTERVAL
    assert all(later <= 1.5 * sooner + 3.0 for sooner, later in itertools.pairwise(found))
    assert found[-1] - found[-2] == 60.0
    assert len(found) < 75


def test_a_short_heartbeat_timeout_sets_the_pace() -> None:
    assert beats(5.0, heartbeat=3.0) == [1.0, 2.0, 3.0, 4.0]


def test_the_service_is_asked_when_a_limit_has_passed() -> None:
    found = beats(60.0, start_to_close=10.0)
    assert {10.2, 11.2, 13.2} <= set(found)


def test_progress_is_not_sent_more_often_than_beats_are_due() -> None:
    time = clock.VirtualClock()
    swf = FakeSwf()
    beat = heartbeat.Heartbeat(swf, "token", every=60.0, time=time)
    beat.limits(30.0, None, None)
    for number in range(100):
        beat.report(str(number))
        if beat.wait == 0:
            beat.beat()
        time.advance(1.0)
    assert [each["details"] for each in swf.beats[:5]] == ["0", "3", "6", "9", "14"]
    assert [each["details"] for each in swf.beats[-3:]] == ["71", "81", "91"]
    assert beat.details == "99"
    swf.cancel_requested = True
    assert beat.beat() is heartbeat.Verdict.CANCEL
    assert swf.beats[-1]["details"] == "99"
