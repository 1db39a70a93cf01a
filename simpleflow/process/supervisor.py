"""Keep a number of child processes alive: staggered starts, restarts with back-off, drain and hurry."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .child import Child
from .kept import Kept
from .signals import Stop, tell_status
from .titles import NamedMixin

logger = logging.getLogger(__name__)

#: runs a module of this very package, whatever the working directory holds
_BOOT = str(Path(__file__).resolve().parents[1] / "core" / "boot.py")
#: a child that lived this many seconds starts its back-off anew
SETTLED = 60.0
#: seconds before the first restart, and at most
FIRST_DELAY, LONGEST_DELAY = 0.1, 30.0


def command_of(payload: Callable[..., Any] | Sequence[str], arguments: Sequence[Any]) -> list[str]:
    """Return the command that runs a payload in a fresh interpreter. Raises ValueError for a local function."""
    if not callable(payload):
        return [*payload, *(str(a) for a in arguments)]
    name = f"{payload.__module__}:{payload.__qualname__}"
    if "<" in name or payload.__module__ == "__main__":
        raise ValueError(f"{name} cannot be started in another process: pass a function of an importable module")
    return [sys.executable, "-P", _BOOT, f"{__package__}.__main__", name, msgspec.json.encode(list(arguments)).decode()]


class _Place(Kept[Child]):
    """One child process to keep alive, and the time of its first start."""

    def __init__(self, kind: str, start: Callable[[], Child], ready: float, final: frozenset[int], words: str) -> None:
        super().__init__(
            f"a {kind}", start, first=FIRST_DELAY, longest=LONGEST_DELAY, steady=SETTLED, final=final, words=words
        )
        self.ready = ready

    def ended(self, process: Child) -> None:
        """End the processes that the child process left behind."""
        process.end(wait=0)


class Supervisor(NamedMixin):
    """Run ``nb_children`` processes of one payload, and start again those that die.

    ``payload`` is a command, or a function of an importable module that each child calls with ``arguments``
    (JSON values) in a fresh interpreter: nothing is forked. A child that ends with status 0, or with one of
    ``final``, is not started again. ``stagger`` is the least number of seconds between two starts.
    ``start()`` blocks until the child processes have ended; with ``background=True`` it returns at once and ``stop()``
    ends them. SIGTERM and SIGINT drain, a second one hurries (when ``start`` blocks, on the main thread).
    """

    named_mixin_properties = ("nb_children",)

    def __init__(
        self,
        payload: Callable[..., Any] | Sequence[str],
        arguments: Sequence[Any] = (),
        nb_children: int = 1,
        background: bool = False,
        *,
        stagger: float = 0.0,
        env: Mapping[str, str] | None = None,
        final: frozenset[int] = frozenset(),
        log: str | None = None,
    ) -> None:
        if nb_children < 1:
            raise ValueError(f"nb_children={nb_children}: a supervisor needs at least one child")
        self.nb_children = nb_children
        #: what its child processes are, in messages
        self.kind = "child"
        self._command = command_of(payload, arguments)
        self._background = background
        self._stagger = stagger
        self._env = env
        self._final = final | {0}
        self._log = log
        self._stop = Stop()
        self._thread: threading.Thread | None = None
        self._last_start = float("-inf")
        self._places: list[_Place] = []
        #: exit status of the child processes that were not started again; the first one that is not 0 wins
        self.status = 0

    @property
    def pids(self) -> list[int]:
        """Pids of the child processes that live now."""
        return [place.pid for place in self._places if place.pid is not None]

    def start(self) -> None:
        if self._background:
            self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
            self._thread.start()
            return
        if threading.current_thread() is threading.main_thread():
            self._stop.install()
            tell_status(self.status_text)
        self.set_process_name()
        self._run()

    def status_text(self) -> str:
        """Say in one line which child processes live, since when, and which wait for their next start."""
        return "; ".join(place.status_text() for place in list(self._places)) or "no child processes"

    def stop(self, *, hurry: bool = False, timeout: float = 10.0) -> None:
        """End the child processes of a background supervisor; kill those that do not drain in ``timeout`` seconds."""
        self._stop.request(Stop.HURRY if hurry else Stop.DRAIN)
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                self._stop.request(Stop.HURRY)
                self._thread.join(timeout)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until a background supervisor has no child left; return whether that is so."""
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is None or not self._thread.is_alive()

    def drain(self) -> None:
        """Ask the child processes to drain and return at once."""
        self._stop.request(Stop.DRAIN)

    def hurry(self) -> None:
        """Ask the child processes to end now and return at once."""
        self._stop.request(Stop.HURRY)

    def _run(self) -> None:
        now = time.monotonic()
        self._places = [
            _Place(self.kind, self._child, now + self._stagger * number, self._final, self._log or "the lines above")
            for number in range(self.nb_children)
        ]
        try:
            while self._places and not self._stop.draining:
                self._pass()
                self._stop.wait(0.1)
            self._drain()
        finally:
            for place in self._places:
                if place.process is not None:
                    place.process.end(wait=1.0)

    def _pass(self) -> None:
        now = time.monotonic()
        for place in list(self._places):
            if place.alive():
                continue
            if place.done:
                self.status = self.status or place.last_code or 0
                self._places.remove(place)
            elif now >= max(place.ready, self._last_start + self._stagger) and not self._stop.draining and place.keep():
                self._last_start = now

    def _child(self) -> Child:
        if self._log is None:
            return Child(self._command, env=self._env)
        with open(self._log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
            return Child(self._command, env=self._env, stdout=log, stderr=log)

    def _drain(self) -> None:
        self._signal(signal.SIGTERM)
        while any(place.process is not None and place.process.poll() is None for place in self._places):
            if self._stop.hurried:
                self._signal(signal.SIGINT)  # a second SIGTERM may come to them together with the first, as one
                deadline = time.monotonic() + 5.0
                for place in self._places:
                    if place.process is not None:
                        place.process.wait(max(0.0, deadline - time.monotonic()))
                return
            self._stop.wait(0.05)

    def _signal(self, number: signal.Signals) -> None:
        for place in self._places:
            if place.process is not None:
                place.process.signal(number)
