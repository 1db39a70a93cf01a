"""Faults on demand: what a service, its disk and its network may do to a client, for tests and ``--fault``.

throttle:ACTION:N           the next N calls of ACTION get ThrottlingException, before anything is done
lost-response:ACTION:N      the next N calls of ACTION are carried out and committed; then the connection is closed
slow-disk:SECONDS           the disk takes so much longer to have what was committed
full-disk:N                 the next N commits fail as on a full disk: their calls are not carried out
clock-jump:SECONDS[:AFTER]  AFTER seconds (default 0) after the start the wall clock jumps by SECONDS, which may be < 0

ACTION may be ``*``: any action.
"""

from __future__ import annotations

import errno
import re
import threading
import time
from collections.abc import Iterable

from simpleflow.core import clock as clocks
from simpleflow.core import errors as core_errors

from . import errors

_FORMS = {
    "throttle": r"(?P<action>\*|[A-Z][A-Za-z]+):(?P<count>[0-9]+)",
    "lost-response": r"(?P<action>\*|[A-Z][A-Za-z]+):(?P<count>[0-9]+)",
    "slow-disk": r"(?P<seconds>[0-9]+(?:\.[0-9]+)?)",
    "full-disk": r"(?P<count>[0-9]+)",
    "clock-jump": r"(?P<seconds>-?[0-9]+(?:\.[0-9]+)?)(?::(?P<after>[0-9]+(?:\.[0-9]+)?))?",
}


class ResponseLost(Exception):
    """The call was carried out and committed; its answer must not reach the client."""


class Faults:
    """The faults that are still to happen, counted down. Thread safe: ``flush`` runs on the thread of the disk.

    Raises UsageError for a text that names no fault.
    """

    def __init__(self, given: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._throttles: dict[str, int] = {}
        self._losses: dict[str, int] = {}
        self._full = 0
        #: seconds that the disk takes longer
        self.slow = 0.0
        #: (seconds of the monotonic clock after the start, jump in seconds)
        self.jumps: list[tuple[float, float]] = []
        for each in given:
            self.add(each)

    def add(self, text: str) -> None:
        """Add one fault, in the words of ``--fault``."""
        kind, _, rest = text.partition(":")
        form = _FORMS.get(kind)
        match = re.fullmatch(form, rest) if form else None
        if match is None:
            raise core_errors.UsageError(
                f"--fault {text!r} names no fault: write throttle:ACTION:N, lost-response:ACTION:N, "
                "slow-disk:SECONDS, full-disk:N or clock-jump:SECONDS[:AFTER]"
            )
        found = match.groupdict()
        with self._lock:
            match kind:
                case "throttle":
                    self._throttles[found["action"]] = int(found["count"])
                case "lost-response":
                    self._losses[found["action"]] = int(found["count"])
                case "slow-disk":
                    self.slow = float(found["seconds"])
                case "full-disk":
                    self._full = int(found["count"])
                case _:
                    self.jumps.append((float(found["after"] or 0.0), float(found["seconds"])))

    def before(self, action: str) -> None:
        """Raise ThrottlingException when a call of this action has to be throttled."""
        if self._throttles and self._count_down(self._throttles, action):
            raise errors.throttled()

    def after(self, action: str) -> None:
        """Raise ResponseLost when the answer of this committed call has to be lost."""
        if self._losses and self._count_down(self._losses, action):
            raise ResponseLost

    def commit(self) -> None:
        """Raise OSError (no space left on device) when this commit has to find a full disk."""
        if self._full:
            with self._lock:
                if self._full:
                    self._full -= 1
                    raise OSError(errno.ENOSPC, "No space left on device (--fault full-disk)")

    def flush(self) -> None:
        """Sleep as long as the slow disk takes more."""
        time.sleep(self.slow)

    def _count_down(self, left: dict[str, int], action: str) -> bool:
        with self._lock:
            for name in (action, "*"):
                if left.get(name, 0) > 0:
                    left[name] -= 1
                    return True
        return False


class JumpingClock:
    """A clock whose wall reading jumps; the monotonic one does not. Thread safe."""

    def __init__(self, clock: clocks.Clock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults
        self._start = clock.monotonic()

    def now(self) -> float:
        gone = self._clock.monotonic() - self._start
        return self._clock.now() + sum(jump for after, jump in self._faults.jumps if gone >= after)

    def monotonic(self) -> float:
        return self._clock.monotonic()
