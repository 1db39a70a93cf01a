"""A decider's step: one decision task in, its response out; the engine hears of it once the service took it."""

from __future__ import annotations

import dataclasses
import functools
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from simpleflow import engine as engines
from simpleflow.core import clock, decisions, interceptors, limits, retries, text
from simpleflow.swf import errors, registration, repeating
from simpleflow.swf.transport import base

from . import execute, forked, needs, outgoing, pollers, retrying, stores

logger = logging.getLogger(__name__)
T = TypeVar("T")
#: runs a function on the thread that owns the engine, and returns what it returns
OnEngine = Callable[[Callable[[], Any]], Any]
#: sends the response to a decision task: its action and request
Send = Callable[[str, dict[str, Any]], object]
#: returns the task with what the engine asked for
Resolve = Callable[[engines.DecisionTask, engines.Needs], engines.DecisionTask]

#: seconds that a sticky task waits for its decider before any other may take it
STICKY_TIMEOUT = "10"
#: seconds that the calls for a decision are repeated: a decision task rarely lives longer
PATIENCE = 300.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a decider."""

    domain: str
    task_list: str
    identity: str
    #: the list of this process alone, where its suspended executions come back; None: no sticky decisions
    sticky_list: str | None = None
    #: send activities and child executions to this list, whatever list they name (standalone)
    override_list: str | None = None
    #: there is no other decider: polls ask for what is new only
    alone: bool = False
    #: answer what cannot be decided here (a class that cannot be imported, a value that cannot be read) with a timer
    #: that backs off; False: raise it
    declines: bool = True


def sticky_name(task_list: str) -> str:
    """Return a task list name for this process alone."""
    return f"{task_list[:200]}-sticky-{uuid.uuid4().hex[:16]}"


def _trouble(context: str | None) -> str:
    """Return why an execution does not go on, as its decider's context says it; '' when it does."""
    try:
        said = msgspec.json.decode(context or "{}")
    except msgspec.DecodeError:
        return ""
    found = (said.get(key) for key in ("cannot_decide", "diverged", "quarantined")) if isinstance(said, dict) else ()
    return next((str(each) for each in found if each), "")


def _started(answer: Any) -> float | None:
    """Return when the execution started, at its first decision."""
    if answer.previous_started_event_id or not answer.events:
        return None
    timestamp: float = answer.events[0].timestamp
    return timestamp


def _inline(function: Callable[[], T]) -> T:
    return forked.in_parent(function)


