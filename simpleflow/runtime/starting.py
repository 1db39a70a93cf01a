"""A process that begins reaches its service, or ends at once when it is told to meanwhile: nothing is begun yet."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from simpleflow.process import Stop, signals

T = TypeVar("T")


def unless_stopped(reach: Callable[[Callable[[float], bool]], T], stop: Stop | None) -> T | None:
    """Return what ``reach`` returns, raise what it raises; None as soon as ``stop`` is raised.

    ``reach`` runs on a thread of its own, which is left behind then: a call may be under way that nobody answers. It
    is given what sleeps between two attempts and returns True when they are to end.
    """
    given_up = threading.Event()
    if stop is None:
        return reach(given_up.wait)
    outcomes: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()
    stop.listen(lambda: outcomes.put(None))

    def run() -> None:
        try:
            found = reach(given_up.wait)
        except BaseException as error:
            outcomes.put(error)
        else:
            outcomes.put((found,))

    if not stop.draining:
        threading.Thread(target=run, name="starting", daemon=True).start()
    while not stop.draining:
        try:
            outcome = outcomes.get(timeout=signals.LOOK)
        except queue.Empty:
            continue
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome is not None:
            return outcome[0]
    given_up.set()
    return None
