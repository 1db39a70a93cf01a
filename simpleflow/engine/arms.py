"""Arms: strands that run side by side with the one that opened them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simpleflow.core import errors

from . import futures, identity, strands

if TYPE_CHECKING:
    from . import evaluation as evaluations


class Arm:
    """Source of the future of one arm."""

    __slots__ = ("_branch", "_strand")

    def __init__(self, branch: identity.Branch) -> None:
        self._branch = branch
        self._strand: strands.Strand | None = None

    def identity(self) -> str:
        return self._branch.path

    def state(self, future: futures.Future[Any]) -> str:
        if self._strand is not None and not self._strand.evaluation.asynchronous:
            self._strand.evaluation.single_use = True
        return futures.RUNNING

    def cancel(self, future: futures.Future[Any]) -> bool:
        strand = self._strand
        if strand is None or strand.wait is None:
            future._cancel()
        else:
            strand.injected = errors.TaskCanceled("the arm was cancelled")
            strand.evaluation.ready.append(strand.interrupt)
        return True


def start(
    evaluation: evaluations.Evaluation, branch: identity.Branch, function: Callable[[], Any], *, raises: bool = True
) -> futures.Future[Any]:
    """Start an arm: a strand of its own, queued behind what is ready."""
    arm = Arm(branch)
    future: futures.Future[Any] = futures.Future(evaluation, arm, raises)
    opener = evaluation.current
    scope, barred = (None, False) if opener is None else (opener.scope, opener.barred)
    arm._strand = evaluation.spawn(branch, function, future, scope, barred=barred)
    evaluation.ready.append(arm._strand.resume)
    return future
