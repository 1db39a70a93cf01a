"""One child process: its own group, a lifeline to this process, an end that leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO

from . import lifeline, tree


class Child:
    """A running child process, started by exec in a session of its own (Ctrl-C in the terminal does not reach it).

    The child gets the reading end of a pipe; when this process ends, in any way, the pipe closes. Programs of ours
    watch it (``lifeline.watch``).
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> None:
        reader, self._writer = os.pipe()
        environment = {**(os.environ if env is None else env), lifeline.VARIABLE: str(reader)}
        try:
            self._process = subprocess.Popen(
                list(argv),
                env=environment,
                pass_fds=(*pass_fds, reader),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        except BaseException:
            os.close(self._writer)
            raise
        finally:
            os.close(reader)

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit status when it has ended (negative: killed by that signal), else None."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait up to ``timeout`` seconds for the end; return the exit status, or None when it still runs."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child itself; one that has ended gets none."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def release(self) -> None:
        """Close the lifeline and reap the child if it has ended; a living child of ours then ends by itself."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1
        self._process.poll()

    def end(self, *, wait: float = 3.0) -> int:
        """End the child and everything it started: SIGTERM, ``wait`` seconds, SIGKILL. Return its exit status."""
        if self._process.poll() is None:
            tree.end_tree(self.pid, wait=wait, group=True)
        else:
            self._end_orphans()
        self.release()
        return self._process.wait()

    def _end_orphans(self) -> None:
        for process in tree.group_members(self.pid):
            tree.end_tree(process.pid, wait=0)
