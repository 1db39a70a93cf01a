"""Durations in seconds, for timeouts that read well: ``start_to_close_timeout=2 * HOUR``."""

from __future__ import annotations

SECOND = 1
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
