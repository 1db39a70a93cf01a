"""Workflows in one process and one thread: ``Executor`` (0.36's promise), and what ``--local`` and tests run on.

inline.py    service, decider and worker as step functions in one loop
latency.py   how much time an inline activity takes: takes(), hang(), dies()
executor.py  run one workflow, or submit tasks that run at once
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .executor import Executor

__all__ = ["Executor"]


def __getattr__(name: str) -> Any:
    if name == "Executor":
        from .executor import Executor

        return Executor
    raise AttributeError(name)


def __dir__() -> list[str]:
    return __all__
