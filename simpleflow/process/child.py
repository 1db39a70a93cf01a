"""One child process: its own group, a lifeline to this process, an end that leaves nothing behind."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from typing import IO

from . import forks, lifeline, pausing, tree

logger = logging.getLogger(__name__)


class Child:
    """A running child process, started by exec in a session of its own (Ctrl-C in the terminal does not reach it).

    ``tied``: the child gets the reading end of a pipe; when this process ends, in any way, the pipe closes. Programs
    of ours watch it (``lifeline.watch``). In a forked child of this process the object does nothing: the process is
    not its own.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        tied: bool = True,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> None:
        reader, self._writer = os.pipe() if tied else (-1, -1)
        inherited = [number for number in (*pass_fds, reader) if number >= 0]
        environment = dict(os.environ if env is None else env)
        for name in (lifeline.VARIABLE, tree.RUNS_ON):
            environment.pop(name, None)
        if tied:
            environment[lifeline.VARIABLE] = str(reader)
        self._mark = environment[tree.MARK] = uuid.uuid4().hex
        self._ours = True
        try:
            self._process = subprocess.Popen(
                list(argv),
                env=environment,
                pass_fds=inherited,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        except BaseException:
            self._close_writer()
            raise
        finally:
            if reader >= 0:
                os.close(reader)
        self.knows_stop = tied
        forks.drop_in_child(self)
        pausing.join(self)

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit status when it has ended (negative: killed by that signal), else None."""
        return self._process.poll() if self._ours else None

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait up to ``timeout`` seconds for the end; return the exit status, or None when it still runs."""
        try:
            return self._process.wait(timeout) if self._ours else None
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child itself; one that has ended gets none."""
        if not self._ours:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def release(self) -> None:
        """Close the lifeline and reap the child if it has ended; a living child of ours then ends by itself."""
        self._close_writer()
        self.poll()

    def forked(self) -> None:
        """Called in a forked child: its copy of the lifeline would hide the death of this process."""
        self._ours = False
        self._close_writer()

    def _close_writer(self) -> None:
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def end(self, *, wait: float = 3.0) -> int:
        """End the child and everything it started: SIGTERM, ``wait`` seconds, SIGKILL. Return its exit status."""
        if not self._ours:
            return 0
        try:
            if self._process.poll() is None:
                tree.end_tree(self.pid, wait=wait, group=True, mark=self._mark)
            else:
                self._end_orphans()
        except OSError as error:  # no descriptor is left to look for the others with
            logger.warning("What child %d started cannot be found (%s): its process group is killed.", self.pid, error)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self.release()
        return self._process.wait()

    def _end_orphans(self) -> None:
        for process in tree.relatives(self.pid, self._mark):
            tree.end_tree(process.pid, wait=0)
