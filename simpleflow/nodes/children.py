"""A child process that is kept alive: started tethered, started again with back-off when it dies or cannot start."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from simpleflow.core import clock as clocks
from simpleflow.data import files

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
        #: signals that this process was sent: a worker or decider takes a second SIGTERM for "hurry"
        self._asked: set[signal.Signals] = set()
        self._started = 0.0
        self._wait = 0.0
        self._died = 0.0
        #: how often it ended unasked
        self.deaths = 0
        #: its last exit code, None while it never ended
        self.last_code: int | None = None
        #: why the last attempt to start it failed; '' when it started
        self.refusal = ""

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
        lived = self._clock.monotonic() - self._started
        self._back_off(anew=lived > _STEADY)
        self.deaths += 1
        self._process = None
        level = logging.WARNING if code else logging.INFO
        said = (self.name, _outcome(code), lived)
        logger.log(level, "%s ended with %s after %.1f s", *said, extra={"action": "child_ended"})
        return False

    def _back_off(self, *, anew: bool) -> None:
        """Choose the pause before the next start, after a death or a start that failed."""
        self._wait = _FIRST_WAIT if anew or not self._wait else min(self._wait * 2, _LONGEST_WAIT)
        self._died = self._clock.monotonic()

    def outcome(self) -> str:
        """How it ended last: 'exit code 1', 'signal SIGKILL'; '' while it never ended."""
        return "" if self.last_code is None else _outcome(self.last_code)

    def keep(self) -> bool:
        """Start it when it does not run and its back-off is over; True when it was started now.

        What the system refuses (a folder that is gone, no memory, no free process or file) is noted in ``refusal``,
        logged, and tried again after the back-off: the caller and its other children live on.
        """
        if self.alive() or (self._wait and self._clock.monotonic() - self._died < self._wait):
            return False
        try:
            self._process = self._popen()
        except OSError as error:
            self._back_off(anew=False)
            self.refusal = f"{self.name} cannot be started: {error}"
            said = (self.refusal, self._wait)
            logger.error("%s; it is tried again in %.1f s", *said, extra={"action": "child_refused"})
            return False
        self.refusal = ""
        self._started = self._clock.monotonic()
        self._asked = set()
        return True

    def _popen(self) -> subprocess.Popen[bytes]:
        with contextlib.ExitStack() as closing:
            output = None if self._log is None else closing.enter_context(files.log(self._log))
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=self._directory or None,
            )

    def ask(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the child when it runs; one process gets the same signal once, however often it is asked."""
        if self._process is not None and self._process.poll() is None and number not in self._asked:
            self._asked.add(number)
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
