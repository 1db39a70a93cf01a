"""What a program may ask and submit. The authors' modules call these; ``evaluation`` is a Workflow's ``executor``."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from simpleflow.core import attributes, decisions, errors, events, history, limits, manifests, text

from . import contract
from . import declared as declarations
from .history import identity, records
from .program import futures, run
from .tasks import activities, arguments, children, local_activities, markers, signals, tasks, timers

_Future, _FIRST, _PLAIN = futures.Future, records.FIRST, arguments.PLAIN
_COMPLETED = events.ActivityTaskCompleted

#: share of SWF's events at which a new run should go on
CONTINUE_AT = 0.8


def now(evaluation: run.Run) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(evaluation.timestamp_as_of(), datetime.UTC)


def history_length(evaluation: run.Run) -> int:
    return max(evaluation.started_as_of() - evaluation.given.copied.events, 0)


def should_continue_as_new(evaluation: run.Run) -> bool:
    return history_length(evaluation) >= limits.HISTORY_EVENTS * CONTINUE_AT


def cancel_requested(evaluation: run.Run) -> bool:
    return 0 < evaluation.book.cancel_requested_id <= evaluation.started_as_of()


def uuid4(evaluation: run.Run) -> uuid.UUID:
    evaluation.check_alive()
    return identity.Chance(evaluation.given.seed).uuid4(evaluation.branch)


def random(evaluation: run.Run) -> float:
    evaluation.check_alive()
    return identity.Chance(evaluation.given.seed).random(evaluation.branch)


def side_effect(evaluation: run.Run, identifier: str, function: Callable[[], Any]) -> Any:
    evaluation.check_alive()
    return markers.side_effect(evaluation, identifier, function)


def patched(evaluation: run.Run, identifier: str, *, deprecated: bool = False) -> bool:
    evaluation.check_alive()
    return markers.patched(evaluation, identifier, deprecated=deprecated)


def run_context(evaluation: run.Run) -> dict[str, Any]:
    started = evaluation.given.started
    parent = started.parent_workflow_execution
    return {
        "name": evaluation.facts.workflow_name,
        "version": evaluation.facts.workflow_version,
        "domain_name": evaluation.facts.domain,
        "workflow_id": evaluation.facts.workflow_id,
        "run_id": evaluation.facts.run_id,
        "tag_list": [tag for tag in started.tag_list or () if tag is not None],
        "continued_execution_run_id": started.continued_execution_run_id,
        "parent_workflow_id": parent.workflow_id if parent else None,
        "parent_run_id": parent.run_id if parent else None,
    }


def list_markers(evaluation: run.Run, all: bool) -> list[tuple[str, Any]]:
    """Return (name, details) of markers as far as the whole history says; the newest of each name, or all."""
    known = evaluation.book.markers
    known.watched = True
    evaluation.reads.observed = True
    shown = [(name, None if encoded is None else evaluation.value_of(encoded)) for name, encoded in known.shown]
    return shown if all else list(dict(shown).items())


def event_details(evaluation: run.Run, event_type: str, event_name: str) -> dict[str, Any] | None:
    """Return what the whole history says of the newest signal, marker or timer of a name."""
    book = evaluation.book
    if event_type not in ("signal", "marker", "timer"):
        raise ValueError(f"no details of {event_type!r}: ask for a signal, marker or timer")
    event_name = text.safe(event_name)
    evaluation.reads.observed = True
    if event_type == "signal":
        book.watched_signals[event_name] = None
        event = book.signals_last.get(event_name)
        if event is None:
            return None
        details = history.signal_details(event)
        sent = event.attributes.input
        details["input"] = None if sent is None else evaluation.value_of(sent)
        return details
    if event_type == "marker":
        book.markers.watched = True
        event = book.markers.last.get(event_name)
        if event is None:
            return None
        details = history.marker_details(event)
        details["details"] = None if details["details"] is None else evaluation.value_of(details["details"])
        return details
    book.timers.watch(event_name)
    last = book.timers.last.get(event_name)
    if last is None:
        return None
    return history.timer_details(*last)


# -- submissions


def activity(
    evaluation: run.Run,
    declared: declarations.Activity,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    priority: Any = tasks.UNSET,
    raises: bool | None = None,
    plain: bool = False,
) -> futures.Future[Any]:
    """Submit an activity; ``raises`` overrides what it declares, ``plain`` sends arguments without the envelope.

    Almost every task of a replay is one that the history shows completed at its first attempt, with plain arguments:
    it needs no call, for its record settles the future. That case is written out here, in one piece.
    """
    strand = evaluation.current
    if strand is None or evaluation.dead:
        evaluation.check_alive()
        assert strand is not None
    plan = evaluation.plans.get(id(declared))
    if plan is None:
        plan = activities.plan(evaluation, declared)
    raises = declared.raises_on_failure if raises is None else raises
    future: futures.Future[Any]
    if plan.hint is None:
        future = _Future(evaluation, None, raises)
    else:
        future = futures.Typed(evaluation, None, raises, plan.hint)
    if strand.scope is not None:
        strand.scope.note(future)
    if kwargs or plain or plan.special:
        return _general(evaluation, declared, plan, args, kwargs, future, priority, plain)
    for value in args:
        if type(value) not in _PLAIN:
            return _general(evaluation, declared, plan, args, kwargs, future, priority, plain)
    try:
        encoded = f'{{"args":{evaluation.encode(args)},"kwargs":{{}}}}'  # as arguments.envelope, without a dictionary
    except TypeError:  # no JSON: the general way says which argument
        return _general(evaluation, declared, plan, args, kwargs, future, priority, plain)
    if len(encoded) > activities.SURE:
        return _general(evaluation, declared, plan, args, kwargs, future, priority, plain)
    branch, register, row = strand.branch, plan.register, plan.register.row
    ordinals, ordinal = evaluation.ordinals, 0
    record: records.Record | None
    if (
        register.turn < len(row)
        and (following := row[register.turn]).attributes.input == encoded
        and following.name == plan.name
        and following.id[plan.beside :].isdecimal()
        and following.control.endswith(_FIRST)
        and following.control.startswith(branch.prefix)
    ):
        # The history's next one, and the first of its kind: an equal one before it would have asked for this one.
        register.turn += 1
        record = following
        record.branch = branch
        ordinals.later.append(record)
    else:
        ordinal = ordinals.next(branch, "activity", plan.name, encoded)
        record = register.claim(plan.name, branch.prefix, ordinal, encoded) if register.by_id else None
        if record is not None:
            record.branch = branch
            record.ordinal = ordinal
    if record is not None and record.outcome is _COMPLETED and record.scheduled == 1 and record.undelivered is None:
        record.call = future
        record.activity = declared
        future._source = record
        del register.by_id[record.id]
        if evaluation.submitted is not None:
            evaluation.submitted.append(record)
        return future
    ordinals.catch_up()
    call = _call(evaluation, declared, plan, future, priority)
    call.text = encoded
    call.ordinal = ordinal
    if evaluation.submitted is not None:
        evaluation.submitted.append(call)
    if record is None and register.by_id:
        record = call.find(encoded, None)
    if record is None:
        call.foreseen()
        call.since = evaluation.position
        if evaluation.scopes is None:
            evaluation.outbox.push(call)
        else:
            call.push()
    else:
        call.claimed(record)
    return future


def _call(
    evaluation: run.Run,
    declared: declarations.Activity,
    plan: activities.Plan,
    future: futures.Future[Any],
    priority: Any,
) -> activities.ActivityCall:
    call = activities.ActivityCall(evaluation, evaluation.next_seq(), plan.name, evaluation.branch, (future,))
    call.activity = declared
    call.cell = plan.cell
    call.priority = priority
    if plan.computed and priority is tasks.UNSET:
        call.priority = evaluation.declared("task_priority")
    future._source = call
    return call


def _general(
    evaluation: run.Run,
    declared: declarations.Activity,
    plan: activities.Plan,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    future: futures.Future[Any],
    priority: Any,
    plain: bool,
) -> futures.Future[Any]:
    call = _call(evaluation, declared, plan, future, priority)
    if plan.special:
        call.identified = True
        call.arguments = (args, kwargs)
    call.plain = plain
    taken: futures.Future[Any] = call.take(args, kwargs)
    return taken


def child(
    evaluation: run.Run,
    cls: declarations.WorkflowClass,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    task_list: str | None = None,
    priority: Any = tasks.UNSET,
    raises: bool | None = None,
) -> futures.Future[Any]:
    """Start a child workflow."""
    evaluation.check_alive()
    declarations.check_workflow(cls)
    assert evaluation.current is not None
    declared = bool(getattr(cls, "raises_on_failure", True))
    hint = evaluation.payloads.result_hint(cls.run)
    future: futures.Future[Any] = futures.made(evaluation, None, declared if raises is None else raises, hint)
    call = children.ChildCall(evaluation, evaluation.next_seq(), cls.name, evaluation.current.branch, (future,))
    future._source = call
    if evaluation.current.scope is not None:
        evaluation.current.scope.note(future)
    call.cls = cls
    call.type_name = f"{cls.__module__}.{cls.__qualname__}"
    call.priority = priority
    call.task_list = task_list
    call.arguments = (args, kwargs)
    evaluation.calls.children[call.seq] = call
    return call.take(args, kwargs)


def local_activity(
    evaluation: run.Run, declared: declarations.Activity, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> futures.Future[Any]:
    """Run an activity beside the decider, without a task of its own."""
    evaluation.check_alive()
    return local_activities.LocalCall(evaluation, declared, args, kwargs).future


def timer(evaluation: run.Run, timer_id: str, timeout: Any, control: Any = None) -> futures.Future[Any]:
    """Start a timer; ``timeout`` in seconds. ``control`` is kept in the history as JSON."""
    evaluation.check_alive()
    timer_id = run.check_name("the id of a timer", timer_id)
    sent = None if control is None else evaluation.payloads.encode(control)
    future = timers.TimerCall(evaluation, timer_id, timeout, sent).future
    if evaluation.current is not None and evaluation.current.scope is not None:
        evaluation.current.scope.note(future)
    return future


def cancel_timer(evaluation: run.Run, timer_id: str) -> futures.Future[Any]:
    evaluation.check_alive()
    return timers.cancel(evaluation, text.safe(timer_id))


def wait_signal(evaluation: run.Run, name: str, timeout: Any = None) -> signals.SignalFuture:
    evaluation.check_alive()
    name = run.check_name("the name of a signal", name)
    future: signals.SignalFuture = evaluation.signals.wait(name, evaluation.branch, timeout)
    return future


def signal(
    evaluation: run.Run,
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    workflow_id: str | None = None,
    run_id: str | None = None,
    propagate: bool = True,
) -> futures.Future[Any]:
    """Signal an execution; without an id this one."""
    evaluation.check_alive()
    name = run.check_name("the name of a signal", name)
    if workflow_id is None:
        workflow_id, run_id = evaluation.facts.workflow_id, evaluation.facts.run_id
    else:
        workflow_id = run.check_name("the workflow id of a signal", workflow_id)
        run_id = None if run_id is None else text.safe(run_id)
    envelope = {"args": list(args), "kwargs": dict(kwargs), "__propagate": propagate}
    encoded = evaluation.payloads.encode(envelope)
    return signals.SignalCall(evaluation, name, workflow_id, run_id, encoded, evaluation.branch).future


def marker(evaluation: run.Run, name: str, details: Any = None) -> futures.Future[Any]:
    """Record a marker once per (name, details)."""
    evaluation.check_alive()
    name = run.check_name("the name of a marker", name)
    encoded = None if details is None else evaluation.payloads.encode(details)
    return markers.record(evaluation, name, encoded)


def continue_as_new(evaluation: run.Run, args: Sequence[Any], kwargs: Mapping[str, Any]) -> futures.Future[Any]:
    """Close this run and go on in a new one with these arguments; never returns."""
    evaluation.check_alive()
    started = evaluation.given.started
    # What a resumed run takes over is its own: the next run begins anew.
    extra = {key: value for key, value in evaluation.given.extra.items() if key != manifests.PREVIOUS}
    encoded = evaluation.payloads.encode(
        {"args": list(args), "kwargs": dict(kwargs), **({"__extra": extra} if extra else {})}
    )
    evaluation.check_length("input", encoded, 32_768, f"workflow {evaluation.facts.workflow_name}")
    tags = [tag for tag in started.tag_list or () if tag is not None]
    decision = decisions.ContinueAsNewWorkflowExecution(
        input=encoded,
        execution_start_to_close_timeout=started.execution_start_to_close_timeout,
        task_list=attributes.Name(name=started.task_list.name),
        task_priority=started.task_priority,
        task_start_to_close_timeout=started.task_start_to_close_timeout,
        child_policy=started.child_policy,
        tag_list=tuple(tags) or None,
        workflow_type_version=evaluation.facts.workflow_version,
    )
    evaluation.end(contract.Outcome(status="continued_as_new", decision=decision))
    raise errors.Misuse("the run was continued as new")  # never reached: the strand does not come back


def fail(evaluation: run.Run, reason: str, details: Any = None) -> None:
    """Fail the workflow; never returns."""
    evaluation.check_alive()
    reason_text = f"Workflow execution failed: {text.safe(reason)}"
    outcome = evaluation.hooks.failing(reason_text, _details(evaluation, details))
    evaluation.end(msgspec.structs.replace(outcome, given=(reason, details)))


def _details(evaluation: run.Run, details: Any) -> str | None:
    if details is None or isinstance(details, str):
        return details
    try:
        encoded: str = evaluation.payloads.encode(details)
        return encoded
    except TypeError:  # the failure is what counts
        return text.safe(details)


def cancel_workflow(evaluation: run.Run) -> None:
    """Close the execution as CANCELED, after asking for the cancellation of everything that is open; never returns."""
    evaluation.check_alive()
    cancel_everything(evaluation)
    evaluation.end(evaluation.hooks.canceled())


def cancel_everything(evaluation: run.Run) -> None:
    """Ask for the cancellation of every open task, child and timer."""
    for register in (evaluation.book.activities, evaluation.book.children):
        for record in list(register.by_id.values()):
            call = record.call
            if call is not None and not call.done:
                for future in list(call.holders):
                    if future._kind == futures.OPEN:
                        call.cancel(future)
    for timer in list(evaluation.calls.timers.values()):
        timer.cancel(timer.future)
    evaluation.outbox.drop_tasks()
