"""Workflows whose processes make each call of SWF that a worker or a decider makes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from simpleflow import Workflow, activity, futures


def _leave(folder: str, name: str) -> None:
    with open(os.path.join(folder, "effects"), "a") as effects:
        effects.write(f"{name}\n")


def _await(*paths: Path) -> None:
    while not all(path.exists() for path in paths):
        time.sleep(0.02)


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def effect(folder: str, name: str) -> int:
    """Leave a line; return the worker's pid."""
    _leave(folder, name)
    return os.getppid()


@activity.with_attributes(
    version="1", task_list="work", raises_on_failure=True, retry=50, start_to_close_timeout=1, heartbeat_timeout="NONE"
)
def brief(folder: str, name: str) -> int:
    _leave(folder, name)
    return os.getppid()


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def pauses(folder: str, name: str) -> int:
    """Leave its worker's connections idle for a moment."""
    _leave(folder, name)
    time.sleep(0.3)
    return os.getppid()


@activity.with_attributes(version="1", task_list="work")
def fails(folder: str, name: str) -> None:
    _leave(folder, name)
    raise ValueError("on purpose")


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True, heartbeat_timeout=60)
def beats(folder: str, name: str) -> int:
    """Send a heartbeat, and go on once the service has it."""
    _leave(folder, name)
    activity.heartbeat("half-way")
    _await(Path(folder, "beaten"), Path(folder, "napping"))
    return os.getppid()


@activity.with_attributes(version="1", task_list="work", heartbeat_timeout=3)
def naps(folder: str, name: str) -> None:
    """Sleep until it is cancelled."""
    _leave(folder, name)
    Path(folder, "napping").touch()
    time.sleep(600)


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def until_it_naps(folder: str) -> None:
    _await(Path(folder, "napping"))


class Base(Workflow):
    version = "1"
    task_list = "decisions"
    execution_timeout = 600
    decision_tasks_timeout = 60


class Once(Base):
    """One task."""

    name = "once"

    def run(self, folder: str) -> Any:
        return self.submit(effect, folder, "once").result


class Twice(Base):
    """One task, with a second for each attempt."""

    name = "twice"

    def run(self, folder: str) -> Any:
        return self.submit(brief, folder, "twice").result


class Pauses(Base):
    """Three tasks, one after another."""

    name = "pauses"

    def run(self, folder: str) -> Any:
        return [self.submit(pauses, folder, str(number)).result for number in range(3)]


class Rejected(Base):
    """One task that fails."""

    name = "rejected"

    def run(self, folder: str) -> Any:
        return str(self.submit(fails, folder, "rejected").exception)


class Stopped(Base):
    """One task that is cancelled while it runs."""

    name = "stopped"

    def run(self, folder: str) -> Any:
        napping = self.submit(naps, folder, "stopped")
        self.submit(until_it_naps, folder).result
        napping.cancel()
        self.submit(self.wait_signal("cancelled")).result
        return type(napping.exception).__name__


class Everything(Base):
    """Tasks that complete, fail, report, and are cancelled."""

    name = "everything"

    def run(self, folder: str) -> Any:
        napping = self.submit(naps, folder, "naps")
        beating = self.submit(beats, folder, "beats")
        futures.wait(beating)
        napping.cancel()
        self.submit(self.wait_signal("cancelled")).result
        failed = self.submit(fails, folder, "fails")
        done = self.submit(effect, folder, "effect")
        return [
            beating.result,
            type(napping.exception).__name__,
            type(failed.exception).__name__,
            done.result,
        ]
