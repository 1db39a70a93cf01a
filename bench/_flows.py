"""The workflows and activities that ``tasks.py`` has worked; decider and worker import them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from simpleflow import Workflow, activity, futures

#: generous: a crashed service's time counts, and nothing is to be retried because of a slow machine
TIMES = {"start_to_close_timeout": 60, "schedule_to_close_timeout": 600, "schedule_to_start_timeout": 600}


@activity.with_attributes(task_list="bench", version="1", heartbeat_timeout=60, **TIMES)
def noop(number: int) -> int:
    return number


@activity.with_attributes(task_list="bench", version="1", heartbeat_timeout=60, **TIMES)
def now(number: int) -> float:
    """When it began, in epoch seconds."""
    return time.time()


@activity.with_attributes(task_list="bench", version="1", heartbeat_timeout=60, **TIMES)
def note(number: int, path: str) -> int:
    """Append its number to a file: who ran twice shows there."""
    with Path(path).open("a") as file:
        file.write(f"{number}\n")
    return number


class _Bench(Workflow):
    version, task_list = "1", "bench"
    execution_timeout = 3600
    decision_tasks_timeout = 60


class Fan(_Bench):
    name = "bench.fan"

    def run(self, count: int) -> int:
        return len(futures.wait(*[self.submit(noop, number) for number in range(count)]))


class Noted(_Bench):
    name = "bench.noted"

    def run(self, count: int, path: str) -> int:
        return len(futures.wait(*[self.submit(note, number, path) for number in range(count)]))


class Chain(_Bench):
    name = "bench.chain"

    def run(self, count: int) -> int:
        value: Any = 0
        for number in range(count):
            value = self.submit(noop, number).result
        return int(value) + 1


class Local(_Bench):
    name = "bench.local"

    def run(self, count: int) -> int:
        value: Any = 0
        for number in range(count):
            value = self.submit_local(noop, number).result
        return int(value) + 1


class First(_Bench):
    name = "bench.first"

    def run(self, number: int) -> Any:
        return self.submit(now, number).result
