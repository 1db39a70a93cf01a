"""Cancellation scopes: where a cancel request becomes an exception, and where not; sagas."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simpleflow.core import errors

from . import futures, strands

if TYPE_CHECKING:
    from . import evaluation as evaluations


class Scope:
    """One scope: the block of a ``with``. Scopes nest; arms that are opened inside belong to it."""

    def __init__(
        self, evaluation: evaluations.Evaluation, parent: Scope | None, *, shield: bool, wait: bool
    ) -> None:
        self._evaluation = evaluation
        self.parent = parent
        self.shield = shield
        self.wait = wait
        self.open = True
        #: TaskCanceled was raised in it, or will be where it waits next
        self.cancelled = False

    def cancel(self) -> None:
        """Raise TaskCanceled in what waits inside; the calling code itself goes on to its next wait."""
        self._evaluation.check_alive()
        self.cancelled = True
        _interrupt(self._evaluation, self)

    def covers(self, scope: Scope | None) -> bool:
        """Whether code in that scope is inside this one, with no shield between."""
        while scope is not None and scope is not self:
            if scope.shield:
                return False
            scope = scope.parent
        return scope is self and not self.shield


class Scopes:
    """What an evaluation knows of its scopes."""

    def __init__(self, evaluation: evaluations.Evaluation) -> None:
        self._evaluation = evaluation
        self.requested = False

    def cancel_requested(self) -> bool:
        """Take up a cancel request; False when run() itself has no scope open."""
        evaluation = self._evaluation
        main = evaluation.main
        assert main is not None
        scope = main.scope
        if scope is None:
            return False
        self.requested = True
        outermost = scope
        while outermost.parent is not None:
            outermost = outermost.parent
        outermost.cancelled = True
        _interrupt(evaluation, outermost)
        return True


def _interrupt(evaluation: evaluations.Evaluation, scope: Scope) -> None:
    """Raise TaskCanceled in each strand that waits inside, in order of opening.

    The wait of a parent on its arms is not cancelled: it ends when they have ended.
    """
    for strand in list(evaluation.strands):
        if strand.wait is None or not _inside(scope, strand.scope) or _waits_for_arms(strand):
            continue
        strand.injected = errors.TaskCanceled("cancellation was requested")
        evaluation.ready.append(strand.interrupt)


def _inside(scope: Scope, inner: Scope | None) -> bool:
    """Whether a cancel of ``scope`` reaches code in ``inner``."""
    while inner is not None:
        if inner.shield:
            return False
        if inner is scope:
            return True
        inner = inner.parent
    return False


def _waits_for_arms(strand: strands.Strand) -> bool:
    from . import combinators

    wait = strand.wait
    if wait is None:
        return False
    return any(
        isinstance(future._source, combinators.Arm) for future in wait.futures if future._kind == futures.OPEN
    )


@contextlib.contextmanager
def scope(evaluation: evaluations.Evaluation, *, shield: bool = False, wait: bool = False) -> Iterator[Scope]:
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
        opened.open = False
        strand.scope = opened.parent
        if opened.wait and not evaluation.dead:
            evaluation.wait_for_acknowledgements()


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
