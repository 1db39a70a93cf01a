"""The embedded service: every action of Amazon SWF over a store and a clock. No I/O but the store's, no waiting."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from simpleflow.core import clock as clocks

from .machine import (
    activity_tasks,
    closing,
    decision_tasks,
    decisions,
    domains,
    executions,
    history,
    retention,
    timers,
    tokens,
    types,
    visibility,
)
from .requests import errors, validation
from .state import polls, quotas
from .state import session as sessions
from .state import state as states
from .store import base

_Action = Callable[[sessions.Session, Mapping[str, Any]], dict[str, Any]]

_ACTIONS: Final[dict[str, _Action]] = {
    "CountClosedWorkflowExecutions": visibility.count_closed,
    "CountOpenWorkflowExecutions": visibility.count_open,
    "CountPendingActivityTasks": visibility.count_activity_tasks,
    "CountPendingDecisionTasks": visibility.count_decision_tasks,
    "DeprecateDomain": domains.deprecate,
    "DescribeDomain": domains.describe,
    "DescribeWorkflowExecution": executions.describe,
    "GetWorkflowExecutionHistory": history.get,
    "ListClosedWorkflowExecutions": visibility.list_closed,
    "ListDomains": domains.list_,
    "ListOpenWorkflowExecutions": visibility.list_open,
    "ListTagsForResource": domains.list_tags,
    "RecordActivityTaskHeartbeat": activity_tasks.heartbeat,
    "RegisterDomain": domains.register,
    "RequestCancelWorkflowExecution": executions.request_cancel,
    "RespondActivityTaskCanceled": activity_tasks.respond_canceled,
    "RespondActivityTaskCompleted": activity_tasks.respond_completed,
    "RespondActivityTaskFailed": activity_tasks.respond_failed,
    "RespondDecisionTaskCompleted": decisions.respond_completed,
    "SignalWorkflowExecution": executions.signal,
    "StartWorkflowExecution": executions.start,
    "TagResource": domains.tag,
    "TerminateWorkflowExecution": executions.terminate,
    "UndeprecateDomain": domains.undeprecate,
    "UntagResource": domains.untag,
    **types.actions(),
}
_HAND_OUT: Final[dict[str, Callable[[sessions.Session, int, polls.Waiter], dict[str, Any] | None]]] = {
    "states": decision_tasks.hand_out,
    "items": activity_tasks.hand_out,
}
#: deadlines that one step of fire_due fires at most
_AT_ONCE: Final = 200
#: sticky lists without a decider that are remembered; those of others end by their timeout
_ABANDONED: Final = 10_000
#: task lists that are known to be empty, at most
_EMPTY: Final = 10_000
#: seconds between two looks for executions whose retention is over
_CLEAN_EVERY: Final = 60.0


class Service:
    """One embedded SWF. Every method is called on one thread and returns at once.

    ``call`` carries out one action and, unless ``hold`` is set, hands tasks to pollers and commits. With ``hold`` the
    caller (``host.Host``) does both for several calls together, by ``settle`` and ``commit``, and gives no answer
    before. A call that is refused (``errors.Fault``) has changed nothing. When the store fails, ``base.Lost`` is
    raised: everything since the last commit is undone, in the store and in memory, and none of it may be answered.

    ``limits``: "data" enforces how much may be open, registered and polling; "aws" adds Amazon's rates; "none" neither.
    The lengths of the service model are always enforced: other programs rely on them.
    ``names``: run ids are made from this text and a count, for tests that want the same ones each time.
    """

    def __init__(
        self,
        store: base.Store,
        clock: clocks.Clock,
        *,
        limits: quotas.Kind = "data",
        region: str = "us-east-1",
        account: str = "123456789012",
        names: str | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        quota = quotas.Quotas(limits, clock)
        self._rates = quota.rates if limits == "aws" else None
        self.session = sessions.Session(store, clock, quota, arn=f"arn:aws:swf:{region}:{account}:", names=names)
        self.session.on_overflow = functools.partial(closing.terminate, self.session, cause="EVENT_LIMIT_EXCEEDED")
        self._cleaned = clock.monotonic()

    # -- calls

    def call(
        self,
        action: str,
        request: Mapping[str, Any],
        *,
        poll_id: str | None = None,
        again: bool = False,
        first: bool = False,
        then: polls.Then | None = None,
        hold: bool = False,
    ) -> dict[str, Any] | polls.Waiter:
        """Carry out one action with SWF's own names; return its answer, or the Waiter of a poll without a task.

        Events in answers are ``msgspec.Raw``: each one event's JSON. ``poll_id`` names a long poll for ``revoke``;
        ``again``: one of that name may have brought a task, which this one brings then. ``first``: it is served before
        polls that wait longer. ``then``, of an answer to an activity task: the acknowledgement is the next task
        where one waits and nobody has waited longer for it.
        """
        request = validation.check(action, request)
        session = self.session
        if self._rates is not None and not self._rates.take(action, request, tokens.run_of(request)):
            raise errors.throttled()
        session.begin()
        answer: dict[str, Any] | polls.Waiter
        try:
            if action in polls.TABLES:
                answer = self._poll(action, request, poll_id, again=again, first=first)
            else:
                answer = _ACTIONS[action](session, request) if then is None else self._respond(action, request, then)
            session.finish()
        except base.Lost:
            session.forget()
            raise
        except UnicodeEncodeError as error:
            session.drop()
            words = f"a value holds a character that UTF-8 cannot encode: {error.object[error.start : error.end]!r}"
            raise errors.protocol("SerializationException", words) from error
        except BaseException:
            session.drop()
            raise
        if then is not None and not answer:
            answer = self._next(then) or answer
        if not hold:
            self.settle()
            self.commit()
            if type(answer) is polls.Waiter and answer.answer is not None:
                return answer.answer
        return answer

    def _respond(self, action: str, request: Mapping[str, Any], then: polls.Then) -> dict[str, Any]:
        """Answer a task. Whoever repeats an answer that had arrived gets the task that had come of it."""
        try:
            return _ACTIONS[action](self.session, request)
        except errors.Fault:
            given = activity_tasks.claimed(self.session, then.claim) if then.again else []
            if not given:
                raise
            return given[0]

    def answer(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], then: polls.Then | None
    ) -> tuple[list[errors.Fault | None], polls.Waiter | list[dict[str, Any]]]:
        """Carry out several answers to activity tasks as ``call`` does with ``hold``; return what each came to.

        With them the next tasks: those that an earlier attempt had brought, or the Waiter that the next ``settle``
        gives as many as ``then`` asks for.
        """
        try:
            outcomes = self._answer_together(answers)
        except UnicodeEncodeError:  # one of them cannot be stored, and took the others with it
            outcomes = [self._answer_alone(*each) for each in answers]
        if then is None:
            return outcomes, []
        given = activity_tasks.claimed(self.session, then.claim) if then.again else []
        return outcomes, given or (self._next(then) if then.most else None) or []

    def _answer_together(self, answers: Sequence[tuple[str, Mapping[str, Any]]]) -> list[errors.Fault | None]:
        session, outcomes = self.session, list[errors.Fault | None]()
        session.begin()
        try:
            for action, request in answers:
                try:
                    checked = validation.check(action, request)
                    if self._rates is not None and not self._rates.take(action, checked, tokens.run_of(checked)):
                        raise errors.throttled()
                    _ACTIONS[action](session, checked)  # a refused one has changed nothing
                    outcomes.append(None)
                except errors.Fault as fault:
                    outcomes.append(fault)
            session.finish()
        except base.Lost:
            session.forget()
            raise
        except BaseException:
            session.drop()
            raise
        return outcomes

    def _answer_alone(self, action: str, request: Mapping[str, Any]) -> errors.Fault | None:
        try:
            self.call(action, request, hold=True)
        except errors.Fault as fault:
            return fault
        return None

    def _next(self, then: polls.Then) -> polls.Waiter | None:
        """Stand in the line of a task list for the moment of this call."""
        session = self.session
        if self._rates is not None or then.request["domain"] not in session.domains:
            return None
        place = ("items", f"{then.request['domain']}/{then.request['taskList']['name']}")
        waiter = polls.Waiter(place, then.request, None, then.claim, most=then.most, quick=then.quick)
        session.polls.add(waiter)
        session.ready[place] = None
        return waiter

    def _poll(
        self, action: str, request: Mapping[str, Any], poll_id: str | None, *, again: bool, first: bool
    ) -> dict[str, Any] | polls.Waiter:
        session = self.session
        session.domain(request["domain"])
        if request.get("nextPageToken"):
            position = tokens.page(session, action, request)
            assert position is not None
            return decision_tasks.more(session, request, position)
        if again and poll_id is not None:
            activity = action == "PollForActivityTask"
            given = (
                activity_tasks.claimed(session, poll_id)
                if activity
                else decision_tasks.claimed(session, poll_id, request)
            )
            if given:
                return given[0]
        place = (polls.TABLES[action], f"{request['domain']}/{request['taskList']['name']}")
        limit = session.limit.pollers
        if limit is not None and session.polls.count(place) >= limit:
            raise errors.modelled("LimitExceededFault", f"{limit} pollers wait on {place[1]}, which is the limit")
        session.abandoned.pop(place, None)
        waiter = polls.Waiter(place, request, poll_id)
        session.polls.add(waiter, first=first)
        session.ready[place] = None
        return waiter

    # -- the group of calls that one commit makes durable

    def settle(self, woken: list[polls.Waiter] | None = None) -> None:
        """Hand waiting tasks to pollers, first come, first served; ``woken`` gets the pollers that got one."""
        session = self.session
        try:
            while session.ready:
                place = next(iter(session.ready))
                del session.ready[place]
                waiting = session.polls.count(place)
                if not waiting or place in session.empty:
                    continue
                wanted = min(waiting, _AT_ONCE)
                keys = session.store.heads(*place, wanted + 1)  # one more tells whether any is left
                moved, given, eager = False, 0, list[polls.Waiter]()
                for key in keys[:wanted]:
                    waiter = session.polls.first(place)
                    if waiter is None:
                        break
                    answer = _HAND_OUT[place[0]](session, key, waiter)
                    moved = moved or answer is not None or bool(session.dirty)
                    if answer is None:
                        continue
                    given += 1
                    waiter.answer = answer
                    session.polls.remove(waiter)
                    if woken is not None:
                        woken.append(waiter)
                    if waiter.most > 1:
                        eager.append(waiter)
                session.finish()
                for waiter in eager:
                    self._give_more(place, waiter)
                if given == len(keys) and place not in session.ready:
                    if len(session.empty) >= _EMPTY:
                        session.empty.clear()
                    session.empty.add(place)
                elif moved and len(keys) > wanted and session.polls.count(place):
                    session.ready[place] = None
            for waiter in session.polls.brief():
                waiter.answer = waiter.empty()
                session.polls.remove(waiter)
                if woken is not None:
                    woken.append(waiter)
        except BaseException:
            self.undo()
            raise

    def _give_more(self, place: tuple[str, str], waiter: polls.Waiter) -> None:
        """Give quick tasks beside the first one where nobody waits for them: half of those that wait, so that other
        workers, whose answers come next, get theirs."""
        session, first = self.session, waiter.answer or {}
        kind = first.get("activityType", {})
        if (kind.get("name"), kind.get("version")) not in waiter.quick or session.polls.count(place):
            return
        keys = session.store.heads(*place, 2 * (waiter.most - 1))
        for key in keys[: (len(keys) + 1) // 2]:
            if not activity_tasks.is_one_of(session, key, waiter.quick):
                break
            further = activity_tasks.hand_out(session, key, waiter)
            if further is not None:
                waiter.further.append(further)
        session.finish()

    def commit(self, *, flush: bool = True) -> None:
        """Commit, and unless the caller will do it (``store.unflushed``), wait until the disk has it."""
        try:
            self.store.commit()
        except base.Lost:
            self.session.forget()
            raise
        if flush and self.store.unflushed:
            self.store.flush()
            self.store.unflushed = False

    def undo(self) -> None:
        """Forget everything since the last commit, in the store and in memory."""
        self.store.rollback()
        self.session.forget()

    # -- polls

    def revoke(self, poll_id: str) -> bool:
        """End an open long poll: its waiter has the empty answer. False when it is not open any more."""
        waiter = self.session.polls.named(poll_id)
        if waiter is None:
            return False
        waiter.answer = waiter.empty()
        return self.withdraw(waiter)

    def withdraw(self, waiter: polls.Waiter) -> bool:
        """Let go of a poll whose client is gone or whose time is over; False when it was woken before."""
        return self.session.polls.remove(waiter)

    def leave(self, lists: Iterable[str], tokens: Iterable[str]) -> None:
        """Give what a decider had to the others, which is gone: what waits on its sticky lists (DOMAIN/LIST), and the
        decision tasks of these tokens that it did not answer. The caller commits."""
        session = self.session
        session.begin()
        try:
            for name in lists:
                place = (polls.TABLES["PollForDecisionTask"], name)
                session.abandoned[place] = None
                while len(session.abandoned) > _ABANDONED:
                    del session.abandoned[next(iter(session.abandoned))]
                left = True
                while left:
                    keys = session.store.heads(*place, _AT_ONCE)
                    left = sum(decision_tasks.leave(session, key, name.partition("/")[2]) for key in keys) > 0
                    session.finish()
            for token in tokens:
                decision_tasks.drop(session, token)
                session.finish()
        except BaseException:
            self.undo()
            raise

    @property
    def open_polls(self) -> int:
        return self.session.polls.open

    # -- time

    def next_deadline(self) -> float | None:
        """The moment (epoch seconds) at which something is due next."""
        self.session.soonest = self.store.next_due()
        return self.session.soonest

    @property
    def soonest(self) -> float | None:
        """Nothing is due before this moment; cheaper than ``next_deadline``, and perhaps too early."""
        return self.session.soonest

    def fire_due(self, *, hold: bool = False) -> bool:
        """Fire what is due, the oldest first, and clean up from time to time; return whether anything was due."""
        session = self.session
        session.begin()
        try:
            if self.clock.monotonic() - self._cleaned >= _CLEAN_EVERY:
                self.clean()
            if session.soonest is None or session.soonest > session.now:
                return False
            fired = self._fire()
        except BaseException:
            self.undo()
            raise
        self.next_deadline()
        if fired and not hold:
            self.settle()
            self.commit()
        return fired

    def _fire(self) -> bool:
        session, mask = self.session, (1 << base.EVENT_BITS) - 1
        rows = [(due, key, 0) for due, key in session.store.due("states", session.now, _AT_ONCE)]
        rows += [
            (due, key >> base.EVENT_BITS, key & mask) for due, key in session.store.due("items", session.now, _AT_ONCE)
        ]
        fired = False
        for _, key, event_id in sorted(rows)[:_AT_ONCE]:
            run = session.by_key(key)
            if run is None:
                continue
            if event_id:
                item = run.items.get(event_id)
                if type(item) is states.Timer and item.due <= session.now:
                    timers.fire(run, item)
                elif type(item) is states.Activity and (due := item.due) is not None and due <= session.now:
                    activity_tasks.time_out(run, item)
                else:
                    continue
            elif run.state.expires <= session.now:
                closing.time_out(session, run)
            elif run.state.decision_due is not None and run.state.decision_due <= session.now:
                decision_tasks.time_out(run)
            else:
                continue
            fired = True
            session.finish()
        return fired

    def clean(self) -> bool:
        """Forget a part of what is older than its domain's retention; return whether more is left to forget."""
        self._cleaned = self.clock.monotonic()
        self.session.begin()
        more = retention.clean(self.session)
        if more:
            self._cleaned -= _CLEAN_EVERY
        return more

    def has_open(self) -> bool:
        """Whether an execution is open in any domain."""
        return any(self.session.count_open(name) for name in self.session.domains)

    def close(self, *, clean: bool = True) -> None:
        """Commit what is written and close the store; ``clean``: it need not be checked when it is opened again."""
        self.commit()
        self.store.close(clean=clean)
