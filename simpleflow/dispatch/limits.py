"""What ``--modules`` lets through: callables that are defined below a prefix, wherever they are also reachable."""

from __future__ import annotations

import contextlib
import functools
import importlib
import types
from collections.abc import Sequence
from typing import Any

from simpleflow import activity

#: wrappers around one callable beyond which nobody looks
_DEEPEST = 50


class Outside(ImportError):
    """A name leads, or would lead, out of the modules that are allowed."""


class Limit:
    """Dotted prefixes: ``films`` allows ``films`` and ``films.night``, not ``films_old``. None: everything.

    What counts is where a callable is defined: functions by the module that their code runs in, classes by
    ``__module__``, instances by their class, partials and decorated callables by what they wrap. What a module merely
    imports is not below its name, and no name walks through a module's attributes into another module.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._modules = tuple(modules)

    def __bool__(self) -> bool:
        return bool(self._modules)

    def __str__(self) -> str:
        return ",".join(self._modules)

    def names(self, path: str) -> bool:
        """Whether a dotted name is below a prefix."""
        return not self._modules or any(path == each or path.startswith(each + ".") for each in self._modules)

    def load(self) -> None:
        """Import what the prefixes name: activities with names of their own are known by that."""
        for each in self._modules:
            with contextlib.suppress(ImportError):
                importlib.import_module(each)

    def workflow(self, path: str) -> type:
        """Import a class by its dotted name. Raises Outside, or ImportError where there is none."""
        found = self.find(path)
        if not isinstance(found, type):
            raise ImportError(f"{path!r} is a {type(found).__name__}, not a class")
        return found

    def holds(self, found: Any) -> bool:
        """Whether a callable is defined below a prefix."""
        return not self._modules or all(self.names(each) for each in _origins(found))

    def find(self, path: str) -> Any:
        """Import a callable by its dotted name. Raises Outside, or ImportError where there is none."""
        if not self.names(path):
            raise Outside(f"{path!r} is outside --modules {self}: add its module there, if it may run here")
        if self._modules and "__main__" in path.split(".") and not any("__main__" in each for each in self._modules):
            raise Outside(f"{path!r} is a program, which runs when it is imported, not a module below --modules {self}")
        module, rest = _module_of(path)
        found: Any = module
        for place, part in enumerate(rest):
            if place and not (isinstance(found, type) and self.holds(found)):
                raise Outside(
                    f"{path!r} walks through {rest[place - 1]!r}, which is not a class below --modules {self}"
                )
            if part.startswith("__") or not hasattr(found, part):
                raise ImportError(f"module {module.__name__!r} has no {'.'.join(rest)!r} (asked for {path!r})")
            found = getattr(found, part)
        if isinstance(found, types.ModuleType) or (not callable(found) and not isinstance(found, activity.Activity)):
            raise ImportError(f"{path!r} is a {type(found).__name__}, not a function or class")
        self.require(path, found)
        return found

    def require(self, path: str, found: Any) -> None:
        """Raise Outside for a callable that is defined elsewhere."""
        if not self.holds(found):
            where = next(each for each in _origins(found) if not self.names(each))
            raise Outside(
                f"{path!r} is {where}, defined outside --modules {self}: what a module imports is not its own. Add "
                "the module that defines it, if it may run here"
            )


def _module_of(path: str) -> tuple[types.ModuleType, list[str]]:
    """The innermost module of a dotted name, found as imports find it, and the rest of the name."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:cut])
        try:
            return importlib.import_module(name), parts[cut:]
        except ModuleNotFoundError as error:
            if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
                raise
    raise ImportError(f"no module named {parts[0]!r} (asked for {path!r})", name=parts[0])


def _origins(found: Any) -> list[str]:
    """Where a callable, and all that it wraps, is defined: ``module.qualname`` each."""
    origins: list[str] = []
    for _ in range(_DEEPEST):
        inner = _inside(found)
        if inner is None:
            return [*origins, _origin(found)]
        if isinstance(found, types.FunctionType):
            # A decorator that says whom it wraps may be of any module; it names itself after what it wraps.
            origins.append(f"{found.__module__}.{found.__qualname__}")
        found = inner
    return [*origins, "<wrapped too often>"]


def _inside(found: Any) -> Any:
    """What a callable wraps; None for one that wraps nothing."""
    if isinstance(found, activity.Activity):
        return found.callable
    if isinstance(found, functools.partial):
        return found.func
    if isinstance(found, types.MethodType | staticmethod | classmethod):
        return found.__func__
    if isinstance(found, type):
        return None
    wrapped: Any = getattr(found, "__wrapped__", None)
    return wrapped


def _origin(found: Any) -> str:
    if isinstance(found, types.FunctionType):
        # __module__ may be assigned; the globals are those of the module that the code came from.
        return f"{found.__globals__.get('__name__')}.{found.__qualname__}"
    named = found if isinstance(found, type | types.BuiltinFunctionType) else type(found)
    return f"{named.__module__}.{named.__qualname__}"
