"""0.36's path of the history that hooks get; it lives in ``simpleflow.core.history``."""

from __future__ import annotations

from simpleflow.core.history import History

__all__ = ["History"]
