"""Every number that an author gives is checked where it is given; the message says what to write instead."""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
from collections.abc import Callable
from typing import Any

import pytest

from simpleflow import Workflow, activity, canvas, exceptions, futures, signal, task
from simpleflow.client import starting
from simpleflow.core import numbers

YEAR = 31_536_000
#: of no use as seconds, attempts or priorities
NONSENSE = [True, -1, math.nan, math.inf, -math.inf, "soon", "1e2", " 5", object, [], datetime.timedelta(-1)]
TIMEOUTS = ("start_to_close_timeout", "schedule_to_close_timeout", "schedule_to_start_timeout", "heartbeat_timeout")


def made(**attributes: Any) -> activity.Activity[..., Any]:
    def numbered() -> None: ...

    return activity.with_attributes(version="1", **attributes)(numbered)


def refused(give: Callable[[], Any], *words: str) -> None:
    with pytest.raises(exceptions.BadNumber) as caught:
        give()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("value", [*NONSENSE, YEAR + 1], ids=repr)
@pytest.mark.parametrize("field", TIMEOUTS)
def test_a_timeout_of_an_activity(field: str, value: Any) -> None:
    refused(lambda: made(**{field: value}), field, "numbered", "write seconds from 1 to 31536000")


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, None),
        (0, None),
        ("", None),
        (False, None),
        (0.0, None),
        ("NONE", "NONE"),
        (300, "300"),
        ("300", "300"),
        (1.2, "2"),
        ("1.5", "2"),
        (decimal.Decimal("3.5"), "4"),
        (YEAR, "31536000"),
        (datetime.timedelta(minutes=1.5), "90"),
        (datetime.timedelta(0), None),
    ],
)
def test_what_0_36_takes_as_a_timeout_is_taken_and_false_values_are_left_out(value: Any, sent: str | None) -> None:
    assert numbers.timeout("field", value) == sent
    kept = value.total_seconds() if isinstance(value, datetime.timedelta) else value
    assert made(start_to_close_timeout=value).task_start_to_close_timeout == kept


def test_the_checks_hold_for_options_propagated_attributes_and_assignments() -> None:
    declared = made()
    refused(lambda: declared.options(heartbeat_timeout=-3), "heartbeat_timeout", "-3")
    refused(lambda: declared.propagate_attribute("retry", -2), "retry", "-2")
    refused(lambda: setattr(declared, "task_start_to_close_timeout", math.nan), "start_to_close_timeout", "nan")
    refused(lambda: task.activity_with(declared, "task_priority", "high"), "task_priority", "'high'")


@pytest.mark.parametrize("value", [*NONSENSE, 2.5])
def test_retries_and_attempts(value: Any) -> None:
    refused(lambda: made(retry=value), "retry of activity", "from 0, or a RetryPolicy")
    refused(lambda: activity.RetryPolicy(max_attempts=value), "max_attempts of RetryPolicy")


@pytest.mark.parametrize(
    "policy",
    [
        {"max_attempts": 0},
        {"initial": -1},
        {"initial": math.nan},
        {"maximum": math.inf},
        {"maximum": YEAR + 1},
        {"backoff": math.nan},
        {"backoff": -2},
        {"jitter": -0.5},
        {"jitter": "much"},
    ],
    ids=str,
)
def test_the_numbers_of_a_retry_policy(policy: dict[str, Any]) -> None:
    refused(lambda: activity.RetryPolicy(**policy), f"{next(iter(policy))} of RetryPolicy")


def test_a_delay_that_no_float_can_hold_is_the_longest_one() -> None:
    policy = activity.RetryPolicy(max_attempts=5_000, initial=1, backoff=10, maximum=YEAR, jitter=1)
    assert policy.delay(4_000, 0.5) == YEAR
    assert activity.RetryPolicy(max_attempts=5_000, backoff=10).delay(4_000, 0.5) == 0


@pytest.mark.parametrize("value", [True, 1 << 31, -(1 << 31) - 1, 1.5, math.nan, "high", "", "--1"])
def test_priorities(value: Any) -> None:
    refused(lambda: made(task_priority=value), "task_priority of activity", "from -2147483648 to 2147483647")


def test_priorities_that_swf_takes() -> None:
    assert [numbers.priority("p", value) for value in (None, 0, "0", "-5", 7)] == [None, "0", "0", "-5", "7"]


@pytest.mark.parametrize("value", [True, -1, 1.5, math.nan, "many", datetime.timedelta(1)])
@pytest.mark.parametrize("kind", [canvas.Group, canvas.Chain])
def test_max_parallel(kind: Any, value: Any) -> None:
    refused(lambda: kind(made(), max_parallel=value), "max_parallel of a", "None (or 0) for no limit")


