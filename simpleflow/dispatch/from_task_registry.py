"""Dispatch among the activities that were registered under a label."""

from __future__ import annotations

from typing import Any

from simpleflow import activity, registry

from .exceptions import DispatchError


class RegistryDispatcher:
    """Finds activities in a registry; every Activity registers itself when it is made."""

    def __init__(self, tasks: registry.Registry, label: str | None = None) -> None:
        self._registry = tasks
        self._label = label

    def dispatch_activity(self, name: str) -> activity.Activity[..., Any]:
        """Return the Activity of that name. Raises DispatchError."""
        found = self._registry[self._label].get(name)
        if not isinstance(found, activity.Activity):
            raise DispatchError(f"no activity {name!r} is registered under {self._label!r}: import its module first")
        return found
