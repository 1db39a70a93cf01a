"""The answer of a decider that cannot decide: nothing but a reserved timer that backs off, and the reason."""

from __future__ import annotations

import msgspec

from simpleflow.core import decisions, events, text

from . import contract
from .history import fold

#: seconds between two looks at a run that does not go on, at most
LONGEST = 3600
#: characters of a reason in the execution context
_SHOWN = 2000
_PROGRESS = (events.ActivityTaskScheduled, events.StartChildWorkflowExecutionInitiated)


def timer(count: int) -> decisions.Decision:
    """Return the timer that brings the next decision of a run that was left alone so many times in a row."""
    delay = min(LONGEST, 1 << min(count, 20))
    return decisions.StartTimer(timer_id=fold.DIVERGED, start_to_fire_timeout=str(delay))


def decline(task: contract.DecisionTask, reason: str) -> contract.Decided | contract.Needs:
    """Return the answer to a task that nobody here can decide, for this reason. Needs the whole history.

    An unanswered decision would hold the run for its whole timeout. A decider that can decide goes on where it was.
    """
    if not task.events or task.events[0].id != 1:
        return contract.Needs(history=True)
    is_open, count = _declined(task)
    shown = text.encodable(reason)[:_SHOWN]
    return contract.Decided(
        decisions=() if is_open else (timer(count),),
        execution_context=msgspec.json.encode({"cannot_decide": shown}).decode(),
    )


def _declined(task: contract.DecisionTask) -> tuple[bool, int]:
    """Return whether the reserved timer is open, and how often it was started since the run last went on."""
    is_open, count = False, 0
    for event in task.events:
        if isinstance(event, _PROGRESS):
            count = 0
        elif isinstance(event, events.TimerStarted):
            reserved = event.attributes.timer_id == fold.DIVERGED
            is_open, count = (True, count + 1) if reserved else (is_open, 0)
        elif isinstance(event, events.TimerFired | events.TimerCanceled):
            is_open = is_open and event.attributes.timer_id != fold.DIVERGED
    return is_open, count
