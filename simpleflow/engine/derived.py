"""Futures computed from others: what ``then``, ``map`` and ``add_done_callback`` start."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import futures, identity, scopes

if TYPE_CHECKING:
    from . import evaluation as evaluations


class Callback:
    """One callback: a strand of its own, started once its source is settled.

    Its branch is named by the source's identity and its ordinal on it, so that callbacks which open in another order
    in a re-run are the same.
    """

    __slots__ = ("_evaluation", "_function", "_number", "_origin", "_source", "future")

    def __init__(
        self,
        evaluation: evaluations.Evaluation,
        source: futures.Future[Any],
        function: Callable[[Any], Any],
        raises: bool = True,
    ) -> None:
        self._evaluation = evaluation
        self._source = source
        self._function = function
        self._origin = scopes.origin(evaluation)
        self._number = getattr(source, "_thens", 0)
        source._thens = self._number + 1
        self.future: futures.Future[Any] = futures.Future(evaluation, self, raises)
        source._subscribe(self._start)

    def _start(self) -> None:
        source, future = self._source, self.future
        if future._kind != futures.OPEN:
            return
        if source._kind == futures.CANCELED:
            future._cancel(source._content)
        elif source._kind == futures.FAILED and source._raises:
            future._fail(source._content)
        else:
            function = self._function
            self._run(lambda: function(source._outcome()))

    def _run(self, function: Callable[[], Any]) -> None:
        # Named only now: a source that waited for its own arguments did not know before what it is.
        evaluation = self._evaluation
        barred = scopes.barred(evaluation, self._origin)
        evaluation.spawn(identity.Branch(self.identity()), function, self.future, barred=barred).resume()

    def identity(self) -> str:
        source = self._source
        return f"then({source.source.identity()}{getattr(source, '_held', '')})#{self._number}"

    def state(self, future: futures.Future[Any]) -> str:
        # Whether it will be settled by what happened already only its function could say.
        if not self._evaluation.asynchronous:
            self._evaluation.single_use = True
        return futures.PENDING

    def cancel(self, future: futures.Future[Any]) -> bool:
        future._cancel()
        return True


class DoneCallback(Callback):
    """``add_done_callback``: called with the future itself, however it ended."""

    __slots__ = ()

    def _start(self) -> None:
        source, function = self._source, self._function
        self._run(lambda: function(source))


def then(
    evaluation: evaluations.Evaluation, source: futures.Future[Any], function: Callable[[Any], Any]
) -> futures.Future[Any]:
    evaluation.check_alive()
    return Callback(evaluation, source, function).future


def when_done(evaluation: evaluations.Evaluation, source: futures.Future[Any], function: Callable[[Any], Any]) -> None:
    evaluation.check_alive()
    DoneCallback(evaluation, source, function)
