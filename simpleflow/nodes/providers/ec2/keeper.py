"""The decider group as the manager keeps it, and what the decider beside it leaves for the manager to see.

Both run on one machine and share a folder: the decider notes each task that it takes in ``taken``; the manager writes
``leaving`` before it sets the group to 0, and whoever takes a task then raises it again before anything else. Only the
manager removes it, after it raised the group itself: a task may come between the note and the 0.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import errors, interceptors
from simpleflow.data import files
from simpleflow.nodes import control, ensure
from simpleflow.nodes import errors as node_errors
from simpleflow.nodes.policy import decider_count

from . import group as groups
from . import leave

logger = logging.getLogger(__name__)

#: names the shared folder to decider and manager
FOLDER_VARIABLE = "SIMPLEFLOW_DECIDER_FOLDER"
TAKEN = "taken"
LEAVING = "leaving"
#: written by the manager that ends because its machine is too many; read by the machine's agent
EXTRA = "extra"


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

    def read(self) -> groups.Size:
        """Size and members now."""

    def set(self, wanted: int) -> None:
        """Set 1 to max."""


class GroupKeeper:
    """Takes the place of manager.Deciders where a group keeps the deciders: its number, and the leave of the last one.

    A machine that is too many is named in control.json, then the number is lowered. Its own manager sees both, and
    ends: its agent lets the decider finish, drops the machine's protection, and powers off.
    """

    def __init__(
        self,
        group: Group,
        look: leave.Look,
        file: control.ControlFile,
        folder: Path,
        *,
        machine: str,
        count: decider_count.DeciderCount,
        left: Callable[[], None],
    ) -> None:
        """``machine``: the instance id of this one. ``left`` is called when it is to go."""
        self._group = group
        self._look = look
        self._file = file
        self._folder = folder
        self._machine = machine
        self._count = count
        self._left = left
        self._steps: Iterator[str] | None = None
        self._started = False

    def keep(self, pending: int, open_runs: bool) -> None:
        """Set the number of deciders, go one step further with a leave, or give it up; once a pass, as lease holder."""
        try:
            self._keep(pending, open_runs)
        except (errors.SimpleflowError, OSError) as error:
            # Half a leave is harmless: the next pass begins anew, or gives it up.
            self._steps = None
            logger.warning("the number of deciders stays as it is: %s", error, extra={"action": "leave"})

    def _keep(self, pending: int, open_runs: bool) -> None:
        busy = self._count.least > 0 or bool(pending) or open_runs
        if busy:
            self._give_up()
        if self._steps is None:
            more = self._resize(pending, open_runs)
            if busy or more:
                return
            self._steps = leave.leave(self._group, self._look, self._file, self._mark)
        for step in self._steps:
            if step == leave.WAITING:
                return
            logger.info("leave: %s", step, extra={"action": "leave"})
            if step == "left":
                self._left()
                return
        self._give_up()

    def _resize(self, pending: int, open_runs: bool) -> bool:
        """Set the number that is wanted, never 0, and name who is too many; return whether there are several."""
        size = self._group.read()
        if size.desired == 0:
            # `down` closes the group, and a leave that another process of this machine began is taken up by `leave`.
            return False
        if not self._started:
            self._count.start_from(size.desired)
            self._started = True
        wanted = min(max(self._count.wanted(pending, open_runs), 1), max(size.most, 1))
        members = [each for each in size.members if not each.state.startswith("Terminat")]
        self._name(wanted, members)
        if wanted != size.desired:
            logger.info(
                "deciders: %d machines wanted, %d before; decision tasks that wait: %d",
                wanted,
                size.desired,
                pending,
                extra={"action": "deciders"},
            )
            self._group.set(wanted)
        return wanted > 1 or len(members) > 1

    def _name(self, wanted: int, members: Sequence[groups.Member]) -> None:
        """Write into control.json which machines are too many. Never this one: it does the work of the manager."""
        document = self._file.known
        names = [each.instance for each in members]
        others = [each for each in members if each.instance != self._machine]
        kept = [name for name in document.leaving if name in names and name != self._machine]
        # What still boots goes first. Where this machine is not in its group, nobody knows who may go.
        free = [
            each.instance
            for each in sorted(others, key=lambda each: (each.state == "InService", each.instance))
            if each.instance not in kept
        ]
        over = len(names) - wanted if self._machine in names else 0
        leaving = tuple((kept + free)[: max(over, 0)])
        if leaving != document.leaving:
            self._file.replace(msgspec.structs.replace(document, leaving=leaving))
            if leaving:
                logger.info("too many deciders, these leave: %s", ", ".join(leaving), extra={"action": "deciders"})

    def follow(self) -> None:
        """Go if the lease holder has named this machine as too many, and has lowered the number.

        Before that the group would replace it. A machine that goes though it is wanted again is replaced too.
        """
        # Only the holder leaves as the last one.
        self._steps = None
        try:
            if self._machine not in self._file.known.leaving:
                return
            size = self._group.read()
            if size.desired >= len([each for each in size.members if not each.state.startswith("Terminat")]):
                return
            files.replace(self._folder / EXTRA, b"")
        except node_errors.ControlLost:
            return  # this pass did not read it; the next one does
        except (errors.SimpleflowError, OSError) as error:
            logger.warning("whether this decider is too many is not known: %s", error, extra={"action": "leave"})
            return
        logger.info("the cluster has more deciders than it needs: this one leaves", extra={"action": "leave"})
        self._left()

    def _mark(self) -> None:
        files.replace(self._folder / LEAVING, b"")

    def _give_up(self) -> None:
        """Raise the group again when it was set to 0 and the decider stays."""
        self._steps = None
        marker = self._folder / LEAVING
        if marker.exists():
            self._group.ensure_one()
            marker.unlink(missing_ok=True)

    def end(self, patience: float) -> None:
        """Do nothing: the group ends its machines."""
