"""JSON for people and for older callers: values that plain json refuses, and text that is not JSON."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import types
import uuid
from collections.abc import Iterator, Mapping
from typing import Any


def serialize_complex_object(obj: Any) -> Any:
    """Return a JSON value for what ``json`` refuses.

    Datetimes become ISO 8601 with ``Z`` (naive ones are taken as UTC), sets and generators lists, bytes text (latin-1
    where they are not UTF-8), futures their result, proxies what they stand for. Raises TypeError for anything else.
    """
    if isinstance(obj, datetime.datetime):
        aware = obj if obj.tzinfo else obj.replace(tzinfo=datetime.UTC)
        return aware.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(obj, datetime.date | datetime.time):
        return obj.isoformat()
    if isinstance(obj, bytes | bytearray | memoryview):
        raw = bytes(obj)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("latin-1")
    if isinstance(obj, set | frozenset):
        try:
            return sorted(obj)
        except TypeError:
            return list(obj)
    if isinstance(obj, enum.Enum):
        return obj.value
    if isinstance(obj, uuid.UUID | decimal.Decimal):
        return str(obj)
    if isinstance(obj, types.GeneratorType | Iterator):
        return list(obj)
    if isinstance(obj, Mapping):
        return dict(obj)
    if hasattr(obj, "__wrapped__"):
        return obj.__wrapped__
    if hasattr(obj, "finished") and hasattr(obj, "result"):
        return obj.result
    raise TypeError(f"{obj!r} of type {type(obj).__name__} has no JSON form: pass plain values")


def json_dumps(obj: Any, pretty: bool = False, compact: bool = True, **kwargs: Any) -> str:
    """Return JSON text: compact, or indented by two with sorted keys when ``pretty``.

    Raises TypeError for values without a JSON form; ``default`` replaces ``serialize_complex_object``.
    """
    kwargs.setdefault("default", serialize_complex_object)
    if pretty:
        kwargs.setdefault("indent", 2)
        kwargs.setdefault("sort_keys", True)
    elif compact:
        kwargs.setdefault("separators", (",", ":"))
    return json.dumps(obj, **kwargs)


def json_loads_or_raw(data: str | None) -> Any:
    """Return the value of a JSON text, or the text itself when it is none; None for None."""
    if not data:
        return None
    try:
        return json.loads(data)
    except ValueError:
        return data
