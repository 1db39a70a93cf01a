"""Numbers that authors give, checked where they are given: timeouts, retries, priorities, parallelism.

Each function returns the number in the form that the rest of the package works with, and raises ``errors.BadNumber``
naming the field, the value, and what to write instead.
"""

from __future__ import annotations

import datetime
import decimal
import math
import numbers
import re
from typing import Any, NoReturn

from . import errors, limits, text

#: seconds as a number or as decimal text, or a timedelta
Duration = int | float | str | decimal.Decimal | datetime.timedelta

_DIGITS = re.compile(r"[0-9]+")
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
#: SWF takes priorities of 32 bits
_PRIORITIES = 1 << 31
_YEAR = f"{limits.DURATION_SECONDS} (one year)"


def timeout(field: str, value: Any, *, unlimited: bool = True) -> str | None:
    """Return a timeout as SWF wants it, None when it is left out.

    Seconds as int, float or decimal text, or a timedelta; every false value leaves it out, as with 0.36. Fractions are
    rounded up.
    ``unlimited``: "NONE" may stand for no limit.
    """
    if not value and _plain(value):
        return None
    if type(value) is int and 0 < value <= limits.DURATION_SECONDS:
        return str(value)
    if value == "NONE" and isinstance(value, str):
        if unlimited:
            return "NONE"
        _refuse(field, value, f"this timeout needs an end: write seconds, at most {_YEAR}, or leave it out")
    no_limit = ', or "NONE" for no limit' if unlimited else ""
    return str(_whole(field, value, f"write seconds from 1 to {_YEAR}{no_limit}, or None to leave it out"))


def duration(field: str, value: Any) -> int:
    """Return the seconds of a timer or a wait: int, float, decimal text or a timedelta, 0 included.

    Fractions are rounded up.
    """
    return _whole(field, value, f"write seconds from 0 to {_YEAR}")


def delay(field: str, value: Any, *, most: float = limits.DURATION_SECONDS) -> float:
    """Return seconds that may have a fraction, of a delay that is computed with or waited for; a timedelta too."""
    instead = f"write seconds from 0 to {_YEAR}" if most == limits.DURATION_SECONDS else "write seconds from 0 on"
    found = _real(field, seconds(value), f"{instead}, or a timedelta")
    if not 0 <= found <= most:
        _refuse(field, value, instead)
    return found


def share(field: str, value: Any, *, least: float = 0, instead: str) -> float:
    """Return a finite number that is at least ``least``."""
    found = _real(field, value, instead)
    if found < least:
        _refuse(field, value, instead)
    return found


def count(field: str, value: Any, *, least: int = 0, instead: str) -> int:
    """Return a whole number from ``least`` on: int, or its decimal text."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value) if len(value) < 19 else -1
    found = _real(field, value, instead)
    if found != int(found) or found < least:
        _refuse(field, value, instead)
    return int(value)


def parallel(field: str, value: Any) -> int | None:
    """Return how many may run at once; None and 0 mean no limit, as with 0.36."""
    if value is None:
        return None
    return count(field, value, instead="write how many may be open at once, or None (or 0) for no limit") or None


def retries(field: str, value: Any) -> int:
    """Return how many failures are answered by another attempt; every false value is none."""
    if not value and _plain(value):
        return 0
    return count(field, value, instead="write how often a failed task is scheduled again, from 0, or a RetryPolicy")


def priority(field: str, value: Any) -> str | None:
    """Return a task priority as SWF wants it; None is none."""
    if value is None:
        return None
    instead = f"write a whole number from {-_PRIORITIES} to {_PRIORITIES - 1}, or None for no priority"
    negative = isinstance(value, str) and value.startswith("-")
    found = count(field, value[1:] if negative else value, least=-_PRIORITIES, instead=instead)
    found = -found if negative else found
    if not -_PRIORITIES <= found < _PRIORITIES:
        _refuse(field, value, instead)
    return str(found)


def _plain(value: Any) -> bool:
    """Whether a false value is one that means "left out", not an object with a truth of its own."""
    return value is None or isinstance(value, numbers.Number | decimal.Decimal | str | datetime.timedelta)


def seconds(value: Any) -> Any:
    """Return a timedelta's seconds, anything else as it is."""
    return value.total_seconds() if isinstance(value, datetime.timedelta) else value


def _whole(field: str, value: Any, instead: str) -> int:
    found = _real(field, seconds(value), f"{instead}, or a timedelta")
    if not 0 <= found <= limits.DURATION_SECONDS:
        _refuse(field, value, instead)
    return math.ceil(found)


def _real(field: str, value: Any, instead: str) -> float:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real | decimal.Decimal):
        _refuse(field, value, instead)
    try:
        found = float(value)
    except (OverflowError, ValueError):
        _refuse(field, value, instead)
    if not math.isfinite(found):
        _refuse(field, value, instead)
    return found


def _refuse(field: str, value: Any, instead: str) -> NoReturn:
    raise errors.BadNumber(f"{field} is {text.shown(value)}: {instead}")
