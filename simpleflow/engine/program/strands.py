"""Strands: pieces of program that run until they block. ``run()`` is one, each arm and each callback is one.

Each runs in a greenlet. A coroutine is driven inside one, step by step, by ``drive``.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet  # type: ignore[import-untyped]  # it ships no types

from simpleflow.core import errors, interrupts
from simpleflow.engine.history import identity

from . import futures, run, scopes

#: how often GreenletExit is raised in the strand of a dead evaluation before the strand is dropped
MOST_KILLS = 10


class Strand:
    """One piece of program with its own place to block, branch and cancellation scope."""

    __slots__ = (
        "barred",
        "branch",
        "cancelled_at_next_wait",
        "closing",
        "deaths",
        "driven",
        "evaluation",
        "function",
        "future",
        "injected",
        "let",
        "scope",
        "wait",
    )

    def __init__(
        self,
        evaluation: run.Run,
        branch: identity.Branch,
        function: Callable[[], Any],
        future: futures.Future[Any] | None,
        scope: scopes.Scope | None = None,
    ) -> None:
        self.evaluation = evaluation
        self.branch = branch
        self.function = function
        #: settled by what the function returns or raises; None: of ``run()`` itself
        self.future = future
        self.scope = scope
        #: what it waits for; None while it runs, and when it has ended
        self.wait: futures.Wait | None = None
        #: raised where it waits, when it is resumed next
        self.injected: BaseException | None = None
        self.let: Any = None
        #: scope whose cancellation is raised at the next wait that it reaches
        self.cancelled_at_next_wait: scopes.Scope | None = None
        #: what it submits is not sent: a cancel request was taken up, and it is not a clean-up
        self.barred = False
        #: a cancel request closes the execution at the next wait
        self.closing = False
        #: how often GreenletExit was raised in it
        self.deaths = 0
        #: a coroutine is driven in it: it waits with ``await``
        self.driven = False

    @property
    def started(self) -> bool:
        return self.let is not None

    @property
    def ended(self) -> bool:
        return self.let is not None and self.let.dead

    def resume(self) -> None:
        """Run it until it blocks again or ends. Called from the engine's own greenlet only."""
        evaluation = self.evaluation
        if self.let is None:
            self.let = greenlet(self._main)
            self.let.strand = self
        let = self.let
        here = evaluation.hub if evaluation.current is None else getcurrent()
        if let.parent is not here:
            let.parent = here
        self.wait = None
        before, evaluation.current = evaluation.current, self
        try:
            let.switch()
        finally:
            evaluation.current = before
            if let.dead:
                del let.strand  # the two refer to each other
        if evaluation.blobs.asking is not None and before is not None and before.let is not None:
            # It was started by another strand, and asks for a blob: that one goes on after it, as with the blob here.
            evaluation.blobs.stopped.append(before)
            before.fetch()

    def interrupt(self) -> None:
        """Go on where it waits with what was injected, unless it went on meanwhile."""
        if self.injected is not None and self.wait is not None:
            self.resume()

    def block(self, wait: futures.Wait | None) -> None:
        """Leave the greenlet until the wait is over. Raises what was injected meanwhile."""
        evaluation = self.evaluation
        if evaluation.strict is not None:
            evaluation.strict.check_locks(self)
            evaluation.strict.leave(self)
        if self.cancelled_at_next_wait is not None or self.closing:
            self._interrupted(wait)
        self.wait = wait
        self.let.parent.switch()
        if evaluation.dead:
            self.die()
        if evaluation.strict is not None:
            evaluation.strict.enter(self)
        if self.injected is not None:
            error, self.injected = self.injected, None
            if wait is not None:
                wait.drop()
            raise error

    def fetch(self) -> None:
        """Leave the greenlet until the engine has what this strand asked for: no wait of the program.

        Whether there is something to fetch it cannot see, so nothing is raised here.
        """
        evaluation = self.evaluation
        if evaluation.strict is not None:
            evaluation.strict.leave(self)
        self.let.parent.switch()
        if evaluation.dead:
            self.die()
        if evaluation.strict is not None:
            evaluation.strict.enter(self)

    def _interrupted(self, wait: futures.Wait | None) -> None:
        """Raise what a cancellation owes this strand, if it reaches where it is about to wait."""
        if self.closing:
            self.closing = False
            self.evaluation.book.on_cancel.ask()
            return
        error = scopes.due(self)
        if error is None:
            return
        if wait is not None:
            wait.drop()
        if self.evaluation.strict is not None:
            self.evaluation.strict.enter(self)
        raise error

    def die(self) -> None:
        """Raise GreenletExit in a dead evaluation's strand; one that catches it again and again is left suspended."""
        self.deaths += 1
        while self.deaths > MOST_KILLS:
            self.let.parent.switch()
        raise GreenletExit

    def _main(self) -> None:
        evaluation = self.evaluation
        if evaluation.strict is not None:
            evaluation.strict.enter(self)
        try:
            value = self.function()
            if inspect.iscoroutine(value):
                value = self.drive(value)
            if self.future is not None and isinstance(value, futures.Future):
                value = value.result  # a callback that returns a future means its result
        except GreenletExit:
            if not evaluation.dead:
                evaluation.strand_ended(self, None, errors.Misuse("run() raised GreenletExit: it is the engine's own"))
        except BaseException as error:
            if interrupts.from_outside(error):
                raise  # of the decider's process: goes to whoever called the engine
            if not evaluation.dead:
                evaluation.strand_ended(self, None, error)
        else:
            if not evaluation.dead:
                evaluation.strand_ended(self, value, None)
        finally:
            if evaluation.strict is not None:
                evaluation.strict.leave(self)
            self.function = _nothing

    def drive(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end, blocking this strand at each ``await`` of ours."""
        error: BaseException | None = None
        self.driven = True
        while True:
            try:
                wait = coroutine.send(None) if error is None else coroutine.throw(error)
            except StopIteration as stop:
                self.driven = False
                return stop.value
            error = None
            if not isinstance(wait, futures.Wait):
                error = errors.Misuse(
                    f"{type(wait).__name__} was awaited in run(), which only the engine drives: await futures of "
                    "submit(), or gather, wait and as_completed of simpleflow.futures instead of asyncio's"
                )
                continue
            try:
                self.block(wait)
            except BaseException as raised:
                error = raised

    def kill(self) -> bool:
        """End it: each of its blocking and submitting calls raises GreenletExit. Return whether it ended."""
        let = self.let
        if let is None or let.dead:
            return True
        for _ in range(MOST_KILLS):
            let.parent = getcurrent()
            # What a program raises while it is ended is dropped.
            with contextlib.suppress(Exception):
                let.throw(GreenletExit)
            if let.dead:
                del let.strand
                return True
            if self.deaths > MOST_KILLS:
                break
        return False


def block(evaluation: run.Run, waited: tuple[futures.Future[Any], ...], count: int) -> None:
    """Block the current strand until so many of these are settled; stale subscriptions are taken back."""
    if evaluation.dead:
        evaluation.die()
    if evaluation.current is None:
        raise errors.ExecutionBlocked
    wait = evaluation.waiting_for(waited, count)
    evaluation.current.block(wait)
    if count < len(waited):
        wait.drop()


class HookStrand(Strand):
    """Where hooks run: they may submit, in a branch of their own; they may not wait."""

    __slots__ = ()

    def block(self, wait: futures.Wait | None) -> None:
        raise errors.Misuse("a hook may not wait for anything: submit what must happen, or do it in an activity")

    def fetch(self) -> None:
        self.block(None)


def _nothing() -> None:
    return None


class Arm:
    """Source of the future of one arm."""

    __slots__ = ("_branch", "_strand")

    #: a wait for arms ends when they have ended, not by a cancellation
    is_arm = True

    def __init__(self, branch: identity.Branch) -> None:
        self._branch = branch
        self._strand: Strand | None = None

    def identity(self) -> str:
        return self._branch.path

    def state(self, future: futures.Future[Any]) -> str:
        if self._strand is not None and not self._strand.evaluation.facts.asynchronous:
            self._strand.evaluation.reads.single_use = True
        return futures.RUNNING

    def cancel(self, future: futures.Future[Any]) -> bool:
        strand = self._strand
        if strand is None or strand.wait is None:
            future._cancel()
        else:
            strand.injected = errors.TaskCanceled("the arm was cancelled")
            strand.evaluation.ready.append(strand.interrupt)
        return True


def start_arm(
    evaluation: run.Run, branch: identity.Branch, function: Callable[[], Any], *, raises: bool = True
) -> futures.Future[Any]:
    """Start an arm: a strand of its own, queued behind what is ready."""
    arm = Arm(branch)
    future: futures.Future[Any] = futures.Future(evaluation, arm, raises)
    opener = evaluation.current
    scope, barred = (None, False) if opener is None else (opener.scope, opener.barred)
    arm._strand = evaluation.spawn(branch, function, future, scope, barred=barred)
    evaluation.ready.append(arm._strand.resume)
    return future
