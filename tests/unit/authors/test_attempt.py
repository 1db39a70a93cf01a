"""Progress that a retry sees, and tasks that somebody else completes, in virtual time."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simpleflow import activity
from simpleflow.client import Client, activities
from simpleflow.core import attempt, errors, limits
from simpleflow.testing.environment import Environment, Failed

sys.path.insert(0, str(Path(__file__).parent))

import attempt_flows as flows


@pytest.fixture
def place() -> Iterator[Environment]:
    flows.tokens.clear()
    flows.seen.clear()
    with Environment() as made:
        yield made


@pytest.fixture
def client(place: Environment) -> Client:
    return Client(place.connection)


@pytest.mark.parametrize("how", ["raise", "die", "hang"])
@pytest.mark.parametrize("reports", [7, "7", "half", {"line": [1, 2]}, '{"a"', "", 0])
def test_a_retry_sees_what_was_reported_last(place: Environment, how: str, reports: Any) -> None:
    assert place.run(flows.CountsOn, reports, how) == reports
    assert flows.seen == [(None, None, None), (reports, reports, reports)]


def test_a_report_that_fits_nowhere_is_left_out(place: Environment) -> None:
    long = "x" * (limits.DATA - 100)
    with pytest.raises(Failed, match="ValueError"):
        place.run(flows.CountsOn, "y" * 200, long)
    assert flows.seen == [(None, None, None)] * 3


def test_details_of_a_heartbeat() -> None:
    for value in (None, True, "null", "nul", [1, "a"], "\ud800"[:0]):
        assert attempt.decoded(attempt.encoded(value)) == value
    assert limits.HEARTBEAT_DETAILS - 20 < len(attempt.encoded("x" * 5000)) <= limits.HEARTBEAT_DETAILS
    assert attempt.decoded(None) is None
    with pytest.raises(ValueError, match="characters as JSON"):
        attempt.encoded(["x" * 2048])
    with pytest.raises(TypeError):
        attempt.encoded(object())


def test_outside_of_a_task_heartbeats_do_nothing() -> None:
    activity.heartbeat(3)
    assert activity.last_heartbeat() is None
    assert not activity.cancel_requested()
    with pytest.raises(errors.Misuse, match="no activity task runs here"):
        activity.task_token()
    with pytest.raises(errors.Misuse, match="no activity task runs here"):
        activity.complete_later()


def test_somebody_else_completes_a_task_days_later(place: Environment, client: Client) -> None:
    run = place.start(flows.Approved, "a")
    place.advance(3 * 86400)
    assert client.heartbeat_activity(flows.tokens[0], {"mail": "sent"}) is False
    client.complete_activity(flows.tokens[0], {"by": "Ada", "at": datetime.date(2026, 1, 2)})
    assert place.wait(run) == {"by": "Ada", "at": "2026-01-02"}
    with pytest.raises(activities.TaskNotOpen, match="no open task has this token"):
        client.complete_activity(flows.tokens[0])
    with pytest.raises(activities.TaskNotOpen):
        client.heartbeat_activity(flows.tokens[0])


def test_a_task_that_somebody_fails_is_tried_again(place: Environment, client: Client) -> None:
    run = place.start(flows.Approved, "a")
    place.settle()
    client.fail_activity(flows.tokens[0], "no\ud800" + "x" * 300)
    place.settle()
    client.fail_activity(flows.tokens[1], "never", details="said so")
    with pytest.raises(Failed, match="never"):
        place.wait(run)


def test_a_task_that_nobody_completes_times_out(place: Environment) -> None:
    assert place.run(flows.ApprovedInTime, "a") == "TimeoutError"


def test_the_cancellation_of_an_open_task_is_answered(place: Environment, client: Client) -> None:
    run = place.start(flows.Withdrawn)
    place.settle()
    place.signal(run, "enough")
    place.settle()
    assert client.heartbeat_activity(flows.tokens[0]) is True
    client.cancel_activity(flows.tokens[0], "withdrawn")
    place.signal(run, "answered")
    assert any(type(event).__name__ == "ActivityTaskCanceled" for event in place.history(run))
    assert place.wait(run) == "True"


def test_a_local_activity_cannot_be_left_open(place: Environment) -> None:
    with pytest.raises(Failed, match="no activity task runs here"):
        place.run(flows.ApprovedLocally, "a")


def test_results_that_are_not_json_are_refused(client: Client) -> None:
    with pytest.raises(errors.UsageError, match="cannot be serialised"):
        client.complete_activity("a.1.1.x", object())
    with pytest.raises(errors.UsageError, match="SIMPLEFLOW_JUMBO_FIELDS_BUCKET"):
        client.open_activities()
