"""Dispatch without doing anything, to see what would run."""

from __future__ import annotations

import logging
from typing import Any

from simpleflow import activity

logger = logging.getLogger(__name__)


class DryRunDispatcher:
    """Gives every name an activity that logs its arguments and returns None."""

    def dispatch(self, name: str) -> Any:
        """Return a function that logs its arguments and returns None."""
        return self.dispatch_activity(name).callable

    def dispatch_activity(self, name: str) -> activity.Activity[..., Any]:
        def run(*args: Any, **kwargs: Any) -> None:
            logger.info("Dry run of %s: args=%r kwargs=%r", name, args, kwargs, extra={"action": "dry_run"})

        return activity.Activity(run, name)
