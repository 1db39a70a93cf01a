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
        kind, said = events.type_name(event), attributes(event)
        if kind == "ActivityTaskScheduled":
            task = Task(
                id=said["activityId"],
                kind="activity",
                name=said["activityType"]["name"],
                version=said["activityType"]["version"],
                task_list=said["taskList"]["name"],
                scheduled=event.timestamp,
                input=said.get("input"),
            )
        elif kind == "StartChildWorkflowExecutionInitiated":
            task = Task(
                id=said["workflowId"],
                kind="workflow",
                name=said["workflowType"]["name"],
                version=said["workflowType"]["version"],
                task_list=said["taskList"]["name"],
                scheduled=event.timestamp,
                input=said.get("input"),
            )
        elif kind == "TimerStarted":
            task = Task(
                id=said["timerId"], kind="timer", name=said["startToFireTimeout"] + " s", scheduled=event.timestamp
            )
            task.state, task.started = "started", event.timestamp
        else:
            _apply(known, kind, said, event.timestamp)
            continue
        known[event.id] = task
        made.append(task)
    return made


def _apply(known: dict[int, Task], kind: str, said: dict[str, Any], moment: float) -> None:
    origin = said.get("scheduledEventId") if kind.startswith("ActivityTask") else said.get("initiatedEventId")
    if kind in ("TimerFired", "TimerCanceled"):
        origin = said["startedEventId"]
    task = known.get(origin or 0)
    if task is None:
        return
    if kind in ("ActivityTaskStarted", "ChildWorkflowExecutionStarted"):
        task.state, task.started, task.worker = "started", moment, said.get("identity")
        return
    ended = _ACTIVITY_ENDS.get(kind) or _CHILD_ENDS.get(kind)
    if kind in ("TimerFired", "TimerCanceled"):
        ended = "fired" if kind == "TimerFired" else "canceled"
    if ended is not None:
        task.state, task.closed = ended, moment
        task.reason = said.get("reason") or said.get("timeoutType") or said.get("cause")
        task.details, task.result = said.get("details"), said.get("result")
