"""Billing as data: whole periods, a minimum, a price per hour. One question: is it free to keep it until t?

Any period is first-class: 1 s with a minimum of 60 s (EC2 Linux), 3600 s (SUSE, other clouds), 86400 s (dedicated
macOS hosts). Money is in whole millionths of the currency, rounded up, so that sums are exact and never too low.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Literal, Protocol

#: millionths in one unit of the currency
MICRO = 1_000_000
HOUR = 3600.0
Window = Literal["hour", "day", "month"]
WINDOWS: tuple[Window, ...] = ("hour", "day", "month")


class Terms(Protocol):
    """How a machine is billed (config.Billing)."""

    @property
    def period(self) -> int: ...

    @property
    def minimum(self) -> int: ...


def micros(amount: float) -> int:
    """Whole millionths of an amount of money."""
    return round(amount * MICRO)


def billed(terms: Terms, seconds: float) -> float:
    """Seconds that are billed for a machine that ran for so many seconds."""
    # A nanosecond of float noise must not begin another period.
    periods = math.ceil(round(max(seconds, float(terms.minimum), 0.0), 6) / terms.period)
    return float(max(periods, 1) * terms.period)


def cost(terms: Terms, price: int, seconds: float) -> int:
    """Return the cost in millionths of a machine that runs for ``seconds``; ``price``: millionths per hour."""
    return math.ceil(price * billed(terms, seconds) / HOUR)


def worst(terms: Terms, price: int, commit: float) -> int:
    """Millionths that a launch commits: one machine until the end of its first commitment, in whole periods."""
    return cost(terms, price, commit)


def paid_until(terms: Terms, since: float, now: float) -> float:
    """End of what is already paid at ``now`` for a machine that is billed since ``since``."""
    return since + billed(terms, max(now - since, 0.0))


def free_to_keep(terms: Terms, since: float, now: float, until: float) -> bool:
    """Tell whether keeping the machine from ``now`` to ``until`` costs nothing more."""
    return until <= paid_until(terms, since, now)


def period_key(window: Window, moment: float) -> str:
    """Name of the window (UTC) that a moment falls in: '2026-11-24T11', '2026-11-24', '2026-11'."""
    shape = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}[window]
    return datetime.fromtimestamp(moment, UTC).strftime(shape)


def window_start(window: Window, moment: float) -> float:
    """First moment of the window (UTC) that a moment falls in."""
    start = datetime.fromtimestamp(moment, UTC).replace(minute=0, second=0, microsecond=0)
    if window != "hour":
        start = start.replace(hour=0)
    if window == "month":
        start = start.replace(day=1)
    return start.timestamp()


def window_end(window: Window, moment: float) -> float:
    """First moment after that window."""
    start = datetime.fromtimestamp(window_start(window, moment), UTC)
    if window == "hour":
        return start.timestamp() + HOUR
    if window == "day":
        return start.timestamp() + 24 * HOUR
    following = (
        start.replace(year=start.year + 1, month=1) if start.month == 12 else start.replace(month=start.month + 1)
    )
    return following.timestamp()


def cost_in_window(terms: Terms, price: int, since: float, until: float, window: Window, now: float) -> int:
    """Millionths of a machine's bill that fall into the window around ``now``: of all periods that begin in it."""
    periods = round(billed(terms, max(until - since, 0.0)) / terms.period)

    def begun(moment: float) -> int:
        return min(max(math.ceil((moment - since) / terms.period), 0), periods)

    count = begun(window_end(window, now)) - begun(window_start(window, now))
    return math.ceil(price * count * terms.period / HOUR)
