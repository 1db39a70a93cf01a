"""What an inline activity says of its own time and end. It runs at once; the service hears of it later, or never."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn

from simpleflow.core import numbers
from simpleflow.runtime import execute


class Hangs(execute.Interrupted):
    """The activity never returns; ``alive``: its worker still sends heartbeats."""

    def __init__(self, alive: bool) -> None:
        super().__init__(alive)
        self.alive = alive


class Dies(execute.Interrupted):
    """The activity's runner is killed by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Cost:
    """Seconds that the activity took so far."""

    def __init__(self) -> None:
        self.seconds = 0.0


class _Local(threading.local):
    cost: Cost | None = None


_local = _Local()


@contextlib.contextmanager
def measured() -> Iterator[Cost]:
    """Collect what ``takes`` says inside."""
    before, _local.cost = _local.cost, Cost()
    try:
        yield _local.cost
    finally:
        _local.cost = before


def takes(seconds: numbers.Duration) -> None:
    """Let the activity that runs inline take so many seconds of the environment's time; elsewhere it does nothing."""
    spent = numbers.delay("seconds of takes()", seconds, most=math.inf)
    if _local.cost is not None:
        _local.cost.seconds += spent


def _inside(name: str) -> None:
    if _local.cost is None:
        raise RuntimeError(f"testing.{name}() belongs into an activity that an Environment runs")


def hang(*, heartbeats: bool = True) -> NoReturn:
    """Never return. The worker goes on with its heartbeats unless ``heartbeats`` is False (the machine is gone)."""
    _inside("hang")
    raise Hangs(heartbeats)


def dies(number: int = signal.SIGKILL) -> NoReturn:
    """Let the task runner be killed by this signal: the task fails, naming it."""
    _inside("dies")
    raise Dies(number)
