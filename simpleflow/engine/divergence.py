"""Divergence: the history holds tasks that the program does not submit any more."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from .history import fold, records
from .program import run
from .tasks import activities, children, timers

_WIDTH = 58
_LINES = 40


def check(evaluation: run.Run) -> str | None:
    """Return the two-column diff when tasks of the history were not submitted again by a complete replay.

    An evaluation that observed something (a whole-history read) may rightly take another way.
    """
    if evaluation.reads.observed or evaluation.reads.gave_up or evaluation.book.on_cancel.refused:
        return None
    book = evaluation.book
    unclaimed = itertools.chain(
        book.activities.unclaimed(), book.children.unclaimed(), book.timers.unclaimed(), book.signals_out.unclaimed()
    )
    # What a resumed run takes over is there to be used: code that was mended since may not need it.
    taken = _taken(evaluation)
    if all(0 < record.open_id <= taken for record in unclaimed):
        return None
    return diff(evaluation)


def diff(evaluation: run.Run) -> str:
    """Return history against code in two columns, from the first difference on."""
    history, code = list(_history(evaluation)), list(_code(evaluation))
    start = 0
    while start < min(len(history), len(code)) and history[start] == code[start]:
        start += 1
    lines = [f"{'history':<{_WIDTH}} | code"]
    rows = list(itertools.zip_longest(history[start:], code[start:], fillvalue=""))
    for left, right in rows[:_LINES]:
        mark = " " if left == right else "!"
        lines.append(f"{left[: _WIDTH - 1]:<{_WIDTH}}{mark}| {right}")
    if len(rows) > _LINES:
        lines.append(f"... {len(rows) - _LINES} more")
    left, right = rows[0] if rows else ("", "")
    lines.append(f"first difference: history has {left or 'nothing'}; the code submits {right or 'nothing'}")
    return "\n".join(lines)


def _taken(evaluation: run.Run) -> int:
    """Return the id of the last event that the run takes over; 0: none."""
    count = evaluation.given.copied.events
    return count + 1 if count else 0


def _line(kind: str, name: str, version: str, task_list: str, text: str) -> str:
    shown = text if len(text) <= 60 else text[:57] + "..."
    where = f" on {task_list}" if task_list else ""
    return f"{kind} {name} {version}{where} {shown}".rstrip()


def _history(evaluation: run.Run) -> Iterator[str]:
    for event in evaluation.task.events:
        if event.id <= _taken(evaluation):
            continue
        fields: Any = event.attributes
        match type(event).__name__:
            case "ActivityTaskScheduled":
                of = fields.activity_type
                yield _line("activity", of.name, of.version, fields.task_list.name, fields.input or "")
            case "StartChildWorkflowExecutionInitiated":
                of = fields.workflow_type
                yield _line("workflow", of.name, of.version, fields.task_list.name, fields.input or "")
            case "TimerStarted" if fields.timer_id not in fold.RESERVED_TIMERS:
                yield _line("timer", fields.timer_id, "", "", fields.start_to_fire_timeout)
            case "SignalExternalWorkflowExecutionInitiated":
                yield _line("signal", fields.signal_name, "", fields.workflow_id, fields.input or "")


def _code(evaluation: run.Run) -> Iterator[str]:
    for call in evaluation.submitted or ():
        if isinstance(call, activities.ActivityCall | records.Record):
            declared = call.activity
            task_list = declared.task_list or ""
            text = call.attributes.input if isinstance(call, records.Record) else call.wire_input()
            yield _line("activity", call.name, str(declared.version), task_list, text)
        elif isinstance(call, children.ChildCall):
            yield _line("workflow", call.type_name, str(call.cls.version), call.task_list or "", call.wire_input())
        elif isinstance(call, timers.TimerCall):
            yield _line("timer", call.id, "", "", str(call.delay))
        else:
            yield _line("signal", call.name, "", call.workflow_id, call.text)
