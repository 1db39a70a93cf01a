"""The end of a decision: limits, divergence, closing decisions, execution context, demand."""

from __future__ import annotations

from typing import Any

import msgspec

from simpleflow.core import limits

from . import contract, declined, divergence
from .history import fold, records
from .program import futures, run, strands
from .tasks import arguments, outbox, tasks

#: names in the execution context, at most
SHOWN = 20
#: share of the events of a history at which its length is warned of
WARN_AT = 0.8


def decide(
    evaluation: run.Run, bounds: outbox.Bounds, *, complete: bool
) -> tuple[contract.Decided, contract.Outcome | None]:
    """Return the answer, and how the execution ends by it if it does. ``complete``: the whole history was replayed."""
    book = evaluation.book
    if complete:
        difference = divergence.check(evaluation)
        if difference is not None:
            verdict = _diverged(evaluation, difference)
            if verdict is not None:
                return verdict
    outcome = evaluation.outcome
    if outcome is None and not evaluation.book.arrived and evaluation.book.on_cancel.refused and complete:
        evaluation.book.on_cancel.ask()
        outcome = evaluation.outcome
    if evaluation.hooks.has("after_replay"):
        ended = evaluation.hooks.notify("after_replay", evaluation.hooks.history())
        if ended is not None:
            outcome = evaluation.outcome = evaluation.hooks.failed(ended)
    if outcome is not None:
        evaluation.hooks.need_history(outcome)
        _forget_refused(evaluation)
        outcome = evaluation.hooks.before_close(outcome)
        if outcome.by_request:
            evaluation.scopes.close()
    if outcome is not None and outcome.alone:
        batch = outbox.Batch()
    else:
        batch = evaluation.outbox.take(book, bounds, closing=outcome is not None, most=_most(evaluation))
    decided = batch.decisions
    if outcome is not None and not batch.wake_up:
        _warn_of_abandoned(evaluation)
        decided.append(outcome.decision)
        closed: contract.Outcome | None = outcome
    else:
        closed = None
        if not book.wake_up_open:
            if book.throttle.waiting and len(evaluation.outbox):
                decided.append(outbox.wake_up(book.throttle.delay))
            elif batch.wake_up or evaluation.calls.local:
                decided.append(outbox.wake_up())
        _report(evaluation, batch)
    answer = contract.Decided(
        decisions=tuple(decided),
        types=tuple(batch.types),
        execution_context=_blanked(evaluation) if closed is not None else context(evaluation),
        demand=evaluation.demand.rows() if outcome is None else (),
        diagnostics=tuple(evaluation.notes.sentences),
        warned=evaluation.notes.warned,
    )
    evaluation.notes.sentences, evaluation.notes.warned = [], None
    return answer, closed


def _diverged(evaluation: run.Run, difference: str) -> tuple[contract.Decided, contract.Outcome | None] | None:
    """Return the answer to a diverged run; None to go on in spite of it."""
    book = evaluation.book
    mode = getattr(evaluation.facts.cls, "on_divergence", None) or ("warn" if book.activities.legacy_seen else "wait")
    if mode == "warn":
        evaluation.notes.warned = difference
        evaluation.notes.advise(
            f"the program and the history diverged; going on, as on_divergence='warn' says.\n{difference}"
        )
        return None
    if mode == "fail_workflow":
        outcome = evaluation.hooks.failing("the program and the history diverged", difference)
        return contract.Decided(decisions=(outcome.decision,), divergence=difference), outcome
    decided = () if book.diverged_open else (declined.timer(book.diverged_count),)
    first = difference.splitlines()[-1]
    shown = context(evaluation, diverged=first)
    return contract.Decided(decisions=decided, execution_context=shown, divergence=difference), None


def _forget_refused(evaluation: run.Run) -> None:
    """Do not send refused tasks again with the close, if their refusals came too late to reach the program."""
    ended = evaluation.position
    for record, event in evaluation.book.arrived:
        if type(event) in records.REFUSALS:
            evaluation.position = event.id
            if record.call is None and record.finder is not None:
                record.finder(record)
            if isinstance(record.call, tasks.TaskCall):
                record.call.done = True
    evaluation.position = ended


