"""Whether anybody still owns this machine: the agent's own look at control.json (docs/design/control.md)."""

from __future__ import annotations

from typing import Literal

from simpleflow.core import documents
from simpleflow.nodes import config

Verdict = Literal["owned", "orphaned", "look_again"]


class OrphanWatch:
    """Judges successive looks at control.json. An idle node ends when nothing names it, or its time is up unled.

    When its time is up is told without this machine's wall clock: the document names moments of the provider's clock
    (the launch, the lease's renewal), and each was past already when it was read here.
    """

    def __init__(self, node: str, attempt: str, times: config.Times) -> None:
        self._node = node
        self._attempt = attempt
        self._times = times
        #: (seq, monotonic) of the first look at a lease that may be dead
        self._suspect: tuple[int, float] | None = None
        #: the provider's time is at least our monotonic clock plus this
        self._ahead = -float("inf")

    def look(self, control: documents.Control, monotonic: float) -> Verdict:
        """Judge one look. 'look_again': a lease time from now, to see whether ``seq`` changes."""
        row = next((each for each in control.rows if each.instance == self._node), None)
        if row is None:
            intent_open = any(each.id == self._attempt for each in control.intents)
            self._suspect = None
            return "owned" if intent_open else "orphaned"
        past = row.since if control.lease is None else max(row.since, control.lease.renewed)
        self._ahead = max(self._ahead, past - monotonic)
        if monotonic + self._ahead < row.until:
            self._suspect = None
            return "owned"
        if self._suspect is None or self._suspect[0] != control.seq:
            self._suspect = (control.seq, monotonic)
            return "look_again"
        return "orphaned" if monotonic - self._suspect[1] >= self._times.lease else "look_again"
