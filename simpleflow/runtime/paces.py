"""How long tasks take here, by their types. A slot takes several tasks of a quick type with one call."""

from __future__ import annotations

import resource
import threading
import time
from typing import Final, NamedTuple

#: a type is quick when its tasks take at most this many seconds on average, for at least ``KNOWN`` tasks
QUICK: Final = 0.003
KNOWN: Final = 8
#: each time that a quick type turns out slow, it has to be quick for so many times as many tasks, at most ``LONG``: the
#: tasks behind a slow one have waited for it, while other slots were perhaps free
_DOUBT: Final = 8
LONG: Final = 4096
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


class _Pace:
    """What is known of a type."""

    __slots__ = ("mean", "streak", "wanted")

    def __init__(self, seconds: float) -> None:
        #: mean seconds of the last tasks
        self.mean = seconds
        #: how many tasks in a row have left the mean low, and how many are wanted
        self.streak = 0
        self.wanted = KNOWN


class Paces:
    """The mean duration of each type's last tasks. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], _Pace] = {}
        self._quick: dict[tuple[str, str], None] = {}
        #: the types whose tasks are quick; at most ``_NAMED``, the latest ones
        self.quick: tuple[tuple[str, str], ...] = ()

    def note(self, name: str, version: str, seconds: float) -> None:
        """Add a task's duration in seconds."""
        kind = (name, version)
        with self._lock:
            pace = self._known.get(kind)
            if pace is None:
                pace = self._known[kind] = _Pace(seconds)
            pace.mean += (seconds - pace.mean) * _SHARE
            pace.streak = pace.streak + 1 if pace.mean <= QUICK else 0
            quick = pace.streak >= pace.wanted
            if quick == (kind in self._quick):
                return
            if quick:
                self._quick[kind] = None
            else:
                del self._quick[kind]
                pace.wanted = min(pace.wanted * _DOUBT, LONG)
            self.quick = tuple(self._quick)[-_NAMED:]
