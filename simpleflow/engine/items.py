"""What waits to be sent."""

from __future__ import annotations

from typing import Any, Protocol

from simpleflow.core import decisions


class Item(Protocol):
    """Something that waits to be sent. Sent in order of submission."""

    seq: int
    queued: bool

    @property
    def cap(self) -> str:
        """Which cap of the coordinator it counts for."""

    @property
    def waited_for(self) -> bool:
        """Whether the program waits for its event, which alone causes no decision."""

    def decision(self) -> decisions.Decision | None:
        """Return the decision, and book that it was sent; None when it is not wanted any more."""


class Sent:
    """What most items have."""

    __slots__ = ("queued", "seq")

    cap: str = ""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.queued = False

    @property
    def waited_for(self) -> bool:
        return False


class Cancellation(Sent):
    """The wish that a task that was scheduled be cancelled."""

    __slots__ = ("call",)

    def __init__(self, call: Any) -> None:
        super().__init__(call.evaluation.next_seq())
        self.call = call

    @property
    def done(self) -> bool:
        """Nobody wants it any more: the task ended meanwhile, or was told already."""
        record = self.call.record
        return record is None or record.outcome is not None or record.cancel_seen

    def decision(self) -> decisions.Decision | None:
        record = self.call.record
        if record is None or record.outcome is not None or record.cancel_seen:
            return None
        record.cancel_seen = True
        decided: decisions.Decision = self.call.cancel_decision()
        return decided
