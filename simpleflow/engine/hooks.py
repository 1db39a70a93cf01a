"""The hooks of a Workflow class, and how an evaluation ends."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import greenlet  # type: ignore[import-untyped]  # it ships no types
import msgspec

from simpleflow.core import decisions, errors, event_views, events, history, interrupts, limits, text

from . import contract
from .history import identity
from .program import run, strands

_HOOKS = (
    "before_replay",
    "after_replay",
    "after_closed",
    "on_failure",
    "on_completed",
    "on_canceled",
    "should_cancel",
    "on_task_failure",
)
#: a class that overrides one of these is re-run at each decision, unless it says ``resumable = True``
_EACH_TIME = ("before_replay", "after_replay", "should_cancel")


class HookEnded(errors.Misuse):
    """A hook raised what would end the decider's process, again at each decision of the run: the run ends instead."""


class LazyHistory(history.History):
    """The history as hooks get it: asked for only when one reads it."""

    def __init__(self, new: tuple[events.Event, ...], decode: Callable[[str], Any] = event_views.parsed) -> None:
        super().__init__(new, decode=decode)
        self._whole = bool(new) and new[0].id == 1

    def need(self) -> None:
        """Have the whole history brought, unless it is here."""
        if not self._whole:
            raise contract.NeedHistory

    def _events(self) -> Iterable[Any]:
        self.need()
        return super()._events()


