"""JSON values as the objects that type hints name: what the converter wrote comes back as what it was.

Only hints that JSON has no form of its own for are followed (dataclasses, datetimes, ``Decimal``, ``UUID``, bytes,
sets, tuples, enums, msgspec, attrs and pydantic models, keys that are not text): ``int`` or ``list`` check nothing.
A value that does not fit its hint is left as it came: programs of 0.36 ran with any hint.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import functools
import inspect
import logging
import os
import pathlib
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

logger = logging.getLogger(__name__)

_RICH = (
    datetime.datetime, datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, bytes, bytearray,
    set, frozenset, tuple, collections.abc.Set, enum.Enum, msgspec.Struct, os.PathLike,
)  # fmt: skip
_MAPPINGS = (dict, collections.abc.Mapping)
#: where values did not fit, so that each is told once
_told: set[tuple[str, str]] = set()


class Signature(msgspec.Struct, frozen=True):
    """What a callable's hints say; only those that are followed."""

    parameters: Mapping[str, Any] = {}
    result: Any = None
    bound: inspect.Signature | None = None


def convert(value: Any, hint: Any, where: str) -> Any:
    """Return a decoded JSON value as its hint says, the value itself when it does not fit; ``where`` is for the log."""
    try:
        return msgspec.convert(value, hint, str_keys=True, dec_hook=_made)
    except (msgspec.ValidationError, TypeError, ValueError, NotImplementedError, RecursionError) as error:
        if (where, str(error)) not in _told and len(_told) < 1_000:
            _told.add((where, str(error)))
            logger.warning("%s is not what its type hint says: %s", where, error, extra={"action": "type_hint"})
        return value


def arguments(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a call as the hints of what is called say."""
    found = signature(_called(target))
    if found.bound is None or not found.parameters:
        return list(args), dict(kwargs)
    positional = [
        each
        for each in found.bound.parameters.values()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    rest = next((each.name for each in found.bound.parameters.values() if each.kind is each.VAR_POSITIONAL), "")
    named = next((each.name for each in found.bound.parameters.values() if each.kind is each.VAR_KEYWORD), "")
    names = [positional[place].name if place < len(positional) else rest for place in range(len(args))]
    own = _name(target)

    def made(name: str, parameter: str, value: Any) -> Any:
        hint = found.parameters.get(parameter)
        return value if hint is None else convert(value, hint, f"argument {name!r} of {own}")

    return (
        [made(name, name, value) for name, value in zip(names, args, strict=True)],
        {name: made(name, name if name in found.bound.parameters else named, value) for name, value in kwargs.items()},
    )


def result_hint(target: Any) -> Any:
    """Return the hint of what a callable returns, None for one that is not followed."""
    method = getattr(target, "execute", None) if isinstance(target, type) else target
    return signature(method).result if callable(method) else None


def _called(target: Any) -> Any:
    return target.__init__ if isinstance(target, type) else target  # type: ignore[misc]  # of this very class


def _name(target: Any) -> str:
    return f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', type(target).__name__)}"


def signature(target: Any) -> Signature:
    """Return what the hints of a function say; nothing for what has none, or none that can be read."""
    # A bound method as a key would keep its object: of a Workflow, the whole evaluation.
    function = getattr(target, "__func__", target)
    try:
        return _signature(function, function is not target)
    except TypeError:  # it cannot be a key
        return _read(function, function is not target)


def _read(target: Any, method: bool) -> Signature:
    try:
        bound = inspect.signature(target)
        hints = typing.get_type_hints(inspect.unwrap(target) if callable(target) else target)
    except Exception:  # names of hints that exist for type checkers only, builtins without a signature
        return Signature()
    followed = {name: hint for name, hint in hints.items() if followable(hint)}
    result = followed.pop("return", None)
    parameters = list(bound.parameters.values())
    if parameters and (method or parameters[0].name == "self"):  # of a class, or of a workflow's run()
        bound = bound.replace(parameters=parameters[1:])
    return Signature({name: hint for name, hint in followed.items() if name in bound.parameters}, result, bound)


_signature: Callable[[Any, bool], Signature] = functools.lru_cache(4_096)(_read)


def followable(hint: Any, above: tuple[Any, ...] = ()) -> bool:
    """Whether a hint names something that JSON has no form of its own for, and that can be made of it."""
    if any(hint is each for each in above) or len(above) > 20:
        return False
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    kind = origin or hint
    if kind is typing.Annotated or kind is typing.Required or kind is typing.NotRequired:
        return followable(inside[0], (*above, hint))
    if kind in (typing.Literal, collections.abc.Callable, type):
        return False
    if isinstance(kind, type) and (issubclass(kind, _RICH) or _is_model(kind)):
        return True
    if isinstance(kind, type) and issubclass(kind, _MAPPINGS) and inside and inside[0] not in (str, Any):
        return isinstance(inside[0], type)
    if typing.is_typeddict(kind):
        inside = tuple(typing.get_type_hints(kind).values())
    return any(followable(each, (*above, hint)) for each in inside if each is not ...)


def _is_model(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or hasattr(kind, "__attrs_attrs__") or hasattr(kind, "model_validate")


def _made(kind: type, value: Any) -> Any:
    """Make what msgspec does not know."""
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    if issubclass(kind, os.PathLike) and isinstance(value, str):
        made: Any = pathlib.Path if kind is os.PathLike else kind
        return made(value)
    raise NotImplementedError(f"nothing is known of {kind.__module__}.{kind.__qualname__}")
