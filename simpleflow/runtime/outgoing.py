"""Decisions as they are sent: task lists replaced for standalone, values over a limit put into the store."""

from __future__ import annotations

from typing import Any

import msgspec

from simpleflow.core import attributes, decisions, limits

from . import execute, failures

#: fields of decisions that hold values, and what SWF takes of each
LIMITS = {
    "input": limits.DATA,
    "result": limits.DATA,
    "details": limits.DATA,
    "control": limits.DATA,
    "reason": limits.REASON,
}
#: fields that a codec always encodes, and the decisions whose own are read where nothing can be fetched
_SEALED = ("input", "result")
_OPEN = (decisions.SignalExternalWorkflowExecution,)
_LISTED = (
    decisions.ScheduleActivityTask,
    decisions.StartChildWorkflowExecution,
    decisions.ContinueAsNewWorkflowExecution,
)


def overridden(decision: decisions.Decision, task_list: str | None) -> decisions.Decision:
    """Return the decision with its task list replaced, when there is one to replace it with."""
    if task_list is not None and isinstance(decision, _LISTED):
        return msgspec.structs.replace(decision, task_list=attributes.Name(name=task_list))
    return decision


def offloaded(decision: decisions.Decision, store: execute.Store) -> decisions.Decision:
    """Return the decision with pointers where its values are over SWF's limits. Raises ValueError without a store."""
    changed: dict[str, str] = {}
    for field, limit in LIMITS.items():
        text = getattr(decision, field, None)
        sealed = store.seals and field in _SEALED and not isinstance(decision, _OPEN)
        if isinstance(text, str) and (sealed or len(text) > limit):
            changed[field] = store.offload(text, field=f"{field} of {_name(decision)}", limit=limit)
    return msgspec.structs.replace(decision, **changed) if changed else decision


def ending(error: Exception) -> tuple[decisions.Decision, ...]:
    """Return the answer when the decisions cannot be sent, now or later: the execution fails, and says why."""
    failed = failures.of_exception(error)
    return (decisions.FailWorkflowExecution(reason=failed.reason, details=failed.details),)


def _name(decision: Any) -> str:
    for field in ("activity_id", "workflow_id", "marker_name", "signal_name"):
        name = getattr(decision, field, None)
        if name:
            return f"{type(decision).__name__} {name!r}"
    return type(decision).__name__