def default(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a hook of the base class: one that does nothing is never called."""
    function.is_default = True  # type: ignore[attr-defined]  # functions take attributes
    return function


def overridden(cls: type, name: str) -> bool:
    hook = getattr(cls, name, None)
    return hook is not None and not getattr(hook, "is_default", False)


@functools.cache
def hooks_of(cls: type) -> frozenset[str]:
    """Return the hooks that a class overrides."""
    return frozenset(name for name in _HOOKS if overridden(cls, name))


@functools.cache
def reruns(cls: type) -> bool:
    """Whether the class must see each decision from its start."""
    return not getattr(cls, "resumable", False) and any(overridden(cls, name) for name in _EACH_TIME)


class Hooks:
    """Calls the hooks that a class overrides, each at its moment."""

    def __init__(self, evaluation: run.Run) -> None:
        self._evaluation = evaluation
        self._has = hooks_of(evaluation.facts.cls)
        self.handles_failures = "on_task_failure" in self._has

    def history(self) -> LazyHistory:
        return LazyHistory(self._evaluation.task.events, self._parsed)

    def _parsed(self, given: str) -> Any:
        """Return the value of an input as a hook reads it; a hook does not wait for a blob, and gets its pointer."""
        return event_views.parsed(self._evaluation.blobs.texts.get(given, given))

    def need_history(self, outcome: contract.Outcome) -> None:
        """Have the whole history brought before the first hook of a close is called: none of them is called twice."""
        before = {"failed": "on_failure", "canceled": "on_canceled", "completed": "on_completed"}
        if "after_closed" in self._has or before.get(outcome.status) in self._has:
            self.history().need()

    def call(self, name: str, *args: Any, branch: str = "", origin: int = -1) -> Any:
        """Call a hook if the class overrides it. What it raises comes out, as HookEnded what ends processes."""
        if name not in self._has:
            return None
        evaluation = self._evaluation
        if evaluation.instance is None:
            return None
        step = identity.Branch(branch or f"hook({name},,0)")
        strand = strands.HookStrand(evaluation, step, _nothing, None)
        strand.barred = evaluation.scopes is not None and evaluation.scopes.bars(origin)
        before, evaluation.current = evaluation.current, strand
        try:
            return getattr(evaluation.instance, name)(*args)
        except (Exception, contract.NeedHistory, contract.NeedBlob):
            raise
        except BaseException as error:
            if interrupts.from_outside(error) or (evaluation.dead and text.is_a(error, greenlet.GreenletExit)):
                raise
            raise HookEnded(
                f"{name}() raised {text.of_error(error)}: a hook may not end its process; return, or raise an Exception"
            ) from error
        finally:
            evaluation.current = before

    def has(self, name: str) -> bool:
        return name in self._has

    def notify(self, name: str, *args: Any) -> HookEnded | None:
        """Call a hook that decides nothing; an Exception is logged, what ends the run is returned."""
        try:
            self.call(name, *args)
        except HookEnded as ended:
            return ended
        except Exception as error:
            self._evaluation.notes.sentences.append(f"{name}() raised {text.of_error(error)}")
        return None

    def before_replay(self) -> None:
        if self.has("before_replay"):
            self.call("before_replay", self.history())

    # -- endings

    def returned(self, text: str) -> contract.Outcome:
        evaluation = self._evaluation
        if evaluation.unread:
            return self.failed(next(iter(evaluation.unread.values())))
        return contract.Outcome(status="completed", decision=decisions.CompleteWorkflowExecution(result=text))

    def failed(self, error: BaseException) -> contract.Outcome:
        """Return how the execution fails, for what ``run()`` raised."""
        if text.is_a(error, errors.TaskCanceled) and self._requested():
            return msgspec.structs.replace(self.canceled(), by_request=True)
        reason, details = described(error)
        return msgspec.structs.replace(self.failing(reason, details), error=error)

    def _requested(self) -> bool:
        scopes = self._evaluation.scopes
        return scopes is not None and scopes.taken > 0

    def failing(self, reason: str, details: str | None) -> contract.Outcome:
        """Return how the execution fails, for these words."""
        reason = text.encodable(reason)
        if len(reason) > limits.REASON:
            # The whole text stays in the details.
            if details is None:
                details = text.encode_details(text.Details(error="", error_type="", message=reason))
            reason = reason[: limits.REASON - 3] + "..."
        if details is not None:
            details = text.encodable(details)
            if not self._evaluation.facts.offloads:
                details = text.cut(details, limits.DATA)
        decision = decisions.FailWorkflowExecution(reason=reason, details=details)
        return contract.Outcome(status="failed", decision=decision, reason=reason, details=details)

    def canceled(self, *, alone: bool = False) -> contract.Outcome:
        return contract.Outcome(status="canceled", decision=decisions.CancelWorkflowExecution(), alone=alone)

    def before_close(self, outcome: contract.Outcome) -> contract.Outcome:
        """Call what runs before the closing decision is sent; return how the execution closes after all."""
        if outcome.status == "failed":
            ended = self.notify("on_failure", self.history(), *(outcome.given or (outcome.reason, outcome.details)))
            if ended is not None:
                # Both are shown: what the run failed with, and the hook.
                before = outcome.reason if len(outcome.reason) <= 120 else outcome.reason[:117] + "..."
                return self.failing(f"{before}; {ended}", outcome.details)
        elif outcome.status == "canceled":
            ended = self.notify("on_canceled", self.history())
            if ended is not None:
                return self.before_close(self.failed(ended))
        return outcome

    def after_close(self, outcome: contract.Outcome, seen: LazyHistory) -> None:
        """Call what runs once the closing decision was accepted."""
        if outcome.status == "completed":
            self.call("on_completed", seen)
        self.call("after_closed", seen)


def _nothing() -> None:
    return None


class CancelRequest:
    """Where a WorkflowExecutionCancelRequested event is delivered."""

    __slots__ = ("_evaluation", "refused")

    #: as of ``signals.Queue``
    call = None

    def __init__(self, evaluation: run.Run) -> None:
        self._evaluation = evaluation
        #: the class said no
        self.refused = False

    def deliver(self, event: Any) -> None:
        evaluation = self._evaluation
        if evaluation.scopes is None or not evaluation.scopes.cancel_requested():
            self.ask()

    def ask(self) -> None:
        """Close as CANCELED, unless the class says no."""
        evaluation = self._evaluation
        hooks = evaluation.hooks
        try:
            wanted = not hooks.has("should_cancel") or hooks.call("should_cancel", hooks.history())
        except Exception as error:
            evaluation.outcome = hooks.failed(error)
            return
        if not wanted:
            self.refused = True
            if evaluation.scopes is not None:
                evaluation.scopes.give_up()
            return
        evaluation.outcome = hooks.canceled(alone=True)


def described(error: BaseException) -> tuple[str, str | None]:
    """Return reason and details (JSON) of a workflow that failed with this. Never raises, whatever the exception is."""
    try:
        found = _of_task(error)
    except Exception:  # its attributes are the program's own, too
        found = None
    if found is not None:
        return found
    return f"Cannot replay the workflow: {text.class_name(error)}({text.message(error)})", _details(error)


def _of_task(error: BaseException) -> tuple[str, str | None] | None:
    """Return reason and details of what a task, a child or a signal ended with; None for any other exception."""
    kind = type(error)
    if issubclass(kind, errors.TaskException | errors.WorkflowException):
        what: Any = error.task if issubclass(kind, errors.TaskException) else error.workflow  # type: ignore[attr-defined]
        inner: Any = error.exception  # type: ignore[attr-defined]  # both have it
        reason = getattr(inner, "reason", None) or _message(inner)
        return _reason(getattr(what, "name", what), reason), _text(getattr(inner, "details", None)) or _details(error)
    if issubclass(kind, errors.TaskFailed):
        failed: Any = error
        return _reason(failed.name, failed.reason), _text(failed.details) or _details(error)
    if issubclass(kind, errors.ExecutionFailure) and error.task_name is not None:  # type: ignore[attr-defined]
        return _reason(error.task_name, _message(error)), _details(error)  # type: ignore[attr-defined]
    return None


def _message(error: Any) -> str:
    shown = text.shown(error, limits.REASON)
    if isinstance(error, errors.TimeoutError):
        return f"{shown}: {error}"
    return shown


def _reason(name: object, reason: object) -> str:
    return f'Workflow execution error in {text.safe(name)}: "{text.safe(reason)}"'


def _text(details: object) -> str | None:
    return None if details is None else text.safe(details)


def _details(error: BaseException) -> str:
    return text.details(error, last=20)
