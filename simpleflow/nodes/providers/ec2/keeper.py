"""The decider group as the manager keeps it, and what the decider beside it leaves for the manager to see.

Both run on one machine and share a folder: the decider notes each task that it takes in ``taken``; the manager writes
``leaving`` before it sets the group to 0, and whoever takes a task then raises it again before anything else. Only the
manager removes it, after it raised the group itself: a task may come between the note and the 0.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from simpleflow.core import clock as clocks
from simpleflow.core import errors, interceptors
from simpleflow.data import files
from simpleflow.nodes import control, ensure

from . import leave

logger = logging.getLogger(__name__)

#: names the shared folder to decider and manager
FOLDER_VARIABLE = "SIMPLEFLOW_DECIDER_FOLDER"
TAKEN = "taken"
LEAVING = "leaving"


class HoldMachine:
    """Around decision tasks on a decider machine (interceptors.DeciderInterceptor). Thread safe."""

    def __init__(self, group: ensure.DeciderGroup, folder: Path) -> None:
        self._group = group
        self._folder = folder
        self._lock = threading.Lock()

    def polling(self) -> None:
        """The group holds this decider from its start."""
        self._group.ensure_one()

    def received(self, task: interceptors.DecisionReceived) -> None:
        """Note the task; one that is taken during a leave sets the group to 1 before anything else."""
        with self._lock:
            with files.log(self._folder / TAKEN) as marks:
                marks.write(f"{task.received}\n".encode())
            if (self._folder / LEAVING).exists():
                self._group.ensure_one()

    def answered(self, outcome: interceptors.DecisionAnswered) -> None:
        """Nothing to do."""

    def stopping(self) -> None:
        """Nothing to do."""


class MachineLook:
    """Whole polls, as the notes of the decider beside the manager show them (leave.Look)."""

    def __init__(self, folder: Path, poll: float, idle: Callable[[], bool], clock: clocks.Clock) -> None:
        self._folder = folder
        #: a poll that begins within this time of the note's absence has ended within it too
        self._window = 2 * poll
        self._idle = idle
        self._clock = clock
        self._begun = 0.0
        self._size = 0

    def _taken(self) -> int:
        try:
            return (self._folder / TAKEN).stat().st_size
        except FileNotFoundError:
            return 0

    def begin_poll(self) -> None:
        """From now on, wait for one whole poll."""
        self._begun, self._size = self._clock.monotonic(), self._taken()

    def empty_poll(self) -> bool | None:
        """Whether a poll came back empty; None while that cannot be told."""
        if self._taken() != self._size:
            return False
        return True if self._clock.monotonic() - self._begun >= self._window else None

    def idle(self) -> bool:
        """No run row and no open execution, as the manager's last look shows."""
        return self._idle()


class Group(leave.Group, ensure.DeciderGroup, Protocol):
    """The group as a manager keeps it."""


class GroupKeeper:
    """Takes the place of manager.Deciders where a group keeps the deciders: it only decides about the leave."""

    def __init__(
        self,
        group: Group,
        look: leave.Look,
        file: control.ControlFile,
        folder: Path,
        *,
        least: int,
        left: Callable[[], None],
    ) -> None:
        self._group = group
        self._look = look
        self._file = file
        self._folder = folder
        self._least = least
        self._left = left
        self._steps: Iterator[str] | None = None

    def keep(self, pending: int, open_runs: bool) -> None:
        """Go one step further with a leave, or give it up; called once a pass, by the lease holder."""
        try:
            self._keep(pending, open_runs)
        except (errors.SimpleflowError, OSError) as error:
            # Half a leave is harmless: the next pass begins anew, or gives it up.
            self._steps = None
            logger.warning("the leave is put off: %s", error, extra={"action": "leave"})

    def _keep(self, pending: int, open_runs: bool) -> None:
        if self._least > 0 or pending or open_runs:
            self._give_up()
            return
        if self._steps is None:
            self._steps = leave.leave(self._group, self._look, self._file, self._mark)
        for step in self._steps:
            if step == leave.WAITING:
                return
            logger.info("leave: %s", step, extra={"action": "leave"})
            if step == "left":
                self._left()
                return
        self._give_up()

    def _mark(self) -> None:
        files.replace(self._folder / LEAVING, b"")

    def _give_up(self) -> None:
        """Raise the group again when it was set to 0 and the decider stays."""
        self._steps = None
        marker = self._folder / LEAVING
        if marker.exists():
            self._group.ensure_one()
            marker.unlink(missing_ok=True)

    def pids(self) -> tuple[int, ...]:
        """None: the machine's agent keeps the decider."""
        return ()

    def end(self, patience: float) -> None:
        """Do nothing: the group ends its machines."""
