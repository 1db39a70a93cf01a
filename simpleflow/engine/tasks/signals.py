"""Signals: the queue of those that came in, and those that are sent to others."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from simpleflow.core import decisions, errors, events, limits
from simpleflow.engine.history import identity
from simpleflow.engine.program import futures, run

from . import failures, outbox, timers


class SignalFuture(futures.Future[Any]):
    """Future of a wait: ``result`` is the input as it was sent, ``value`` the same whoever sent it."""

    __slots__ = ()

    @property
    def value(self) -> Any:
        """What was sent; blocks until it is there. In ``async def run`` await the future first.

        Of ``Client.signal``, ``Environment.signal`` and ``workflow.signal`` the value itself, None without one. Of
        ``Workflow.signal`` one positional argument is itself, several are a list, keyword arguments are a dictionary,
        both are ``{"args": [...], "kwargs": {...}}``. Text that is not JSON, of other languages' clients, is itself.
        Raises TaskCanceled as ``result`` does.
        """
        return value_of(self.result)


def value_of(sent: Any) -> Any:
    """Return what a signal's decoded input says, the same for every sender."""
    if not isinstance(sent, dict) or sent.keys() != {"args", "kwargs", "__propagate"}:
        return sent
    args, kwargs = sent["args"], sent["kwargs"]
    if args and kwargs:
        return {"args": args, "kwargs": kwargs}
    if kwargs:
        return kwargs
    return (args[0] if len(args) == 1 else args) if args else None


class SignalWait:
    """One ``wait_signal``: settled by the next signal of that name, in turn."""

    __slots__ = ("branch", "evaluation", "future", "name", "ordinal", "timer")

    def __init__(self, evaluation: run.Run, name: str, branch: identity.Branch) -> None:
        self.evaluation = evaluation
        self.name = name
        self.branch = branch
        self.ordinal = branch.count(f"signal {name}")
        self.future = SignalFuture(evaluation, self)
        self.timer: timers.TimerCall | None = None

    def identity(self) -> str:
        return f"signal:{self.name}:{identity.digest(self.branch.path)}:{self.ordinal}"

    def expire(self, timer: timers.TimerCall) -> None:
        """The timer fired or was cancelled: give the turn back if it fired."""
        if timer.future._kind != futures.CANCELED and self.future._kind == futures.OPEN:
            self.evaluation.signals.leave(self)
            self.future._cancel(f"no signal {self.name!r} within {timer.delay} s")

    def received(self, text: str | None) -> None:
        timer, self.timer = self.timer, None
        self.future._complete_with_text(text)
        if timer is not None:
            timer.cancel(timer.future)

    def state(self, future: futures.Future[Any]) -> str:
        if not self.evaluation.facts.asynchronous and self.evaluation.signals.will_get(self):
            return futures.FINISHED
        return futures.PENDING

    def cancel(self, future: futures.Future[Any]) -> bool:
        # As of what was delivered so far: whether a signal belongs to this wait depends on this very cancel.
        self.evaluation.signals.leave(self)
        future._cancel()
        timer, self.timer = self.timer, None
        if timer is not None:
            timer.cancel(timer.future)
        return True


class Queue:
    """Signals by name: each goes to the oldest wait on that name that was not cancelled."""

    #: the book delivers to it, as to records: no submission stands behind it
    call = None

    def __init__(self, evaluation: run.Run) -> None:
        self._evaluation = evaluation
        #: delivered, and nobody waits yet
        self._kept: dict[str, deque[str | None]] = {}
        self._waits: dict[str, deque[SignalWait]] = {}

    def deliver(self, event: events.WorkflowExecutionSignaled) -> None:
        """Wake the oldest wait on this name; without one the signal is kept for the next wait."""
        name = event.attributes.signal_name
        book = self._evaluation.book
        book.signals_waiting[name] -= 1
        waits = self._waits.get(name)
        if waits:
            wait = waits.popleft()
            if not waits:
                del self._waits[name]
            wait.received(event.attributes.input)
        else:
            self._kept.setdefault(name, deque()).append(event.attributes.input)
        if self._evaluation.calls.children or self._evaluation.given.started.parent_workflow_execution is not None:
            propagate(self._evaluation, event)

    def wait(self, name: str, branch: identity.Branch, timeout: Any = None) -> SignalFuture:
        evaluation = self._evaluation
        wait = SignalWait(evaluation, name, branch)
        kept = self._kept.get(name)
        if kept:
            text = kept.popleft()
            if not kept:
                del self._kept[name]
            if timeout is not None:
                timers.timeout_id(branch, "signal", name)  # keeps the count: the next one has its own id anyway
            wait.received(text)
            return wait.future
        waits = self._waits.setdefault(name, deque())
        if any(other.branch.path == branch.path for other in waits):
            evaluation.notes.advise(
                f"a second wait for signal {name!r} is open in the same branch of run(): the older one keeps its turn "
                f"until it is cancelled; use wait_signal({name!r}, timeout=...) or cancel() for waits that end"
            )
        waits.append(wait)
        if timeout is not None:
            timer = timers.TimerCall(evaluation, timers.timeout_id(branch, "signal", name), timeout, None)
            wait.timer = timer
            timer.future._subscribe(lambda: wait.expire(timer))
        return wait.future

    def leave(self, wait: SignalWait) -> None:
        waits = self._waits.get(wait.name)
        if waits is not None and wait in waits:
            waits.remove(wait)
            if not waits:
                del self._waits[wait.name]

    def will_get(self, wait: SignalWait) -> bool:
        """Whole-history read: whether a signal that was not delivered yet is this wait's."""
        evaluation = self._evaluation
        evaluation.reads.observed = True
        book = evaluation.book
        book.watched_signals[wait.name] = None
        waits = self._waits.get(wait.name, deque())
        place = next((i for i, other in enumerate(waits) if other is wait), None)
        undelivered = [e for target, e in book.arrived if target is self and e.attributes.signal_name == wait.name]
        if place is None or place >= len(undelivered):
            return False
        evaluation.raise_floor(undelivered[place].id)
        return True

    def waiting(self) -> list[str]:
        """Names that somebody waits for, in alphabetical order."""
        return sorted(self._waits)

    def is_empty(self) -> bool:
        return not self._waits


