"""How long tasks take here, by their types: of quick ones a slot takes several with one call."""

from __future__ import annotations

import threading
from typing import Final

#: mean seconds of a type's tasks up to which they are quick, and of how many tasks that must be known
QUICK: Final = 0.003
KNOWN: Final = 8
#: share of a new task in the mean: one that takes a second makes its type slow for some forty tasks
_SHARE: Final = 1 / 8
#: tasks that one call may bring
MOST: Final = 16
#: types that one call may name
_NAMED: Final = 16


class Paces:
    """The mean duration of each type's last tasks. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: (name, version) -> tasks so far, mean seconds
        self._means: dict[tuple[str, str], tuple[int, float]] = {}
        self._quick: dict[tuple[str, str], None] = {}
        #: the types whose tasks are quick, those that became so last
        self.quick: tuple[tuple[str, str], ...] = ()

    def note(self, name: str, version: str, seconds: float) -> None:
        """Take note of a task's duration."""
        kind = (name, version)
        with self._lock:
            count, mean = self._means.get(kind, (0, seconds))
            count, mean = count + 1, mean + (seconds - mean) * _SHARE
            self._means[kind] = count, mean
            quick = count >= KNOWN and mean <= QUICK
            if quick == (kind in self._quick):
                return
            if quick:
                self._quick[kind] = None
            else:
                del self._quick[kind]
            self.quick = tuple(self._quick)[-_NAMED:]
