"""What waits to be sent."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from simpleflow.core import decisions, errors, types


class Item(Protocol):
    """Something that waits to be sent. Sent in order of submission."""

    seq: int
    queued: bool
    #: "work" (a task, a child, a timer, a signal), "cancel" or "note" (a marker)
    sort: ClassVar[str]

    @property
    def cap(self) -> str:
        """Which cap of the coordinator it counts for."""

    @property
    def waited_for(self) -> bool:
        """Whether the program waits for its event, which alone causes no decision."""

    def decision(self) -> decisions.Decision | None:
        """Return the decision, and book that it was sent; None when it is not wanted any more."""

    def missing_type(self) -> types.RegisteredType | None:
        """Return the type to register before it is sent."""

    def withdraw(self) -> None:
        """Never send it: a cancel request was taken up. What waits for it is cancelled."""


class Sent:
    """What most items have."""

    __slots__ = ("queued", "seq")

    cap: str = ""
    sort: ClassVar[str] = "note"

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.queued = False

    @property
    def waited_for(self) -> bool:
        return False

    def missing_type(self) -> types.RegisteredType | None:
        return None

    def withdraw(self) -> None:
        raise errors.Misuse("what only tells something is sent in any case")


class Cancellation(Sent):
    """The wish that a task that was scheduled be cancelled."""

    __slots__ = ("call", "withdrawn")

    sort: ClassVar[str] = "cancel"

    def __init__(self, call: Any) -> None:
        evaluation = call.evaluation
        super().__init__(evaluation.next_seq())
        self.call = call
        self.withdrawn = False
        if evaluation.scopes is not None:
            evaluation.scopes.note_shield(evaluation.current, self.seq)

    @property
    def done(self) -> bool:
        """It is not wanted any more: the task ended meanwhile, or was told already."""
        record = self.call.record
        return self.withdrawn or record is None or record.outcome is not None or record.cancel_seen

    def withdraw(self) -> None:
        self.withdrawn = True

    def decision(self) -> decisions.Decision | None:
        record = self.call.record
        if record is None or record.outcome is not None or record.cancel_seen:
            return None
        record.cancel_seen = True
        decided: decisions.Decision = self.call.cancel_decision()
        return decided
