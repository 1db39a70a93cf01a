"""Workflows and activities that the integration tests run; every process imports them by name."""

from __future__ import annotations

import logging
import os
import re
import resource
import signal
import subprocess
import time
from typing import Any

import psutil

from simpleflow import Workflow, activity, futures


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def double(number: int) -> int:
    return number * 2


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def text_of(size: int) -> str:
    return "x" * size


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def nothing_serialisable() -> object:
    return object()


@activity.with_attributes(version="1", task_list="work", heartbeat_timeout=10)
def slow(seconds: float, folder: str) -> float:
    """Leave a file that says it began, then sleep."""
    with open(os.path.join(folder, f"began-{os.getpid()}-{time.time()}"), "w"):
        time.sleep(seconds)
    return seconds


@activity.with_attributes(
    version="1", task_list="work", start_to_close_timeout="NONE", heartbeat_timeout="NONE", raises_on_failure=True
)
def approve(what: str) -> str:
    activity.complete_later()


class Base(Workflow):
    version = "1"
    task_list = "decisions"
    execution_timeout = 600
    decision_tasks_timeout = 10


class Doubles(Base):
    """A fan-out, then a sum."""

    name = "doubles"

    def run(self, count: int = 3) -> int:
        return sum(futures.wait(*[self.submit(double, number) for number in range(count)]))


class Chain(Base):
    """One task after another."""

    name = "chain"

    def run(self, count: int = 3) -> int:
        value = 1
        for _ in range(count):
            value = self.submit(double, value).result
        return value


class Waits(Base):
    """Waits for a signal and returns its input."""

    name = "waits"

    def run(self) -> Any:
        return self.submit(self.wait_signal("go")).result


class Naps(Base):
    """Sleeps an hour."""

    name = "naps"
    execution_timeout = 7200

    def run(self) -> str:
        self.submit(self.start_timer("nap", 3600)).result
        return "slept"


class Logs(Base):
    """Says, with a logger of its own that has no handler, what it does around a signal."""

    name = "logs"

    def run(self) -> None:
        author = logging.getLogger("author")
        author.warning("before")
        self.submit(self.wait_signal("go")).result
        author.warning("after")


class Fails(Base):
    name = "fails"

    def run(self) -> None:
        self.fail("on purpose", "with details")


class Long(Base):
    """Its result, and one of its arguments, are over SWF's limit."""

    name = "long"

    def run(self, size: int = 40_000) -> str:
        return str(self.submit(text_of, size).result)


class Unserialisable(Base):
    name = "unserialisable"

    def run(self) -> Any:
        return self.submit(nothing_serialisable).result


class BadArguments(Base):
    name = "bad-arguments"

    def run(self) -> Any:
        return self.submit(double, object()).result


class Echoes(Base):
    name = "echoes"

    def run(self, value: Any) -> Any:
        return value


class Nameless(Workflow):
    """SWF cannot know it."""

    def run(self) -> None: ...


@activity.with_attributes(
    version="1", task_list="work", raises_on_failure=True, retry=20, heartbeat_timeout=3, start_to_close_timeout=30
)
def pay(key: str, folder: str) -> str:
    """Leave a line for each time that it ran."""
    with open(os.path.join(folder, "paid"), "a") as ledger:
        ledger.write(f"{key}\n")
    return key


class Payments(Base):
    """A fan-out and a chain behind it, of things that must not be done twice."""

    name = "payments"
    decision_tasks_timeout = 4

    def run(self, number: int, count: int, folder: str) -> list[str]:
        first = futures.wait(*[self.submit(pay, f"{number}-{n}", folder) for n in range(count)])
        return [*first, *[self.submit(pay, f"{number}-chain-{n}", folder).result for n in range(3)]]


@activity.with_attributes(version="1", task_list="work", start_to_close_timeout=60)
def speak() -> str:
    print("printed by an activity")
    os.system("echo written by a program")
    return "said"


class Speaks(Base):
    """Prints in every place that a workflow has."""

    name = "speaks"

    def run(self) -> str:
        print("printed by run()")
        os.system("echo written by a program of run()")
        answer: str = self.submit(speak).result
        return answer


@activity.with_attributes(version="1", raises_on_failure=True)
def local_step(number: int) -> int:
    return number + 1


@activity.with_attributes(version="1", start_to_close_timeout=60)
def local_wait(path: str) -> str:
    """Wait for a file."""
    while not os.path.exists(path):
        time.sleep(0.01)
    return path


@activity.with_attributes(version="1", start_to_close_timeout=1)
def local_hang() -> None:
    time.sleep(600)


@activity.with_attributes(version="1")
def local_closerange() -> None:
    os.closerange(3, 1 << 20)


