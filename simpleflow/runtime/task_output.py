"""Makes log lines of the worker from the output of tasks and their programs (stdout and stderr)."""

from __future__ import annotations

import logging
import os

from simpleflow.core import text

from . import values

logger = logging.getLogger(__name__)

#: bytes of the longest line that is logged in one piece
LONGEST = 8192
#: bytes that are read at most after a task's answer: a process that runs on may write for ever
LAST_WORDS = 1 << 20
_CHUNK = 1 << 16


class TaskOutput:
    """A pipe to which a runner and all processes that it starts write. Its lines are logged with the task that runs.

    One thread reads. Nobody reads while no task runs: a process that was left behind then waits, and ends with its
    runner.
    """

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._held = b""
        self._where: dict[str, str] = {}

    def fileno(self) -> int:
        return self._reader

    def of_task(self, task: values.Task) -> None:
        """Log all lines from now on with this task."""
        self._where = task.where

    def read(self) -> int:
        """Log the lines that have come; return the number of bytes that came (0 if there were none)."""
        try:
            part = os.read(self._reader, _CHUNK)
        except OSError:  # nothing there
            return 0
        *lines, self._held = (self._held + part).split(b"\n")
        for line in lines:
            self._say(line)
        while len(self._held) > LONGEST:
            self._say(self._held[:LONGEST])
            self._held = self._held[LONGEST:]
        return len(part)

    def finish(self) -> None:
        """Log the rest of the output of a task that has ended."""
        read = 0
        while read < LAST_WORDS and (part := self.read()):
            read += part
        if self._held:
            self._say(self._held)
            self._held = b""

    def close_writer(self) -> None:
        """Close this process's copy of the end that the runner writes to."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def close(self) -> None:
        self.close_writer()
        os.close(self._reader)

    def _say(self, line: bytes) -> None:
        shown = text.visible(line.removesuffix(b"\r").decode(errors="backslashreplace"))
        if shown:
            logger.info("%s", shown, extra={**self._where, "action": "output"})
