"""SIMPLEFLOW_ENV and SWF_MAX_OPEN_ACTIVITY_COUNT limit what a decider sends at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simpleflow import Workflow, activity, futures, settings
from simpleflow.core import errors
from simpleflow.local import inline
from simpleflow.runtime import bounds


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    settings.reload()
    yield
    settings.reload()


@activity.with_attributes(task_list="work")
def same(number: int) -> int:
    return number


class Fan(Workflow):
    name, version, task_list = "fan", "1", "decisions"

    def run(self) -> int:
        return sum(futures.wait(*[self.submit(same, number) for number in range(40)]))


def most_open() -> int:
    """How many activities were open at once, by the history."""
    with inline.Inline(workflows=[Fan], patience=3600.0) as place:
        run_id = place.start(Fan, {"args": [], "kwargs": {}}, workflow_id="one")
        place.run_until_closed("one", run_id)
        assert place.load(place.outcome("one", run_id)[1].result) == sum(range(40))
        now = most = 0
        for event in place.history("one", run_id):
            kind = type(event).__name__
            now += kind.startswith("ActivityTaskScheduled")
            now -= kind.startswith("ActivityTaskCompleted")
            most = max(most, now)
    return most


def test_a_program_reaches_swfs_limits_where_nobody_sets_them() -> None:
    assert most_open() == 40


def test_the_number_of_open_activities_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWF_MAX_OPEN_ACTIVITY_COUNT", "7")
    assert most_open() == 7


def test_the_environment_of_tests_lowers_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMPLEFLOW_ENV", "test")
    assert most_open() == 15
    assert bounds.of_settings() == bounds.TEST


@pytest.mark.parametrize("number", ["0", "-1", "1001"])
def test_a_number_that_swf_does_not_allow_is_refused(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    monkeypatch.setenv("SWF_MAX_OPEN_ACTIVITY_COUNT", number)
    with pytest.raises(errors.UsageError, match=f"SWF_MAX_OPEN_ACTIVITY_COUNT is {number}: write"):
        bounds.of_settings()
