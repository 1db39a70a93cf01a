"""Dispatch among the activities that were registered under a label."""

from __future__ import annotations

from typing import Any

from simpleflow import activity
from simpleflow import registry as registries

from .exceptions import DispatchError


class RegistryDispatcher:
    """Finds activities in a registry; every Activity registers itself when it is made."""

    def __init__(self, registry: registries.Registry, label: str | None = None, workflow: Any = None) -> None:
        """``workflow`` is not used; 0.36 takes it."""
        self._registry = registry
        self._label = label

    def dispatch(self, name: str) -> Any:
        """Return the function or class behind the Activity of that name. Raises DispatchError."""
        return self.dispatch_activity(name).callable

    def dispatch_activity(self, name: str) -> activity.Activity[..., Any]:
        """Return the Activity of that name. Raises DispatchError."""
        found = self._registry[self._label].get(name)
        if not isinstance(found, activity.Activity):
            raise DispatchError(f"no activity {name!r} is registered under {self._label!r}: import its module first")
        return found
