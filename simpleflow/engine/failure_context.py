"""``on_task_failure``: what the hook is told of a failure, and what it may decide."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from enum import Enum
from typing import Any

from simpleflow.core import errors, event_views, history, numbers

from . import hooks
from .history import identity
from .program import futures, run, strands
from .tasks import tasks


class Decision(Enum):
    """What becomes of a failed task."""

    none = 0
    abort = 1
    ignore = 2
    retry_now = 3
    retry_later = 4
    cancel = 5
    handled = 6


class TaskFailureContext:
    """One failure of one task. The hook calls at most one ``decide_...``; none leaves it to the task's own retry.

    ``Decision`` has the values of ``decision``: none, abort, ignore, retry_now, retry_later, cancel, handled.
    """

    Decision = Decision

    def __init__(
        self,
        a_task: Any,
        event: Any,
        future: futures.Future[Any] | None,
        exception_class: type[BaseException],
        history: Any = None,
    ) -> None:
        self.a_task = a_task
        #: what the history says of the task, as an entry of ``History.activities``
        self.event = event
        self.future = future
        self.exception_class = exception_class
        self.history = history
        self.decision = Decision.none
        #: seconds before a ``retry_later``
        self.retry_wait_timeout: float | None = None
        #: the exception that stands for the failure
        self.exception: BaseException | None = None
        #: attempts so far beyond the first
        self.retry_count = 0
        #: DecisionTaskStarted of the decision that sees the failure, DecisionTaskCompleted before it; 0: none
        self.current_started_decision_id = 0
        self.last_completed_decision_id = 0

    @property
    def id(self) -> int | None:
        """Id of the event that scheduled the attempt which failed."""
        return history.History.get_event_id(self.event)

    @property
    def attempt_number(self) -> int:
        """1 for the first attempt."""
        return self.retry_count + 1

    @property
    def task_name(self) -> str | None:
        """Name of the task."""
        name = getattr(self.payload if self.payload is not None else self.a_task, "name", None)
        return name if name is None else str(name)

    @property
    def payload(self) -> Any:
        """The activity, or the Workflow class."""
        return getattr(self.a_task, "payload", None)

    @property
    def reason(self) -> str | None:
        """What the worker said; of a timeout or termination its text."""
        if isinstance(self.exception, errors.TaskFailed):
            return self.exception.reason
        return None if self.exception is None else str(self.exception)

    @property
    def details(self) -> Any:
        """The worker's details: of JSON its value."""
        found = getattr(self.exception, "details", None)
        return event_views.parsed(found) if isinstance(found, str) else found

    def _detail(self, key: str) -> str | None:
        details = self.details
        value = details.get(key) if isinstance(details, dict) else None
        return None if value is None else str(value)

    @property
    def task_error(self) -> str | None:
        """Name of the exception in the worker."""
        return self._detail("error")

    @property
    def task_error_type(self) -> type[BaseException] | None:
        """Class of the exception in the worker, where it can be imported here."""
        found = _imported(self._detail("error_type") or "")
        return found if isinstance(found, type) else None

    @property
    def task_message(self) -> str | None:
        """Text of the exception, as the worker tells it."""
        return self._detail("message")

    def decide_abort(self) -> TaskFailureContext:
        """Fail the task, whatever retries it has left."""
        self.decision = Decision.abort
        return self

    def decide_ignore(self) -> TaskFailureContext:
        """Finish the task with the result None."""
        self.decision = Decision.ignore
        return self

    def decide_cancel(self) -> TaskFailureContext:
        """Settle the task as cancelled."""
        self.decision = Decision.cancel
        return self

    def decide_retry(self, retry_wait_timeout: numbers.Duration = 0) -> TaskFailureContext:
        """Schedule it again, at once or after so many seconds, or a timedelta."""
        wait = numbers.delay("retry_wait_timeout of decide_retry()", retry_wait_timeout)
        self.decision = Decision.retry_later if wait > 0 else Decision.retry_now
        self.retry_wait_timeout = wait
        return self

    def decide_handled(self, a_task: Any, future: futures.Future[Any] | None = None) -> TaskFailureContext:
        """Let another task, or its future, take the place of this one."""
        self.a_task = a_task
        self.future = future
        self.decision = Decision.handled
        return self

    def __repr__(self) -> str:
        what = f"{self.event.get('id')} attempt {self.attempt_number}"
        return f"<TaskFailureContext {what}: {self.exception!r}, {self.decision.name}>"


#: kind of a task -> makes the object that stands for it in the hook, of what was submitted and its arguments; the
#: module with the classes of tasks sets it
SHOWN: dict[str, Callable[..., Any]] = {}


