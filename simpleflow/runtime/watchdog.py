"""Ends a decider whose ``run()`` hangs: the supervisor starts it again, other executions go on."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable

from simpleflow.core import clock

logger = logging.getLogger(__name__)

#: exit status of a decider that the watchdog ended
EXIT_HUNG = 70


def under_debugger() -> bool:
    """Return whether somebody steps through this process: then nothing hangs, somebody thinks."""
    return sys.gettrace() is not None or "pydevd" in sys.modules or "debugpy" in sys.modules


class Watchdog:
    """Times what runs on the engine thread; ``enter`` and ``leave`` bracket one evaluation."""

    def __init__(
        self,
        limit: float,
        *,
        time: clock.Clock | None = None,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        """``limit``: seconds that one evaluation may take without returning or blocking."""
        self._limit = limit
        self._time = time or clock.RealClock()
        self._end = end
        self._since: float | None = None
        self._what = ""
        self._closed = threading.Event()

    def start(self) -> None:
        if not under_debugger():
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def enter(self, what: str) -> None:
        """An evaluation begins; ``what`` names it in the log."""
        self._what = what
        self._since = self._time.monotonic()

    def leave(self) -> None:
        self._since = None

    def check(self) -> bool:
        """End the process when the evaluation takes too long; return whether it did."""
        since = self._since
        if since is None or self._time.monotonic() - since < self._limit:
            return False
        logger.critical(
            "run() of %s did not return or block within %.0f s: this decider dumps its stacks and ends. "
            "Move what takes long into an activity.",
            self._what,
            self._limit,
            extra={"action": "hung"},
        )
        faulthandler.dump_traceback(all_threads=True)
        self._end(EXIT_HUNG)
        return True

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self._limit / 4)):
            if self.check():
                return
