"""Complete, fail or cancel activity tasks that were left open (``activity.complete_later``), by their tokens."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from simpleflow.core import errors, limits
from simpleflow.data import jumbo, left_tasks
from simpleflow.data.blobs import errors as blob_errors
from simpleflow.swf import errors as swf_errors
from simpleflow.swf import repeating

from . import connect, executions

logger = logging.getLogger(__name__)

#: events that close an activity task
_ENDS = frozenset({"ActivityTaskCompleted", "ActivityTaskFailed", "ActivityTaskCanceled", "ActivityTaskTimedOut"})
#: events that close an execution, with its tasks
_CLOSES = frozenset(
    f"WorkflowExecution{end}" for end in ("Completed", "Failed", "Canceled", "TimedOut", "Terminated", "ContinuedAsNew")
)
#: action -> the event that it writes
_WRITES = {
    "RespondActivityTaskCompleted": "ActivityTaskCompleted",
    "RespondActivityTaskFailed": "ActivityTaskFailed",
    "RespondActivityTaskCanceled": "ActivityTaskCanceled",
}


class TaskNotOpen(errors.SimpleflowError):
    """The task of a token was answered, timed out, or belongs to a closed execution."""


class OpenTask(left_tasks.LeftTask, frozen=True, kw_only=True):
    """One activity task that waits for its completion."""

    #: whether the workflow has asked for its cancellation
    cancel_requested: bool


def waiting(connection: connect.Connection, store: jumbo.Store) -> list[OpenTask]:
    """Return the tasks of the domain that wait for their completion, oldest first.

    Deletes stored tokens of tasks that are closed. Raises UsageError when no store for tokens is configured, and
    BlobStoreError when the store fails.
    """
    blobs = store.blobs
    if blobs is None:
        raise errors.UsageError(
            "no place is known where workers keep the tokens of open tasks: set SIMPLEFLOW_JUMBO_FIELDS_BUCKET, for "
            "workers and here, to a bucket or file:///FOLDER"
        )
    by_run: dict[tuple[str, str], list[left_tasks.LeftTask]] = {}
    for left in left_tasks.every(blobs, connection.domain):
        by_run.setdefault((left.workflow_id, left.run_id), []).append(left)
    found = []
    for (workflow_id, run_id), tasks in by_run.items():
        run = executions.Run(domain=connection.domain, workflow_id=workflow_id, run_id=run_id)
        ended, cancelled = _ended(connection, run, tasks)
        for left in tasks:
            if left.started_event_id in ended:
                left_tasks.drop(blobs, connection.domain, left.token)
                continue
            found.append(OpenTask(**msgspec.structs.asdict(left), cancel_requested=left.started_event_id in cancelled))
    return sorted(found, key=lambda task: (task.since, task.token))


def _ended(
    connection: connect.Connection, run: executions.Run, tasks: list[left_tasks.LeftTask]
) -> tuple[dict[int, str], set[int]]:
    """Return how the ended ones of these tasks ended, and which tasks shall be cancelled, by ids of started events."""
    started = {task.started_event_id for task in tasks}
    by_id = {task.activity_id: task.started_event_id for task in tasks}
    ended: dict[int, str] = {}
    cancelled: set[int] = set()
    try:
        for event in executions.history(connection, run, reverse=True):
            kind, fields = type(event).__name__, event.attributes  # type: ignore[attr-defined]  # all 54 have it
            if kind in _CLOSES:
                ended = dict.fromkeys(started, kind)
            elif kind in _ENDS and fields.started_event_id in started:
                ended[fields.started_event_id] = kind
            elif kind == "ActivityTaskCancelRequested" and by_id.get(fields.activity_id, event.id) < event.id:
                cancelled.add(by_id[fields.activity_id])
            if event.id <= min(started):
                break
    except swf_errors.UnknownResourceFault:  # the service has deleted it: its retention is over
        ended = dict.fromkeys(started, "forgotten")
    return ended, cancelled


def respond(connection: connect.Connection, store: jumbo.Store, action: str, token: str, **fields: str | None) -> None:
    """Answer a task by its token; repeat the answer when its acknowledgement is lost. Raises TaskNotOpen."""
    request: dict[str, Any] = {"taskToken": token, **{name: text for name, text in fields.items() if text is not None}}
    tries = repeating.attempts(action)
    try:
        tries.run(lambda: connection.transport.call(action, request))
    except swf_errors.ValidationException as error:
        raise _not_a_token(token, error) from error
    except swf_errors.UnknownResourceFault as error:
        if not (tries.doubtful and _arrived(connection, store, action, token)):
            raise _not_open(error) from error
    _forget(connection, store, token)


def heartbeat(connection: connect.Connection, token: str, details: str | None) -> bool:
    """Send a heartbeat; return whether the task's cancellation is requested. Raises TaskNotOpen."""
    request = {"taskToken": token}
    if details is not None:
        request["details"] = details[: limits.HEARTBEAT_DETAILS]
    try:
        answer = repeating.call(connection.transport, "RecordActivityTaskHeartbeat", request)
    except swf_errors.ValidationException as error:
        raise _not_a_token(token, error) from error
    except swf_errors.UnknownResourceFault as error:
        raise _not_open(error) from error
    return bool(answer.cancel_requested)


def _arrived(connection: connect.Connection, store: jumbo.Store, action: str, token: str) -> bool:
    blobs = store.blobs
    left = None if blobs is None else left_tasks.find(blobs, connection.domain, token)
    if left is None:
        return False
    run = executions.Run(domain=connection.domain, workflow_id=left.workflow_id, run_id=left.run_id)
    return _ended(connection, run, [left])[0].get(left.started_event_id) == _WRITES[action]


def _forget(connection: connect.Connection, store: jumbo.Store, token: str) -> None:
    try:
        if (blobs := store.blobs) is not None:
            left_tasks.drop(blobs, connection.domain, token)
    except blob_errors.BlobStoreError as error:  # activity.list deletes it later
        logger.debug("The token of a task that was answered is still stored: %s", error)


def _not_a_token(token: str, error: Exception) -> errors.UsageError:
    shown = token if len(token) <= 40 else f"{token[:40]}…"
    return errors.UsageError(
        f"the service does not take this answer of task token {shown!r} ({error}): copy the whole token, as "
        "activity.list shows it"
    )


def _not_open(error: Exception) -> TaskNotOpen:
    return TaskNotOpen(
        f"no open task has this token ({error}): it was answered or timed out, or its execution is closed; "
        "activity.list shows the tasks that wait"
    )
