"""A child process that is kept alive: started tethered, started again with back-off when it dies."""

from __future__ import annotations

import logging
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from simpleflow.core import clock as clocks

from . import tether

logger = logging.getLogger(__name__)

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
#: a child that lived so long begins again with the first wait
_STEADY = 30.0


class Child:
    """One kept process. Call every method from the main thread: the tether binds to the thread that starts it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        clock: clocks.Clock,
        *,
        directory: str | None = None,
        log: Path | None = None,
        orphaned: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self._command = tether.command(*command, number=orphaned)
        self._environment = dict(environment)
        self._clock = clock
        self._directory = directory
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._wait = 0.0
        self._died = 0.0
        #: how often it ended unasked
        self.deaths = 0
        #: its last exit code, None while it never ended
        self.last_code: int | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def alive(self) -> bool:
        """Whether it runs now; notices and records a death."""
        if self._process is None:
            return False
        code = self._process.poll()
        if code is None:
            return True
        self.last_code = code
        now = self._clock.monotonic()
        lived = now - self._started
        self._wait = _FIRST_WAIT if lived > _STEADY or not self._wait else min(self._wait * 2, _LONGEST_WAIT)
        self._died = now
        self.deaths += 1
        self._process = None
        level = logging.WARNING if code else logging.INFO
        said = (self.name, _outcome(code), lived)
        logger.log(level, "%s ended with %s after %.1f s", *said, extra={"action": "child_ended"})
        return False

    def keep(self) -> bool:
        """Start it when it does not run and its back-off is over; True when it was started now."""
        if self.alive() or (self._wait and self._clock.monotonic() - self._died < self._wait):
            return False
        output = self._log.open("ab") if self._log is not None else None
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=self._directory or None,
            )
        finally:
            if output is not None:
                output.close()
        self._started = self._clock.monotonic()
        return True

    def ask(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal when it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def end(self, patience: float) -> None:
        """Ask by TERM and end by KILL after so many seconds."""
        if self._process is None:
            return
        self.ask()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _outcome(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
