"""How long tasks take here, by their types. A slot takes several tasks of a quick type with one call."""

from __future__ import annotations

import resource
import threading
import time
from typing import Final, NamedTuple

#: a type is quick when its tasks take at most this many seconds on average, over at least ``KNOWN`` tasks
QUICK: Final = 0.003
KNOWN: Final = 8
#: weight of a new task in the mean: one task of a second makes its type slow for some forty tasks
_SHARE: Final = 1 / 8
#: most tasks that one call may bring
MOST: Final = 16
#: most types that one call may name
_NAMED: Final = 16


#: argument of getrusage for one thread; None: the system counts for whole processes only
_THREAD: Final[int | None] = getattr(resource, "RUSAGE_THREAD", None)


class Spent(NamedTuple):
    """Time that a thread has used so far."""

    wall: float
    cpu: float
    #: how often it waited for something; None if the system does not count this
    waits: int | None

    @classmethod
    def now(cls) -> Spent:
        """Return the values of the calling thread."""
        if _THREAD is None:
            return cls(time.perf_counter(), 0.0, None)
        used = resource.getrusage(_THREAD)
        return cls(time.perf_counter(), used.ru_utime + used.ru_stime, used.ru_nvcsw)

    def seconds(self, end: Spent) -> float:
        """Return the seconds that a task took. A task that waited for nothing counts its processor time only: on a busy
        machine it also waits for a processor, which does not depend on its type."""
        waited = self.waits is None or self.waits != end.waits
        return end.wall - self.wall if waited else end.cpu - self.cpu


class Paces:
    """The mean duration of each type's last tasks. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: (name, version) -> tasks so far, mean seconds
        self._means: dict[tuple[str, str], tuple[int, float]] = {}
        self._quick: dict[tuple[str, str], None] = {}
        #: the types whose tasks are quick; at most ``_NAMED``, the latest ones
        self.quick: tuple[tuple[str, str], ...] = ()

    def note(self, name: str, version: str, seconds: float) -> None:
        """Add a task's duration in seconds."""
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
