"""Workflows of many shapes, each with the result and the effects that it must have whatever happens meanwhile."""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

from simpleflow import Workflow, activity, canvas, futures

LONG = 40_000


def leave(key: str, folder: str) -> None:
    """Leave a line: the effect of an activity."""
    with open(os.path.join(folder, "effects"), "a") as effects:
        effects.write(f"{key}\n")


@activity.with_attributes(
    version="1", task_list="work", raises_on_failure=True, retry=50, heartbeat_timeout=4, start_to_close_timeout=30
)
def step(key: str, folder: str) -> str:
    leave(key, folder)
    return key


@activity.with_attributes(
    version="1", task_list="work", raises_on_failure=True, retry=50, heartbeat_timeout=4, start_to_close_timeout=30
)
def reports(key: str, folder: str) -> list[int]:
    """Go on from what an earlier attempt reported, which fails half-way."""
    done = activity.last_heartbeat() or []
    for number in range(len(done), 4):
        done.append(number)
        activity.heartbeat(done)
        if number == 1 and len(done) == 2 and not activity.last_heartbeat():
            raise ValueError("half-way")
    leave(key, folder)
    return list(done)


@activity.with_attributes(version="1", task_list="work", heartbeat_timeout=4, start_to_close_timeout=30)
def sleeps(seconds: float) -> None:
    time.sleep(seconds)


@activity.with_attributes(
    version="1", task_list="work", raises_on_failure=True, retry=50, heartbeat_timeout=4, start_to_close_timeout=30
)
def long_text(key: str, folder: str) -> str:
    leave(key, folder)
    return "x" * LONG


class Shape(Workflow):
    """``run(number, folder)``; ``expected(number)`` is its result, ``keys(number)`` are the effects."""

    version = "1"
    task_list = "decisions"
    execution_timeout = 3600
    decision_tasks_timeout = 4
    count: ClassVar[int] = 3

    @classmethod
    def keys(cls, number: int) -> list[str]:
        return [f"{cls.name}-{number}-{n}" for n in range(cls.count)]

    @classmethod
    def expected(cls, number: int) -> Any:
        return cls.keys(number)


class FanOut(Shape):
    name = "fan-out"
    count = 6

    def run(self, number: int, folder: str) -> Any:
        return futures.wait(*[self.submit(step, key, folder) for key in self.keys(number)])


class Chain(Shape):
    name = "chained"

    def run(self, number: int, folder: str) -> Any:
        return [self.submit(step, key, folder).result for key in self.keys(number)]


class Tree(Shape):
    """A parent of chains."""

    name = "tree"

    @classmethod
    def keys(cls, number: int) -> list[str]:
        return [key for child in cls.children(number) for key in Chain.keys(child)]

    @classmethod
    def children(cls, number: int) -> list[int]:
        return [1_000_000 + 10 * number + n for n in range(2)]

    def run(self, number: int, folder: str) -> Any:
        found = [self.submit(Chain, child, folder) for child in self.children(number)]
        return [key for future in found for key in future.result]


class Timers(Shape):
    name = "timers"
    count = 2

    def run(self, number: int, folder: str) -> Any:
        found = []
        for key in self.keys(number):
            self.submit(self.start_timer(f"before {key}", 1)).result
            found.append(self.submit(step, key, folder).result)
        return found


class Signalled(Shape):
    name = "signalled"
    count = 1

    @classmethod
    def expected(cls, number: int) -> Any:
        return [number, "TaskCanceled", *cls.keys(number)]

    def run(self, number: int, folder: str) -> Any:
        sent = self.submit(self.wait_signal("go")).value
        nobody = self.submit(self.wait_signal("nobody", timeout=1)).exception
        return [sent, type(nobody).__name__, *(self.submit(step, key, folder).result for key in self.keys(number))]


class Again(Shape):
    """Three runs."""

    name = "again"

    def run(self, number: int, folder: str, done: list[str] | None = None) -> Any:
        done = done or []
        done = [*done, self.submit(step, self.keys(number)[len(done)], folder).result]
        if len(done) < self.count:
            return self.submit(self.continue_as_new(number, folder, done)).result
        return done


class Locally(Shape):
    name = "locally"

    def run(self, number: int, folder: str) -> Any:
        return [self.submit_local(step, key, folder).result for key in self.keys(number)]


class Reports(Shape):
    """An attempt that fails, and one that goes on from what it reported."""

    name = "reports"
    count = 1

    @classmethod
    def expected(cls, number: int) -> Any:
        return [0, 1, 2, 3]

    def run(self, number: int, folder: str) -> Any:
        return self.submit(reports, self.keys(number)[0], folder).result


class Grouped(Shape):
    name = "grouped"
    count = 4

    def run(self, number: int, folder: str) -> Any:
        return self.submit(canvas.Group(*((step, key, folder) for key in self.keys(number)), max_parallel=2)).result


class Coroutine(Shape):
    name = "coroutine"

    async def run(self, number: int, folder: str) -> Any:
        return [await self.submit(step, key, folder) for key in self.keys(number)]


class Large(Shape):
    name = "large"
    count = 1

    @classmethod
    def expected(cls, number: int) -> Any:
        return LONG

    def run(self, number: int, folder: str) -> Any:
        return len(self.submit(long_text, self.keys(number)[0], folder).result)


class Cancels(Shape):
    name = "cancels"
    count = 1

    def run(self, number: int, folder: str) -> Any:
        sleeper = self.submit(sleeps, 20)
        found = [self.submit(step, key, folder).result for key in self.keys(number)]
        sleeper.cancel()
        return found


SHAPES: tuple[type[Shape], ...] = (
    FanOut,
    Chain,
    Tree,
    Timers,
    Signalled,
    Again,
    Locally,
    Reports,
    Grouped,
    Coroutine,
    Large,
    Cancels,
)
