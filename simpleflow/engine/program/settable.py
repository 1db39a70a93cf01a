"""Futures that a program makes and settles itself, as 0.36 lets it: ``Future()``, ``set_finished(result)``.

The names with an underscore are those that 0.36's subclasses of its futures read and write.
"""

from __future__ import annotations

from typing import Any

from simpleflow.core import errors

from . import run

PENDING = "PENDING"
RUNNING = "RUNNING"
CANCELLED = "CANCELLED"
FINISHED = "FINISHED"
#: of ``concurrent.futures``: no future is in this state
CANCELLED_AND_NOTIFIED = "CANCELLED_AND_NOTIFIED"

#: what a future holds: nothing yet, text that was not parsed yet, a value, an exception, its cancellation
OPEN, TEXT, VALUE, FAILED, CANCELED = range(5)


class Settable:
    """The part of a future that its maker uses; one of a task is settled by the coordinator alone."""

    __slots__ = ()

    _kind: int
    _source: Any
    _content: Any
    _evaluation: run.Run | None

    @property
    def _own(self) -> bool:
        """Whether a program made it."""
        return self._evaluation is None and (self._source is None or self._source is RUNNING)

    def _check_own(self) -> None:
        if not self._own:
            raise errors.Misuse("this future belongs to a task, which settles it: settle those that you made, Future()")

    def set_running(self) -> None:
        """Say that what stands behind it has begun."""
        self._check_own()
        if self._kind == OPEN:
            self._source = RUNNING

    def set_finished(self, result: Any) -> None:
        """Settle it with a value."""
        self._check_own()
        self._settle_own(VALUE, result)

    def set_exception(self, exception: BaseException | None) -> None:
        """Settle it with an exception: ``exception`` tells, ``result`` is None."""
        self._check_own()
        self._settle_own(VALUE if exception is None else FAILED, exception)

    def set_cancelled(self) -> None:
        """Settle it as cancelled."""
        self._check_own()
        self._settle_own(CANCELED, None)

    def wait(self) -> None:
        """Block until it is done. Raises ExecutionBlocked where nothing can block: outside ``run()``."""
        if self._kind == OPEN:
            if self._evaluation is None:
                raise errors.ExecutionBlocked
            self._evaluation.block_on(self)

    def _settle_own(self, kind: int, content: Any) -> None:
        if self._kind == OPEN:
            self._content = content
            self._settle(kind)

    def _settle(self, kind: int) -> None:
        raise NotImplementedError

    # -- 0.36's attributes

    @property
    def _state(self) -> str:
        state: str = self.state  # type: ignore[attr-defined]  # of the future
        return state

    @_state.setter
    def _state(self, state: str) -> None:
        if state == RUNNING:
            self.set_running()
        elif state == FINISHED:
            self.set_finished(getattr(self, "_content", None))
        elif state == CANCELLED:
            self.set_cancelled()

    @property
    def _result(self) -> Any:
        return getattr(self, "_content", None) if self._kind in (OPEN, VALUE) else None

    @_result.setter
    def _result(self, value: Any) -> None:
        self._check_own()
        self._content = value

    @property
    def _exception(self) -> BaseException | None:
        return self._content if self._kind == FAILED else None

    @_exception.setter
    def _exception(self, exception: BaseException | None) -> None:
        if exception is not None:
            self.set_exception(exception)


def queue_of(future: Any) -> Any:
    """Return where callbacks of a future wait for their turn: one that a program made has none of its own."""
    evaluation = future._evaluation
    if evaluation is None:
        strand = run.current()
        if strand is None:
            raise errors.Misuse("this future was made outside an evaluation: it is done, use its result directly")
        evaluation = strand.evaluation
    return evaluation.ready
