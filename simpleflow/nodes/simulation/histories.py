"""Runs from histories of SWF: the duration of each task, and the tasks that it may have waited for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from simpleflow.core import events

from . import work

_ENDS = frozenset({"ActivityTaskCompleted", "ActivityTaskFailed", "ActivityTaskTimedOut", "ActivityTaskCanceled"})
#: seconds that a task counts which ended within the clock's resolution
_SHORTEST = 0.001


class _Known(msgspec.Struct):
    """One task while its history is read."""

    activity: str
    task_list: str
    scheduled: float
    after: tuple[int, ...]
    #: when the last task of ``after`` ended, or the run began
    ready: float
    started: float | None = None
    ended: float | None = None


def read(run_id: str, workflow: str, found: Iterable[events.Base]) -> work.Run | None:
    """Return a run from its history; None when no task of it ran.

    A history does not say what a task waited for. The task is assumed to wait for the tasks that ended between the last
    two decisions. When no task was open then, it is assumed to wait for all ended tasks that no other task waits for. A
    task that was scheduled after a timer or a signal keeps its delay after the task that ended last. Each attempt is a
    task of its own; attempts that never ran are left out.
    """
    reader = _Reader()
    for event in sorted(found, key=lambda each: each.id):
        reader.read(event)
    return reader.run(run_id, workflow)


class _Reader:
    def __init__(self) -> None:
        self._begun: float | None = None
        self._last = 0.0
        #: tasks by the id of the event that scheduled them
        self._tasks: dict[int, _Known] = {}
        self._open: set[int] = set()
        #: tasks that have ended and that no other task waits for yet
        self._leaves: set[int] = set()
        #: tasks that ended since the newest decision task started; then those between that start and the one before
        self._fresh: list[int] = []
        self._seen: list[int] = []
        #: the task that ended last
        self._last_end: int | None = None
        self._decision = -1
        self._after: tuple[int, ...] = ()

    def read(self, event: events.Base) -> None:
        """Take the next event of the history."""
        kind, said = type(event).__name__, getattr(event, "attributes", None)
        self._last = event.timestamp
        if self._begun is None:
            self._begun = event.timestamp
        if kind == "ActivityTaskScheduled":
            self._schedule(event, said)
        elif kind == "ActivityTaskStarted":
            if (task := self._tasks.get(_origin(said))) is not None:
                task.started = event.timestamp
        elif kind in _ENDS:
            self._end(_origin(said), event.timestamp)
        elif kind == "DecisionTaskStarted":
            self._seen, self._fresh = self._fresh, []

    def _schedule(self, event: events.Base, said: Any) -> None:
        if said.decision_task_completed_event_id != self._decision:
            # All that one decision schedules waited for the same.
            self._decision = said.decision_task_completed_event_id
            self._after = self._waited_for()
            self._leaves -= set(self._after)
        after = self._after
        self._tasks[event.id] = _Known(
            activity=said.activity_type.name,
            task_list=said.task_list.name,
            scheduled=event.timestamp,
            after=after,
            ready=max((self._tasks[each].ended or 0.0 for each in after), default=self._begun or 0.0),
        )
        self._open.add(event.id)

    def _waited_for(self) -> tuple[int, ...]:
        if not self._open and self._leaves:
            return tuple(sorted(self._leaves))
        if self._seen:
            return tuple(self._seen)
        # A timer or a signal: the task keeps its recorded delay after the last end.
        return () if self._last_end is None else (self._last_end,)

    def _end(self, origin: int, moment: float) -> None:
        task = self._tasks.get(origin)
        if task is None:
            return
        task.ended, self._last_end = moment, origin
        self._open.discard(origin)
        self._leaves.add(origin)
        self._fresh.append(origin)

    def run(self, run_id: str, workflow: str) -> work.Run | None:
        """Return the run of all events that were read; None when no task ran."""
        if self._begun is None:
            return None
        ran = {each: task for each, task in self._tasks.items() if task.started is not None}
        place = {each: number for number, each in enumerate(ran)}
        tasks = tuple(
            work.Task(
                activity=task.activity,
                task_list=task.task_list,
                seconds=max((task.ended or self._last) - (task.started or 0.0), _SHORTEST),
                after=tuple(place[each] for each in task.after if each in place),
                delay=max(task.scheduled - task.ready, 0.0),
            )
            for task in ran.values()
        )
        return work.Run(run_id=run_id, workflow=workflow, begin=self._begun, tasks=tasks) if tasks else None


def _origin(said: Any) -> int:
    return int(said.scheduled_event_id)
