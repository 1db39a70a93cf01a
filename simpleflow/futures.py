"""Futures, and waiting for several of them.

``concurrent.futures`` with one difference: ``result`` and ``exception`` are properties, and block the decision, not a
thread. In ``async def run`` everything here that waits is awaited.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, TypeVar, overload

from simpleflow.core import numbers
from simpleflow.engine import combinators
from simpleflow.engine.combinators import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, DoneAndNotDone, Results
from simpleflow.engine.program.futures import CANCELLED, FINISHED, OPEN, PENDING, RUNNING, Future
from simpleflow.engine.program.settable import CANCELLED_AND_NOTIFIED

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
_UNSET: Any = object()
#: what ``gather`` runs
Arm = Future[T] | Callable[[], T] | Coroutine[Any, Any, T]

__all__ = [
    "ALL_COMPLETED",
    "CANCELLED",
    "CANCELLED_AND_NOTIFIED",
    "FINISHED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "PENDING",
    "RUNNING",
    "DoneAndNotDone",
    "Future",
    "as_completed",
    "gather",
    "get_result_or_raise",
    "to_concurrent",
    "wait",
]


@overload
def wait(first: Future[T1], second: Future[T2], /) -> Results[T1 | T2]: ...


@overload
def wait(first: Future[T1], second: Future[T2], third: Future[T3], /) -> Results[T1 | T2 | T3]: ...


@overload
def wait(*fs: Future[T] | Iterable[Future[T]]) -> Results[T]: ...


@overload
def wait(
    *fs: Future[T] | Iterable[Future[T]], return_when: str, timeout: numbers.Duration | None = None
) -> DoneAndNotDone[T]: ...


@overload
def wait(
    *fs: Future[T] | Iterable[Future[T]], return_when: str = ..., timeout: numbers.Duration
) -> DoneAndNotDone[T]: ...


def wait(
    *fs: Future[Any] | Iterable[Future[Any]], return_when: str = _UNSET, timeout: numbers.Duration | None = None
) -> Any:
    """Wait for futures.

    ``wait(a, b)`` returns the list of their results. With ``return_when`` or ``timeout`` (seconds of a durable timer)
    ``wait([a, b], ...)`` returns ``(done, not_done)`` as of the event that decided, whenever it is asked: done is what
    was settled by then.
    """
    if timeout is not None:
        numbers.duration("timeout of futures.wait()", timeout)
    given: list[Future[Any]] = []
    for entry in fs:
        given.extend([entry] if isinstance(entry, Future) else entry)
    if return_when is _UNSET and timeout is None:
        return combinators.results(tuple(given))
    return combinators.wait(given, ALL_COMPLETED if return_when is _UNSET else return_when, timeout)


def as_completed(fs: Iterable[Future[T]]) -> combinators.AsCompleted[T]:
    """Return an iterator over futures in the order in which they settle (``async for`` in ``async def run``)."""
    return combinators.AsCompleted(fs)


@overload
def gather(first: Arm[T1], second: Arm[T2], /, *, return_exceptions: Literal[False] = False) -> Results[T1 | T2]: ...


@overload
def gather(
    first: Arm[T1], second: Arm[T2], third: Arm[T3], /, *, return_exceptions: Literal[False] = False
) -> Results[T1 | T2 | T3]: ...


@overload
def gather(*arms: Arm[T], return_exceptions: Literal[False] = False) -> Results[T]: ...


@overload
def gather(first: Arm[T1], second: Arm[T2], /, *, return_exceptions: bool) -> Results[T1 | T2 | BaseException]: ...


@overload
def gather(*arms: Arm[T], return_exceptions: bool) -> Results[T | BaseException]: ...


def gather(*arms: Any, return_exceptions: bool = False) -> Any:
    """Run arms side by side and return their results in order.

    An arm is a future, a function without parameters, or a coroutine; the latter two may submit and wait. Once all
    have ended, what the first failed one raised is raised; with ``return_exceptions`` exceptions are results.
    """
    return combinators.gather(arms, return_exceptions)


def get_result_or_raise(future: Future[T]) -> T:
    """Return the result of a future."""
    return future.result


def to_concurrent(future: Future[T]) -> concurrent.futures.Future[T]:
    """Return a real ``concurrent.futures.Future`` that is done when this one is.

    For libraries that want one; its ``result()`` would block the thread, so ask ``done()`` first.
    """
    real: concurrent.futures.Future[T] = concurrent.futures.Future()

    def done(source: Future[Any]) -> None:
        if source.cancelled:
            real.cancel()
            real.set_running_or_notify_cancel()
            return
        error = source.exception
        if error is not None:
            real.set_exception(error)
        else:
            real.set_result(source.result)

    if future._kind != OPEN:
        done(future)
    else:
        future.add_done_callback(done)
    return real
