"""A process that is kept alive: started, and started again after a growing pause when it dies or cannot be started."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Generic, Protocol, TypeVar

from . import signals, tether

logger = logging.getLogger(__name__)

#: number of short lives in a row that count as a crash loop
LOOP = 5


class Running(Protocol):
    """A process that was started (subprocess.Popen, child.Child)."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Exit status when it has ended (negative: killed by that signal), else None."""


P = TypeVar("P", bound=Running)


class Kept(Generic[P]):
    """One process that shall live. ``keep`` is called again and again; it starts what does not run.

    The pause before a restart is ``first`` seconds, and doubles up to ``longest``; a process that lived for more than
    ``steady`` seconds begins with ``first`` again. One that ends with a status of ``final`` is not started again.
    ``words`` says where what the process writes can be read.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], P],
        *,
        first: float = 0.5,
        longest: float = 30.0,
        steady: float = 30.0,
        final: frozenset[int] = frozenset(),
        words: str = "the lines above",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.process: P | None = None
        self._start = start
        self._first, self._longest, self._steady = first, longest, steady
        self._final = final
        self._words = words
        self._monotonic = monotonic
        self._started = 0.0
        #: when it died, or could not be started
        self._died = 0.0
        #: seconds from then to the next start; 0: it was never started
        self.pause = 0.0
        #: starts in a row that failed, or whose process soon ended
        self._short = 0
        #: how often it ended unasked
        self.deaths = 0
        #: its last exit status, None while it never ended
        self.last_code: int | None = None
        #: why the last attempt to start it failed; '' when it started
        self.refusal = ""

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    @property
    def done(self) -> bool:
        """Whether it ended for good."""
        return self.process is None and self.last_code in self._final

    def outcome(self) -> str:
        """How it ended last: 'exited with status 1', 'was killed by SIGKILL'; '' while it never ended."""
        return "" if self.last_code is None else signals.describe_exit(self.last_code)

    def status_text(self) -> str:
        """Say in one line whether it lives, since when, and how often it died."""
        now, deaths = self._monotonic(), f"{self.deaths} death{'' if self.deaths == 1 else 's'}"
        if self.process is not None:
            return f"{self.name} is process {self.process.pid} for {now - self._started:.0f} s, {deaths}"
        if self.done:
            return f"{self.name} {self.outcome()}"
        wait = max(0.0, self._died + self.pause - now)
        return f"{self.name} starts in {wait:.1f} s, {deaths}{f' ({self.refusal})' if self.refusal else ''}"

    def trying(self, seconds: float) -> bool:
        """Whether it runs for less than this, after it ended with an error: it may end so again."""
        return self.process is not None and bool(self.last_code) and self._monotonic() - self._started < seconds

    def alive(self) -> bool:
        """Whether it runs now; notices and records a death."""
        process = self.process
        if process is None:
            return False
        code = process.poll()
        if code is None:
            return True
        self.process = None
        self.last_code = code
        lived = self._monotonic() - self._started
        self._back_off(anew=lived > self._steady)
        self.deaths += 1
        self.ended(process)
        message = f"{self.name} (process {process.pid}) {self.outcome()} after {lived:.1f} s"
        if not self.done:
            message += f"; it may be started again after {self.pause:.1f} s"
        extra = {"action": "child_ended", "child": process.pid, "status": code}
        logger.log(logging.WARNING if code else logging.INFO, "%s", message, extra=extra)
        if not self.done and self._short and self._short % LOOP == 0:
            self._tell_of_loop()
        return False

    def _tell_of_loop(self) -> None:
        logger.error(
            "Crash loop: %d child processes in a row did not live for %.0f s (%s), the last one %s. Its own words are "
            "in %s. It is started again every %.0f s at most.",
            *(self._short, self._steady, self.name, self.outcome(), self._words, self._longest),
            extra={"action": "crash_loop", "status": self.last_code},
        )

    def ended(self, process: P) -> None:
        """Called with a process that was found dead."""

    def keep(self) -> bool:
        """Start it when it does not run and its pause is over; True when it was started now.

        What the system refuses (a folder that is gone, no memory, no free process or file) is noted in ``refusal``,
        logged, and tried again after the pause: the caller and its other child processes live on.
        """
        if self.alive() or self.done or (self.pause and self._monotonic() - self._died < self.pause):
            return False
        try:
            self.process = self._start()
        except Exception as error:  # no process, memory or descriptor to be had, a folder that is away
            self._back_off(anew=False)
            self.refusal = f"{self.name} cannot be started: {error}"
            shown = (self.refusal, self.pause)
            logger.error("%s; it is tried again after %.1f s", *shown, extra={"action": "child_refused"})
            return False
        self.refusal = ""
        self._started = self._monotonic()
        return True

    def _back_off(self, *, anew: bool) -> None:
        self.pause = self._first if anew or not self.pause else min(self.pause * 2, self._longest)
        self._short = 0 if anew else self._short + 1
        self._died = self._monotonic()


class Tethered(Kept[subprocess.Popen[bytes]]):
    """A kept command that ends when this process dies, whatever kills it.

    ``log`` opens the file that its output is appended to. Call every method from the main thread: the tether binds to
    the thread that starts the command.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        monotonic: Callable[[], float] = time.monotonic,
        *,
        directory: str | None = None,
        log: Callable[[], IO[bytes]] | None = None,
        orphaned: signal.Signals = signal.SIGTERM,
        words: str = "the lines above",
    ) -> None:
        super().__init__(name, self._popen, monotonic=monotonic, words=words)
        self._command = tether.command(*command, number=orphaned)
        self._environment = dict(environment)
        self._directory = directory
        self._log = log
        #: signals that this process was sent: a worker or decider takes a second SIGTERM for "hurry"
        self._asked: set[signal.Signals] = set()

    def _popen(self) -> subprocess.Popen[bytes]:
        with contextlib.ExitStack() as closing:
            output = None if self._log is None else closing.enter_context(self._log())
            started = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=self._directory or None,
            )
        self._asked = set()
        return started

    def ask(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the process when it runs; it gets the same signal once, however often it is asked."""
        if self.process is not None and self.process.poll() is None and number not in self._asked:
            self._asked.add(number)
            self.process.send_signal(number)

    def end(self, patience: float) -> None:
        """Send TERM, and KILL after this number of seconds."""
        if self.process is None:
            return
        self.ask()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