def _arguments(call: tasks.TaskCall) -> tuple[list[Any], dict[str, Any]]:
    parsed = event_views.parsed(call.text)
    if isinstance(parsed, dict) and parsed.keys() == {"args", "kwargs"}:
        return parsed["args"], parsed["kwargs"]
    return (parsed, {}) if isinstance(parsed, list) else ([], parsed if isinstance(parsed, dict) else {})


def _shown(call: tasks.TaskCall) -> Any:
    """Return the failed task as the hook sees it: its arguments may be changed for the next attempt."""
    payload = getattr(call, "activity", None) or getattr(call, "cls", None)
    args, kwargs = _arguments(call)
    made = SHOWN[call.kind](payload, args, kwargs)
    made.id, made.payload = call.id, payload
    return made


def _take_arguments(call: tasks.TaskCall, shown: Any) -> None:
    """Have the next attempt made with the arguments that the hook left in the task."""
    args, kwargs = list(getattr(shown, "args", ())), dict(getattr(shown, "kwargs", {}))
    if (args, kwargs) != _arguments(call):
        call.text = call.encode(args, kwargs)


def _imported(name: str) -> Any:
    """Return what a dotted name stands for, of a name alone the builtin; None when nothing is found."""
    module, _, rest = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module or "builtins"), rest, None)
    except Exception:  # what a module raises when it is imported
        return None


def _entry(call: Any, event: Any) -> dict[str, Any]:
    """Return what the history says of a task whose attempt failed, in the shape of ``History.activities``."""
    fields, shown = event.attributes, event_views.of(event)
    state = shown.state
    is_activity = call.kind == "activity"
    kind = fields.activity_type if hasattr(fields, "activity_type") else getattr(fields, "workflow_type", None)
    entry = {
        "type": "activity" if is_activity else "child_workflow",
        "id": call.id,
        "name": call.history_name if kind is None else kind.name,
        "state": state,
        "input": event_views.parsed(call.wire_input()),
        "scheduled_id" if is_activity else "initiated_event_id": shown.get("scheduled_event_id")
        or shown.get("initiated_event_id"),
        "started_id": shown.get("started_event_id"),
        f"{state}_id": event.id,
        f"{state}_timestamp": shown.timestamp,
        "retry": call.attempts - 1,
    }
    if state == "timed_out":
        seconds, _ = call.declared_timeout.get(fields.timeout_type, (None, ""))
        entry |= {"timeout_type": fields.timeout_type, "timeout_value": None if seconds is None else str(seconds)}
    else:
        entry |= {"reason": shown.get("reason"), "details": shown.get("details")}
    return entry


def handle(owner: hooks.Hooks, call: Any, event: Any, error: BaseException) -> None:
    """Ask the hook, and do what it decides. Once per failure, as of the failure's event."""
    evaluation = call.evaluation
    seen = owner.history()
    context = TaskFailureContext(_shown(call), _entry(call, event), call.holders[0], type(error), seen)
    context.exception = error
    context.retry_count = call.attempts - 1
    context.current_started_decision_id = evaluation.started_as_of()
    context.last_completed_decision_id = evaluation.book.decisions.last_completed(evaluation.position)
    branch = f"hook(on_task_failure,{call.id},{call.attempts})"
    try:
        returned = owner.call("on_task_failure", context, branch=branch, origin=call.seq)
        if isinstance(returned, TaskFailureContext):
            context = returned
        _apply(call, error, context, branch)
    except (Exception, SystemExit) as raised:
        evaluation.outcome = owner.failed(raised)


def _apply(call: Any, error: BaseException, context: TaskFailureContext, branch: str) -> None:
    match context.decision:
        case Decision.none:
            call.apply_policy(error)
        case Decision.abort:
            call._finish_failed(error)
        case Decision.ignore:
            call.completed(None)
        case Decision.cancel:
            call._close_record()
            for future in call.holders:
                future._cancel()
        case Decision.retry_now:
            call.failed += 1
            _take_arguments(call, context.a_task)
            call.again()
        case Decision.retry_later:
            call.failed += 1
            _take_arguments(call, context.a_task)
            call.again(context.retry_wait_timeout or 0)
        case Decision.handled:
            _replace(call.evaluation, call, context, branch)


def _replace(evaluation: run.Run, call: Any, context: TaskFailureContext, branch: str) -> None:
    other = context.future
    if other is None or other in call.holders:
        if not hasattr(context.a_task, "submit_to"):
            raise errors.Misuse("decide_handled() takes a task that can be submitted, or the future of one")
        before = evaluation.current
        strand = strands.HookStrand(evaluation, identity.Branch(branch), tuple, None)
        strand.barred = evaluation.scopes is not None and evaluation.scopes.bars(call.seq)
        evaluation.current = strand
        try:
            other = context.a_task.submit_to(evaluation)
        finally:
            evaluation.current = before
    call._close_record()
    source: futures.Future[Any] = other

    def settled() -> None:
        for future in call.holders:
            future._settle_as(source)

    source._subscribe(settled)
