"""Events that a resumed run takes over from earlier runs: they are copied into pages, which a manifest lists.

A resumed run is evaluated as if the copied events came after its first event. They are numbered from 2, and the other
events of the run itself follow. Field by field: docs/reference/formats.md.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from . import errors, events

VERSION = 1
#: key in ``__extra`` of an input that names the resumed run
PREVIOUS = "_previous_workflow_execution"
#: characters of one page, about: a value is at most five times as long
PAGE = 1 << 20
#: fields that name events of another execution's history
_OTHERS = frozenset({"parent_initiated_event_id", "external_initiated_event_id"})
_VALUE = re.compile(r"simpleflow\+(?:[a-z0-9]+)://[^\s\"\\]* \d+")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The blob that a resumed run's input names."""

    simpleflow: int = VERSION
    #: number of copied events
    events: int
    #: run ids of the line before this run, the oldest first
    runs: tuple[str, ...]
    #: pointers of the blobs that hold the events, in order
    pages: tuple[str, ...]
    #: pointers of the values that the events refer to
    values: tuple[str, ...] = ()
    #: when the timers that were open fire, by their ids, in epoch seconds
    timers: dict[str, float] = {}

    @property
    def pointers(self) -> tuple[str, ...]:
        """Pointers of all blobs that must be kept as long as the resumed run."""
        return (*self.pages, *self.values)


_manifest = msgspec.json.Decoder(Manifest)
_page = msgspec.json.Decoder(list[events.Event])


def read(text: str) -> Manifest:
    """Read a manifest. Raises SimpleflowError if it cannot be read, or if a newer simpleflow wrote it."""
    try:
        found = _manifest.decode(text)
    except msgspec.DecodeError as error:
        raise errors.SimpleflowError(f"the manifest of a resumed run cannot be read: {error}") from error
    if found.simpleflow > VERSION:
        raise errors.SimpleflowError(
            f"the manifest of a resumed run has version {found.simpleflow}, this simpleflow reads {VERSION}: update it"
        )
    return found


def pages(kept: Iterable[events.Base]) -> Iterator[str]:
    """Yield the texts of the pages that hold these events."""
    held: list[bytes] = []
    size = 0
    for event in kept:
        text = msgspec.json.encode(events.to_builtins(event))
        if held and size + len(text) > PAGE:
            yield _joined(held)
            held, size = [], 0
        held.append(text)
        size += len(text) + 1
    if held:
        yield _joined(held)


def _joined(held: list[bytes]) -> str:
    return f"[{b','.join(held).decode()}]"


def values(page: str) -> dict[str, None]:
    """Return the pointers of values that the events of a page refer to."""
    return dict.fromkeys(_VALUE.findall(page))


def unpaged(texts: Iterable[str]) -> list[Any]:
    """Return the events of pages."""
    return [event for text in texts for event in _page.decode(text)]


def joined(own: Sequence[Any], copied: Sequence[Any]) -> tuple[Any, ...]:
    """Return one history: the run's first event, the copied events, the other events of the run."""
    by = len(copied)
    return (*own[:1], *copied, *(shifted(event, by) for event in own[1:]))


def shifted(event: Any, by: int) -> Any:
    """Return an event of a resumed run, numbered as if ``by`` events came after the first one."""
    return moved(event, event.id + by, lambda number: number + by if number > 1 else number)


def moved(event: Any, number: int, renumber: Any) -> Any:
    """Return an event with another id, and with its references to other events renumbered."""
    fields = event.attributes
    names: tuple[str, ...] = _numbers(type(fields))  # type: ignore[arg-type]  # a type is hashable
    changed = {name: renumber(getattr(fields, name)) for name in names if getattr(fields, name)}
    if changed:
        return msgspec.structs.replace(event, id=number, attributes=msgspec.structs.replace(fields, **changed))
    return msgspec.structs.replace(event, id=number)


@functools.cache
def _numbers(kind: type) -> tuple[str, ...]:
    """Names of the fields of attributes that hold ids of events of the same history."""
    fields = getattr(kind, "__struct_fields__", ())
    return tuple(name for name in fields if name.endswith("event_id") and name not in _OTHERS)


def previous(extra: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the entry of ``__extra`` for the resumed run; None without one."""
    parsed = extra.get(PREVIOUS)
    return parsed if isinstance(parsed, Mapping) else None
