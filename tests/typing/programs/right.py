"""What type checkers must accept, with the types that they must see. Checked by test_typing.py, never run."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable
from typing import Any, assert_type

from simpleflow import Workflow, activity, canvas, futures, task
from simpleflow.client import Client
from simpleflow.futures import DoneAndNotDone, Future
from simpleflow.local import Executor
from simpleflow.local import executor as local_executor
from simpleflow.testing import Environment


@activity.with_attributes(version="1", task_list="list", start_to_close_timeout=datetime.timedelta(minutes=5))
def length(text: str) -> int:
    return len(text)


@activity.with_attributes(version="1", task_list="list", retry=activity.RetryPolicy(initial=datetime.timedelta(1)))
async def later(text: str) -> bytes:
    return text.encode()


@activity.with_attributes(version="1", task_list="list")
class Joined:
    def __init__(self, *parts: str) -> None:
        self.parts = parts

    def execute(self) -> str:
        return "".join(self.parts)


class Child(Workflow):
    name, version, task_list = "child", "1", "list"
    execution_timeout = datetime.timedelta(days=2)

    def run(self, number: int) -> float:
        return number / 2


class AsyncChild(Workflow):
    name, version, task_list = "async-child", "1", "list"

    async def run(self, number: int) -> float:
        return number / 2


class Program(Workflow):
    name, version, task_list = "typed", "1", "list"

    def run(self, text: str) -> list[int]:
        one = self.submit(length, text)
        two = self.submit(Joined, "a", "b")
        # activities: functions, coroutines, classes, with their arguments
        assert_type(one, Future[int])
        assert_type(self.submit(length, one).result, int)
        assert_type(self.submit(later, text), Future[bytes])
        assert_type(two, Future[str])
        assert_type(self.submit(Joined("a")), Future[str])
        assert_type(self.submit(length.options(retry=2), text), Future[int])
        assert_type(self.submit_local(length, text), Future[int])
        assert_type(length(text), int)
        # children
        assert_type(self.submit(Child, 1), Future[float])
        assert_type(self.submit(AsyncChild, 1), Future[float])
        # tasks
        assert_type(self.submit(task.ActivityTask(length, text)), Future[int])
        assert_type(self.submit(task.ActivityTask(later, text)), Future[bytes])
        assert_type(self.submit(task.ChildWorkflowTask(AsyncChild, 1)), Future[float])
        assert_type(self.submit(self.start_timer("t", datetime.timedelta(hours=1))), Future[None])
        assert_type(self.submit(self.signal("s", 1)), Future[None])
        value = self.submit(self.wait_signal("s", timeout=60)).value
        print(value)
        # several
        assert_type(self.map(length, ["a"]), list[Future[int]])
        assert_type(self.starmap(Joined, [("a", "b")]), list[Future[str]])
        assert_type(self.map(Child, [1]), list[Future[float]])
        for each in futures.as_completed([one, one]):
            assert_type(each, Future[int])
        done, not_done = futures.wait([one, one], return_when=futures.FIRST_COMPLETED)
        assert_type(done, list[Future[int]])
        assert_type(not_done, list[Future[int]])
        assert_type(futures.wait(one, two)[0], int | str)
        assert_type(futures.gather(one, lambda: 2.5)[0], int | float)
        assert_type(futures.gather(one, two, return_exceptions=True)[0], int | str | BaseException)
        # composed
        assert_type(one.map(str), Future[str])
        assert_type(one.then(lambda number: self.submit(Child, number)), Future[float])
        assert_type(self.side_effect("id", lambda: 3), int)
        # canvas
        group = canvas.Group((length, "a"), Joined, max_parallel=2)
        assert_type(self.submit(group), canvas.GroupFuture)
        assert_type(self.submit(canvas.Chain(group, send_result=True)), canvas.ChainFuture)
        results: list[Any] = self.submit(group).result
        print(results, self.submit(group).count_finished_activities)
        with self.cancel_scope(wait=True) as scope:
            scope.cancel()
        return futures.wait(one, one)


class AsyncProgram(Workflow):
    name, version, task_list = "typed-async", "1", "list"

    async def run(self, text: str) -> list[int]:
        one = self.submit(length, text)
        assert_type(await one, int)
        async for each in futures.as_completed([one]):
            assert_type(await each, int)
        done = await futures.wait([one], timeout=datetime.timedelta(seconds=5))
        assert_type(done.done, list[Future[int]])
        assert_type(await futures.gather(one, self.submit(Joined)), list[int | str])
        waits: Awaitable[list[int]] = futures.wait(one, one)
        return await waits


def outside() -> None:
    with Client() as client:
        run = client.start(Child, 3, options={"execution_timeout": datetime.timedelta(hours=1), "tags": ["a"]})
        client.signal(run, "go", {"fast": True})
        print(client.result(run, timeout=5))
    assert_type(Executor(Child).run({"args": [1]}), float)
    assert_type(local_executor.Executor(AsyncChild).run({"args": [1]}), float)
    with Environment() as environment:
        assert_type(environment.run(Child, 3), float)
        assert_type(environment.run(AsyncChild, 3), float)
        environment.advance(datetime.timedelta(days=30))


class OwnExecutor(Executor):
    """As 0.36's users subclass it."""


def taken(given: task.ActivityTask, other: futures.DoneAndNotDone[int]) -> DoneAndNotDone[int]:
    print(given)
    return other
