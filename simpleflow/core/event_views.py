"""Events as 0.36 shows them: SWF's fields as attributes, in its spelling with underscores."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from . import events

#: what an event is of; the first that is part of its name
_TYPES = (
    "ActivityTask",
    "DecisionTask",
    "ChildWorkflowExecution",
    "Marker",
    "Timer",
    "ExternalWorkflow",
    "WorkflowExecution",
    "LambdaFunction",
)
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
Decode = Callable[[str], Any]


def parsed(text: str) -> Any:
    """Return the value of a JSON text, the text itself when it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


class Event:
    """One event of a history: ``id``, ``type``, ``state``, ``name``, ``timestamp``, ``input``, and SWF's other fields.

    ``input`` and ``control`` are parsed; fields of several parts are dictionaries as SWF writes them
    (``event.task_list["name"]``); ``raw`` is all of it. A field that the event does not have raises AttributeError.
    """

    __slots__ = ("_decode", "_fields", "id", "name", "raw", "state", "type")

    def __init__(self, raw: Mapping[str, Any], decode: Decode = parsed) -> None:
        self.raw = raw
        self.id: int = raw["eventId"]
        #: as SWF writes it: ``ActivityTaskScheduled``
        self.name: str = raw["eventType"]
        of = next((each for each in _TYPES if each in self.name), "")
        left, _, right = self.name.partition(of)
        #: ``ActivityTask`` and so on, and what became of it: ``scheduled``
        self.type = "ExternalWorkflowExecution" if of == "ExternalWorkflow" else of
        self.state = snake(left + right)
        self._decode = decode
        fields = raw.get(f"{self.name[:1].lower()}{self.name[1:]}EventAttributes") or {}
        self._fields = {snake(field): value for field, value in fields.items() if value is not None}

    @property
    def timestamp(self) -> datetime.datetime:
        """When it happened, by the service's clock; UTC."""
        return moment(self.raw["eventTimestamp"])

    @property
    def input(self) -> Any:
        text = self._fields.get("input")
        return {} if text is None else self._decode(text)

    @property
    def control(self) -> Any:
        text = self._fields.get("control")
        return None if text is None else self._decode(text)

    def get(self, field: str, default: Any = None) -> Any:
        """Return a field as SWF sent it, or ``default``."""
        return self._fields.get(field, default)

    def __getattr__(self, field: str) -> Any:
        try:
            return self._fields[field]
        except KeyError:
            raise AttributeError(f"event {self.id}, {self.name}, has no {field!r}: {sorted(self._fields)}") from None

    def __repr__(self) -> str:
        return f"<Event {self.id} {self.type} : {self.state} >"


def snake(name: str) -> str:
    """Return ``scheduledEventId`` as ``scheduled_event_id``."""
    return _CAPITAL.sub("_", name).lower()


def moment(given: Any) -> datetime.datetime:
    """Return a timestamp of SWF's (epoch seconds, ISO 8601, or a datetime as boto3 gives it) as a datetime in UTC."""
    if isinstance(given, str):
        try:
            given = float(given)
        except ValueError:
            given = datetime.datetime.fromisoformat(given)
    if isinstance(given, datetime.datetime):
        return given.astimezone(datetime.UTC)
    return datetime.datetime.fromtimestamp(given, datetime.UTC)


def of(given: Any, decode: Decode = parsed) -> Event:
    """Return the view of an event: a dictionary as SWF writes it, or an event of ours."""
    if isinstance(given, Event):
        return given
    raw = given if isinstance(given, Mapping) else events.to_builtins(given)
    return Event(raw, decode)
