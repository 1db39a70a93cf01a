"""Scale to zero without losing a workflow: clients make sure that a decider comes, deciders that one stays.

See docs/design/control.md, part 2. Where there is no decider group (process, ssh) the manager itself looks at
CountPendingDecisionTasks, and nothing of this is mounted.
"""

from __future__ import annotations

import threading
from typing import Protocol

from simpleflow.core import interceptors

#: seconds after the start at which a client looks again: the last decider may have been leaving
LOOK_AGAIN = 30.0


class DeciderGroup(Protocol):
    """The group of decider machines. Thread safe; raises NodesError."""

    def ensure_one(self) -> None:
        """Raise the group from 0 to 1; any other size is left alone."""


class EnsureDecider:
    """Around a client's start: ensure, start, ensure again (interceptors.ClientInterceptor)."""

    def __init__(self, group: DeciderGroup, look_again: float = LOOK_AGAIN) -> None:
        self._group = group
        self._look_again = look_again

    def before_start(self, call: interceptors.StartCall) -> None:
        """Ensure a decider before the start."""
        self._group.ensure_one()

    def after_start(self, call: interceptors.StartCall, run_id: str) -> None:
        """Ensure one again a little later; the process stays until that is done."""
        timer = threading.Timer(self._look_again, self._group.ensure_one)
        timer.name = "ensure-decider"
        timer.start()


class HoldGroup:
    """Around decision tasks: the group is at least 1 from the start, and again for a task taken while leaving."""

    def __init__(self, group: DeciderGroup) -> None:
        self._group = group
        self._leaving = threading.Event()

    def leave(self) -> None:
        """The lease holder has begun to leave: whatever is taken from now on raises the group again."""
        self._leaving.set()

    def polling(self) -> None:
        """Ensure that the group holds this decider."""
        self._group.ensure_one()

    def received(self, task: interceptors.DecisionReceived) -> None:
        """A task taken after the leave began sets the group to 1 before anything else."""
        if self._leaving.is_set():
            self._group.ensure_one()
            self._leaving.clear()

    def answered(self, outcome: interceptors.DecisionAnswered) -> None:
        """Nothing to do."""

    def stopping(self) -> None:
        """Nothing to do."""
