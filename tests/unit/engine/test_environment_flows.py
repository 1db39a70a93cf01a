"""Workflows in an Environment: decider and worker in one thread on a clock that jumps, on three backends.

Each of these tests replays its histories at the end (the plugin does), so they hold the engine against a service too.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from simpleflow.testing.environment import Environment, Failed
from tests.backends.places import Backend

sys.path.insert(0, str(Path(__file__).parent))

import environment_flows as flows  # as a worker imports it


@pytest.fixture
def place(backend: Backend) -> Environment:
    return backend.environment(flows.Child)


def test_a_workflow_that_sleeps_30_days_takes_no_time(place: Environment) -> None:
    begun = time.monotonic()
    assert place.run(flows.Month) == 30 * flows.DAY
    assert time.monotonic() - begun < 60


def test_a_signal_reaches_its_wait_and_a_timeout_gives_it_up(place: Environment) -> None:
    run = place.start(flows.Signalled)
    place.advance(3600)
    place.signal(run, "go", 7)
    assert place.wait(run) == [7]
    assert place.run(flows.Signalled) == "nobody came"


def test_children_and_groups(place: Environment) -> None:
    assert place.run(flows.Parent) == [[0, 2, 4], [20, 40]]


def test_a_failure_is_retried_and_told(place: Environment) -> None:
    run = place.start(flows.Failing)
    assert "odd" in place.wait(run)
    failed = [event for event in place.history(run) if type(event).__name__ == "ActivityTaskFailed"]
    assert len(failed) == 2


def test_an_activity_that_hangs_times_out(place: Environment) -> None:
    assert place.run(flows.Hanging) == "TimeoutError"


def test_the_message_of_a_timeout_names_limit_seconds_and_default(place: Environment) -> None:
    run = place.start(flows.HangingByDefault)
    with pytest.raises(Failed) as failed:
        place.wait(run)
    begins = "TimeoutError(START_TO_CLOSE): START_TO_CLOSE timeout of 300 s (the default: start_to_close_timeout"
    assert begins in str(failed.value)
    assert "ACTIVITY_START_TO_CLOSE_TIMEOUT" in str(failed.value)
    history = place.history(run)
    assert history[0].attributes.execution_start_to_close_timeout == "31536000"
    (scheduled,) = [event.attributes for event in history if type(event).__name__ == "ActivityTaskScheduled"]
    assert scheduled.schedule_to_start_timeout == scheduled.schedule_to_close_timeout == "NONE"
    assert place.run(flows.LateParent) == "START_TO_CLOSE timeout of 60 s"


def test_the_first_of_two_wins_and_the_other_is_cancelled(place: Environment) -> None:
    assert place.run(flows.Racing) == [1, [True]]


def test_continue_as_new_goes_on_until_the_last_run(place: Environment) -> None:
    assert place.run(flows.Counting, 3) == ["done", 0]


def test_a_cancelled_run_cleans_up_before_it_closes(place: Environment) -> None:
    run = place.start(flows.Cleaning)
    place.advance(10)
    place.cancel(run)
    with pytest.raises(Failed) as raised:
        place.wait(run)
    assert raised.value.status == "CANCELED"
    names = [event.attributes.activity_type.name for event in scheduled(place, run)]
    assert [name.rpartition(".")[2] for name in names] == ["slow", "double"]


def scheduled(place: Environment, run: Any) -> list[Any]:
    return [event for event in place.history(run) if type(event).__name__ == "ActivityTaskScheduled"]


def test_values_over_the_limit_travel_and_replay(place: Environment) -> None:
    assert place.run(flows.Large, 50_000) == [50_000, 50_000, 50_000]


def test_local_activities_run_beside_and_replay_from_their_markers(place: Environment) -> None:
    doubled, failed = place.run(flows.Local)
    assert doubled == 16
    assert "odd" in failed


def test_what_is_random_replays(place: Environment) -> None:
    first, number, moment, patched, second = place.run(flows.Chance)
    assert first != second
    assert 0 <= number < 1
    assert moment > 1_700_000_000
    assert patched is True


def test_strict_is_on_by_default(place: Environment) -> None:
    with pytest.raises(Failed, match="now"):
        place.run(flows.Sloppy)


def test_the_same_program_gives_the_same_history_every_time() -> None:
    histories = []
    for _ in range(2):
        with Environment(workflows=[flows.Child]) as made:
            run = made.start(flows.Parent)
            made.wait(run)
            histories.append([(type(event).__name__, event.id, event.timestamp) for event in made.history(run)])
    assert histories[0] == histories[1]
