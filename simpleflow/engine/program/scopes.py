"""Cancellation scopes: where a cancel request becomes an exception, and where not; sagas."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from simpleflow.core import errors

from . import futures, run


class Strand(Protocol):
    """What scopes know of a strand."""

    scope: Scope | None
    wait: futures.Wait | None
    #: scope whose cancellation is raised at the next wait that it reaches
    cancelled_at_next_wait: Scope | None
    #: raised where it waits, when it is resumed next
    injected: BaseException | None
    #: what it submits is not sent
    barred: bool


class Scope:
    """One scope: the block of a ``with``. Scopes nest; arms that are opened inside belong to it."""

    def __init__(self, evaluation: run.Run, parent: Scope | None, *, shield: bool, wait: bool) -> None:
        self._evaluation = evaluation
        self.parent = parent
        self.is_shield = shield
        #: leaving it waits until cancelled activities have acknowledged
        self.wait = wait
        #: everything inside was told to end
        self.cancelled = False
        #: futures of the tasks that were submitted inside, where leaving waits for them
        self.submitted: list[futures.Future[Any]] = []

    def note(self, future: futures.Future[Any]) -> None:
        """A task was submitted inside."""
        upward: Scope | None = self
        while upward is not None:
            if upward.wait:
                upward.submitted.append(future)
            upward = upward.parent

    def cancel(self) -> None:
        """Raise TaskCanceled in what waits inside; the code that calls goes on to its next wait."""
        self._evaluation.check_alive()
        interrupt(self._evaluation, self)

    def shield(self) -> contextlib.AbstractContextManager[Scope]:
        """Open a part that no cancellation from outside reaches: for clean-ups."""
        return scope(self._evaluation, shield=True)


class Scopes:
    """What an evaluation knows of its scopes, once it has opened one."""

    def __init__(self, evaluation: run.Run) -> None:
        self._evaluation = evaluation
        #: a cancel request was taken up by the scope of run(), and not raised there yet
        self.owed = False
        #: number of the last submission before a cancel request was taken up; 0: none was
        self.taken = 0
        #: submissions that go on all the same: made in a shield
        self._exempt: set[int] = set()
        #: later ones, by code that is not a clean-up
        self._barred: set[int] = set()

    def cancel_requested(self) -> bool:
        """Take up a cancel request; False when run() itself has no scope open."""
        main = self._evaluation.main
        outermost = None if main is None else main.scope
        if outermost is None:
            return False
        while outermost.parent is not None:
            outermost = outermost.parent
        self.owed = True
        interrupt(self._evaluation, outermost)
        self._take_up(outermost)
        return True

    # -- after a request was taken up nothing new is sent, but for clean-ups: what is submitted in a shield, and by code
    # that was told of the cancellation

    def _take_up(self, outermost: Scope) -> None:
        evaluation = self._evaluation
        self.taken = evaluation.next_seq()
        for strand in evaluation.strands:
            if not _within(outermost, strand.scope) and not shielded(strand):
                strand.barred = True  # a callback: it is never told
        for call in list(evaluation.calls.local.values()):
            if self.bars(call.seq):
                call.withdraw()
        for item in evaluation.outbox.waiting():
            if item.sort == "work" and self.bars(item.seq) and not getattr(item, "done", False):
                item.withdraw()

    def bars(self, seq: int) -> bool:
        """Whether this submission may not be sent, now or again."""
        if not self.taken or seq in self._exempt:
            return False
        return seq < self.taken or seq in self._barred

    def admits(self, strand: Strand | None, seq: int) -> bool:
        """Whether what this strand submits may be sent; of no strand: by what was said before."""
        if self.note_shield(strand, seq) or not self.taken:
            return True
        if strand is not None and seq > self.taken and _bars(strand):
            self._barred.add(seq)
        return not self.bars(seq)

    def note_shield(self, strand: Strand | None, seq: int) -> bool:
        """Remember a submission that is made in a shield; return whether this is one."""
        if strand is None or not shielded(strand):
            return False
        self._exempt.add(seq)
        return True

    def origin(self, strand: Any, seq: int) -> int:
        """Return a number for a callback or group that this strand makes, for ``barred_by`` later."""
        if strand is None or shielded(strand):
            return _EXEMPT
        return _BARRED if self.taken and _bars(strand) else seq

    def barred_by(self, origin: int) -> bool:
        """Whether what a callback or group of this origin submits now may not be sent."""
        return _EXEMPT != origin < self.taken

    def told(self, strand: Strand | None) -> None:
        """The strand read a task that was withdrawn: it knows."""
        if strand is not None and _is_owed(strand):
            strand.cancelled_at_next_wait = None

    def close(self) -> None:
        """The run ends by the request: what waits to be sent is withdrawn, but for markers and shielded clean-ups.

        Children are asked to cancel: SWF ends activities and timers with their execution, children go on.
        """
        for item in self._evaluation.outbox.waiting():
            if item.sort != "note" and item.seq not in self._exempt and not getattr(item, "done", False):
                item.withdraw()
        for record in list(self._evaluation.book.children.by_id.values()):
            call = record.call
            if call is None or call.done or call.seq in self._exempt:
                continue
            for future in list(call.holders):
                if future._kind == futures.OPEN:
                    call.cancel(future)

    def give_up(self) -> None:
        """The class refused the request after all."""
        self.taken = 0

    def compact(self) -> None:
        """Forget what is over: the execution is suspended."""
        if self._exempt or self._barred:
            book = self._evaluation.book
            live = {item.seq for item in self._evaluation.outbox.waiting()}
            for record in (*book.activities.by_id.values(), *book.children.by_id.values()):
                live.add(getattr(record.call, "seq", 0))
            live.update(timer.seq for timer in self._evaluation.calls.timers.values())
            self._exempt &= live
            self._barred &= live


def interrupt(evaluation: run.Run, of: Scope) -> None:
    """Raise TaskCanceled in each strand inside, in order of opening, where it waits or at its next unshielded wait.

    The wait of a parent on its arms is not cancelled: it ends when they have ended.
    """
    of.cancelled = True
    for strand in list(evaluation.strands):
        if not _within(of, strand.scope):
            continue
        if strand.wait is None or not reaches(of, strand.scope):
            strand.cancelled_at_next_wait = of
        elif not _waits_for_arms(strand):
            strand.injected = _error()
            evaluation.ready.append(strand.interrupt)


def _error() -> errors.TaskCanceled:
    return errors.TaskCanceled("cancellation was requested")


def due(strand: Strand) -> BaseException | None:
    """Return what a strand that is about to wait must be told instead."""
    if not _is_owed(strand):
        return None
    strand.cancelled_at_next_wait = None
    return _error()


def _within(of: Scope, inner: Scope | None) -> bool:
    while inner is not None and inner is not of:
        inner = inner.parent
    return inner is of


def reaches(of: Scope, inner: Scope | None) -> bool:
    """Whether a cancel of ``of`` reaches code in ``inner``: no shield between."""
    while inner is not None:
        if inner.is_shield:
            return False
        if inner is of:
            return True
        inner = inner.parent
    return False


def shielded(strand: Strand) -> bool:
    """Whether the strand's code runs inside a shield."""
    inner = strand.scope
    while inner is not None and not inner.is_shield:
        inner = inner.parent
    return inner is not None