class LocalChain(Base):
    """One local activity after another."""

    name = "local-chain"

    def run(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = self.submit_local(local_step, value).result
        return value


class LocalWaits(Base):
    """A local activity that waits for a file."""

    name = "local-waits"
    decision_tasks_timeout = 300

    def run(self, path: str) -> str:
        return str(self.submit_local(local_wait, path).result)


class LocalTrouble(Base):
    """Local activities that hang and break their process."""

    name = "local-trouble"

    def run(self) -> list[str]:
        hung, broken = self.submit_local(local_hang), self.submit_local(local_closerange)
        return [str(hung.exception), str(broken.exception)]


class LocalSlow(Base):
    """Local activities that take together longer than a decision may."""

    name = "local-slow"
    decision_tasks_timeout = 2

    def run(self, count: int) -> int:
        for _ in range(count):
            self.submit_local(local_doze).exception
        return count


@activity.with_attributes(version="1")
def local_doze() -> None:
    time.sleep(0.4)


class Stands(Base):
    """Its ``run()`` stands still, in the decider, until a file is there."""

    name = "stands"
    decision_tasks_timeout = 300

    def run(self, folder: str) -> str:
        with open(os.path.join(folder, "stands"), "w"):
            pass
        while not os.path.exists(os.path.join(folder, "go")):
            time.sleep(0.01)
        return "went on"


class EndsItsDecider(Base):
    """Its ``run()`` ends the process of its decider until a file is there."""

    name = "ends-its-decider"
    decision_tasks_timeout = 300

    def run(self, folder: str) -> str:
        with open(os.path.join(folder, "ended"), "a") as ended:
            ended.write("x")
        if not os.path.exists(os.path.join(folder, "mended")):
            os._exit(3)
        return "went on"


class Approved(Base):
    """Two tasks that people answer."""

    name = "approved"

    def run(self) -> Any:
        first, second = self.submit(approve, "first"), self.submit(approve.options(raises_on_failure=False), "second")
        return [first.result, type(second.exception).__name__]


@activity.with_attributes(
    version="1", task_list="work", raises_on_failure=True, retry=20, heartbeat_timeout=3, start_to_close_timeout=300
)
def wait_for(path: str) -> str:
    while not os.path.exists(path):
        time.sleep(0.05)
    return path


class Gated(Base):
    """Its activity ends when a file appears."""

    name = "gated"

    def run(self, path: str) -> str:
        return str(self.submit(wait_for, path).result)


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def load(part: int, folder: str) -> int:
    """Leave a line for each time that it ran; part 1 fails until it is repaired."""
    with open(os.path.join(folder, "loaded"), "a") as loaded:
        loaded.write(f"{part} ")
    if part == 1 and not os.path.exists(os.path.join(folder, "repaired")):
        raise ValueError("the disk of part 1 is full")
    return part * 10


class Night(Base):
    """Loads parts, one after another."""

    name = "night"

    def run(self, parts: int, folder: str) -> int:
        return sum(self.submit(load, part, folder).result for part in range(parts))


@activity.with_attributes(
    version="1", task_list="work", start_to_close_timeout="NONE", heartbeat_timeout="NONE", raises_on_failure=True
)
def mark(number: int, folder: str) -> int:
    """Leave a line; it takes less than a millisecond, and nothing times it out."""
    with open(os.path.join(folder, "marks"), "a") as marks:
        marks.write(f"{number}\n")
    return number


class Marks(Base):
    """Marks that many workers make together, or one after another."""

    name = "marks"

    def run(self, count: int, folder: str, together: bool) -> int:
        if together:
            return sum(futures.wait(*[self.submit(mark, number, folder) for number in range(count)]))
        return sum(self.submit(mark, number, folder).result for number in range(count))


def note_end(folder: str, how: str) -> None:
    with open(os.path.join(folder, "ended"), "a") as ended:
        ended.write("x")


@activity.with_attributes(
    version="1",
    task_list="work",
    start_to_close_timeout="NONE",
    heartbeat_timeout="NONE",
    raises_on_failure=True,
    cleanup=note_end,
)
def go_on(folder: str, how: str) -> list[bool]:
    """The first attempt starts a program, spoils its process and never ends; the second tells what has ended."""
    pid = activity.last_heartbeat()
    if pid is not None:
        gone = not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        return [gone, os.path.exists(os.path.join(folder, "ended"))]
    activity.heartbeat(subprocess.Popen(["sleep", "600"], start_new_session=True).pid)
    os.mkdir(os.path.join(folder, "no more"))
    os.chdir(os.path.join(folder, "no more"))
    os.rmdir(os.path.join(folder, "no more"))
    os.environ.clear()
    signal.setitimer(signal.ITIMER_REAL, 60)
    with open(os.path.join(folder, "began"), "w"):
        pass
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE):
        resource.setrlimit(limit, (32, resource.getrlimit(limit)[1]))
    for number in range(3):
        os.close(number)
    if how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == "in C":
        re.match(r"(a+)+$", "a" * 64 + "b")  # no other thread of Python runs meanwhile
    while True:
        time.sleep(1)


class GoesOn(Base):
    name = "goes-on"

    def run(self, folder: str, how: str) -> list[bool]:
        return list(self.submit(go_on, folder, how).result)
