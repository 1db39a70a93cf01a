"""The activity that runs in this thread: how its code reports progress and learns that it shall stop."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from simpleflow.core import limits, text


class _Local(threading.local):
    beat: Callable[[str | None], None] | None = None
    cancelled: Callable[[], bool] | None = None


_local = _Local()


@contextlib.contextmanager
def running(beat: Callable[[str | None], None], cancelled: Callable[[], bool]) -> Iterator[None]:
    """Let ``heartbeat`` and ``cancel_requested`` of this thread reach the worker meanwhile."""
    before = _local.beat, _local.cancelled
    _local.beat, _local.cancelled = beat, cancelled
    try:
        yield
    finally:
        _local.beat, _local.cancelled = before


def heartbeat(details: str | None = None) -> None:
    """Report progress, at most 2,048 characters; outside an activity task it does nothing."""
    if _local.beat is not None:
        _local.beat(None if details is None else text.safe(details, limits.HEARTBEAT_DETAILS))


def cancel_requested() -> bool:
    """Return whether the cancellation of this activity task is requested."""
    return _local.cancelled is not None and _local.cancelled()