def _bars(strand: Strand) -> bool:
    """Whether the strand's code is not a clean-up: it was not told of the cancellation, or never will be."""
    return strand.barred or _is_owed(strand)


def _is_owed(strand: Strand) -> bool:
    """Whether the cancellation would be raised if the strand waited here."""
    of = strand.cancelled_at_next_wait
    return of is not None and reaches(of, strand.scope)


#: origins of what is always, and never, a clean-up
_EXEMPT, _BARRED = 0, -1


def _waits_for_arms(strand: Strand) -> bool:
    wait = strand.wait
    if wait is None:
        return False
    return any(getattr(future._source, "is_arm", False) for future in wait.futures if future._kind == futures.OPEN)


@contextlib.contextmanager
def scope(evaluation: run.Run, *, shield: bool = False, wait: bool = False) -> Iterator[Scope]:
    """Open a scope in the branch that runs."""
    evaluation.check_alive()
    strand = evaluation.current
    assert strand is not None
    if evaluation.scopes is None:
        evaluation.scopes = Scopes(evaluation)
    opened = Scope(evaluation, strand.scope, shield=shield, wait=wait)
    strand.scope = opened
    try:
        yield opened
    finally:
        if not evaluation.dead:
            if wait:
                _acknowledged(evaluation, strand, opened)
            strand.scope = opened.parent
            if strand.cancelled_at_next_wait is opened:
                # It never waited: run() has no scope any more, so a request closes the execution at its next wait.
                strand.cancelled_at_next_wait = None
                strand.closing = opened.parent is None and strand is evaluation.main and evaluation.scopes.owed


def _acknowledged(evaluation: run.Run, strand: Strand, of: Scope) -> None:
    """Wait until what was cancelled inside has ended; in a cancelled scope what is open is asked to cancel first."""
    upward: Scope | None = of
    while upward is not None and not upward.cancelled:
        upward = upward.parent
    waiting = []
    for future in of.submitted:
        call = future.source
        if upward is not None and future._kind == futures.OPEN:
            call.cancel(future)
        if call.cap == "timer":
            continue  # nobody acknowledges the end of a timer
        if future._kind == futures.CANCELED and call.done and _runs(evaluation, call.record):
            waiting.append(call.acknowledged())
    if waiting:
        # This wait is the scope's own: what the block is still owed is raised at the program's next one.
        owed, strand.cancelled_at_next_wait = strand.cancelled_at_next_wait, None
        evaluation.current.block(evaluation.waiting_for(tuple(waiting), len(waiting)))
        strand.cancelled_at_next_wait = strand.cancelled_at_next_wait or owed


def _runs(evaluation: run.Run, record: Any) -> bool:
    """Whether a cancelled task was sent and has not ended yet; its end in the history counts once it is delivered."""
    if record is None or not record.scheduled:
        return False
    return record.outcome is None or record.closed_id > evaluation.position


class Saga:
    """Steps that were done, with how to undo them."""

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        self._undo: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def add(self, undo: Any, *args: Any, **kwargs: Any) -> None:
        """Remember what undoes the step that was just done: something to submit and its arguments."""
        self._undo.append((undo, args, kwargs))

    def undo(self) -> None:
        """Undo all steps, newest first, each waited for; what one raises does not keep back the others."""
        raised: list[BaseException] = []
        while self._undo:
            undo, args, kwargs = self._undo.pop()
            try:
                self._workflow.submit(undo, *args, **kwargs).result  # noqa: B018 - waits
            except Exception as error:
                raised.append(error)
        if raised:
            raise errors.AggregateException(raised)


@contextlib.contextmanager
def saga(workflow: Any) -> Iterator[Saga]:
    """Undo what was added when the block fails or is cancelled, shielded from further cancellation."""
    made = Saga(workflow)
    try:
        yield made
    except Exception:
        with scope(workflow.executor, shield=True):
            made.undo()
        raise
