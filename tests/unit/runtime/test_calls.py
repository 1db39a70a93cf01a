"""How long is waited before a call is made again."""

from __future__ import annotations

from simpleflow.runtime import calls
from simpleflow.swf import errors


def test_throttling_backs_off_far_and_a_service_that_restarts_is_looked_for_each_second() -> None:
    backoff = calls.Backoff()
    waits = [calls.pause(backoff, errors.ThrottlingException("slow down")) for _ in range(12)]
    assert waits[0] <= 0.1
    assert 7.5 <= waits[-1] <= 15
    assert calls.pause(backoff, errors.TransportError("nobody there")) == calls.LONGEST_UNANSWERED
    backoff.reset()
    assert calls.pause(backoff, errors.TransportError("nobody there")) <= 0.1
