"""Find an activity by its dotted name, importing its module when needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simpleflow import activity, registry, utils

from . import limits
from .exceptions import DispatchError


class Dispatcher:
    """Turns ``package.module.function`` (or ``module.Class.method``) into an Activity.

    ``modules`` limits what may run to callables that are defined below these dotted prefixes (limits.Limit):
    scheduling a task runs code, so a worker that serves other people's deciders should have one. Empty: everything
    that can be imported.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._limit = limits.Limit(modules)
        self._found: dict[str, activity.Activity[..., Any]] = {}

    def dispatch_activity(self, name: str) -> activity.Activity[..., Any]:
        """Return the Activity of that name; plain callables are wrapped. Raises DispatchError."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> activity.Activity[..., Any]:
        if not self._limit.names(name):
            self._limit.load()
        registered = registry.registry[None].get(name)
        try:
            if isinstance(registered, activity.Activity):
                self._limit.require(name, registered)
                return registered
            found = self._limit.find(name) if self._limit else utils.import_from_module(name)
        except limits.Outside as error:
            raise DispatchError(f"activity {error}; or send the task to a worker that may run it") from None
        except ImportError as error:
            advice = "install its code on the worker, or set PYTHONPATH"
            if name.startswith("__main__."):
                advice = "it is defined in a script; put it into a module that workers import, or give it a name"
            raise DispatchError(f"activity {name!r} cannot be imported ({error}): {advice}") from error
        if isinstance(found, activity.Activity):
            return found
        if callable(found):
            return activity.Activity(found, name)
        raise DispatchError(f"activity {name!r} is a {type(found).__name__}: name a function or a class with execute()")
