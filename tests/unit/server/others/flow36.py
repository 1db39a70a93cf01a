"""Workflows and activities as written for simpleflow 0.36; run by it, from PyPI, never by this project."""

from __future__ import annotations

from typing import Any

from simpleflow import Workflow, activity, futures
from simpleflow.canvas import Chain, Group
from simpleflow.task import ActivityTask

_SECONDS = {
    "start_to_close_timeout": 60,
    "schedule_to_close_timeout": 120,
    "schedule_to_start_timeout": 120,
    "heartbeat_timeout": 60,
}


@activity.with_attributes(task_list="work36", version="1", **_SECONDS)
def increment(number: int) -> int:
    return number + 1


@activity.with_attributes(task_list="work36", version="1", idempotent=True, **_SECONDS)
def double(number: int) -> int:
    return number * 2


@activity.with_attributes(task_list="work36", version="1", retry=1, raises_on_failure=False, **_SECONDS)
def fail() -> None:
    raise ValueError("on purpose")


class Child(Workflow):
    name = "child36"
    version = "1"
    task_list = "decide36"
    execution_timeout = 120
    decision_tasks_timeout = 60

    def run(self, number: int) -> Any:
        return self.submit(increment, number).result


class Main(Workflow):
    name = "main36"
    version = "1"
    task_list = "decide36"
    execution_timeout = 300
    decision_tasks_timeout = 60

    def run(self, count: int) -> Any:
        many = [self.submit(increment, number) for number in range(count)]
        futures.wait(*many)
        broken = self.submit(fail)
        child = self.submit(Child, 41)
        timer = self.submit(self.start_timer("pause", 1))
        self.submit(self.record_marker("here", details="and now"))
        futures.wait(broken, child, timer)
        chain = self.submit(Chain(ActivityTask(increment, 1), ActivityTask(double, 2), send_result=False))
        group = self.submit(Group(ActivityTask(double, 5), ActivityTask(double, 6)))
        futures.wait(chain, group)
        return {
            "sum": sum(future.result for future in many),
            "child": child.result,
            "failed": broken.exception is not None,
            "chain": chain.result,
            "group": group.result,
        }


class Signalled(Workflow):
    name = "signalled36"
    version = "1"
    task_list = "decide36"
    execution_timeout = 300
    decision_tasks_timeout = 60

    def run(self) -> Any:
        signal = self.submit(self.wait_signal("go"))
        futures.wait(signal)
        return self.submit(double, 21).result
