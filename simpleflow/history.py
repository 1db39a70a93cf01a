"""0.36's path of the history that hooks get; it lives in ``simpleflow.core.history``."""

from __future__ import annotations

from simpleflow import utils
from simpleflow.core.event_views import Event
from simpleflow.core.history import History

__all__ = ["Event", "History", "dump"]


def dump(history: History) -> str:
    """Return the tasks of a history as JSON text: pairs of a task's id and what the history says of it."""
    return utils.json_dumps([*history.activities.items(), *history.child_workflows.items()], pretty=True)
