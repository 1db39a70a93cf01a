"""Every test that uses an Environment replays its own histories at the end: the plugin asks, the environment does."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from simpleflow import Workflow, activity
from simpleflow.testing import environment, plugin, recording
from simpleflow.testing.replaying import replay

_calls = itertools.count(1)


@activity.with_attributes(name="tests.double", version="1", task_list="work")
def double(number: int) -> int:
    return 2 * number


class Steady(Workflow):
    name, version, task_list = "steady", "1", "decisions"

    def run(self, count: int) -> Any:
        value = 1
        for _ in range(count):
            value = self.submit(double, value).result
        return value


class Wavering(Workflow):
    """Takes another way each time it runs."""

    name, version, task_list, strict = "wavering", "1", "decisions", False
    on_divergence = "warn"

    def run(self) -> Any:
        return self.submit(double, next(_calls)).result


def dispatch() -> Any:
    class Known:
        def dispatch_activity(self, name: str) -> Any:
            return double

    return Known()


def test_a_steady_workflow_is_verified() -> None:
    with environment.Environment(dispatcher=dispatch()) as made:
        assert made.run(Steady, 5) == 32
        made.verify()
    made.verify()  # closed: what it recorded is still there


def test_a_wavering_one_is_caught() -> None:
    with environment.Environment(dispatcher=dispatch(), replay=False) as made:
        run = made.start(Wavering)
        made.settle()
        with pytest.raises(replay.Diverged, match=run.workflow_id):
            made.verify()


def test_the_plugin_verifies_what_the_test_made() -> None:
    verified: list[str] = []

    class Fake:
        def verify(self) -> None:
            verified.append("verified")

    before = recording.watched
    try:
        recording.watched = [Fake()]  # type: ignore[list-item]  # only verify() is called
        wrapper = plugin.pytest_runtest_call(None)  # type: ignore[arg-type]  # the item is not looked at
        next(wrapper)
        with pytest.raises(StopIteration):
            wrapper.send(None)
        assert verified == ["verified"]
        assert recording.watched is None
    finally:
        recording.watched = before


class Misnamed(Workflow):
    name, version, task_list = "misnamed", "1", "decisions"

    def run(self) -> Any:
        return self.submit(double.options(task_list="over:there"), 1).result


def test_a_decision_that_the_service_takes_at_no_attempt_fails_the_workflow_with_its_words() -> None:
    with environment.Environment(replay=False) as made, pytest.raises(environment.Failed) as raised:
        made.run(Misnamed)
    assert raised.value.status == "FAILED"
    assert "taskList.name" in f"{raised.value.reason} {raised.value.details}"
    assert "over:there" in (raised.value.reason or "")
