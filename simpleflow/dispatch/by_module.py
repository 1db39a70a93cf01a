"""Dispatch within one module."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

from simpleflow import activity

from .exceptions import DispatchError


class ModuleDispatcher:
    """Finds the activities that are attributes of one module, by their registered names.

    ``dispatch`` finds any function ``SUBMODULE.FUNCTION`` below it; ``mapping`` names submodules otherwise.
    """

    def __init__(self, module: types.ModuleType, mapping: Mapping[str, str] | None = None) -> None:
        self._module = module
        self._mapping = mapping
        self._activities = {
            found.name: found for found in vars(module).values() if isinstance(found, activity.Activity)
        }

    def dispatch(self, name: str) -> Any:
        """Return the attribute ``SUBMODULE.FUNCTION`` of the module. Raises DispatchError."""
        place, _, function = name.rpartition(".")
        submodule = place if self._mapping is None else self._mapping.get(place, "")
        try:
            return getattr(getattr(self._module, submodule), function)
        except AttributeError:
            raise DispatchError(f"module {self._module.__name__} has no {name!r}") from None

    def dispatch_activity(self, name: str) -> activity.Activity[..., Any]:
        """Return the Activity of that name. Raises DispatchError."""
        try:
            return self._activities[name]
        except KeyError:
            known = ", ".join(sorted(self._activities)) or "none"
            raise DispatchError(f"module {self._module.__name__} has no activity {name!r}; it has {known}") from None
