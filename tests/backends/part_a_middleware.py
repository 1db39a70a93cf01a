"""Middleware of test_part_a_features.py, by dotted name."""

from __future__ import annotations

from typing import Any

CALLS: list[Any] = []


def before(context: dict[str, Any]) -> None:
    CALLS.append(("before", context["activity_id"]))


def after(context: dict[str, Any], result: Any = None, exception: BaseException | None = None) -> None:
    CALLS.append(("after", result, type(exception).__name__))
