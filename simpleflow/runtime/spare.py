"""Tasks that one slot received together and that wait behind a long one: another slot of the worker takes them."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterable
from typing import Generic, TypeVar

Owner = TypeVar("Owner")
Task = TypeVar("Task")


class Spare(Generic[Owner, Task]):
    """The tasks that slots lend each other, the oldest first. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lent: collections.deque[tuple[Owner, Task]] = collections.deque()

    def __bool__(self) -> bool:
        return bool(self._lent)

    def lend(self, owner: Owner, tasks: Iterable[Task]) -> None:
        """Let others take these tasks."""
        with self._lock:
            self._lent += [(owner, task) for task in tasks]

    def take(self) -> tuple[Owner, Task] | None:
        """Remove the oldest task and return its owner and it; None when there is none."""
        with self._lock:
            return self._lent.popleft() if self._lent else None

    def reclaim(self, owner: Owner) -> list[Task]:
        """Remove the tasks of this owner that nobody has taken, and return them."""
        with self._lock:
            found = [task for whose, task in self._lent if whose is owner]
            self._lent = collections.deque(each for each in self._lent if each[0] is not owner)
            return found
