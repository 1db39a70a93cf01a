"""The service on an asyncio loop: concurrent calls share a commit, and no answer leaves before it."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from simpleflow.core import limits
from simpleflow.server import service
from simpleflow.server.requests import errors
from simpleflow.server.state import polls
from simpleflow.server.store import base, files, sqlite

from . import blobs, clockwork, disk, file_watch, flush_delay

#: who waits for an outcome, and the outcome
_Held = tuple[polls.Give, dict[str, Any] | errors.Fault]
_LOG = logging.getLogger(__name__)
#: seconds until a write that the store refused is tried again
_RETRY: Final = 1.0
#: prefixes of actions that change nothing
_READS: Final = ("Count", "Describe", "Get", "List")
#: in a flush of fewer seconds a worker gains less than it costs to wake it twice
_TELLING: Final = 0.0005
#: most calls of one commit, apart from those of one turn of the loop
_MOST: Final = 64


class Host:
    """Owns a Service on the running loop; every method is called on that loop.

    A call is carried out at once. Those that arrive before the loop comes round share one commit, made on the loop, so
    that what the loop has heard of a client before it (that it is gone) counts. Answers leave when the disk has the
    commit: a thread waits for that while the loop goes on, and each wait covers all commits before it began. Where
    the disk is quick the loop itself waits: handing it to a thread would take longer. A lone call never waits for more
    to come; where several clients were answered together, a commit waits for a turn of the loop without a new call.
    Decisions leave before the disk has them, and then the flush waits a moment for their answers (``FlushDelay``).

    ``before_commit``, ``before_flush`` and ``after_commit`` inject faults: the first is called before the store commits
    (it may raise OSError as a full disk does), the second before the disk is waited for, on whichever thread does that
    (it may sleep), the third after it (it may raise ``errors.Fault``: the answer is lost). ``poll_seconds`` is how long
    a poll is held.
    """

    def __init__(
        self,
        owned: service.Service,
        *,
        poll_seconds: float = limits.POLL_SECONDS,
        before_commit: Callable[[], None] | None = None,
        before_flush: Callable[[], None] | None = None,
        after_commit: Callable[[], None] | None = None,
        accept_damage: bool = False,
        values: blobs.Blobs | None = None,
    ) -> None:
        self.service = owned
        self.before_commit = before_commit
        self.before_flush = before_flush
        self.after_commit = after_commit
        #: whether a person has decided to go on with a damaged database
        self.accept_damage = accept_damage
        #: the values of large fields that are deleted with their histories
        self._values = values
        #: moment (loop time) of the last call
        self.last_call = 0.0
        #: what the check at the start found; None until it is over, or when none was needed
        self.problems: list[str] | None = None
        self._poll_seconds = poll_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clockwork: clockwork.Clockwork | None = None
        #: answers that wait for the next commit, for the next flush of the disk, for the flush that is under way
        self._group: list[_Held] = []
        self._committed: list[_Held] = []
        self._flushing: list[_Held] = []
        self._disk: disk.Disk | None = None
        self._delay: flush_delay.FlushDelay | None = None
        #: the reason why nothing can be stored any more; None while it can
        self._broken: errors.Fault | None = None
        #: the reason why only reading calls are carried out; None while all are
        self._read_only: errors.Fault | None = None
        self._watch: file_watch.FileWatch | None = None
        #: who waits for the outcome of each poll that is open, and until when (loop time); the oldest first
        self._polls: dict[polls.Waiter, tuple[polls.Give, float]] = {}
        #: ends the polls whose time is over
        self._expiry: asyncio.TimerHandle | None = None
        self._pending = False
        self._next: asyncio.Handle | None = None
        #: numbers of calls: all so far, those before the pending commit, those at the loop's last turn
        self._calls = 0
        self._before = 0
        self._known = 0
        #: how many answers the last commit released together
        self._released = 0
        self._retry: asyncio.TimerHandle | None = None
        self._stopped = False

    # -- life

    async def start(self) -> None:
        """Begin to fire deadlines, those that fell due meanwhile first."""
        self._loop = asyncio.get_running_loop()
        self._disk = disk.Disk(self._loop, self._wait_for_disk, self._flushed)
        self._delay = flush_delay.FlushDelay(self._loop, self._disk.usual, self._flush_soon)
        self.last_call = self._loop.time()
        loop = self._loop
        self._clockwork = clockwork.Clockwork(
            loop,
            self.service,
            wrote=lambda: self._soon(loop),
            lost=lambda error: self._lost(error),
            values=self._values,
        )
        store = self.service.store
        if isinstance(store, sqlite.File):
            self._watch = file_watch.FileWatch(
                loop,
                store,
                checked=functools.partial(self._found_damage, store),
                moved=lambda error: self._give_up(self._break(error), []),
            )

    async def stop(self) -> None:
        """End open polls without a task, commit, and close the store. Calls after it are refused."""
        if self._stopped:
            return
        self._stopped = True
        for part in (self._clockwork, self._watch):
            if part is not None:
                part.stop()
        for timer in (self._retry, self._expiry):
            if timer is not None:
                timer.cancel()
        for waiter in list(self._polls):
            if not waiter.claim:  # an answer that wants the next task waits for the commit
                self._end(waiter)
        self._commit()
        while self._disk is not None and self._disk.busy:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        if self._disk is not None:
            self._disk.stop()
        self.service.close(clean=self._broken is None and self._read_only is None)

    @property
    def open_polls(self) -> int:
        return len(self._polls)

    @property
    def busy(self) -> bool:
        """Whether an execution is open."""
        return not self._stopped and self.service.has_open()

    def _found_damage(self, store: sqlite.File, problems: list[str]) -> None:
        """When the database is damaged, carry out only reads until the user accepts the damage."""
        self.problems = problems
        if not problems or self._stopped or self._broken is not None:
            return
        if self.accept_damage:
            _LOG.warning("The database %s is damaged (%s); --accept-damage: it is used", store.path, problems[0])
            return
        self._read_only = errors.unavailable(
            f"the database {store.path} is damaged ({problems[0]}): it is only read until a person decides. Restore a "
            "backup (simpleflow server restore FILE), or go on with what is there (simpleflow server start "
            "--accept-damage)"
        )
        _LOG.critical("%s", self._read_only.message)
        self._give_up(self._read_only, [])
        store.mark_damaged(problems[0])

    # -- calls

    def call(
        self,
        action: str,
        request: Mapping[str, Any],
        give: polls.Give,
        *,
        poll_id: str | None = None,
        again: bool = False,
        first: bool = False,
        then: polls.Then | None = None,
    ) -> polls.Waiter | None:
        """Carry out one action; ``give`` gets its answer, or its Fault, once everything it depends on is durable.

        That may be before this returns. Returns the Waiter of a poll that is open. Raises ``errors.Fault`` when the
        service can carry out nothing.
        """
        loop = self._begin(action)
        outcome: dict[str, Any] | polls.Waiter | errors.Fault
        try:
            outcome = self.service.call(
                action, request, poll_id=poll_id, again=again, first=first, then=then, hold=True
            )
        except errors.Fault as fault:
            outcome = fault
        except base.Lost as lost:
            raise self._lost(lost) from lost
        if isinstance(outcome, polls.Waiter):
            return self._wait(loop, outcome, give)
        self._after_commit(loop, give, outcome)
        return None

    def answer(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], then: polls.Then | None, give: polls.GiveSeveral
    ) -> polls.Waiter | None:
        """Carry out several answers to activity tasks, in one commit; ``give`` gets what each came to, and next tasks.

        Raises ``errors.Fault`` when none was carried out.
        """
        loop = self._begin("RespondActivityTasks")
        try:
            outcomes, given = self.service.answer(answers, then)
        except base.Lost as lost:
            raise self._lost(lost) from lost

        def together(first: dict[str, Any] | errors.Fault) -> None:
            if isinstance(first, errors.Fault):
                give(first)
            elif isinstance(given, polls.Waiter):
                give((outcomes, [first, *given.further] if first else []))
            else:
                give((outcomes, given))

        if isinstance(given, polls.Waiter):
            return self._wait(loop, given, together)
        self._after_commit(loop, together, {})
        return None

    def _begin(self, action: str) -> asyncio.AbstractEventLoop:
        """Note that a call comes; raises ``errors.Fault`` when it cannot be carried out."""
        loop = self._loop
        if loop is None or self._stopped:
            raise errors.unavailable("the service is ending")
        if self._broken is not None:
            raise self._broken
        if self._read_only is not None and not action.startswith(_READS):
            raise self._read_only
        self.last_call = loop.time()
        self._calls += 1
        return loop

    def _after_commit(
        self, loop: asyncio.AbstractEventLoop, give: polls.Give, outcome: dict[str, Any] | errors.Fault
    ) -> None:
        """Give an outcome once everything that it depends on is durable."""
        if self.service.store.dirty:
            self._group.append((give, outcome))
            self._soon(loop)
        elif self._committed or self.service.store.unflushed:
            self._committed.append((give, outcome))
            self._soon(loop)
        elif self._disk is not None and self._disk.busy:
            self._flushing.append((give, outcome))
        else:
            give(outcome)

    def _wait(self, loop: asyncio.AbstractEventLoop, waiter: polls.Waiter, give: polls.Give) -> polls.Waiter:
        until = loop.time() + self._poll_seconds
        self._polls[waiter] = give, until
        if self._expiry is None and not waiter.claim:
            self._expiry = loop.call_at(until, self._expire, loop)
        self._soon(loop)
        return waiter

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the polls whose time is over."""
        self._expiry, now = None, loop.time()
        for waiter, (_, until) in list(self._polls.items()):
            if waiter.claim:
                continue
            if until > now:
                self._expiry = loop.call_at(until, self._expire, loop)
                return
            self._end(waiter)

    def _end(self, waiter: polls.Waiter) -> bool:
        """End an open poll without a task; False when one is on its way to it."""
        if not self.service.withdraw(waiter):
            return False
        give, _ = self._polls.pop(waiter)
        give(waiter.empty())
        return True

    def abandon(self, waiter: polls.Waiter) -> None:
        """Withdraw a poll whose client is gone."""
        if self.service.withdraw(waiter):
            del self._polls[waiter]

    def revoke(self, poll_id: str) -> bool:
        """End an open long poll at once, without a task; False when it is not open any more."""
        waiter = self.service.session.polls.named(poll_id)
        return waiter is not None and self._end(waiter)

    def leave(self, lists: Iterable[str], tokens: Iterable[str]) -> None:
        """Give the sticky lists (DOMAIN/LIST) and the unanswered tasks of a decider that is gone to the others."""
        if self._loop is None or self._stopped or self._broken is not None or self._read_only is not None:
            return
        try:
            self.service.leave(lists, tokens)
        except base.Lost as lost:
            self._lost(lost)
            return
        self._soon(self._loop)

    # -- commits

    def _soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._pending:
            return
        self._pending, self._before = True, self._calls
        # While the disk is busy no answer could leave: what comes meanwhile is one commit, made when it is free.
        if self._disk is None or not self._disk.busy:
            self._next = loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Commit; where several clients got their answers together, once a turn of the loop has brought no new call.

        Every call counts, also one that was answered at once: those who wait must not wait for others for long.
        """
        calls = self._calls
        if self._released > 1 and calls != self._known and calls - self._before < _MOST and self._loop is not None:
            self._known = calls
            self._next = self._loop.call_soon(self._turn)
        else:
            self._next = None
            self._commit()

    def _commit(self) -> None:
        self._pending = False
        if self._next is not None:  # the commit was not called by ``_turn``
            self._next.cancel()
            self._next = None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        group, self._group = self._group, []
        woken: list[polls.Waiter] = []
        try:
            self.service.settle(woken)
            if self.service.store.dirty:
                if self.before_commit is not None:
                    self.before_commit()
                self.service.commit(flush=False)
                if self.before_flush is not None:
                    self.service.store.unflushed = True
        except Exception as error:
            self._group = group
            fault = self._lost(error, woken)
            if not isinstance(error, base.Lost | OSError):
                _LOG.exception("A commit failed: %s", fault)
            self._flush_soon()  # The commits before it are as they were.
            return
        # Tasks go first: somebody is to begin with them, and who waits for an acknowledgement has done its work.
        decisions: list[_Held] = []
        # Without an open poll a worker polls again behind an acknowledgement that waits.
        urgent = self._stopped or not self.service.session.polls.workers
        for waiter in woken:
            if waiter.answer is not None:
                held = decisions if waiter.place[0] == "states" else self._committed
                held.append((self._polls.pop(waiter)[0], waiter.answer))
                urgent = urgent or (held is not decisions and bool(waiter.answer))  # a worker gets a task
        self._committed += group
        if decisions:
            self._hand_out(decisions)
        if self.service.store.unflushed and self._disk is not None and self._disk.usual() > _TELLING:
            polls.tell(woken)
        if self.service.store.unflushed:
            if urgent or self._delay is None or not self._delay.wait(len(self._committed), decisions=bool(decisions)):
                self._flush_soon()
        elif self._disk is not None and self._disk.busy:
            self._flushing += self._take()  # what they say may rest on a commit that the disk does not have yet
        else:
            self._release(self._take())
        self._arm()

    def _flush_soon(self) -> None:
        """Begin a flush; where one is under way, its end begins the next."""
        if self.service.store.unflushed and self._broken is None and self._disk is not None and not self._disk.busy:
            self._flush()

    def _hand_out(self, decisions: list[_Held]) -> None:
        """Give decisions, which do not wait for the disk: the answer to one that a power cut takes back is refused."""
        try:
            if isinstance(self.service.store, sqlite.File):
                self.service.store.verify()
        except files.Moved:
            self._committed += decisions  # the flush says so
        else:
            self._release(decisions)

    def _arm(self) -> None:
        if self._clockwork is not None and not self._stopped and self._broken is None:
            self._clockwork.arm()

    def _take(self) -> list[_Held]:
        taken, self._committed = self._committed, []
        return taken

    def _flush(self) -> None:
        assert self._disk is not None
        if self._delay is not None:
            self._delay.end()
        self._flushing = self._take()
        self.service.store.unflushed = False
        if self._disk.quick():
            self._disk.flush_here()
        else:
            self._disk.begin()

    def _wait_for_disk(self) -> None:
        if self.before_flush is not None:
            self.before_flush()
        self.service.store.flush()

    def _flushed(self, error: BaseException | None) -> None:
        """Release the answers whose commits this flush made durable."""
        done, self._flushing = self._flushing, []
        if error is not None:
            self._give_up(self._break(error), done)
            return
        self._release(done)
        if self._pending and self._next is None:
            self._commit()
        elif self.service.store.unflushed:
            self._flush()

    def _break(self, error: BaseException) -> errors.Fault:
        """Store nothing any more; return why."""
        if isinstance(error, files.Moved):
            words = (
                f"{error.strerror}: nothing is stored any more. Bring it back and restart the server, or restore a "
                "backup (simpleflow server restore FILE)"
            )
        else:
            # It is not known what the disk has, and a later flush would not tell: only a new start reads what is there.
            words = f"the disk failed ({error}): nothing is stored any more, restart the server"
        self._broken = errors.unavailable(words)
        _LOG.critical("%s", words)
        return self._broken

    def _give_up(self, fault: errors.Fault, done: list[_Held]) -> None:
        """Refuse all waiting calls, undo what is not committed, and carry out nothing more."""
        self.service.undo()
        self._pending = False
        for timer in (self._next, self._retry):
            if timer is not None:
                timer.cancel()
        self._next = self._retry = None
        if self._clockwork is not None:
            self._clockwork.stop()
        if self._delay is not None:
            self._delay.end()
        group, self._group = self._group, []
        waiting = [*done, *self._take(), *group, *self._polls.values()]
        for waiter in self._polls:
            self.service.withdraw(waiter)
        self._polls.clear()
        for give, _ in waiting:
            give(fault)

    def _release(self, held: list[_Held]) -> None:
        """Give the answers."""
        fault: errors.Fault | None = None
        self._released = len(held)
        if self.after_commit is not None and held:
            try:
                self.after_commit()
            except errors.Fault as lost:
                fault = lost
        for give, outcome in held:
            give(outcome if fault is None else fault)

    def _lost(self, error: Exception, woken: list[polls.Waiter] | None = None) -> errors.Fault:
        """Undo the group of calls and refuse each of them; return the fault."""
        store = self.service.store
        if isinstance(store, sqlite.File):
            try:
                store.verify()
            except files.Moved as moved:
                fault = self._break(moved)
                self._give_up(fault, [])
                return fault
        self.service.undo()
        fault = errors.unavailable(f"nothing could be stored: {error}")
        group, self._group = self._group, []
        answered = [waiter for waiter in (*(woken or ()), *self.service.session.polls.brief()) if waiter in self._polls]
        group += [(self._polls.pop(waiter)[0], fault) for waiter in answered]
        for waiter in answered:
            self.service.withdraw(waiter)
        for give, _ in group:
            give(fault)
        if self._polls and not self._stopped and self._retry is None and self._loop is not None:
            # other polls may wait for the tasks that this group had taken
            self._retry = self._loop.call_later(_RETRY, self._commit)
        if self._clockwork is not None and not self._stopped:
            self._clockwork.put_off()
        return fault