class Decider:
    """Polls, decides and responds, one task at a time; as many threads as lanes may be in it.

    Everything that waits (pages, blobs, types, the response) happens on the calling thread; the engine is called
    through ``on_engine`` only.
    """

    def __init__(
        self,
        transport: base.Transport,
        engine: engines.Engine,
        options: Options,
        *,
        resolver: needs.Resolver,
        store: execute.Store | None = None,
        mounted: Sequence[interceptors.DeciderInterceptor] = (),
        time: clock.Clock | None = None,
    ) -> None:
        self.options = options
        self._transport = transport
        self._engine = engine
        self._resolver = resolver
        self._store = store or stores.open_store(None)
        self._mounted = tuple(mounted)
        self._time = time or clock.RealClock()
        self._draining = False
        self._types = registration.Registrar(transport, options.domain, patience=retries.Patience.of(PATIENCE))

    def polling(self) -> None:
        """The first poll is about to be opened."""
        for interceptor in self._mounted:
            interceptor.polling()

    def stopping(self) -> None:
        """No task will be answered any more."""
        for interceptor in reversed(self._mounted):
            interceptor.stopping()

    def drain(self) -> None:
        """Give executions back to the shared list with each answer from now on. Thread safe."""
        self._draining = True

    def poller(self, task_list: str, prefix: str, names: set[str]) -> pollers.Poller:
        """Return what polls one list; see ``pollers.Poller``."""
        return pollers.Poller(
            self._transport,
            "PollForDecisionTask",
            self._request(task_list),
            retrying.PollNames(prefix),
            names=names,
        )

    def poll(self, task_list: str) -> Any | None:
        """Poll one list; return the answer with all of its events, or None when it brought no task. Raises SwfError."""
        request = self._request(task_list)
        return self._whole(self._transport.call("PollForDecisionTask", request), request)

    def poll_with(self, poller: pollers.Poller) -> Any | None:
        """As ``poll``, by a poller."""
        return poller.poll(lambda answer: self._whole(answer, poller.request))

    def _whole(self, answer: Any, request: Mapping[str, Any]) -> Any | None:
        return self._resolver.whole(answer, request) if answer.task_token else None

    def _request(self, task_list: str) -> dict[str, Any]:
        request: dict[str, Any] = {
            "domain": self.options.domain,
            "taskList": {"name": task_list},
            "identity": self.options.identity,
        }
        if self.options.alone or task_list == self.options.sticky_list:
            request["startAtPreviousStartedEvent"] = True
        return request

    def handle(
        self,
        answer: Any,
        *,
        on_engine: OnEngine = _inline,
        later: OnEngine = _inline,
        at_end: OnEngine = _inline,
        aside: OnEngine = _inline,
        send: Send | None = None,
    ) -> bool:
        """Decide one task and respond; return whether the response was acknowledged.

        ``later`` and ``at_end`` may run their function after they returned, but before anything that ``on_engine`` is
        given afterwards; ``at_end``, which gets a closed run's, without waiting for that. ``aside`` runs, on this
        thread, what brings the engine what it asks for: it may take long. ``send`` sends the response instead of the
        plain call.

        Raises what an interceptor, the engine or the service raises: the task is then left unanswered.
        """
        begun = self._time.monotonic()
        execution = interceptors.Execution(
            domain=self.options.domain,
            workflow_id=answer.workflow_execution.workflow_id,
            run_id=answer.workflow_execution.run_id,
            workflow_name=answer.workflow_type.name,
            workflow_version=answer.workflow_type.version,
        )
        received = interceptors.DecisionReceived(
            execution=execution, started_event_id=answer.started_event_id, received=self._time.now()
        )
        for interceptor in self._mounted:
            interceptor.received(received)

        def resolve(task: engines.DecisionTask, wanted: engines.Needs) -> engines.DecisionTask:
            spent = lambda: self._time.monotonic() - begun  # noqa: E731 - a name for one expression
            found: engines.DecisionTask = aside(lambda: self._resolver.resolve(task, wanted, spent=spent))
            return found

        decided, declined = self._decided(answer, on_engine, resolve)
        for sentence in decided.diagnostics:
            logger.warning("%s %s: %s", execution.workflow_id, execution.run_id, sentence)
        refused = False
        try:
            sent = tuple(
                outgoing.offloaded(outgoing.overridden(each, self.options.override_list), self._store)
                for each in decided.decisions
            )
        except ValueError as error:
            logger.error("%s %s fails: %s", execution.workflow_id, execution.run_id, error)
            sent, refused = outgoing.ending(error), True
        try:
            acknowledged = self._respond(answer, decided, sent, shared=declined, send=send)
        except (errors.ValidationException, errors.RequestTooLarge, errors.SerializationException) as error:
            # A name that SWF does not take, say: the same answer would be refused again and again, until the history
            # is full of decisions that timed out.
            logger.error("%s %s fails: %s", execution.workflow_id, execution.run_id, error)
            sent, refused = outgoing.ending(error), True
            acknowledged = self._respond(answer, decided, sent)
        closed = any(isinstance(decision, decisions.CLOSING) for decision in sent)
        if acknowledged and not refused and not declined and (not closed or self._really_closed(execution, on_engine)):
            (at_end if closed else later)(lambda: self._engine.acknowledged(execution.run_id, answer.started_event_id))
        else:
            later(lambda: self._engine.forget(execution.run_id))
        if not acknowledged:
            return False
        if self._mounted:
            outcome = interceptors.DecisionAnswered(
                execution=execution,
                started_event_id=answer.started_event_id,
                demand=decided.demand,
                closed=closed,
                seconds=self._time.monotonic() - begun,
                decisions=tuple(type(decision).__name__ for decision in sent),
                started=_started(answer),
                trouble=_trouble(decided.execution_context),
            )
            for interceptor in reversed(self._mounted):
                interceptor.answered(outcome)
        return True

    def hand_back(self, answer: Any, reason: str, *, hung: bool = False) -> bool:
        """Answer a task that this process will not decide, without the engine; return whether that was acknowledged.

        ``hung``: it is the one whose ``run()`` hangs. Raises what the service raises.
        """
        task = self._resolver.task_of(answer)
        decline = functools.partial(engines.decline, reason=reason, hung=hung)
        decided = self._asked(task, _inline, decline, self._resolver.resolve)
        return self._respond(answer, decided, decided.decisions, shared=True)

    def _decided(self, answer: Any, on_engine: OnEngine, resolve: Resolve) -> tuple[engines.Decided, bool]:
        """Return the answer, and whether it is that nobody here can decide."""
        task = self._resolver.task_of(answer)
        why = engines.lost(task) if self.options.declines else ""
        if why:
            logger.error(
                "%s %s is looked at again later: %s.", task.workflow_id, task.run_id, why, extra={"action": "declined"}
            )
            decline = functools.partial(engines.decline, reason=why, lost=True)
            return self._asked(task, _inline, decline, resolve), True
        try:
            return self._asked(task, on_engine, self._engine.decide, resolve), False
        except (errors.SwfError, needs.HistoryGap):
            raise
        except Exception as error:
            if not self.options.declines:
                raise
            reason = text.of_error(error)
            logger.exception(
                "%s %s cannot be decided here; it is looked at again later. %s",
                task.workflow_id,
                task.run_id,
                reason,
                extra={"action": "declined"},
            )
            return self._asked(task, _inline, lambda task: engines.decline(task, reason), resolve), True

    def _asked(
        self,
        task: engines.DecisionTask,
        on_engine: OnEngine,
        function: Callable[[engines.DecisionTask], engines.Decided | engines.Needs],
        resolve: Resolve,
    ) -> engines.Decided:
        decided = on_engine(functools.partial(function, task))
        while isinstance(decided, engines.Needs):
            task = resolve(task, decided)
            decided = on_engine(functools.partial(function, task))
        found: engines.Decided = decided
        return found

    def _really_closed(self, execution: interceptors.Execution, on_engine: OnEngine) -> bool:
        """Whether hooks of the closed workflow may run: a closing decision fails when an event arrived meanwhile.

        Asks the service only when there are such hooks.
        """
        if not on_engine(lambda: self._engine.has_closing_hooks(execution.run_id)):
            return True
        request = {
            "domain": execution.domain,
            "execution": {"workflowId": execution.workflow_id, "runId": execution.run_id},
        }
        try:
            answer = repeating.call(
                self._transport, "DescribeWorkflowExecution", request, patience=retries.Patience.of(PATIENCE)
            )
        except errors.SwfError as error:
            logger.error(
                "%s %s: on_completed and after_closed are not run, because the service does not say whether it is "
                "closed (%s)",
                execution.workflow_id,
                execution.run_id,
                error,
            )
            return False
        return bool(answer.execution_info.execution_status == "CLOSED")

    def _respond(
        self,
        answer: Any,
        decided: engines.Decided,
        sent: Sequence[decisions.Decision],
        *,
        shared: bool = False,
        send: Send | None = None,
    ) -> bool:
        """``shared``: give the execution back to the list that every decider polls."""
        self._types.ensure(decided.types)
        request: dict[str, Any] = {
            "taskToken": answer.task_token,
            "decisions": [decisions.to_wire(decision) for decision in sent],
        }
        if decided.execution_context is not None:
            # It is for people: what does not fit is not worth a blob.
            request["executionContext"] = decided.execution_context[: limits.DATA]
        if self.options.sticky_list is not None:
            # Without the timeout the list would hold for good; a drain gives the original one back.
            if self._draining or shared:
                request["taskList"] = {"name": self.options.task_list}
            else:
                request["taskList"] = {"name": self.options.sticky_list}
                request["taskListScheduleToStartTimeout"] = STICKY_TIMEOUT
        action = "RespondDecisionTaskCompleted"
        return retrying.insist(
            self._transport,
            action,
            request,
            wait=retries.sleep,
            patience=PATIENCE,
            arrived=lambda: retrying.arrived(
                self._transport,
                self.options.domain,
                answer.workflow_execution,
                answer.started_event_id,
                next((event.timestamp for event in answer.events if event.id == answer.started_event_id), None),
            ),
            send=None if send is None else lambda doubtful: send(action, request),
        )
