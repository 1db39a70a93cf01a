"""How much one decision may carry, by the settings."""

from __future__ import annotations

from simpleflow import settings
from simpleflow.core import errors, limits
from simpleflow.engine.tasks import outbox

#: what ``SIMPLEFLOW_ENV=test`` allows, as with 0.36: programs of a test reach the limits with few tasks
TEST = outbox.Bounds(decisions=10, response_bytes=82_000, open_activities=15)


def of_settings() -> outbox.Bounds:
    """Return the limits of decisions and open tasks, by SIMPLEFLOW_ENV and SWF_MAX_OPEN_ACTIVITY_COUNT.

    Raises UsageError for a number of open activities that SWF does not allow.
    """
    chosen = TEST if settings.SIMPLEFLOW_ENV == "test" else outbox.Bounds()
    most = int(settings.SWF_MAX_OPEN_ACTIVITY_COUNT)
    if not 1 <= most <= limits.OPEN_ACTIVITIES:
        raise errors.UsageError(
            f"SWF_MAX_OPEN_ACTIVITY_COUNT is {most}: write a number from 1 to {limits.OPEN_ACTIVITIES}, SWF's limit"
        )
    return outbox.Bounds(
        decisions=chosen.decisions,
        response_bytes=chosen.response_bytes,
        open_activities=min(chosen.open_activities, most),
    )
