"""Every activity by label and name; each registers itself when it is made."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


class Registry:
    """Tasks by label; the label None holds all that named none."""

    def __init__(self) -> None:
        self._tasks: dict[str | None, dict[str, Any]] = defaultdict(dict)

    def __getitem__(self, label: str | None) -> dict[str, Any]:
        return self._tasks[label]

    def register(self, task: Any, label: str | None = None) -> None:
        """Keep a task under its name; the newest of a name wins."""
        self._tasks[label][task.name] = task


#: the one that activities register in
registry = Registry()
