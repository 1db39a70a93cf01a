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


#: seconds in which the tasks of the process are handed back before it ends
RESCUE_SECONDS = 30.0
#: modules of debuggers that run inside the process that they debug
_DEBUGGERS = frozenset({"bdb", "pdb", "ipdb", "pudb", "code"})


def under_debugger(thread: int | None = None) -> bool:
    """Return whether a debugger steps through this process, which then does not hang.

    ``thread``: the one that may stand at a breakpoint now.
    """
    if sys.gettrace() is not None or "pydevd" in sys.modules or "debugpy" in sys.modules:
        return True
    frame = None if thread is None else sys._current_frames().get(thread)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _DEBUGGERS:
            return True
        frame = frame.f_back
    return False


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
        self._thread: int | None = None
        #: hands back what the process has, before it ends; gets what is said of the evaluation that hangs
        self.rescue: Callable[[str], object] = lambda reason: None
        self._closed = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def enter(self, what: str) -> None:
        """An evaluation begins; ``what`` names it in the log."""
        self._what = what
        self._thread = threading.get_ident()
        self._since = self._time.monotonic()

    def leave(self) -> None:
        self._since = None

    def check(self) -> bool:
        """End the process when the evaluation takes too long; return whether it did."""
        since = self._since
        if since is None or self._time.monotonic() - since < self._limit:
            return False
        if under_debugger(self._thread):
            self._since = self._time.monotonic()
            return False
        logger.critical(
            "run() of %s did not return or block within %.0f s: this decider dumps its stacks and ends. "
            "Move what takes long into an activity.",
            self._what,
            self._limit,
            extra={"action": "hung"},
        )
        faulthandler.dump_traceback(all_threads=True)
        self._hand_back()
        self._end(EXIT_HUNG)
        return True

    def paused(self, seconds: float) -> None:
        """The process stood still for so long, by Ctrl-Z or because its machine slept: that is not the evaluation's."""
        since = self._since
        if since is not None:
            self._since = since + seconds

    def _hand_back(self) -> None:
        reason = f"run() of {self._what} did not return or block within {self._limit:g} s; the decider was ended"

        def rescue() -> None:
            try:
                self.rescue(reason)
            except Exception as error:
                logger.error("What this decider has is not handed back (%s): it times out.", error)

        thread = threading.Thread(target=rescue, name="rescue", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no thread to be had
            logger.error("What this decider has is not handed back (%s): it times out.", error)
        else:
            thread.join(RESCUE_SECONDS)

    def _watch(self) -> None:
        step = min(1.0, self._limit / 4)
        before = self._time.monotonic()
        while not self._closed.wait(step):
            now = self._time.monotonic()
            if now - before > step + self._limit / 2:
                self.paused(now - before - step)
            before = now
            if self.check():
                return
