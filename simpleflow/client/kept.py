"""Which events of a stopped run a resumed one takes over."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from simpleflow.core import errors, events, manifests

#: how the timers behind retries begin; the task's id follows
_RETRY = "__simpleflow_task_"
#: timers and markers of ours that belong to one run alone
_RESERVED = ("_simpleflow_",)
_RESUMED = "simpleflow.resumed"
_LOCAL = "simpleflow.local_activity"
_COMPLETED = frozenset({events.ActivityTaskCompleted, events.ChildWorkflowExecutionCompleted})
_FAILED = frozenset(
    {
        events.ActivityTaskFailed,
        events.ActivityTaskTimedOut,
        events.ActivityTaskCanceled,
        events.ChildWorkflowExecutionFailed,
        events.ChildWorkflowExecutionTimedOut,
        events.ChildWorkflowExecutionCanceled,
        events.ChildWorkflowExecutionTerminated,
    }
)
_STARTED = frozenset({events.ActivityTaskStarted, events.ChildWorkflowExecutionStarted})


class Task:
    """One activity, child workflow, timer or sent signal, and its events."""

    def __init__(self, kind: str, name: str, identifier: str) -> None:
        self.kind = kind
        self.name = name
        self.id = identifier
        #: attempts: each is the event that began it and the later events of it
        self.attempts: list[list[Any]] = []

    @property
    def first(self) -> int:
        """Id of the event that scheduled its first attempt."""
        return int(self.attempts[0][0].id)

    @property
    def completed(self) -> Any:
        """The event of its success (completed, fired, signal delivered); None without such an event."""
        last = self.attempts[-1][-1]
        done = type(last) in _COMPLETED or type(last) in (events.TimerFired, events.ExternalWorkflowExecutionSignaled)
        return last if done else None

    @property
    def ended(self) -> Any:
        """The event that ended its last attempt; None while this attempt is open."""
        last = self.attempts[-1][-1]
        return last if self.completed is not None or type(last) in {*_FAILED, events.TimerCanceled} else None


class Kept:
    """Chooses the events of a history that a resumed run takes over.

    Without ``from_`` every completed result is kept. Tasks that failed, timed out, were canceled or were open run
    again, and so do tasks that were scheduled after a cancel request. With the number of an event as ``from_``,
    everything before this event is kept. With the id of a task, this task and the tasks that were scheduled after its
    end run again. ``again`` is a regular expression: activities and child executions whose id or type matches it run
    again too.

    ``copied``: how many of the events are not of the run itself, but were taken over by it. ``timers``: the open timers
    that it took over.
    """

    def __init__(
        self,
        found: Sequence[Any],
        from_: int | str | None = None,
        again: str | None = None,
        *,
        copied: int = 0,
        timers: Mapping[str, float] | None = None,
    ) -> None:
        self._found = found
        self._copied = copied
        self._taken_timers = timers or {}
        self._tasks: dict[tuple[str, str], Task] = {}
        self._timers: list[Task] = []
        self._sent: list[Task] = []
        self._by_event: dict[int, Task] = {}
        self._read()
        #: events from ``_end`` on are left out, and so are tasks that were scheduled from ``_known`` on
        self._end = self._known = found[-1].id + 1
        self._failures = False
        self._dropped: set[str] = set()
        request = next((e.id for e in found if type(e) is events.WorkflowExecutionCancelRequested), None)
        if request is not None:
            self._known = request
        if isinstance(from_, int):
            self._from_event(from_)
        elif from_ is not None:
            self._from_task(from_)
        self._again = _pattern(again)
        self._open_timers: dict[str, float] = {}

    # -- where to begin

    def _from_event(self, number: int) -> None:
        first = next((event for event in self._found if event.id >= number), None)
        # A decision is taken over with all that it wrote or not at all: what is missing would count as not wanted.
        decided = getattr(getattr(first, "attributes", None), "decision_task_completed_event_id", 0)
        number = decided or number
        self._end = number
        self._known = min(self._known, number)
        self._failures = True

    def _from_task(self, identifier: str) -> None:
        named = [task for task in self._all() if task.id == identifier]
        if not named:
            raise errors.UsageError(
                f"the history has no task {identifier!r}: name the id of an activity, child workflow or timer, as "
                "workflow.tasks shows it, or the number of an event"
            )
        self._dropped.add(identifier)
        ended = [task.attempts[0][-1].id for task in named if task.ended is not None]
        if ended:
            self._known = min(self._known, min(ended))

    def _all(self) -> list[Task]:
        return [*self._tasks.values(), *self._timers]

    # -- reading

    def _read(self) -> None:
        timers: dict[str, Task] = {}
        for event in self._found:
            fields = event.attributes
            match event:
                case events.ActivityTaskScheduled():
                    self._begin("activity", fields.activity_type.name, fields.activity_id, event)
                case events.StartChildWorkflowExecutionInitiated():
                    self._begin("workflow", fields.workflow_type.name, fields.workflow_id, event)
                case events.TimerStarted():
                    timers[fields.timer_id] = self._single(self._timers, "timer", fields.timer_id, event)
                case events.TimerFired() | events.TimerCanceled():
                    if fields.timer_id in timers:
                        timers.pop(fields.timer_id).attempts[-1].append(event)
                case events.SignalExternalWorkflowExecutionInitiated():
                    self._single(self._sent, "signal", fields.workflow_id, event)
                case events.StartChildWorkflowExecutionFailed():
                    opened = self._by_event.get(fields.initiated_event_id)
                    if opened is not None:  # initiated, and then refused
                        opened.attempts.pop()
                case _:
                    opened = self._by_event.get(
                        getattr(fields, "scheduled_event_id", 0) or getattr(fields, "initiated_event_id", 0)
                    )
                    if opened is not None:
                        opened.attempts[-1].append(event)
        self._tasks = {key: task for key, task in self._tasks.items() if task.attempts}

    def _begin(self, kind: str, name: str, identifier: str, event: Any) -> None:
        task = self._tasks.setdefault((kind, identifier), Task(kind, name, identifier))
        task.attempts.append([event])
        self._by_event[event.id] = task

    def _single(self, group: list[Task], kind: str, identifier: str, event: Any) -> Task:
        task = Task(kind, identifier, identifier)
        task.attempts.append([event])
        group.append(task)
        self._by_event[event.id] = task
        return task

    # -- choosing

    def events(self) -> list[Any]:
        """Return the events that are taken over, numbered from 2, as a manifest's pages hold them."""
        chosen: dict[int, Any] = {}
        dropped = set(self._dropped)
        for task in self._tasks.values():
            kept = self._of_task(task)
            chosen.update({event.id: event for event in kept})
            if not kept:
                dropped.add(task.id)
        for task in self._sent:
            if task.id not in dropped and task.completed is not None and self._stands(task.attempts[-1]):
                chosen.update({event.id: event for event in task.attempts[-1]})
        self._open_timers = self._find_open_timers(dropped)
        for task in self._kept_timers(dropped):
            chosen.update({event.id: event for event in task.attempts[-1]})
        for event in self._others(dropped):
            chosen[event.id] = event
        return _numbered([chosen[number] for number in sorted(chosen)])

    def _stands(self, attempt: Sequence[Any]) -> bool:
        return bool(attempt[0].id < self._known and attempt[-1].id < self._end)

    def _of_task(self, task: Task) -> list[Any]:
        if task.first >= self._known or task.id in self._dropped:
            return []
        if self._again is not None and (self._again(task.id) or self._again(task.name)):
            return []
        attempts = [attempt for attempt in task.attempts if attempt[-1].id < self._end and type(attempt[-1]) in _ENDS]
        if not attempts:
            return []
        if type(attempts[-1][-1]) not in _COMPLETED and not self._failures:
            return []
        return [event for attempt in attempts for event in attempt]

    def timers(self) -> dict[str, float]:
        """Return when the timers that were open fire, by their ids, in epoch seconds; after ``events``."""
        return self._open_timers

    def _find_open_timers(self, dropped: set[str]) -> dict[str, float]:
        end = min(self._known, self._end)
        found = dict(self._taken_timers)
        for task in self._timers:
            opened, last = task.attempts[-1][0], task.attempts[-1][-1]
            if self._copied + 1 < opened.id < end:
                found.pop(task.id, None)
                # What cancels it may be left out.
                if last is opened or last.id >= (self._end if task.completed is not None else end):
                    found[task.id] = opened.timestamp + int(opened.attributes.start_to_fire_timeout)
        return {name: moment for name, moment in found.items() if not self._is_timer_dropped(name, dropped)}

    def _is_timer_dropped(self, name: str, dropped: set[str]) -> bool:
        retried = name.removeprefix(_RETRY)
        of_dropped = name.startswith(_RETRY) and any(
            retried == each or retried.startswith(f"{each}-") for each in dropped
        )
        return name.startswith(_RESERVED) or of_dropped or name in self._dropped

    def _kept_timers(self, dropped: set[str]) -> list[Task]:
        """Return the timers to keep: those that fired, and cancelled ones before a kept or open timer of that id."""
        by_id: dict[str, list[Task]] = {}
        for task in self._timers:
            if self._is_timer_dropped(task.id, dropped):
                continue
            if task.ended is not None and self._stands(task.attempts[-1]):
                by_id.setdefault(task.id, []).append(task)
        kept = []
        for name, group in by_id.items():
            while group and group[-1].completed is None and not self._failures and name not in self._open_timers:
                group.pop()
            kept += group
        return kept

    def _others(self, dropped: set[str]) -> list[Any]:
        found = []
        decision: Any = None
        for event in self._found:
            if event.id >= self._end:
                break
            fields = event.attributes
            match event:
                case events.DecisionTaskStarted():
                    decision = event
                case events.DecisionTaskCompleted():
                    if event.id < self._known and decision is not None:
                        found += [decision, _without_context(event)]
                    decision = None
                case events.MarkerRecorded():
                    if event.id < self._known and self._is_kept(fields):
                        found.append(event)
                case events.WorkflowExecutionSignaled():
                    found.append(event)
                case events.ActivityTaskCancelRequested():
                    if event.id < self._known and fields.activity_id not in dropped:
                        found.append(event)
        return found

    def _is_kept(self, marker: Any) -> bool:
        if marker.marker_name == _LOCAL and not self._failures:
            return _succeeded(marker.details)
        return bool(marker.marker_name != _RESUMED)


_ENDS = _COMPLETED | _FAILED


def _succeeded(details: str | None) -> bool:
    """Return whether a local activity's marker holds a result."""
    try:
        parsed = msgspec.json.decode(details or "null")
    except msgspec.DecodeError:
        return False
    return isinstance(parsed, dict) and parsed.get("reason") is None


def _pattern(again: str | None) -> Callable[[str], object] | None:
    if again is None:
        return None
    try:
        return re.compile(again).search
    except re.error as error:
        raise errors.UsageError(f"{again!r} is not a regular expression: {error}") from None


def _without_context(event: Any) -> Any:
    """Return the event without its execution context, which describes the stopped run only."""
    fields = event.attributes
    if fields.execution_context is None:
        return event
    return msgspec.structs.replace(event, attributes=msgspec.structs.replace(fields, execution_context=None))


def _numbered(chosen: Sequence[Any]) -> list[Any]:
    """Number events from 2; their references to events that are not chosen become 0."""
    numbers = {event.id: place for place, event in enumerate(chosen, start=2)}
    numbers[1] = 1
    return [manifests.moved(event, numbers[event.id], lambda number: numbers.get(number, 0)) for event in chosen]
