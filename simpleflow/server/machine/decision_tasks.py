"""The decision task of an execution: at most one started, and one more waiting behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from simpleflow.server.requests import errors
from simpleflow.server.state import execution, polls
from simpleflow.server.state import session as sessions
from simpleflow.server.state import state as states

from . import history, tokens


def request(run: execution.Execution) -> None:
    """Schedule a decision task for the newest events, unless one is scheduled already."""
    if run.ended():
        return
    if run.deciding:
        run.wants_decision = True
        return
    state = run.state
    if state.started:
        if not state.waiting:
            task_list, timeout = _target(run)
            state.waiting = _scheduled(run, task_list, timeout)
            state.waiting_list, state.waiting_timeout = task_list, timeout
    elif not state.scheduled:
        task_list, timeout = _target(run)
        _offer(run, _scheduled(run, task_list, timeout), task_list, timeout)


def _target(run: execution.Execution) -> tuple[str, str]:
    state = run.state
    if state.sticky is not None and _abandoned(run, state.sticky):
        state.sticky = None
    if state.sticky is not None:
        return state.sticky, state.sticky_timeout
    return state.task_list, states.NONE


def _abandoned(run: execution.Execution, task_list: str) -> bool:
    """Return whether the decider of a sticky list is gone, so that nobody polls the list again."""
    return ("states", f"{run.config.domain}/{task_list}") in run.changes.abandoned


def _scheduled(run: execution.Execution, task_list: str, timeout: str) -> int:
    config = run.config
    attributes: dict[str, Any] = {
        "scheduleToStartTimeout": timeout,
        "startToCloseTimeout": config.task_timeout,
        "taskList": {"name": task_list},
    }
    if config.task_priority is not None:
        attributes["taskPriority"] = config.task_priority
    return run.append("DecisionTaskScheduled", attributes)


def _offer(run: execution.Execution, scheduled: int, task_list: str, timeout: str) -> None:
    """Offer a scheduled decision task to pollers."""
    if run.ended():
        return
    state, changes = run.state, run.changes
    if timeout != states.NONE and _abandoned(run, task_list):
        timeout = "0"  # It was scheduled before its decider left: it times out now.
    state.scheduled, state.scheduled_list, state.scheduled_timeout = scheduled, task_list, timeout
    state.decision_due = states.after(changes.now, timeout)
    state.seq = changes.next_seq()
    changes.offer(("states", f"{run.config.domain}/{task_list}"))
    run.touch()


def settled(run: execution.Execution) -> None:
    """End the started decision task, and offer the one that waits behind it."""
    state = run.state
    state.scheduled = state.started = 0
    state.decision_due = None
    if state.waiting:
        waiting, state.waiting = state.waiting, 0
        _offer(run, waiting, state.waiting_list, state.waiting_timeout)
    run.touch()


def time_out(run: execution.Execution) -> None:
    """Record that the decision task was not started, or not completed, in time; drop a temporary task list."""
    state = run.state
    run.append(
        "DecisionTaskTimedOut",
        {
            "scheduledEventId": state.scheduled,
            "startedEventId": state.started,
            "timeoutType": "START_TO_CLOSE" if state.started else "SCHEDULE_TO_START",
        },
    )
    if run.ended():
        return
    state.sticky = None
    settled(run)
    request(run)


def leave(session: sessions.Session, key: int, task_list: str) -> bool:
    """Give a task on the sticky list of a decider that is gone to all deciders; False when none waits there."""
    run = session.by_key(key)
    if run is None or run.state.started or not run.state.scheduled or run.state.sticky != task_list:
        return False
    time_out(run)
    return True


def drop(session: sessions.Session, token: str) -> None:
    """Time out the started decision task of a decider that is gone, unless it was answered."""
    with contextlib.suppress(errors.Fault):
        run, started = tokens.task(session, "d", token)
        if run.state.started and run.state.started == started:
            time_out(run)


def hand_out(session: sessions.Session, key: int, waiter: polls.Waiter) -> dict[str, Any] | None:
    """Start the waiting decision task of an execution for a poller; None when none waits any more."""
    run = session.by_key(key)
    if run is None or not run.state.scheduled or run.state.started:
        return None
    state, asked = run.state, waiter.request
    attributes: dict[str, Any] = {"scheduledEventId": state.scheduled}
    if asked.get("identity"):
        attributes["identity"] = asked["identity"]
    started = run.append("DecisionTaskStarted", attributes)
    if run.ended():
        return None
    state.started = started
    state.claim = waiter.poll_id
    state.decision_due = states.after(session.now, run.config.task_timeout)
    session.finish()
    return _given_out(session, run, asked)


def claimed(session: sessions.Session, claim: str, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the started decision task that this poll brought, once more: its answer was lost."""
    runs = [session.by_key(key) for key in session.store.states_with(claim.encode())]
    return [
        _given_out(session, run, asked)
        for run in runs
        if run is not None and run.state.started and run.state.claim == claim
    ]


def _given_out(session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any]) -> dict[str, Any]:
    state, started, key = run.state, run.state.started, run.key
    answer: dict[str, Any] = {
        "taskToken": tokens.of_task("d", run, started),
        "startedEventId": started,
        "previousStartedEventId": state.previous,
        "workflowExecution": run.wire,
        "workflowType": run.wire_type,
    }
    first = max(1, state.previous) if asked.get("startAtPreviousStartedEvent") else 1
    history.fill(session, answer, "PollForDecisionTask", asked, key, first, started, [started, state.previous])
    return answer


def more(session: sessions.Session, asked: Mapping[str, Any], position: list[Any]) -> dict[str, Any]:
    """Answer a poll that carries a page token: the next page of the same task, and no new task."""
    key, first, last, started, previous, run_id, workflow_id = position
    run = session.any_run(asked["domain"], workflow_id, run_id)
    if run is None:
        raise history.unknown(workflow_id, run_id)
    answer: dict[str, Any] = {
        "taskToken": tokens.of_task("d", run, started),
        "startedEventId": started,
        "previousStartedEventId": previous,
        "workflowExecution": run.wire,
        "workflowType": run.wire_type,
    }
    history.fill(session, answer, "PollForDecisionTask", asked, key, first, last, [started, previous])
    return answer