class SignalCall(outbox.Once):
    """One signal to another execution; done once the service delivered it."""

    __slots__ = ("control", "done", "future", "name", "run_id", "text", "workflow_id")

    sort = "work"

    def __init__(
        self,
        evaluation: run.Run,
        name: str,
        workflow_id: str,
        run_id: str | None,
        text: str,
        branch: identity.Branch,
    ) -> None:
        super().__init__(evaluation)
        self.name = name
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.text = text
        self.done = False
        self.future: futures.Future[Any] = futures.Future(evaluation, self)
        evaluation.check_length("input", text, limits.DATA, f"signal {name}")
        digest = identity.digest(f"{workflow_id}\n{run_id or ''}\n{text}")
        ordinal = evaluation.ordinals.next(branch, "signal", name, digest)
        self.control = identity.control(branch, digest, ordinal)
        book = evaluation.book.signals_out
        self.record = book.claim(self.control, book.key(workflow_id, run_id, name, None))
        if self.record is None:
            if evaluation.scopes is not None and not evaluation.scopes.admits(evaluation.current, self.seq):
                self.withdraw()
            else:
                evaluation.outbox.push(self)
        else:
            self.record.attach(self)
        evaluation.note(self)

    def identity(self) -> str:
        return f"send:{self.name}:{self.control}"

    def deliver(self, event: Any) -> None:
        self.done = True
        if type(event) is events.ExternalWorkflowExecutionSignaled:
            self.future._complete(None)
        else:
            cause = event.attributes.cause
            self.future._fail(errors.TaskFailed(f"signal {self.name}", cause, failures.ADVICE.get(cause)))

    def cancel(self, future: futures.Future[Any]) -> bool:
        if self.record is not None:
            return False
        self.done = True
        future._cancel()
        return True

    def withdraw(self) -> None:
        self.done = True
        self.future._cancel(futures.WITHDRAWN)

    def decision(self) -> decisions.Decision | None:
        if self.done:
            return None
        self.record = self.evaluation.book.signals_out.emitted(self, self.control, self.name)
        self.record.watched = self.watched
        return decisions.SignalExternalWorkflowExecution(
            workflow_id=self.workflow_id,
            run_id=self.run_id,
            signal_name=self.name,
            input=self.text,
            control=self.control,
        )


def propagate(evaluation: run.Run, event: Any) -> None:
    """Send a signal of ours on to the children that are open and to the parent, but not to where it came from."""
    envelope = _envelope(event.attributes.input)
    if envelope is None or (evaluation.scopes is not None and evaluation.scopes.taken):
        return
    targets = []
    parent = evaluation.given.started.parent_workflow_execution
    if parent is not None and evaluation.declared("propagate_signals_to_parent", True):
        targets.append((parent.workflow_id, parent.run_id))
    for call in evaluation.calls.children.values():
        record = call.record
        run_id = None if record is None or call.done else record.run_at(event.id)
        if run_id is not None:
            targets.append((record.id, run_id))
    origin = event.attributes.external_workflow_execution
    for workflow_id, run_id in targets:
        if origin is not None and (origin.workflow_id, origin.run_id) == (workflow_id, run_id):
            continue
        branch = identity.Branch("propagate")
        name = event.attributes.signal_name
        sent = SignalCall(evaluation, name, workflow_id, run_id, event.attributes.input, branch)
        sent.future._raises = False  # a child that ended meanwhile is not a failure of this run


def _envelope(text: str | None) -> Mapping[str, Any] | None:
    """Return the signal's envelope when it is to be handed on, None for any other text."""
    if not text or not text.startswith("{"):
        return None
    try:
        parsed = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    if not isinstance(parsed, dict) or "args" not in parsed or not parsed.get("__propagate", False):
        return None
    return parsed
