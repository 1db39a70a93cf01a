"""Divergence: the history holds tasks that the program does not submit any more."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simpleflow.core import decisions

from . import activities, children, closing, contract, hooks, ledger, records, timers

if TYPE_CHECKING:
    from . import evaluation as evaluations

#: seconds between two looks at a diverged run, at most
LONGEST = 3600
_WIDTH = 58
_LINES = 40


def check(evaluation: evaluations.Evaluation) -> str | None:
    """Return the two-column diff when tasks of the history were not submitted again by a complete replay.

    An evaluation that observed something (a whole-history read) may rightly take another way.
    """
    if evaluation.observed or evaluation.gave_up or evaluation.refused_cancel:
        return None
    book = evaluation.ledger
    left = [
        *book.activities.unclaimed(),
        *book.children.unclaimed(),
        *book.timers.unclaimed(),
        *book.signals_out.unclaimed(),
    ]
    if not left:
        return None
    return diff(evaluation)


def answer(evaluation: evaluations.Evaluation, difference: str) -> tuple[contract.Decided, hooks.Outcome | None] | None:
    """Return the answer to a diverged run; None to go on in spite of it."""
    book = evaluation.ledger
    mode = getattr(evaluation.cls, "on_divergence", None) or ("warn" if book.activities.legacy_seen else "wait")
    if mode == "warn":
        evaluation.warned = difference
        evaluation.advise(
            f"the program and the history diverged; going on, as on_divergence='warn' says.\n{difference}"
        )
        return None
    if mode == "fail_workflow":
        outcome = evaluation.hooks.failing("the program and the history diverged", difference)
        return contract.Decided(decisions=(outcome.decision,), divergence=difference), outcome
    decided: tuple[decisions.Decision, ...] = ()
    if not book.diverged_open:
        delay = min(LONGEST, 1 << min(book.diverged_count, 20))
        decided = (decisions.StartTimer(timer_id=ledger.DIVERGED, start_to_fire_timeout=str(delay)),)
    first = difference.splitlines()[-1]
    said = closing.context(evaluation, diverged=first)
    return contract.Decided(decisions=decided, execution_context=said, divergence=difference), None


def diff(evaluation: evaluations.Evaluation) -> str:
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


def _line(kind: str, name: str, version: str, task_list: str, text: str) -> str:
    shown = text if len(text) <= 60 else text[:57] + "..."
    where = f" on {task_list}" if task_list else ""
    return f"{kind} {name} {version}{where} {shown}".rstrip()


def _history(evaluation: evaluations.Evaluation) -> Iterator[str]:
    for event in evaluation.task.events:
        said: Any = event.attributes
        match type(event).__name__:
            case "ActivityTaskScheduled":
                of = said.activity_type
                yield _line("activity", of.name, of.version, said.task_list.name, said.input or "")
            case "StartChildWorkflowExecutionInitiated":
                of = said.workflow_type
                yield _line("workflow", of.name, of.version, said.task_list.name, said.input or "")
            case "TimerStarted" if said.timer_id not in ledger.RESERVED_TIMERS:
                yield _line("timer", said.timer_id, "", "", said.start_to_fire_timeout)
            case "SignalExternalWorkflowExecutionInitiated":
                yield _line("signal", said.signal_name, "", said.workflow_id, said.input or "")


def _code(evaluation: evaluations.Evaluation) -> Iterator[str]:
    for call in evaluation.submitted or ():
        if isinstance(call, activities.ActivityCall | records.Record):
            declared = call.activity
            task_list = evaluation.task_list_of(declared) or ""
            text = call.said.input if isinstance(call, records.Record) else call.wire_input()
            yield _line("activity", call.name, str(declared.version), task_list, text)
        elif isinstance(call, children.ChildCall):
            yield _line("workflow", call.type_name, str(call.cls.version), call.task_list or "", call.wire_input())
        elif isinstance(call, timers.TimerCall):
            yield _line("timer", call.id, "", "", str(call.delay))
        else:
            yield _line("signal", call.name, "", call.workflow_id, call.text)
