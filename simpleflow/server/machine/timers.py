"""Timers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simpleflow.server.state import execution
from simpleflow.server.state import session as sessions
from simpleflow.server.state import state as states

from . import decision_tasks


def start(session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int) -> str | None:
    """StartTimer; return the cause when it fails."""
    if asked["timerId"] in run.timers:
        return "TIMER_ID_ALREADY_IN_USE"
    limit = session.limit.open_timers
    if limit is not None and len(run.timers) >= limit:
        return "OPEN_TIMERS_LIMIT_EXCEEDED"
    if not session.limit.rates.take_decision("StartTimer"):
        return "TIMER_CREATION_RATE_EXCEEDED"
    attributes: dict[str, Any] = {
        "decisionTaskCompletedEventId": completed,
        "startToFireTimeout": asked["startToFireTimeout"],
        "timerId": asked["timerId"],
    }
    if "control" in asked:
        attributes["control"] = asked["control"]
    started = run.append("TimerStarted", attributes)
    due = round(session.now + int(asked["startToFireTimeout"]), 3)
    run.open(started, states.Timer(id=asked["timerId"], started=started, due=due))
    return None


def cancel(session: sessions.Session, run: execution.Execution, asked: Mapping[str, Any], completed: int) -> str | None:
    """CancelTimer; return the cause when it fails."""
    timer = run.timers.get(asked["timerId"])
    if timer is None:
        return "TIMER_ID_UNKNOWN"
    run.append(
        "TimerCanceled",
        {"decisionTaskCompletedEventId": completed, "startedEventId": timer.started, "timerId": timer.id},
    )
    run.end(timer.started)
    return None


def fire(run: execution.Execution, timer: states.Timer) -> None:
    """Record that a timer is due."""
    run.append("TimerFired", {"startedEventId": timer.started, "timerId": timer.id})
    run.end(timer.started)
    decision_tasks.request(run)
