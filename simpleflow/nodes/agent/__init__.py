"""The agent: one process per node that keeps its workers, reports, reads its drain mark, drains, and ends itself."""

from __future__ import annotations

from .agent import Agent
from .orphan import OrphanWatch

__all__ = ["Agent", "OrphanWatch"]
