"""The answer of a decider that cannot decide: nothing but a reserved timer that backs off, and the reason."""

from __future__ import annotations

import msgspec

from simpleflow.core import decisions, events, text

from . import contract
from .history import fold

#: seconds between two looks at a run that does not go on, at most
LONGEST = 3600
#: deciders that a run may hang before it is quarantined, and seconds for which it then is at first
HUNG_BEFORE, QUARANTINE = 2, 60
#: deciders in a row that ended while they decided a run, until the next one leaves it alone
LOST_BEFORE = 3
#: key of the reason in the execution context
_CANNOT = "cannot_decide"
#: characters of a reason in the execution context
_SHOWN = 2000
_PROGRESS = (events.ActivityTaskScheduled, events.StartChildWorkflowExecutionInitiated)


def timer(count: int, timer_id: str = fold.DIVERGED, *, before: int | None = None) -> decisions.Decision:
    """Return the timer that brings the next decision of a run that was left alone so many times in a row.

    ``before``: after so many times it is left alone for a minute and more.
    """
    if before is not None and count >= before:
        delay = min(LONGEST, QUARANTINE << min(count - before, 20))
    else:
        delay = min(LONGEST, 1 << min(count, 20))
    return decisions.StartTimer(timer_id=timer_id, start_to_fire_timeout=str(delay))


def lost(task: contract.DecisionTask) -> str:
    """Return why this run is to be left alone: it may be what ends its deciders. '' when it is to be decided.

    Three deciders in a row had a decision of it and did not answer. One is enough once it was left alone.
    """
    count, declined = 0, False
    for event in reversed(task.events):
        if isinstance(event, events.DecisionTaskCompleted):
            declined = (event.attributes.execution_context or "").startswith(f'{{"{_CANNOT}"')
            break
        if isinstance(event, events.DecisionTaskTimedOut):
            count += event.attributes.timeout_type == "START_TO_CLOSE"
    if count < (1 if declined else LOST_BEFORE):
        return ""
    return (
        "the deciders that had its last decision ended, or took longer than its timeout: run() may end its process or "
        f"take too much memory or time ({count} in a row)"
    )


def decline(
    task: contract.DecisionTask, reason: str, *, hung: bool = False, lost: bool = False
) -> contract.Decided | contract.Needs:
    """Return the answer to a task that nobody here can decide, for this reason. Needs the whole history.

    An unanswered decision would hold the run for its whole timeout. A decider that can decide goes on where it was.
    ``hung``: its ``run()`` did not end; one that hung three deciders in a row is left alone for a minute, then longer.
    ``lost``: its deciders end; it is left alone for a second, then for a minute, then longer.
    """
    if not task.events or task.events[0].id != 1:
        return contract.Needs(history=True)
    timer_id = fold.QUARANTINED if hung else fold.DIVERGED
    is_open, count = _declined(task, timer_id)
    shown = text.encodable(reason)[:_SHOWN]
    return contract.Decided(
        decisions=() if is_open else (timer(count, timer_id, before=HUNG_BEFORE if hung else 1 if lost else None),),
        execution_context=msgspec.json.encode({"quarantined" if hung else _CANNOT: shown}).decode(),
    )


def _declined(task: contract.DecisionTask, timer_id: str) -> tuple[bool, int]:
    """Return whether the reserved timer is open, and how often it was started since the run last went on."""
    is_open, count = False, 0
    for event in task.events:
        if isinstance(event, _PROGRESS):
            count = 0
        elif isinstance(event, events.TimerStarted):
            if event.attributes.timer_id == timer_id:
                is_open, count = True, count + 1
            elif event.attributes.timer_id not in fold.RESERVED_TIMERS:
                count = 0
        elif isinstance(event, events.TimerFired | events.TimerCanceled):
            is_open = is_open and event.attributes.timer_id != timer_id
    return is_open, count
