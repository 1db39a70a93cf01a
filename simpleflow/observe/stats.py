"""How long tasks take and how they fail: in one run, and over many."""

from __future__ import annotations

import datetime
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from simpleflow.core import events

from . import tasklog

Timing = tuple[str, str, datetime.datetime | None, datetime.datetime | None, datetime.datetime | None, float | None]
#: states of a task that ended without a result
FAILED = frozenset({"failed", "timed_out", "canceled", "terminated", "start_failed"})


class WorkflowStats:
    """Times of one run, read from its ``simpleflow.history.History``, in the form of simpleflow 0.36."""

    def __init__(self, history: Any) -> None:
        self._history = history

    def total_time(self) -> float:
        """Return the seconds from the first event to the last."""
        found = self._history.events
        return float((found[-1].timestamp - found[0].timestamp).total_seconds())

    def get_timings(self) -> list[Timing]:
        """Return a tuple for each activity and child workflow: id, last state, times of scheduling, start and end, and
        seconds between start and end; None for each time that has not come."""
        tasks = [*self._history.activities.items(), *self._history.child_workflows.items()]
        return [(name, *_timing(entry)) for name, entry in tasks]

    def get_timings_with_percentage(self) -> list[tuple[Any, ...] | None]:
        """Return the same with each task's share of the run's time, in percent; None for a task without a time."""
        total = self.total_time()
        return [
            (*timing, timing[-1] / total * 100 if total else 100.0) if timing[-1] else None
            for timing in self.get_timings()
        ]


def _timing(
    entry: dict[str, Any],
) -> tuple[str, datetime.datetime | None, datetime.datetime | None, datetime.datetime | None, float | None]:
    state, began = entry["state"], entry.get("started_timestamp")
    scheduled = entry.get("scheduled_timestamp") or entry.get("initiated_event_timestamp")
    end = None if began is None else entry.get(f"{state}_timestamp")
    return state, scheduled, began, end, None if began is None or end is None else (end - began).total_seconds()


class OfType(msgspec.Struct, frozen=True, kw_only=True):
    """All attempts of one type of activity, child workflow or timer. Times are seconds; None when no attempt ended."""

    type: str
    kind: str
    #: attempts, and those that ended without a result
    count: int
    failed: int
    #: from the start of an attempt to its end
    mean: float | None
    median: float | None
    p95: float | None
    longest: float | None
    #: mean time from scheduling to the start; None when no attempt started
    waited: float | None


class Slow(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt."""

    workflow_id: str
    run_id: str
    id: str
    type: str
    state: str
    seconds: float


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts of one type that ended in the same way."""

    type: str
    state: str
    #: name of the exception, or type of the timeout
    error: str
    count: int


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics over several runs."""

    runs: int
    #: sorted by the time of all attempts together, the longest first
    types: tuple[OfType, ...]
    #: the longest first
    slowest: tuple[Slow, ...]
    #: the most frequent first
    failures: tuple[Failure, ...]


def over(runs: Iterable[tuple[str, str, Iterable[events.Base]]], *, slowest: int = 10) -> Statistics:
    """Return the statistics of runs, each (workflow id, run id, events); ``slowest``: number of slow attempts."""
    by_type: defaultdict[tuple[str, str], list[tasklog.Task]] = defaultdict(list)
    attempts: list[Slow] = []
    failures: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    count = 0
    for workflow_id, run_id, found in runs:
        count += 1
        for task in tasklog.tasks(found):
            name = "timer" if task.kind == "timer" else task.name
            by_type[task.kind, name].append(task)
            took = _took(task)
            if took is not None and task.kind != "timer":
                attempts.append(
                    Slow(workflow_id=workflow_id, run_id=run_id, id=task.id, type=name, state=task.state, seconds=took)
                )
            if task.state in FAILED and task.kind != "timer":
                failures[name, task.state, _error(task)] += 1
    types = sorted(
        (_of_type(kind, name, found) for (kind, name), found in by_type.items()),
        key=lambda row: (-(row.mean or 0) * row.count, row.type),
    )
    attempts.sort(key=lambda one: (-one.seconds, one.workflow_id, one.id))
    ways = sorted(failures.items(), key=lambda item: (-item[1], item[0]))
    return Statistics(
        runs=count,
        types=tuple(types),
        slowest=tuple(attempts[:slowest]),
        failures=tuple(
            Failure(type=name, state=state, error=error, count=number) for (name, state, error), number in ways
        ),
    )


def _took(task: tasklog.Task) -> float | None:
    return None if task.started is None or task.closed is None else round(task.closed - task.started, 3)


def _error(task: tasklog.Task) -> str:
    return (task.reason or "").partition(":")[0].strip()


def _of_type(kind: str, name: str, found: Sequence[tasklog.Task]) -> OfType:
    took = sorted(seconds for seconds in map(_took, found) if seconds is not None)
    waited = [task.started - task.scheduled for task in found if task.started is not None]
    return OfType(
        type=name,
        kind=kind,
        count=len(found),
        failed=sum(task.state in FAILED for task in found),
        mean=round(statistics.fmean(took), 3) if took else None,
        median=round(statistics.median(took), 3) if took else None,
        p95=took[math.ceil(0.95 * len(took)) - 1] if took else None,
        longest=took[-1] if took else None,
        waited=round(statistics.fmean(waited), 3) if waited else None,
    )
