"""Small helpers under 0.36's names.

names.py       importing by dotted name, full names, issubclass_
json_tools.py  json_dumps, json_loads_or_raw, serialize_complex_object
retry.py       retry with delays
"""

from __future__ import annotations

import traceback
import zlib
from collections.abc import Mapping
from typing import Any

from .json_tools import json_dumps, json_loads_or_raw, serialize_complex_object
from .names import full_object_name, import_from_module, issubclass_

__all__ = [
    "format_exc",
    "format_exc_type",
    "full_class_name",
    "full_object_name",
    "hex_hash",
    "import_from_module",
    "issubclass_",
    "json_dumps",
    "json_loads_or_raw",
    "remove_none",
    "serialize_complex_object",
]


def remove_none(obj: Any) -> Any:
    """Return a copy of nested mappings and lists without the entries whose value is None."""
    if isinstance(obj, Mapping):
        return {key: remove_none(value) for key, value in obj.items() if key is not None and value is not None}
    if isinstance(obj, list | tuple | set):
        return type(obj)(remove_none(value) for value in obj if value is not None)
    return obj


def format_exc(exc: BaseException) -> str:
    """Return ``Type: message`` of an exception, without its traceback."""
    return "".join(traceback.format_exception_only(type(exc), exc)).strip()


def format_exc_type(exc_type: type) -> str:
    """Return ``module.Class`` of an exception's class, ``Class`` alone of a builtin one."""
    module = exc_type.__module__
    return exc_type.__name__ if module in ("builtins", "__main__") else f"{module}.{exc_type.__name__}"


def full_class_name(klass: type) -> str:
    """Return ``module.qualified_name`` of a class."""
    return full_object_name(klass)


def hex_hash(text: str | None) -> str:
    """Return the adler32 of a text in hexadecimal, as in ids of child workflows; names things, protects nothing."""
    return f"{zlib.adler32(text.encode()):x}" if text else "0"
