"""What the history says of markers."""

from __future__ import annotations

from typing import Any

import msgspec

from simpleflow.core import limits

from .identity import POINTER
from .records import Record


class Markers:
    """Markers: those of users by (name, details), ours by (name, what their details identify)."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Record] = {}
        #: pointers of users' markers whose details lie elsewhere, by name, in the order of recording
        self.elsewhere: dict[str, list[str]] = {}
        #: what ``list_markers`` shows: (name, details) in the order of recording
        self.shown: list[tuple[str, str | None]] = []
        self.last: dict[str, Any] = {}
        self.watched = False
        #: set by the evaluation: finds the submission of a marker that was refused
        self.finder: Any = None

    @staticmethod
    def key(name: str, details: str | None) -> tuple[str, str]:
        if name.startswith(OURS) and details is not None:
            try:
                own = _own.decode(details)
            except msgspec.DecodeError:
                return name, details
            return name, own_key(own.id, own.branch, own.ordinal)
        return name, "" if details is None else details

    def recorded(self, event: Any) -> Record:
        attributes = event.attributes
        key = self.key(attributes.marker_name, attributes.details)
        record = self.known.get(key) or self._of_large(*key)
        if record is None:
            record = self.known[key] = Record(attributes.marker_name, attributes.marker_name, key)
            if key[1].startswith(POINTER):
                self.elsewhere.setdefault(key[0], []).append(key[1])
        if record.call is None:
            record.attributes = attributes
        record.schedule(event.id)
        record.decision = record.decision or attributes.decision_task_completed_event_id
        record.outcome = type(event)
        record.closed_id = event.id
        record.local = attributes.marker_name == LOCAL_ACTIVITY
        if not attributes.marker_name.startswith(OURS):
            self.shown.append((attributes.marker_name, attributes.details))
            self.last[attributes.marker_name] = event
        return record

    def _of_large(self, name: str, details: str) -> Record | None:
        """Return the record of the submission that this pointer stands for: the oldest that waits for one."""
        if not details.startswith(POINTER):
            return None
        for (known, said), record in self.known.items():
            if known == name and record.outcome is None and len(said) > limits.DATA:
                return record
        return None

    def failed(self, event: Any) -> Record:
        # The event does not say the details: the oldest one of that name that waits.
        name = event.attributes.marker_name
        for record in self.known.values():
            if record.name == name and record.outcome is None:
                record.outcome = type(event)
                record.closed_id = event.id
                return record
        record = Record(name, name, None)
        record.outcome = type(event)
        record.closed_id = event.id
        record.finder = self.finder
        return record

    def claim(self, key: tuple[str, str]) -> Record | None:
        return self.known.get(key)

    def emitted(self, call: Any, key: tuple[str, str]) -> Record:
        record = self.known[key] = Record(key[0], key[0], key)
        record.call = call
        return record


#: how the names of our own markers begin
OURS = "simpleflow."
SIDE_EFFECT = "simpleflow.side_effect"
PATCH = "simpleflow.patch"
LOCAL_ACTIVITY = "simpleflow.local_activity"
#: names the blobs that a resumed run goes on from
RESUMED = "simpleflow.resumed"


class Own(msgspec.Struct, omit_defaults=True):
    """Details of a marker of ours."""

    branch: str
    ordinal: int
    id: str = ""
    value: msgspec.Raw = msgspec.Raw(b"null")
    reason: str | None = None
    details: str | None = None


_own = msgspec.json.Decoder(Own)


def own_details(details: str) -> Own:
    return _own.decode(details)


def own_key(identifier: str, branch: str, ordinal: int) -> str:
    return f"{identifier}\n{branch}\n{ordinal}"
