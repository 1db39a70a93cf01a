"""What the workers run. Each function reads files or gets values; none knows that a workflow calls it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

from simpleflow import activity

from . import source, twins

#: task lists: many short tasks, and few long ones
LIGHT, HEAVY = "light", "heavy"
#: entries of each table of the report
MOST = 15


class Totals(TypedDict):
    """Some modules, added up. Always small: counts by package name, and the best of each table."""

    modules: int
    lines: int
    functions: int
    complexity: int
    #: package -> modules that import it
    imported: dict[str, int]
    #: [complexity, lines, module, worst function, its complexity], most complex first
    complex: list[tuple[int, int, str, str, int]]
    #: files that are not valid Python
    skipped: list[str]


@activity.with_attributes(version="1", task_list=LIGHT, retry=2, raises_on_failure=True, heartbeat_timeout=10)
def list_modules(limit: int | None = None) -> list[str]:
    return source.modules(limit)


@activity.with_attributes(version="1", task_list=LIGHT, retry=2, raises_on_failure=True, heartbeat_timeout=10)
def measure(path: str) -> source.Measure | str:
    """Measure one module; a file that is not Python comes back as its path."""
    try:
        return source.measure(path)
    except SyntaxError:
        return path


@activity.with_attributes(version="1", task_list=HEAVY, retry=2, raises_on_failure=True, heartbeat_timeout=10)
def summarise(measured: Sequence[source.Measure | str]) -> Totals:
    good = [m for m in measured if not isinstance(m, str)]
    return {
        "modules": len(good),
        "lines": sum(m["lines"] for m in good),
        "functions": sum(m["functions"] for m in good),
        "complexity": sum(m["complexity"] for m in good),
        "imported": dict(sorted(Counter(name for m in good for name in m["imports"]).items())),
        "complex": sorted(((m["complexity"], m["lines"], m["module"], *m["worst"]) for m in good), reverse=True)[:MOST],
        "skipped": [m for m in measured if isinstance(m, str)],
    }


@activity.with_attributes(version="1", task_list=HEAVY, retry=2, raises_on_failure=True, heartbeat_timeout=10)
def merge(parts: Sequence[Totals]) -> Totals:
    imported: Counter[str] = Counter()
    for part in parts:
        imported.update(part["imported"])
    return {
        "modules": sum(p["modules"] for p in parts),
        "lines": sum(p["lines"] for p in parts),
        "functions": sum(p["functions"] for p in parts),
        "complexity": sum(p["complexity"] for p in parts),
        "imported": dict(sorted(imported.items())),
        "complex": sorted(((a, b, c, d, e) for p in parts for a, b, c, d, e in p["complex"]), reverse=True)[:MOST],
        "skipped": [path for p in parts for path in p["skipped"]],
    }


@activity.with_attributes(version="1", task_list=HEAVY, retry=2, raises_on_failure=True, heartbeat_timeout=10)
def find_twins(low: int, high: int, limit: int | None = None) -> list[twins.Pair]:
    return twins.find(source.modules(limit), low, high)


@activity.with_attributes(version="1", task_list=HEAVY, retry=2, raises_on_failure=True, heartbeat_timeout=10)
def conclude(totals: Totals, pairs: Sequence[Sequence[twins.Pair]]) -> dict[str, object]:
    """The final report: totals, and the head of each table."""
    # A pair went through JSON: it arrives as a list.
    ranked = sorted((twins.Pair(*pair) for part in pairs for pair in part), key=twins.rank)
    return {
        "modules": totals["modules"],
        "lines": totals["lines"],
        "functions": totals["functions"],
        "complexity": totals["complexity"],
        "skipped": totals["skipped"],
        "most_imported": sorted(totals["imported"].items(), key=lambda item: (-item[1], item[0]))[:MOST],
        "most_complex": totals["complex"],
        "near_duplicates": ranked[:MOST],
    }
