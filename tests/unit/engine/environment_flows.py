"""Workflows and activities for tests that run them in an Environment; importable, as workers need them."""

from __future__ import annotations

import time
from typing import Any

from simpleflow import Workflow, activity, canvas, exceptions, futures
from simpleflow.testing import environment

DAY = 86_400


@activity.with_attributes(version="1", task_list="work")
def double(number: int) -> int:
    return 2 * number


@activity.with_attributes(version="1", task_list="work", retry=1)
def fails(message: str) -> None:
    raise ValueError(message)


@activity.with_attributes(version="1", task_list="work", start_to_close_timeout=60, retry=1)
def hangs() -> None:
    environment.hang()


@activity.with_attributes(version="1", task_list="work", start_to_close_timeout=7200, heartbeat_timeout=60)
def slow(seconds: float) -> str:
    environment.takes(seconds)
    return "slept"


class Base(Workflow):
    version, task_list = "1", "decisions"
    execution_timeout = 360 * DAY


class Month(Base):
    name = "month"

    def run(self) -> Any:
        before = self.now()
        self.submit(self.start_timer("month", 30 * DAY)).result
        return (self.now() - before).total_seconds()


class Signalled(Base):
    name = "signalled"

    def run(self) -> Any:
        first = self.submit(self.wait_signal("go", timeout=DAY))
        try:
            return [first.value]
        except exceptions.TaskCanceled:
            return "nobody came"


class Child(Base):
    name = "child"

    def run(self, number: int) -> Any:
        return self.submit(double, number).result


class Parent(Base):
    name = "parent"

    def run(self) -> Any:
        children = [self.submit(Child, number) for number in range(3)]
        group = self.submit(canvas.Group((double, 10), (double, 20)))
        return [futures.wait(*children), group.result]


class Failing(Base):
    name = "failing"

    def run(self) -> Any:
        task = self.submit(fails, "odd")
        return str(task.exception)


class Hanging(Base):
    name = "hanging"

    def run(self) -> Any:
        return type(self.submit(hangs).exception).__name__


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def hangs_by_default() -> None:
    environment.hang()


class HangingByDefault(Base):
    name = "hanging_by_default"
    execution_timeout = None

    def run(self) -> Any:
        return self.submit(hangs_by_default).result


class LateChild(Base):
    name = "late_child"
    execution_timeout = 60

    def run(self) -> Any:
        return self.submit(self.wait_signal("never")).result


class LateParent(Base):
    name = "late_parent"

    def run(self) -> Any:
        child = self.submit(LateChild)
        return str(child.exception)


class Racing(Base):
    name = "racing"

    def run(self) -> Any:
        quick, late = self.submit(slow, 10), self.submit(slow, 3600)
        done, pending = futures.wait([quick, late], return_when=futures.FIRST_COMPLETED)
        return [len(list(done)), [future.cancel() for future in pending]]


class Counting(Base):
    name = "counting"

    def run(self, left: int) -> Any:
        value = self.submit(double, left).result
        if left:
            return self.submit(self.continue_as_new(left - 1)).result
        return ["done", value]


class Cleaning(Base):
    name = "cleaning"

    def run(self) -> Any:
        with self.cancel_scope():
            try:
                return self.submit(slow, 3600).result
            except exceptions.TaskCanceled:
                self.submit(double, 1).result
                raise


class Sloppy(Base):
    name = "sloppy"

    def run(self) -> Any:
        return time.time()


@activity.with_attributes(version="1", task_list="work")
def large(size: int) -> str:
    return "x" * size


@activity.with_attributes(version="1", task_list="work")
def measure(text: str) -> int:
    return len(text)


class Large(Base):
    name = "large"

    def run(self, size: int) -> Any:
        text = self.submit(large, size)
        return [self.submit(measure, text).result, len(text.result), self.submit(measure, "y" * size).result]


class Local(Base):
    name = "local"

    def run(self) -> Any:
        first = self.submit_local(double, 4)
        failed = self.submit_local(fails, "odd")
        return [self.submit(double, first).result, str(failed.exception)]


class Chance(Base):
    name = "chance"

    def run(self) -> Any:
        drawn = [str(self.uuid4()), self.random(), self.side_effect("clock", time.time), self.patched("new")]
        self.submit(double, 1).result
        return [*drawn, str(self.uuid4())]
