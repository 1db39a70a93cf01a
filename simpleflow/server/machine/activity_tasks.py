"""Activity tasks: scheduled by a decision, started by a poll, ended by an answer, one of four timeouts, or a cancel."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import msgspec

from simpleflow.server.requests import errors
from simpleflow.server.state import execution, polls
from simpleflow.server.state import session as sessions
from simpleflow.server.state import state as states
from simpleflow.server.store import base

from . import decision_tasks, tokens

#: wire name of a timeout -> its default, and the cause when neither is given
_TIMEOUTS = (
    ("scheduleToCloseTimeout", "defaultTaskScheduleToCloseTimeout", "DEFAULT_SCHEDULE_TO_CLOSE_TIMEOUT_UNDEFINED"),
    ("scheduleToStartTimeout", "defaultTaskScheduleToStartTimeout", "DEFAULT_SCHEDULE_TO_START_TIMEOUT_UNDEFINED"),
    ("startToCloseTimeout", "defaultTaskStartToCloseTimeout", "DEFAULT_START_TO_CLOSE_TIMEOUT_UNDEFINED"),
    ("heartbeatTimeout", "defaultTaskHeartbeatTimeout", "DEFAULT_HEARTBEAT_TIMEOUT_UNDEFINED"),
)


class _Input(msgspec.Struct):
    input: str | None = None


class _Scheduled(msgspec.Struct):
    """The members of ActivityTaskScheduled that a poll returns."""

    attributes: _Input = msgspec.field(name="activityTaskScheduledEventAttributes")


_decode_scheduled = msgspec.json.Decoder(_Scheduled).decode


# -- decisions


def schedule(
    session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int
) -> str | None:
    """ScheduleActivityTask; return the cause when it fails."""
    config, kind = run.config, asked["activityType"]
    found = session.type(config.domain, "activity", kind["name"], kind["version"])
    if found is None:
        return "ACTIVITY_TYPE_DOES_NOT_EXIST"
    if found.deprecated is not None:
        return "ACTIVITY_TYPE_DEPRECATED"
    if asked["activityId"] in run.activities:
        return "ACTIVITY_ID_ALREADY_IN_USE"
    limit = session.limit.open_activities
    if limit is not None and len(run.activities) >= limit:
        return "OPEN_ACTIVITIES_LIMIT_EXCEEDED"
    defaults = found.defaults
    task_list = asked.get("taskList") or defaults.get("defaultTaskList")
    if task_list is None:
        return "DEFAULT_TASK_LIST_UNDEFINED"
    attributes: dict[str, Any] = {"activityId": asked["activityId"], "activityType": kind, "taskList": task_list}
    for name, default, cause in _TIMEOUTS:
        value = asked.get(name) or defaults.get(default)
        if value is None:
            return cause
        attributes[name] = value
    priority = asked.get("taskPriority") or defaults.get("defaultTaskPriority")
    if priority:
        attributes["taskPriority"] = priority
    for name in ("control", "input"):
        if name in asked:
            attributes[name] = asked[name]
    place = f"{config.domain}/{task_list['name']}"
    if not session.limit.rates.take_decision("ScheduleActivityTask") or not session.limit.rates.take_activity(
        config.domain, task_list["name"]
    ):
        return "ACTIVITY_CREATION_RATE_EXCEEDED"
    attributes["decisionTaskCompletedEventId"] = completed
    scheduled = run.append("ActivityTaskScheduled", attributes)
    now = session.now
    run.state.latest_activity = now
    run.open(
        scheduled,
        states.Activity(
            id=asked["activityId"],
            type_name=kind["name"],
            type_version=kind["version"],
            scheduled=scheduled,
            task_list=task_list["name"],
            rank=-int(priority) if priority else 0,
            seq=session.next_seq(),
            start_to_close=attributes["startToCloseTimeout"],
            heartbeat=attributes["heartbeatTimeout"],
            schedule_to_close_due=states.after(now, attributes["scheduleToCloseTimeout"]),
            schedule_to_start_due=states.after(now, attributes["scheduleToStartTimeout"]),
        ),
    )
    session.offer(("items", place))
    return None


def request_cancel(
    session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int
) -> str | None:
    """RequestCancelActivityTask; return the cause when it fails. A task that no worker has is cancelled at once."""
    task = run.activities.get(asked["activityId"])
    if task is None:
        return "ACTIVITY_ID_UNKNOWN"
    task.cancel_requested = run.append(
        "ActivityTaskCancelRequested", {"activityId": task.id, "decisionTaskCompletedEventId": completed}
    )
    run.keep(task.scheduled)
    if not task.started:
        _end(run, task, "ActivityTaskCanceled", {"latestCancelRequestedEventId": task.cancel_requested})
    return None


def _end(run: execution.Execution, task: states.Activity, kind: str, attributes: dict[str, Any]) -> None:
    run.append(kind, {**attributes, "scheduledEventId": task.scheduled, "startedEventId": task.started})
    run.state.latest_activity = run.changes.now
    run.end(task.scheduled)
    decision_tasks.request(run)


# -- polls


def hand_out(session: sessions.Session, key: int, waiter: polls.Waiter) -> dict[str, Any] | None:
    """Start a waiting task for a poller; None when it is not waiting any more."""
    run = session.by_key(key >> base.EVENT_BITS)
    task = None if run is None else run.items.get(key & (1 << base.EVENT_BITS) - 1)
    if run is None or type(task) is not states.Activity or task.started:
        return None
    attributes: dict[str, Any] = {"scheduledEventId": task.scheduled}
    if waiter.request.get("identity"):
        attributes["identity"] = waiter.request["identity"]
    started = run.append("ActivityTaskStarted", attributes)
    if run.ended():
        return None
    task.started = started
    task.claim = waiter.claim or waiter.poll_id
    task.schedule_to_start_due = None
    task.start_to_close_due = states.after(session.now, task.start_to_close)
    task.heartbeat_due = states.after(session.now, task.heartbeat)
    run.state.latest_activity = session.now
    run.keep(task.scheduled)
    return _given_out(session, run, task)


def is_one_of(session: sessions.Session, key: int, kinds: Container[tuple[str, str]]) -> bool:
    """Whether a waiting task is of one of these types (name, version)."""
    run = session.by_key(key >> base.EVENT_BITS)
    task = None if run is None else run.items.get(key & (1 << base.EVENT_BITS) - 1)
    return type(task) is states.Activity and (task.type_name, task.type_version) in kinds


def claimed(session: sessions.Session, claim: str) -> list[dict[str, Any]]:
    """Return the open tasks that this exchange or poll brought, once more: its answer was lost."""
    found = []
    for key in session.store.items_with(claim.encode()):
        run = session.by_key(key >> base.EVENT_BITS)
        task = None if run is None else run.items.get(key & (1 << base.EVENT_BITS) - 1)
        if run is not None and type(task) is states.Activity and task.claim == claim:
            found.append(_given_out(session, run, task))
    return found


def _given_out(session: sessions.Session, run: execution.Execution, task: states.Activity) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "taskToken": tokens.of_task("a", run, task.scheduled),
        "activityId": task.id,
        "startedEventId": task.started,
        "workflowExecution": run.wire,
        "activityType": {"name": task.type_name, "version": task.type_version},
    }
    key = run.key << base.EVENT_BITS | task.scheduled
    data = _decode_scheduled(session.store.event(key)).attributes.input
    if data is not None:
        answer["input"] = data
    return answer


# -- answers


def _of_token(session: sessions.Session, token: str) -> tuple[execution.Execution, states.Activity]:
    run, scheduled = tokens.task(session, "a", token)
    task = run.items.get(scheduled)
    if type(task) is not states.Activity or not task.started:
        raise errors.unknown_resource(f"Unknown activity, scheduledEventId = {scheduled}")
    return run, task


def _given(request: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: request[name] for name in names if name in request}


def respond_completed(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """RespondActivityTaskCompleted."""
    run, task = _of_token(session, request["taskToken"])
    _end(run, task, "ActivityTaskCompleted", _given(request, "result"))
    return {}


def respond_failed(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """RespondActivityTaskFailed."""
    run, task = _of_token(session, request["taskToken"])
    _end(run, task, "ActivityTaskFailed", _given(request, "reason", "details"))
    return {}


def respond_canceled(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """RespondActivityTaskCanceled."""
    run, task = _of_token(session, request["taskToken"])
    attributes = _given(request, "details")
    if task.cancel_requested:
        attributes["latestCancelRequestedEventId"] = task.cancel_requested
    _end(run, task, "ActivityTaskCanceled", attributes)
    return {}


def heartbeat(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """RecordActivityTaskHeartbeat: no event; the details appear when the task times out."""
    run, task = _of_token(session, request["taskToken"])
    if "details" in request:
        task.details = request["details"]
    task.heartbeat_due = states.after(session.now, task.heartbeat)
    run.keep(task.scheduled)
    return {"cancelRequested": bool(task.cancel_requested)}


# -- deadlines


def time_out(run: execution.Execution, task: states.Activity) -> None:
    """End a task whose earliest timeout has passed."""
    moments = (
        (task.start_to_close_due, 0, "START_TO_CLOSE"),
        (task.schedule_to_close_due, 1, "SCHEDULE_TO_CLOSE"),
        (task.schedule_to_start_due, 2, "SCHEDULE_TO_START"),
        (task.heartbeat_due, 3, "HEARTBEAT"),
    )
    _, _, kind = min(m for m in moments if m[0] is not None)
    attributes: dict[str, Any] = {"timeoutType": kind}
    if task.details is not None:
        attributes["details"] = task.details
    _end(run, task, "ActivityTaskTimedOut", attributes)
