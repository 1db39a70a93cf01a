"""Arguments as text, with slots where futures are not done yet.

The texts are pinned in docs/reference/formats.md, "Slots and references inside arguments".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from simpleflow.core import errors, payloads
from simpleflow.engine.program import futures, slot_texts

#: text of a slot while the arguments are encoded; private-use characters, so that no program's text equals it
_HOLE = "\ue000simpleflow.slot.{}\ue001"
#: what holds no future
PLAIN = frozenset({str, int, float, bool, type(None)})


def find(value: Any, found: list[futures.Future[Any]]) -> Any:
    """Return the value with holes where it holds futures, which are added to ``found`` (at most once each).

    Looks into lists, tuples and dictionaries, also of subclasses. The value itself is never changed. Raises Misuse on
    keys that belong to references, TypeError on a value that holds itself.
    """
    try:
        return _find(value, found)
    except RecursionError:
        raise TypeError("the value holds itself, or is nested too deeply for JSON: pass something flatter") from None


def _find(value: Any, found: list[futures.Future[Any]]) -> Any:
    kind = type(value)
    if kind in PLAIN:
        return value
    if isinstance(value, futures.Future):
        for place, other in enumerate(found):
            if other is value:
                return _HOLE.format(place)
        found.append(value)
        return _HOLE.format(len(found) - 1)
    if kind is list or kind is tuple:
        return _items(value, found)
    if isinstance(value, Mapping):
        return _mapping(value, found)
    if isinstance(value, list):
        return _items(value, found)
    return value


def _items(value: Iterable[Any], found: list[futures.Future[Any]]) -> Any:
    # Most arguments hold no future: then the very same list goes on, and nothing is copied.
    changed = False
    items = []
    for item in value:
        new = item if type(item) in PLAIN else _find(item, found)
        changed = changed or new is not item
        items.append(new)
    return items if changed else value


def _mapping(value: Mapping[Any, Any], found: list[futures.Future[Any]]) -> Any:
    changed = False
    items = {}
    for key, item in value.items():
        if isinstance(key, str) and key.startswith(slot_texts.RESERVED):
            raise errors.Misuse(f"the key {key!r} in arguments is reserved for references: rename it")
        new = item if type(item) in PLAIN else _find(item, found)
        changed = changed or new is not item
        items[key] = new
    return items if changed else value


def settled(value: Any) -> Any:
    """Return the value with settled futures replaced by their results."""
    if isinstance(value, futures.Future):
        return value.result
    if isinstance(value, list | tuple):
        return [settled(item) for item in value]
    if isinstance(value, Mapping):
        return {key: settled(item) for key, item in value.items()}
    return value


class Template:
    """Argument text that was encoded when the task was submitted; later changes of the objects change nothing."""

    __slots__ = ("_pieces",)

    def __init__(self, text: str, count: int, coder: payloads.Payloads) -> None:
        #: text, slot number, text, slot number, ..., text
        self._pieces: list[str | int] = [text]
        for number in range(count):
            hole = coder.encode(_HOLE.format(number))
            pieces: list[str | int] = []
            for piece in self._pieces:
                if isinstance(piece, int):
                    pieces.append(piece)
                    continue
                first, *others = piece.split(hole)
                pieces.append(first)
                for other in others:
                    pieces += [number, other]
            self._pieces = pieces

    def fill(self, texts: list[str]) -> str:
        return "".join([texts[piece] if isinstance(piece, int) else piece for piece in self._pieces])


def envelope(args: Any, kwargs: Any, coder: payloads.Payloads) -> str:
    """Return the text of the input envelope, keys in order."""
    text: str = coder.encode({"args": args, "kwargs": kwargs})
    return text
