"""Input of a workflow as people write it, and as SWF stores it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from simpleflow.core import errors, limits, payloads, text


class Store(Protocol):
    """Where values over SWF's limits go."""

    def offload(self, text: str, *, field: str, limit: int) -> str: ...


def signal(name: str, value: Any, coder: payloads.Payloads, store: Store) -> dict[str, str]:
    """Return the part of SignalWorkflowExecution that says what is sent: the value as JSON, no input for None."""
    name = text.safe(name)
    if value is None:
        return {"signalName": name}
    encoded = store.offload(coder.encode(value), field=f"input of signal {name!r}", limit=limits.DATA)
    return {"signalName": name, "input": encoded}


def read(given: str | None, *, source: str) -> dict[str, Any]:
    """Turn JSON text into args and kwargs: an object is used as it is, a list is args, anything else the one argument.

    ``source`` names where it came from. Raises UsageError with the place of the mistake.
    """
    if given is None or not given.strip():
        return {"args": [], "kwargs": {}}
    try:
        value = msgspec.json.decode(given)
    except msgspec.DecodeError as error:
        shown = given if len(given) <= 60 else given[:60] + "…"
        raise errors.UsageError(
            f"{source} is not JSON ({error}): {shown!r}. Write for example '[1, 2]' or "
            '\'{"args": [1], "kwargs": {"limit": 20}}\''
        ) from None
    return envelope(value, source=source)


def envelope(value: Any, *, source: str) -> dict[str, Any]:
    """Return args and kwargs of a decoded input; raises UsageError when they are neither a list nor an object."""
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
