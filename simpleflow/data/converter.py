"""Objects to JSON text and back: the one ``core.payloads.Payloads``.

What becomes what:

    tuple, named tuple, set, frozenset, range, deque, generator     list (sets in order)
    dataclass, msgspec.Struct, attrs, pydantic, other mappings      object
    datetime, date, time, timedelta, UUID, Decimal, path            text (ISO 8601)
    bytes                                                           base64 text
    Enum                                                            its value
    numpy scalar and array                                          number and list
    keys that are int, float, bool, None, Enum, datetime, UUID      text, as ``json`` writes them

Where a type hint names one of these, it comes back as what it was (``typed``).
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import re
import types
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import msgspec

from simpleflow.core.text import shown
from simpleflow.data import typed

#: keys sorted, sets too: equal values give equal text whatever PYTHONHASHSEED is
_fast = msgspec.json.Encoder(order="sorted")
_any = msgspec.json.Decoder()
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
#: what the fast encoder writes as it should be
_LEAVES = (
    str,
    int,
    bool,
    type(None),
    bytes,
    bytearray,
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    decimal.Decimal,
)
_LISTS = (list, tuple, collections.deque, range)


class Converter:
    """Compact, deterministic JSON. Stateless: one object may serve every thread."""

    def encode(self, value: Any) -> str:
        """Return the JSON text of a value. Raises TypeError naming the path of what has none."""
        try:
            text = _fast.encode(value).decode()
        except (TypeError, RecursionError, AttributeError, ValueError):
            return _slow(value)
        # NaN and infinities are not JSON; the fast encoder writes null for them.
        return _slow(value) if "null" in text else text

    def decode(self, text: str) -> Any:
        """Return the value of a JSON text; text that is not JSON comes back as it is."""
        try:
            return _any.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            pass
        try:
            return json.loads(text)  # Python's own writers use NaN and lone surrogates, which are not JSON
        except (ValueError, RecursionError):
            return text

    def arguments(
        self, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return decoded arguments as the type hints of ``target`` say."""
        return typed.arguments(target, args, kwargs)

    def result_hint(self, target: Any) -> Any:
        """Return the hint of what ``target`` returns, None for one that is not followed."""
        return typed.result_hint(target)

    def convert(self, value: Any, hint: Any, where: str) -> Any:
        """Return a decoded value as ``hint`` says, the value itself when it does not fit."""
        return typed.convert(value, hint, where)


def _slow(value: Any) -> str:
    plain = _plain(value, "", ())
    try:
        return _fast.encode(plain).decode()
    except RecursionError:
        raise TypeError("the value is nested too deeply for JSON: pass something flatter") from None


def _plain(value: Any, path: str, parents: tuple[int, ...]) -> Any:
    """Return the value with everything replaced that the fast encoder does not take. Raises TypeError."""
    kind = type(value)
    if kind is str:
        return _text(value, path)
    if kind in _LEAVES:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise TypeError(f"{_name(path)} is {value}, which JSON cannot hold: use None, or text")
        return value
    if id(value) in parents:
        raise TypeError(f"{_name(path)} holds itself: JSON has no references; pass ids instead")
    if len(parents) > 200:
        raise TypeError("the value is nested too deeply for JSON: pass something flatter")
    return _structured(value, path, (*parents, id(value)))


def _structured(value: Any, path: str, parents: tuple[int, ...]) -> Any:
    if isinstance(value, enum.Enum):
        return _plain(value.value, path, parents)
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(item, f"{path}{_step(key)}", parents) for key, item in value.items()}
    if isinstance(value, Set):
        members = [_plain(item, f"{path}{{{shown(item)}}}", parents) for item in value]
        return sorted(members, key=_fast.encode)
    if isinstance(value, _LISTS):
        return _items(value, path, parents)
    if isinstance(value, float):
        return _plain(float(value), path, parents)
    if isinstance(value, str):
        return _text(str.__str__(value), path)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, _LEAVES):
        return value
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, msgspec.Struct):
        return _struct(value, path, parents)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: _plain(item, f"{path}{_step(name)}", parents) for name, item in fields}
    return _other(value, path, parents)


def _other(value: Any, path: str, parents: tuple[int, ...]) -> Any:
    if hasattr(type(value), "__attrs_attrs__"):
        names = [field.name for field in type(value).__attrs_attrs__]
        return {name: _plain(getattr(value, name), f"{path}{_step(name)}", parents) for name in names}
    if hasattr(type(value), "model_validate") and hasattr(value, "model_dump"):  # pydantic's
        return _plain(value.model_dump(mode="json", by_alias=True), path, parents)
    if isinstance(value, os.PathLike):
        return _plain(os.fspath(value), path, parents)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _plain(value.tolist(), path, parents)
    if isinstance(value, types.GeneratorType | Iterator):
        return _items(value, path, parents)
    if hasattr(value, "__wrapped__") and not callable(value):
        return _plain(value.__wrapped__, path, parents)
    try:
        _fast.encode(value)
    except Exception:
        raise TypeError(
            f"{_name(path)} is {shown(value)} of type {type(value).__module__}.{type(value).__qualname__}, which has "
            "no JSON form: pass text, numbers, lists, dictionaries, dataclasses"
        ) from None
    return value


def _items(value: Iterable[Any], path: str, parents: tuple[int, ...]) -> list[Any]:
    return [_plain(item, f"{path}[{number}]", parents) for number, item in enumerate(value)]


def _struct(value: msgspec.Struct, path: str, parents: tuple[int, ...]) -> Any:
    config = value.__struct_config__
    fields = [(field.encode_name, field.name, getattr(value, field.name)) for field in msgspec.structs.fields(value)]
    if config.array_like:
        return [_plain(item, f"{path}.{name}", parents) for _, name, item in fields]
    made = {wire: _plain(item, f"{path}.{name}", parents) for wire, name, item in fields}
    if config.tag is not None:
        made[config.tag_field or "type"] = config.tag
    return made


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise TypeError(f"{_name(path)} is {shown(value)}, which is not UTF-8 ({error.reason}): pass bytes") from None
    return value


def _key(key: Any, path: str) -> str:
    if isinstance(key, enum.Enum):
        return _key(key.value, path)
    if isinstance(key, str):
        return _text(str.__str__(key), path)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, float) and not math.isfinite(key):
        raise TypeError(f"{_name(path)} has the key {key}, which JSON cannot hold")
    if isinstance(key, int | float):
        return str(key)
    if isinstance(key, datetime.datetime | datetime.date | uuid.UUID | decimal.Decimal):
        text: str = msgspec.to_builtins(key)
        return text
    raise TypeError(f"{_name(path)} has the key {shown(key)} of type {type(key).__name__}: JSON's keys are text")


def _step(key: Any) -> str:
    if isinstance(key, str) and _IDENTIFIER.fullmatch(key):
        return f".{key}"
    return f"[{shown(key)}]"


def _name(path: str) -> str:
    return path.removeprefix(".") or "the value"
