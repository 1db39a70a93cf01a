"""Objects by their dotted names."""

from __future__ import annotations

import builtins
import importlib
import types
from typing import Any


def import_from_module(path: str) -> Any:
    """Import ``package.module.name`` or ``package.module.Class.method``; a name alone is a builtin.

    Raises ImportError with the path when no module or no such attribute is found; an error inside an imported module
    comes out as it is.
    """
    parts = path.split(".")
    if len(parts) == 1 and hasattr(builtins, path):
        return getattr(builtins, path)
    if len(parts) < 2 or not all(parts):
        raise ImportError(f"{path!r} is not a dotted name: write package.module.name")
    for cut in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:cut])
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            # Only a missing link of the path itself means "look one level up"; a module that lacks something raises.
            if error.name is not None and (module_name == error.name or module_name.startswith(error.name + ".")):
                continue
            raise
        try:
            for part in parts[cut:]:
                found = getattr(found, part)
        except AttributeError:
            raise ImportError(f"module {module_name!r} has no {'.'.join(parts[cut:])!r} (asked for {path!r})") from None
        return found
    raise ImportError(f"no module named {parts[0]!r} (asked for {path!r})", name=parts[0])


def full_object_name(obj: Any) -> str:
    """Return ``module.qualified_name`` of a class or function; of its class for any other object."""
    if not isinstance(obj, type | types.FunctionType | types.BuiltinFunctionType | types.MethodType):
        obj = type(obj)
    module = obj.__module__
    return str(obj.__qualname__) if module is None else f"{module}.{obj.__qualname__}"


def issubclass_(arg: Any, cls: type | tuple[type, ...]) -> bool:
    """Return whether ``arg`` is a subclass; False, not TypeError, for what is not a class."""
    return isinstance(arg, type) and issubclass(arg, cls)
