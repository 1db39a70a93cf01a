"""Why a task has nobody to run it."""

from __future__ import annotations

from simpleflow.core import errors


class DispatchError(errors.SimpleflowError):
    """The name of an activity task leads to nothing callable; the message says why and what to do."""
