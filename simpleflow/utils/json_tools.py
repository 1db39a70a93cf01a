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

import lazy_object_proxy  # type: ignore[import-untyped]  # it ships no types


def serialize_complex_object(obj: Any) -> Any:
    """Return a JSON value for what ``json`` refuses.

    Datetimes become ISO 8601 to the millisecond, UTC as ``Z``; sets and generators lists, bytes text (what is not UTF-8
    is replaced), futures their result, proxies what they stand for. Raises TypeError for anything else.
    """
    if isinstance(obj, datetime.datetime | datetime.time):
        precision = "milliseconds" if obj.microsecond else "auto"
        return obj.isoformat(timespec=precision).replace("+00:00", "Z")
    if isinstance(obj, datetime.date):
        return obj.isoformat()
    if isinstance(obj, bytes | bytearray | memoryview):
        return bytes(obj).decode(errors="replace")
    if isinstance(obj, lazy_object_proxy.Proxy):
        return obj.__wrapped__
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
    if hasattr(obj, "finished") and hasattr(obj, "result"):
        return obj.result
    raise TypeError(f"{obj!r} of type {type(obj).__name__} has no JSON form: pass plain values")


def json_dumps(obj: Any, pretty: bool = False, compact: bool = True, **kwargs: Any) -> str:
    """Return JSON text: compact with sorted keys, or indented by four when ``pretty``, or as ``json`` writes it.

    Raises TypeError for values without a JSON form; ``default`` replaces ``serialize_complex_object``.
    """
    kwargs.setdefault("default", serialize_complex_object)
    if pretty:
        kwargs |= {"indent": 4, "sort_keys": True, "separators": (",", ": ")}
    elif compact:
        kwargs |= {"separators": (",", ":"), "sort_keys": True}
    return json.dumps(_plain(obj) if isinstance(obj, lazy_object_proxy.Proxy) else obj, **kwargs)


def _plain(proxy: Any) -> Any:
    return proxy.__wrapped__


def json_loads_or_raw(data: str | None) -> Any:
    """Return the value of a JSON text, or the text itself when it is none; None for None."""
    if not data:
        return None
    try:
        return json.loads(data)
    except ValueError:
        return data
