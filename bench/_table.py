"""One table on a terminal, and the figures that benchmarks share."""

from __future__ import annotations

import math
from collections.abc import Sequence


def show(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    widths = [max(len(str(line[place])) for line in [headings, *rows]) for place in range(len(headings))]
    print(f"\n{title}")
    for line in [headings, ["-" * width for width in widths], *rows]:
        cells = [
            str(cell).ljust(width) if place == 0 else str(cell).rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def seconds(value: float | None) -> str:
    """A duration in the unit that reads best; ``-`` for what was not measured."""
    if value is None:
        return "-"
    if value < 0.001:
        return f"{value * 1e6:.0f} us"
    return f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.2f} s"


def ratio(slow: float | None, fast: float | None) -> str:
    """How many times less ``fast`` is than ``slow``."""
    return "-" if slow is None or not fast else f"{slow / fast:.1f} x"


def verdict(met: bool | None) -> str:
    return "-" if met is None else "met" if met else "MISSED"


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The power with which the cost grows: the slope of a straight line through the logarithms."""
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - x_mean) ** 2 for x in xs)
