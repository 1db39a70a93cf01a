"""Which limits are enforced. The rates, which only ``--limits aws`` counts, are in ``buckets``."""

from __future__ import annotations

from typing import Literal

from simpleflow.core import clock as clocks
from simpleflow.core import limits

from . import buckets

Kind = Literal["data", "aws", "none"]


class Quotas:
    """The limits of one service; None: unlimited."""

    def __init__(self, kind: Kind, clock: clocks.Clock) -> None:
        bounded = kind != "none"
        self.open_activities = limits.OPEN_ACTIVITIES if bounded else None
        self.open_timers = limits.OPEN_TIMERS if bounded else None
        self.open_child_executions = limits.OPEN_CHILDREN if bounded else None
        self.open_executions = limits.OPEN_EXECUTIONS if bounded else None
        self.types = limits.TYPES if bounded else None
        self.domains = limits.DOMAINS if bounded else None
        self.pollers = limits.POLLERS if bounded else None
        self.rates = buckets.of(kind, clock)
