"""What a program asks about itself: positional reads, whole-history reads, chance."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simpleflow.core import history, limits, text

from . import identity, markers

if TYPE_CHECKING:
    from . import evaluation as evaluations

#: share of SWF's events at which a new run should go on
CONTINUE_AT = 0.8
_CONTEXT = (
    "name",
    "version",
    "domain_name",
    "workflow_id",
    "run_id",
    "tag_list",
    "continued_execution_run_id",
    "parent_workflow_id",
    "parent_run_id",
)


def now(evaluation: evaluations.Evaluation) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(evaluation.timestamp_as_of(), datetime.UTC)


def history_length(evaluation: evaluations.Evaluation) -> int:
    return evaluation.started_as_of()


def should_continue_as_new(evaluation: evaluations.Evaluation) -> bool:
    return history_length(evaluation) >= limits.HISTORY_EVENTS * CONTINUE_AT


def cancel_requested(evaluation: evaluations.Evaluation) -> bool:
    return 0 < evaluation.ledger.cancel_requested_id <= evaluation.started_as_of()


def uuid4(evaluation: evaluations.Evaluation) -> uuid.UUID:
    evaluation.check_alive()
    return identity.Chance(evaluation.seed).uuid4(evaluation.branch)


def random(evaluation: evaluations.Evaluation) -> float:
    evaluation.check_alive()
    return identity.Chance(evaluation.seed).random(evaluation.branch)


def side_effect(evaluation: evaluations.Evaluation, identifier: str, function: Callable[[], Any]) -> Any:
    evaluation.check_alive()
    return markers.side_effect(evaluation, identifier, function)


def patched(evaluation: evaluations.Evaluation, identifier: str, *, deprecated: bool = False) -> bool:
    evaluation.check_alive()
    return markers.patched(evaluation, identifier, deprecated=deprecated)


def run_context(evaluation: evaluations.Evaluation) -> dict[str, Any]:
    if not hasattr(evaluation, "ledger"):  # a local executor, outside an evaluation
        said = dict.fromkeys(_CONTEXT)
        return {**said, "workflow_id": evaluation.workflow_id, "run_id": evaluation.run_id, "tag_list": []}
    started = evaluation.started
    parent = started.parent_workflow_execution
    return {
        "name": evaluation.workflow_name,
        "version": evaluation.workflow_version,
        "domain_name": evaluation.domain,
        "workflow_id": evaluation.workflow_id,
        "run_id": evaluation.run_id,
        "tag_list": [tag for tag in started.tag_list or () if tag is not None],
        "continued_execution_run_id": started.continued_execution_run_id,
        "parent_workflow_id": parent.workflow_id if parent else None,
        "parent_run_id": parent.run_id if parent else None,
    }


def list_markers(evaluation: evaluations.Evaluation, all: bool) -> list[tuple[str, Any]]:
    """Return (name, details) of markers as far as the whole history says; the newest of each name, or all."""
    book = evaluation.ledger.markers
    book.watched = True
    evaluation.observed = True
    shown = [(name, None if said is None else evaluation.value_of(said)) for name, said in book.shown]
    return shown if all else list(dict(shown).items())


def event_details(evaluation: evaluations.Evaluation, event_type: str, event_name: str) -> dict[str, Any] | None:
    """Return what the whole history says of the newest signal, marker or timer of a name."""
    book = evaluation.ledger
    if event_type not in ("signal", "marker", "timer"):
        raise ValueError(f"no details of {event_type!r}: ask for a signal, marker or timer")
    event_name = text.safe(event_name)
    evaluation.observed = True
    if event_type == "signal":
        book.watched_signals[event_name] = None
        event = book.signals_last.get(event_name)
        if event is None:
            return None
        said = history.signal_details(event)
        said["input"] = None if said["input"] is None else evaluation.value_of(said["input"])
        return said
    if event_type == "marker":
        book.markers.watched = True
        event = book.markers.last.get(event_name)
        if event is None:
            return None
        said = history.marker_details(event)
        said["details"] = None if said["details"] is None else evaluation.value_of(said["details"])
        return said
    book.timers.watch(event_name)
    last = book.timers.last.get(event_name)
    if last is None:
        return None
    said = history.timer_details(*last)
    if said.get("control") is not None:
        said["control"] = evaluation.value_of(said["control"])
    return said
