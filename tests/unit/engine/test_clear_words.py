"""What cannot work is refused in words that say what to do; coroutines are run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from simpleflow import Workflow, activity
from simpleflow.client import Client, executions
from simpleflow.core import attributes, errors, limits
from simpleflow.local.executor import Executor, WorkflowFailed
from simpleflow.testing import Environment
from simpleflow.testing.environment import Failed
from tests.backends.places import Backend


class Base(Workflow):
    version, task_list = "1", "decisions"


class Yields(Base):
    name = "yields"

    def run(self) -> Any:
        yield 1


class AsyncYields(Base):
    name = "async_yields"

    async def run(self) -> Any:
        yield 1


class HoldsItself(Base):
    name = "holds_itself"

    def run(self) -> Any:
        found: list[Any] = []
        found.append({"again": found})
        return found


class Thing:
    pass


class ShowsAnAddress(Base):
    name = "shows_an_address"

    def run(self) -> Any:
        raise ValueError(f"{Thing()} is not ready")


@activity.with_attributes(task_list="work", raises_on_failure=True)
async def later(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


@activity.with_attributes(task_list="work", raises_on_failure=True)
async def breaks() -> int:
    raise ValueError("broken on purpose")


@activity.with_attributes(task_list="work", raises_on_failure=True)
class Later:
    def __init__(self, number: int) -> None:
        self.number = number

    async def execute(self) -> int:
        await asyncio.sleep(0)
        return self.number * 2


class Coroutines(Base):
    name = "coroutines"

    def run(self) -> Any:
        return [self.submit(later, 1).result, self.submit(Later, 4).result]


class Breaks(Base):
    name = "breaks"

    def run(self) -> Any:
        return self.submit(breaks).result


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Yields, "holds a yield"),
        (AsyncYields, "holds a yield"),
        (HoldsItself, "holds itself"),
        (Breaks, "broken on purpose"),
        (ShowsAnAddress, "Thing object> is not ready"),
    ],
)
def test_the_reason_says_it(backend: Backend, cls: type, words: str) -> None:
    with backend.environment() as place, pytest.raises(Failed, match=words) as failed:
        place.run(cls)
    assert " at 0x" not in str(failed.value)


def test_coroutines_are_run(backend: Backend) -> None:
    with backend.environment() as place:
        assert place.run(Coroutines) == [2, 8]


def test_coroutines_are_run_inside_a_loop_too() -> None:
    async def inside() -> Any:
        with Environment() as place:
            return place.run(Coroutines)

    assert asyncio.run(inside()) == [2, 8]


def test_a_class_of_the_script_that_runs_is_not_started_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with Environment() as place, Client(place.connection) as client:
        monkeypatch.setattr(Coroutines, "__module__", "__main__")
        with pytest.raises(errors.UsageError, match="put it into a module"):
            client.start(Coroutines)


def test_a_history_that_is_full_says_so_and_what_helps() -> None:
    full = attributes.WorkflowExecutionTerminated(cause="EVENT_LIMIT_EXCEEDED", child_policy="TERMINATE")
    assert "25000 events" in str(executions.why(full))
    assert "continue_as_new" in str(executions.why(full))


class Endless(Base):
    name = "endless"

    def run(self) -> Any:
        while True:
            self.submit(later, 1).result


def test_a_run_that_fills_its_history_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HISTORY_EVENTS", 60)
    with Environment(replay=False) as place, pytest.raises(Failed, match="should_continue_as_new"):
        place.run(Endless)
    with pytest.raises(WorkflowFailed, match="60 events"):
        Executor(Endless).run()
