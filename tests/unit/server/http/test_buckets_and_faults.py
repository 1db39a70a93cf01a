"""The table of token buckets, and faults on demand."""

from __future__ import annotations

import errno
import time

import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import errors as core_errors
from simpleflow.server.requests import errors, faults, validation
from simpleflow.server.state import buckets


def test_every_action_has_a_bucket() -> None:
    assert sorted(buckets.ACTIONS) == list(validation.actions())


@pytest.mark.parametrize(
    ("action", "size", "refill"),
    [
        ("StartWorkflowExecution", 2000, 200),
        ("RecordActivityTaskHeartbeat", 2000, 160),
        ("TerminateWorkflowExecution", 2000, 60),
        ("DescribeWorkflowExecution", 2000, 6),
        ("RegisterWorkflowType", 200, 60),
        ("ListOpenWorkflowExecutions", 200, 48),
        ("ListClosedWorkflowExecutions", 200, 6),
        ("RegisterDomain", 100, 6),
        ("TagResource", 50, 30),
    ],
)
def test_a_bucket_is_emptied_and_fills_again(action: str, size: int, refill: int) -> None:
    clock = clocks.VirtualClock()
    rates = buckets.of("aws", clock)
    assert sum(rates.take(action, {}, run_id=str(number)) for number in range(size + 50)) == size
    clock.advance(1)
    assert sum(rates.take(action, {}, run_id=f"x{number}") for number in range(size)) == refill
    clock.advance(10_000)
    assert sum(rates.take(action, {}, run_id=f"y{number}") for number in range(size + 50)) == size


def test_executions_have_their_own_buckets() -> None:
    rates = buckets.of("aws", clocks.VirtualClock())
    one, other = ({"domain": "d", "execution": {"workflowId": each, "runId": "r"}} for each in "ab")
    assert sum(rates.take("GetWorkflowExecutionHistory", one) for _ in range(500)) == 400
    assert sum(rates.take("GetWorkflowExecutionHistory", other) for _ in range(500)) == 400
    signal = {"domain": "d", "workflowId": "a", "signalName": "s"}
    assert sum(rates.take("SignalWorkflowExecution", signal) for _ in range(1100)) == 1000
    assert sum(rates.take("RequestCancelWorkflowExecution", signal) for _ in range(300)) == 200


def test_decisions_and_task_lists() -> None:
    clock = clocks.VirtualClock()
    rates = buckets.of("aws", clock)
    for kind, bucket in buckets.DECISIONS.items():
        assert sum(rates.take_decision(kind) for _ in range(3000)) == bucket.size
    assert rates.take_decision("RecordMarker")
    assert sum(rates.take_activity("d", "l") for _ in range(3000)) == 2000
    assert rates.take_activity("d", "other")
    clock.advance(0.5)
    assert sum(rates.take_activity("d", "l") for _ in range(3000)) == 1000


def test_levels_of_many_executions_are_forgotten_when_they_are_full() -> None:
    clock = clocks.VirtualClock()
    rates = buckets.Buckets(clock)
    for number in range(25_000):
        clock.advance(0.01)
        rates.take("RecordActivityTaskHeartbeat", {}, run_id=str(number))
    assert len(rates._executions) <= 10_001


@pytest.mark.parametrize("limits", ["data", "none"])
def test_without_limits_of_aws_everything_passes(limits: str) -> None:
    rates = buckets.of(limits, clocks.VirtualClock())
    assert all(rates.take("RegisterDomain", {}) for _ in range(300))
    assert all(rates.take_decision("StartChildWorkflowExecution") for _ in range(600))
    assert all(rates.take_activity("d", "l") for _ in range(2500))


def test_throttles_and_losses_count_down() -> None:
    provoked = faults.Faults(["throttle:StartWorkflowExecution:1"])
    provoked.before("PollForDecisionTask")
    with pytest.raises(errors.Fault, match="Rate exceeded"):
        provoked.before("StartWorkflowExecution")
    provoked.before("StartWorkflowExecution")
    provoked.add("lost-response:*:2")
    for _ in range(2):
        with pytest.raises(faults.ResponseLost):
            provoked.after("StartWorkflowExecution")
    provoked.after("StartWorkflowExecution")


def test_the_disk_is_full_then_slow() -> None:
    provoked = faults.Faults(["full-disk:2", "slow-disk:0.02"])
    for _ in range(2):
        with pytest.raises(OSError) as caught:
            provoked.commit()
        assert caught.value.errno == errno.ENOSPC
    provoked.commit()
    began = time.monotonic()
    provoked.flush()
    assert time.monotonic() - began >= 0.02


def test_the_wall_clock_jumps_and_the_other_does_not() -> None:
    real = clocks.VirtualClock()
    clock = faults.JumpingClock(real, faults.Faults(["clock-jump:-3600", "clock-jump:60:10"]))
    began = clock.monotonic()
    assert clock.now() == real.now() - 3600
    real.advance(10)
    assert clock.now() == real.now() - 3540
    assert clock.monotonic() - began == 10


@pytest.mark.parametrize(
    "text", ["", "nothing", "throttle", "throttle:Start", "throttle:Start:x", "slow-disk:", "slow-disk:-1",
             "full-disk:x", "clock-jump:", "clock-jump:1:x", "throttle:start:1", "lost-response:*"]
)  # fmt: skip
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(core_errors.UsageError, match="names no fault"):
        faults.Faults([text])