def result_text(evaluation: run.Run, value: Any) -> str:
    """Encode what ``run()`` returned; futures in it stand for their results, which are waited for."""
    found: list[futures.Future[Any]] = []
    try:
        text = evaluation.payloads.encode(arguments.find(value, found))
    except TypeError as error:
        raise TypeError(f"the result of {evaluation.facts.workflow_name} cannot be serialised: {error}") from error
    if found:
        waiting = tuple(future for future in found if future._kind == futures.OPEN)
        if waiting:
            strands.block(evaluation, waiting, len(waiting))
        texts = []
        for future in found:
            if future._kind in (futures.FAILED, futures.CANCELED):
                future._outcome()
            texts.append(future._slot())
        text = arguments.Template(text, len(found), evaluation.payloads).fill(texts)
    evaluation.check_length("result", text, limits.DATA, f"workflow {evaluation.facts.workflow_name}")
    return text


def _warn_of_abandoned(evaluation: run.Run) -> None:
    """Log what a finished run leaves behind."""
    if evaluation.outcome is None or evaluation.outcome.status != "completed":
        return
    left: list[Any] = [
        record.call
        for register in (evaluation.book.activities, evaluation.book.children)
        for record in register.by_id.values()
        if record.call is not None and not record.call.done and record.call.holders
    ]
    left += evaluation.outbox.tasks()
    seen = {id(call) for call in left}
    for call in left:  # it grows: what waits for these in its arguments
        for other in _dependent(call):
            if id(other) not in seen:
                seen.add(id(other))
                left.append(other)
    if left:
        names = [call.id or call.name for call in left[:10]]
        shown = ", ".join(names) + (f" and {len(left) - 10} more" if len(left) > 10 else "")
        evaluation.notes.sentences.append(f"run() returned and abandons {len(left)} unfinished: {shown}")


def _dependent(call: Any) -> list[tasks.TaskCall]:
    """Return the tasks that have futures of this one among their arguments."""
    found: list[Any] = []
    for future in call.holders:
        callbacks = future._callbacks
        for callback in callbacks if type(callbacks) is list else [callbacks]:
            found.append(getattr(callback, "__self__", None))
    return [other for other in found if isinstance(other, tasks.TaskCall) and not other.done]


def _most(evaluation: run.Run) -> int:
    cls = evaluation.facts.cls
    for name in ("max_open_activities", "max_open_activity_count"):
        if getattr(cls, name, None) is not None:  # most classes declare neither, at each decision
            found = evaluation.declared(name)
            if found:
                return int(found)
    return 0


def _report(evaluation: run.Run, batch: outbox.Batch) -> None:
    book = evaluation.book
    events = book.last_id - evaluation.given.copied.events
    if events > limits.HISTORY_EVENTS * WARN_AT:
        evaluation.notes.advise(
            f"the history holds more than {WARN_AT:.0%} of {limits.HISTORY_EVENTS} events: SWF terminates the "
            "execution there; continue as new when self.should_continue_as_new says so"
        )
    if batch.decisions or book.activities.open or book.children.open or book.timers.open:
        return
    if evaluation.signals.is_empty() and not book.wake_up_open and not len(evaluation.outbox):
        evaluation.notes.advise(
            "the workflow is blocked and nothing of it is open, no task, child, timer or wait for a signal: only a "
            "signal or a cancel request will ever wake it"
        )


def context(evaluation: run.Run, **more: Any) -> str | None:
    """Return the execution context when it changed; blank when there is nothing to say any more."""
    shown: dict[str, Any] = dict(more)
    waiting = evaluation.signals.waiting()
    if waiting:
        shown["waiting_signals"] = waiting[:SHOWN]
    blocked = blocked_on(evaluation)
    if blocked:
        shown["blocked_on"] = blocked
    text = msgspec.json.encode(shown, order="sorted").decode() if shown else ""
    book: fold.Book = evaluation.book
    if text == (book.last_context or ""):
        return None
    book.last_context = text
    return text


def _blanked(evaluation: run.Run) -> str | None:
    """Return the execution context of a run that closes: '' clears the last one, None leaves it unset."""
    return "" if evaluation.book.last_context else None


def blocked_on(evaluation: run.Run) -> list[str]:
    """Return ids of the tasks that strands wait for."""
    found: dict[str, None] = {}
    for strand in evaluation.strands:
        if strand.wait is None:
            continue
        for future in strand.wait.open(SHOWN - len(found)):
            name = getattr(future._source, "id", "")
            if name:
                found[name] = None
        if len(found) >= SHOWN:
            break
    return list(found)
