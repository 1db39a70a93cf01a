"""Dispatch within one module."""

from __future__ import annotations

import types
from typing import Any

from simpleflow import activity

from .exceptions import DispatchError


class ModuleDispatcher:
    """Finds the activities that are attributes of one module, by their registered names."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module
        self._activities = {
            found.name: found for found in vars(module).values() if isinstance(found, activity.Activity)
        }

    def dispatch_activity(self, name: str) -> activity.Activity[..., Any]:
        """Return the Activity of that name. Raises DispatchError."""
        try:
            return self._activities[name]
        except KeyError:
            known = ", ".join(sorted(self._activities)) or "none"
            raise DispatchError(f"module {self._module.__name__} has no activity {name!r}; it has {known}") from None
