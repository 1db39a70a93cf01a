"""How long a flush waits for the answers to decisions that have left, so that one flush is for both commits."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable
from typing import Final

#: a flush waits for as many seconds as the last ones took, but at least, and at most, for so many
_SHORTEST: Final = 0.002
_LONGEST: Final = 0.02
#: a flush of fewer seconds is over before a decision is made, and acknowledgements leave meanwhile
_QUICK: Final = 0.0005
#: as long as most decisions are not answered in time, one of so many flushes waits, to see whether that has changed
_TRY_AGAIN: Final = 16


class FlushDelay:
    """Decides whether a flush waits; of each step of a chain that saves one of two.

    ``usual`` tells how many seconds a flush takes. ``over`` is called on the loop when the time is over: the flush that
    it makes waits no longer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, usual: Callable[[], float], over: Callable[[], None]) -> None:
        self._loop = loop
        self._usual = usual
        self._over = over
        self._timer: asyncio.TimerHandle | None = None
        #: whether each of the last waits ended before its time was over
        self._met: collections.deque[bool] = collections.deque(maxlen=8)
        self._slow = 0
        #: answers that wait for the flush
        self._answers = 0

    def wait(self, answers: int, *, decisions: bool) -> bool:
        """Return whether a flush, for which so many answers wait, is made later.

        It is when decisions leave now (``decisions``), and as long as no other answer comes to wait for it.
        """
        if self._timer is None:
            if not decisions or not self._worth():
                return False
            seconds = min(max(self._usual(), _SHORTEST), _LONGEST)
            self._timer = self._loop.call_later(seconds, self._expire)
        elif not decisions and answers != self._answers:
            return False
        self._answers = answers
        return True

    def _worth(self) -> bool:
        """Return whether a flush costs more than waiting for it, and deciders are quick enough to be waited for."""
        if self._usual() < _QUICK:
            return False
        if 2 * sum(self._met) >= len(self._met):
            return True
        self._slow = (self._slow + 1) % _TRY_AGAIN
        return self._slow == 0

    def end(self) -> None:
        """Note that the flush is made now, or never."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._met.append(True)

    def _expire(self) -> None:
        self._timer = None
        self._met.append(False)
        self._over()