@pytest.mark.parametrize("value", [*NONSENSE, YEAR + 1, None])
def test_timers_and_waits(value: Any) -> None:
    refused(lambda: task.TimerTask("t", value), "timeout of timer 't'", "write seconds from 0")
    if value is not None:
        refused(lambda: signal.WaitForSignal("s", value), "timeout of wait_signal('s')")
        refused(lambda: futures.wait([], timeout=value), "timeout of futures.wait()")
        refused(lambda: task.TaskFailureContext(None, None, None, ValueError).decide_retry(value), "retry_wait_timeout")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retry", -1),
        ("execution_timeout", math.nan),
        ("execution_timeout", "NONE"),
        ("execution_timeout", YEAR + 1),
        ("decision_tasks_timeout", datetime.timedelta(400)),
        ("task_priority", "high"),
        ("max_open_activity_count", -5),
    ],
)
def test_numbers_of_a_workflow_class_are_refused_when_the_class_is_made(name: str, value: Any) -> None:
    refused(lambda: type("Numbered", (Workflow,), {name: value}), f"{name} of workflow Numbered")


@pytest.mark.parametrize("option", ["execution_timeout", "decision_tasks_timeout"])
@pytest.mark.parametrize("value", [-1, math.nan, YEAR + 1, "long"])
def test_numbers_of_a_start(option: str, value: Any) -> None:
    class Started(Workflow):
        name, version, task_list = "started", "1", "decisions"

    options: dict[str, Any] = {option: value}
    refused(lambda: starting.request(Started, "m.Started", {"args": [], "kwargs": {}}, **options), option)


@pytest.mark.parametrize("kind", [str, decimal.Decimal, fractions.Fraction])
def test_a_retry_policy_computes_with_every_kind_of_number_that_it_takes(kind: Any) -> None:
    given = {"max_attempts": "3", "initial": "1.5", "maximum": "5", "backoff": "2", "jitter": "0.5"}
    policy = activity.RetryPolicy(**{name: kind(number) for name, number in given.items()})
    assert policy == activity.RetryPolicy(max_attempts=3, initial=1.5, maximum=5, backoff=2, jitter=0.5)
    assert [policy.delay(failed, 0.5) for failed in (1, 2, 3)] == [1.875, 3.75, 6.25]


class Timed(Workflow):
    name, version, task_list = "timed", "1", "decisions"
    execution_timeout = datetime.timedelta(days=2)
    decision_tasks_timeout = datetime.timedelta(seconds=20)

    def run(self, child: bool = False) -> Any:
        if child:
            return None
        minute, declared = datetime.timedelta(minutes=1), made(heartbeat_timeout=datetime.timedelta(seconds=8))
        self.submit(self.start_timer("t", minute)).result
        late = self.submit(self.wait_signal("s", timeout=2 * minute))
        waited = futures.wait([late], timeout=minute)
        self.submit(declared.options(start_to_close_timeout=minute))
        again = task.TaskFailureContext(None, None, None, ValueError).decide_retry(minute)
        self.submit(Timed, True)
        return [len(waited.not_done), type(late.exception).__name__, again.retry_wait_timeout]


def test_a_timedelta_is_taken_everywhere(backend: Any) -> None:
    with backend.environment(Timed, strict=False) as place:
        client = backend.client(place)
        begun = client.start(Timed, options={"execution_timeout": datetime.timedelta(days=1)})
        assert place.wait(begun) == [1, "TaskCanceled", 60]
        assert client.result(begun, timeout=datetime.timedelta(seconds=5)) == [1, "TaskCanceled", 60]
        history = [event.attributes for event in client.history(begun)]
    assert history[0].execution_start_to_close_timeout == str(86_400)
    assert history[0].task_start_to_close_timeout == "20"
    assert [each.start_to_fire_timeout for each in history if hasattr(each, "start_to_fire_timeout")] == [
        "60",
        "120",
        "60",
    ]
    (scheduled,) = [each for each in history if hasattr(each, "heartbeat_timeout")]
    assert (scheduled.heartbeat_timeout, scheduled.start_to_close_timeout) == ("8", "60")
    child = next(each for each in history if type(each).__name__.startswith("StartChildWorkflowExecutionInitiated"))
    assert child.execution_start_to_close_timeout == str(2 * 86_400)
    assert activity.RetryPolicy(initial=datetime.timedelta(seconds=1.5)).delay(1, 0) == 1.5
