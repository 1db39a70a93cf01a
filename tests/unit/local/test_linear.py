"""A local run costs what happens, not what has happened: its decider gets what is new."""

from __future__ import annotations

from typing import Any

import pytest

from simpleflow import Workflow, activity, futures
from simpleflow.local import inline, watching

COUNT = 60


@activity.with_attributes(task_list="work")
def same(number: int) -> int:
    return number


class Fan(Workflow):
    name, version, task_list = "fan", "1", "decisions"

    def run(self) -> int:
        return sum(futures.wait(*[self.submit(same, number) for number in range(COUNT)]))


class Chain(Fan):
    name = "chain"

    def run(self) -> int:
        return sum(self.submit(same, number).result for number in range(COUNT))


class Rerun(Chain):
    name = "rerun"

    def should_cancel(self, history: Any) -> bool:  # re-run at each decision
        return True


@pytest.fixture
def polled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each decision brought."""
    found: list[int] = []
    original = watching.Watching.call

    def call(self: Any, action: str, request: Any, **more: Any) -> Any:
        answer = original(self, action, request, **more)
        if action == "PollForDecisionTask" and answer.task_token:
            found.append(len(answer.events))
        return answer

    monkeypatch.setattr(watching.Watching, "call", call)
    return found


def run(cls: type, **options: Any) -> tuple[Any, int]:
    with inline.Inline(workflows=[cls], **options) as place:
        run_id = place.start(cls, {"args": [], "kwargs": {}}, workflow_id="one")
        place.run_until_closed("one", run_id)
        return place.load(place.outcome("one", run_id)[1].result), len(place.history("one", run_id))


@pytest.mark.parametrize("cls", [Fan, Chain])
def test_each_event_is_read_a_few_times_at_most(cls: type, polled: list[int]) -> None:
    result, events = run(cls)
    assert result == COUNT * (COUNT - 1) // 2
    assert sum(polled) < 2 * events


def test_a_class_that_is_rerun_gets_its_history(polled: list[int]) -> None:
    assert run(Rerun)[0] == COUNT * (COUNT - 1) // 2


def test_activities_that_are_ready_run_before_the_next_decision(polled: list[int]) -> None:
    assert run(Fan, patience=3600.0)[0] == COUNT * (COUNT - 1) // 2
    assert len(polled) <= 3, "the first one, one that registers the type, the last one"


def test_a_chain_does_not_wait_for_more(polled: list[int]) -> None:
    run(Chain, patience=3600.0)
    assert len(polled) <= COUNT + 2


@activity.with_attributes(task_list="work", retry=1)
def odd_fails(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


class Mixed(Fan):
    name = "mixed"

    def run(self) -> Any:
        submitted = [self.submit(odd_fails, number) for number in range(COUNT)]
        return [each.result if each.exception is None else None for each in submitted]


def test_quick_tasks_are_answered_together_and_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[int] = []
    original = watching.Watching.exchange_several

    def exchange(self: Any, answers: Any, following: Any) -> Any:
        together.append(len(answers))
        return original(self, answers, following)

    monkeypatch.setattr(watching.Watching, "exchange_several", exchange)
    assert run(Mixed, patience=3600.0)[0] == [None if number % 2 else number for number in range(COUNT)]
    assert sum(together) == COUNT + COUNT // 2, "odd ones are tried twice"
    assert max(together) > 1
    assert len(together) < COUNT
