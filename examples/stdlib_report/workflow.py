"""Which tasks there are, and what waits for what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from simpleflow import Workflow

from . import activities, twins

T = TypeVar("T")

#: light results in one summary, summaries in one merge: no value comes near 32,768 characters
SUMMARY, MERGE = 40, 4


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


class StdlibReport(Workflow):
    """Measure every module, add up, look for near-duplicate functions, report.

    ``limit`` takes fewer modules, ``ranges`` is the number of tasks that share the search for duplicates.
    """

    name = "stdlib-report"
    version = "1"
    task_list = "report-decisions"
    execution_timeout = 3600
    decision_tasks_timeout = 10

    def run(self, limit: int | None = None, ranges: int = 2) -> Any:
        bounds = [twins.HASHES * i // ranges for i in range(ranges + 1)]
        pairs = [self.submit(activities.find_twins, bounds[i], bounds[i + 1], limit) for i in range(ranges)]
        modules = self.submit(activities.list_modules, limit).result
        measured = [self.submit(activities.measure, module) for module in modules]
        # Futures go in as arguments before they are done: each summary starts as soon as its own forty are there.
        totals = [self.submit(activities.summarise, part) for part in chunks(measured, SUMMARY)]
        while len(totals) > 1:
            totals = [self.submit(activities.merge, part) for part in chunks(totals, MERGE)]
        return self.submit(activities.conclude, totals[0], pairs).result
