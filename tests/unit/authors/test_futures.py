"""Futures and what waits for them, outside an evaluation and inside one."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pytest

from simpleflow import Workflow, activity, exceptions, futures
from tests.backends import places

#: each test runs on the local, the embedded and the HTTP backend
pytestmark = pytest.mark.usefixtures("backend")


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def add(one: int, other: int) -> int:
    return one + other


@activity.with_attributes(version="1", task_list="list")
def refuse() -> None:
    raise ValueError("no")


class Base(Workflow):
    name, version, task_list = "futures", "1", "decisions"


def run(program: type, *args: Any) -> Any:
    with places.environment(program) as place:
        return place.run(program, *args)


def test_outside_an_evaluation_an_unfinished_future_blocks() -> None:
    future: futures.Future[Any] = futures.Future(None, None)
    assert future.pending
    with pytest.raises(exceptions.ExecutionBlocked):
        future.result
    with pytest.raises(exceptions.ExecutionBlocked):
        futures.wait(future)
    assert future.cancel()


def test_a_settled_future_outside_an_evaluation() -> None:
    done = futures.Future.settled(3)
    assert (done.result, done.finished, done.done, done.state) == (3, True, True, futures.FINISHED)
    failed = futures.Future.settled(error=ValueError("x"))
    assert isinstance(failed.exception, ValueError)
    with pytest.raises(ValueError, match="x"):
        failed.result
    assert futures.to_concurrent(done).result(timeout=0) == 3


def test_results_come_in_the_order_of_the_futures() -> None:
    class Program(Base):
        def run(self) -> Any:
            opened = self.map(add_one, range(3))
            return [futures.wait(*opened), futures.wait(opened), [f.result for f in opened]]

    assert run(Program) == [[1, 2, 3]] * 3


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def add_one(number: int) -> int:
    return number + 1


def test_futures_compose() -> None:
    class Program(Base):
        def run(self) -> Any:
            first = self.submit(add, 1, 2)
            doubled = first.map(lambda three: three * 2)
            more = first.then(lambda three: self.submit(add, three, 100))
            seen: list[Any] = []
            first.add_done_callback(lambda future: seen.append(future.result))
            together = futures.gather(lambda: self.submit(add, 5, 5).result, doubled)
            return [self.submit(add, doubled, [0][0]).result, more.result, together, seen]

    assert run(Program) == [6, 103, [10, 6], [3]]


def test_a_failure_is_read_from_exception_or_raised_by_result() -> None:
    class Program(Base):
        def run(self) -> Any:
            future = self.submit(refuse)
            return [future.result, type(future.exception).__name__, future.exception.reason]  # type: ignore[union-attr]

    assert run(Program) == [None, "TaskFailed", "ValueError: no"]


def test_as_completed_and_concurrent_futures() -> None:
    class Program(Base):
        def run(self) -> Any:
            opened = [self.submit(add, number, 0) for number in range(3)]
            real = [futures.to_concurrent(future) for future in opened]
            order = [future.result for future in futures.as_completed(opened)]
            assert all(isinstance(future, concurrent.futures.Future) for future in real)
            self.submit(add, 9, 9).result
            return [order, [future.result(timeout=0) for future in real]]

    assert run(Program) == [[0, 1, 2], [0, 1, 2]]


def test_a_timeout_is_a_durable_timer() -> None:
    class Program(Base):
        def run(self) -> Any:
            never = self.submit(self.wait_signal("never"))
            done, left = futures.wait([never], timeout=60)
            return [len(done), len(left), (self.now() - self.begun).total_seconds() >= 60]

        @property
        def begun(self) -> Any:
            import datetime

            return datetime.datetime.fromtimestamp(1767225600, datetime.UTC)

    assert run(Program) == [0, 1, True]


def test_a_wrong_return_when_is_told() -> None:
    with pytest.raises(exceptions.Misuse, match="FIRST_COMPLETED"):
        futures.wait([], return_when="SOMETIME")
