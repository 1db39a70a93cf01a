"""The tasks of one history: what was scheduled, when it ran, how it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from simpleflow.core import events


@dataclasses.dataclass(kw_only=True)
class Task:
    """One attempt of an activity, one child workflow or one timer. Times are epoch seconds."""

    id: str
    kind: str
    name: str
    version: str = ""
    task_list: str = ""
    state: str = "scheduled"
    scheduled: float
    started: float | None = None
    closed: float | None = None
    reason: str | None = None
    details: str | None = None
    input: str | None = None
    result: str | None = None
    #: identity of the worker
    worker: str | None = None


def attributes(event: events.Base) -> dict[str, Any]:
    """Return an event's attributes with SWF's names."""
    whole = events.to_builtins(event)
    for key, value in whole.items():
        if key.endswith("EventAttributes") and isinstance(value, dict):
            return value
    return {}


_ACTIVITY_ENDS = {
    "ActivityTaskCompleted": "completed",
    "ActivityTaskFailed": "failed",
    "ActivityTaskTimedOut": "timed_out",
    "ActivityTaskCanceled": "canceled",
}
_CHILD_ENDS = {
    "ChildWorkflowExecutionCompleted": "completed",
    "ChildWorkflowExecutionFailed": "failed",
    "ChildWorkflowExecutionTimedOut": "timed_out",
    "ChildWorkflowExecutionCanceled": "canceled",
    "ChildWorkflowExecutionTerminated": "terminated",
    "StartChildWorkflowExecutionFailed": "start_failed",
}


def tasks(found: Iterable[events.Base]) -> list[Task]:
    """Return the tasks of a history (in either order), as they were scheduled: a retry is a task of its own."""
    known: dict[int, Task] = {}
    made: list[Task] = []
    for event in sorted(found, key=lambda e: e.id):
        kind, fields = events.type_name(event), attributes(event)
        if kind == "ActivityTaskScheduled":
            task = Task(
                id=fields["activityId"],
                kind="activity",
                name=fields["activityType"]["name"],
                version=fields["activityType"]["version"],
                task_list=fields["taskList"]["name"],
                scheduled=event.timestamp,
                input=fields.get("input"),
            )
        elif kind == "StartChildWorkflowExecutionInitiated":
            task = Task(
                id=fields["workflowId"],
                kind="workflow",
                name=fields["workflowType"]["name"],
                version=fields["workflowType"]["version"],
                task_list=fields["taskList"]["name"],
                scheduled=event.timestamp,
                input=fields.get("input"),
            )
        elif kind == "TimerStarted":
            task = Task(
                id=fields["timerId"], kind="timer", name=fields["startToFireTimeout"] + " s", scheduled=event.timestamp
            )
            task.state, task.started = "started", event.timestamp
        else:
            _apply(known, kind, fields, event.timestamp)
            continue
        known[event.id] = task
        made.append(task)
    return made


def _apply(known: dict[int, Task], kind: str, fields: dict[str, Any], moment: float) -> None:
    origin = fields.get("scheduledEventId") if kind.startswith("ActivityTask") else fields.get("initiatedEventId")
    if kind in ("TimerFired", "TimerCanceled"):
        origin = fields["startedEventId"]
    task = known.get(origin or 0)
    if task is None:
        return
    if kind in ("ActivityTaskStarted", "ChildWorkflowExecutionStarted"):
        task.state, task.started, task.worker = "started", moment, fields.get("identity")
        return
    ended = _ACTIVITY_ENDS.get(kind) or _CHILD_ENDS.get(kind)
    if kind in ("TimerFired", "TimerCanceled"):
        ended = "fired" if kind == "TimerFired" else "canceled"
    if ended is not None:
        task.state, task.closed = ended, moment
        task.reason = fields.get("reason") or fields.get("timeoutType") or fields.get("cause")
        task.details, task.result = fields.get("details"), fields.get("result")
