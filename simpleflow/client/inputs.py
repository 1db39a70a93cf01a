"""Input of a workflow as people write it, and as SWF stores it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from simpleflow.core import errors


def read(text: str | None, *, source: str) -> dict[str, Any]:
    """Turn JSON text into args and kwargs: an object is used as it is, a list is args, anything else the one argument.

    ``source`` names where it came from. Raises UsageError with the place of the mistake.
    """
    if text is None or not text.strip():
        return {"args": [], "kwargs": {}}
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        shown = text if len(text) <= 60 else text[:60] + "…"
        raise errors.UsageError(
            f"{source} is no JSON ({error}): {shown!r}. Write for example '[1, 2]' or "
            '\'{"args": [1], "kwargs": {"limit": 20}}\''
        ) from None
    return envelope(value, source=source)


def envelope(value: Any, *, source: str) -> dict[str, Any]:
    """Return args and kwargs of a decoded input; raises UsageError when they are no list and no object."""
    if not isinstance(value, Mapping):
        return {"args": list(value) if isinstance(value, list) else [value], "kwargs": {}}
    if not set(value) <= {"args", "kwargs", "meta", "__extra"}:
        unknown = ", ".join(sorted(set(value) - {"args", "kwargs"}))
        raise errors.UsageError(
            f'{source}: an object must have the keys "args" and "kwargs" only, not {unknown}. Named arguments go '
            'inside: {"kwargs": {"limit": 20}}'
        )
    args, kwargs = value.get("args", []), value.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, Mapping):
        raise errors.UsageError(f'{source}: "args" must be a list and "kwargs" an object')
    return {**value, "args": args, "kwargs": dict(kwargs)}
