"""How long tasks take: learnt by activity type, guessed where nothing was learnt yet. Pure values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from simpleflow.core import documents

#: seconds that a task of an unknown type is taken to last ...
UNSEEN = 20.0
#: ... until one of its kind runs for longer: then so many times as long as that one has run
HEDGE = 2.0
#: a task that runs for longer than the mean lasts another so much of what it has lasted
OVERRUN = 0.2
#: no estimate of a remainder is shorter
SHORTEST = 1.0
#: observations that a mean rests on at most: older ones fade
WINDOW = 200
#: seconds without an observation after which all that was learnt counts as one observation: the next run may differ
FADE = 600.0


def learn(
    known: documents.Runtime | None, *, count: int, seconds: float, longest: float = 0.0, now: float
) -> documents.Runtime:
    """Return the run time after ``count`` more tasks took ``seconds`` together."""
    if known is None:
        return documents.Runtime(count=min(count, WINDOW), mean=seconds / count, longest=longest, seen=now)
    weight = known.count if now - known.seen <= FADE else 1
    total = weight + count
    return documents.Runtime(
        count=min(total, WINDOW),
        mean=(known.mean * weight + seconds) / total,
        longest=max(known.longest, longest),
        seen=now,
    )


class Estimates:
    """Estimates of one moment: what was learnt, and how long tasks of each type have been running."""

    def __init__(self, runtimes: Mapping[str, documents.Runtime], running: Iterable[tuple[str, float]]) -> None:
        """``running``: activity type and elapsed seconds of each running task."""
        self._runtimes = runtimes
        self._elapsed: dict[str, float] = {}
        for activity, elapsed in running:
            self._elapsed[activity] = max(self._elapsed.get(activity, 0.0), elapsed)

    def unknown(self, activity: str) -> bool:
        """Whether nothing was learnt of a type, and none of it has run for longer than the first guess."""
        return activity not in self._runtimes and self._elapsed.get(activity, 0.0) < UNSEEN

    def whole(self, activity: str) -> float:
        """Seconds that a task of a type lasts."""
        known = self._runtimes.get(activity)
        if known is not None:
            return known.mean
        return max(UNSEEN, HEDGE * self._elapsed.get(activity, 0.0))

    def left(self, activity: str, elapsed: float) -> float:
        """Seconds that a running task still lasts."""
        mean = self.whole(activity)
        return max(mean - elapsed if elapsed < mean else OVERRUN * elapsed, SHORTEST)
