"""Workflows whose tasks take as long as a test wants."""

from __future__ import annotations

import time
from pathlib import Path

from simpleflow import Workflow, activity, futures


@activity.with_attributes(version="1", task_list="light", retry=0, raises_on_failure=True, heartbeat_timeout=10)
def light_nap(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number


@activity.with_attributes(version="1", task_list="heavy", retry=0, raises_on_failure=True, heartbeat_timeout=10)
def heavy_nap(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number


class Naps(Workflow):
    name = "naps"
    version = "1"
    task_list = "report-decisions"
    decision_tasks_timeout = 10
    execution_timeout = 300

    def run(self, light: int, heavy: int, seconds: float) -> list[int]:
        naps = [self.submit(light_nap, number, seconds) for number in range(light)]
        naps += [self.submit(heavy_nap, number, seconds) for number in range(heavy)]
        return futures.wait(*naps)


def _hold(gate: str) -> None:
    while not Path(gate).exists():
        time.sleep(0.05)


@activity.with_attributes(version="1", task_list="light", retry=10, raises_on_failure=True, heartbeat_timeout=10)
def light_held(number: int, gate: str) -> int:
    _hold(gate)
    return number


@activity.with_attributes(version="1", task_list="heavy", retry=10, raises_on_failure=True, heartbeat_timeout=10)
def heavy_held(numbers: list[int], gate: str) -> int:
    _hold(gate)
    return sum(numbers)


class Held(Workflow):
    """``count`` light tasks and, after them, ``heavy`` heavy ones; all are held until the file ``gate`` is there."""

    name = "held"
    version = "1"
    task_list = "report-decisions"
    decision_tasks_timeout = 10
    execution_timeout = 600

    def run(self, count: int, heavy: int, gate: str) -> list[int]:
        numbers = [self.submit(light_held, number, gate) for number in range(count)]
        sums = [self.submit(heavy_held, [number, *numbers], gate) for number in range(heavy)]
        return futures.wait(*sums, *numbers)


@activity.with_attributes(version="1", task_list="light", retry=20, raises_on_failure=True, heartbeat_timeout=20)
def light_square(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number * number


@activity.with_attributes(version="1", task_list="heavy", retry=20, raises_on_failure=True, heartbeat_timeout=20)
def heavy_sum(numbers: list[int], seconds: float) -> int:
    time.sleep(seconds)
    return sum(numbers)


class Squares(Workflow):
    """The sum of the first squares; whatever dies is tried again."""

    name = "squares"
    version = "1"
    task_list = "report-decisions"
    decision_tasks_timeout = 10
    execution_timeout = 1200

    def run(self, count: int, seconds: float) -> int:
        squares = [self.submit(light_square, number, seconds) for number in range(count)]
        total: int = self.submit(heavy_sum, squares, seconds).result
        return total
