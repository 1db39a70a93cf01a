"""Markers: those of users, and ours for side effects, patches and local activities."""

from __future__ import annotations

from typing import Any

import msgspec

from simpleflow.core import decisions, errors, events, limits, text
from simpleflow.engine.history import copied, marker_records
from simpleflow.engine.program import futures, run

from . import failures, outbox


class MarkerCall(outbox.Once):
    """One marker; its future is done once the history holds it."""

    __slots__ = ("details", "future", "key", "name")

    def __init__(self, evaluation: run.Run, name: str, details: str | None, value: Any) -> None:
        super().__init__(evaluation)
        self.name = name
        self.details = details
        self.future: futures.Future[Any] = futures.Future(evaluation, self)
        self.future._text = details
        evaluation.check_length("details", details or "", limits.DATA, f"marker {name}")
        known = evaluation.book.markers
        self.key = _recorded_key(evaluation, name, details) or known.key(name, details)
        self.record = known.claim(self.key)
        if self.record is None:
            evaluation.outbox.push(self)
        else:
            self.record.attach(self)

    def identity(self) -> str:
        return f"marker:{self.name}:{self.key[1]}:0"

    def deliver(self, event: Any) -> None:
        if type(event) is events.MarkerRecorded:
            self.future._complete_with_text(self.details)
        else:
            self.future._fail(errors.TaskFailed(f"marker {self.name}", event.attributes.cause), unread=False)
            self.evaluation.notes.advise(f"the service refused marker {self.name!r}: {event.attributes.cause}")

    def cancel(self, future: futures.Future[Any]) -> bool:
        return False

    def decision(self) -> decisions.Decision | None:
        if self.record is not None:
            return None
        self.record = self.evaluation.book.markers.emitted(self, self.key)
        self.record.watched = self.watched
        return decisions.RecordMarker(marker_name=self.name, details=self.details)

    @property
    def waited_for(self) -> bool:
        return bool(self.future._callbacks)


def _recorded_key(evaluation: run.Run, name: str, details: str | None) -> tuple[str, str] | None:
    """Return the key of a recorded marker whose details lie elsewhere and are these; None for no such marker."""
    if details is not None and len(details) > limits.DATA:
        for pointer in evaluation.book.markers.elsewhere.get(name, ()):
            if evaluation.load(pointer) == details:
                return name, pointer
    return None


def record(evaluation: run.Run, name: str, details: str | None) -> futures.Future[Any]:
    """Record a marker once per (name, details); equal ones share it."""
    key = (name, "" if details is None else details)
    call = evaluation.calls.markers.get(key)
    if call is None:
        call = evaluation.calls.markers[key] = MarkerCall(evaluation, name, details, None)
    return call.future


class OwnMarker(outbox.Sent):
    """A marker of ours: what it says is known to the program at once, and in each re-run from the history."""

    __slots__ = ("_details", "_key", "_name", "evaluation")

    cap = "own"

    def __init__(self, evaluation: run.Run, name: str, own: marker_records.Own) -> None:
        super().__init__(evaluation.next_seq())
        self.evaluation = evaluation
        self._name = name
        self._details = msgspec.json.encode(own, order="sorted").decode()
        if len(self._details) > limits.DATA:  # it is read where nothing can be fetched
            raise errors.ValueTooLong(
                f"{name} {own.id} holds {len(self._details)} characters, over SWF's limit of {limits.DATA}: keep less, "
                "or let an activity compute it"
            )
        self._key = marker_records.Markers.key(name, self._details)
        evaluation.outbox.push(self)

    def deliver(self, event: Any) -> None:
        """Its event says nothing new; a refusal ends the execution."""
        if type(event) is events.RecordMarkerFailed:
            refused(self.evaluation, self._name)

    def decision(self) -> decisions.Decision | None:
        self.evaluation.book.markers.emitted(self, self._key)
        return decisions.RecordMarker(marker_name=self._name, details=self._details)


def refused(evaluation: run.Run, name: str) -> None:
    """One of our own markers was refused: a re-run would not see what the program saw, so nothing can follow."""
    reason = f"marker {name} was refused: {failures.ADVICE['OPERATION_NOT_PERMITTED']}"
    evaluation.outcome = msgspec.structs.replace(evaluation.hooks.failing(reason, None), alone=True)
    evaluation.reads.observed = True  # what the program did with it no re-run does again


def side_effect(evaluation: run.Run, identifier: str, function: Any) -> Any:
    """Return what ``function`` returned when this place of the program was first reached."""
    identifier = text.safe(identifier)
    branch = evaluation.branch
    ordinal = branch.count(f"side_effect {identifier}")
    known = evaluation.book.markers.claim(
        (marker_records.SIDE_EFFECT, marker_records.own_key(identifier, branch.path, ordinal))
    )
    if known is not None and known.attributes is not None:
        encoded = bytes(marker_records.own_details(known.attributes.details or "").value).decode()
    else:
        if evaluation.strict is not None:
            evaluation.strict.suspended += 1
        try:
            value = function()
        finally:
            if evaluation.strict is not None:
                evaluation.strict.suspended -= 1
        encoded = evaluation.payloads.encode(value)
        raw = msgspec.Raw(encoded.encode())
        own = marker_records.Own(branch=branch.path, ordinal=ordinal, id=identifier, value=raw)
        OwnMarker(evaluation, marker_records.SIDE_EFFECT, own)
    return evaluation.payloads.decode(encoded)


def patched(evaluation: run.Run, identifier: str, *, deprecated: bool = False) -> bool:
    """Return whether this execution takes the new way at this place; the marker says so from now on.

    True if the marker was recorded by this position's decision or an earlier one, or if this decision is being
    answered now.
    """
    identifier = text.safe(identifier)
    known = evaluation.book.markers.claim((marker_records.PATCH, marker_records.own_key(identifier, "", 0)))
    if known is not None and known.decision and known.decision <= evaluation.completed_as_of():
        return True
    now = evaluation.answering()
    if known is None and (now or deprecated) and identifier not in evaluation.calls.patches:
        evaluation.calls.patches[identifier] = None
        OwnMarker(evaluation, marker_records.PATCH, marker_records.Own(branch="", ordinal=0, id=identifier))
    return now or deprecated


def keep(evaluation: run.Run, taken: copied.Copied) -> None:
    """Name in the history the blobs that a resumed run goes on from: what a history names is kept as long as it is."""
    for number, pointers in enumerate(taken.in_markers()):
        key = (marker_records.RESUMED, marker_records.own_key("values", "", number))
        if evaluation.book.markers.claim(key) is None:
            value = msgspec.Raw(msgspec.json.encode(pointers))
            own = marker_records.Own(branch="", ordinal=number, id="values", value=value)
            OwnMarker(evaluation, marker_records.RESUMED, own)
