"""Waiting for several: ``wait``, ``as_completed``, ``gather``.

Each is decided by the first event that satisfies it, whenever it is asked. In ``def run`` they block, in ``async def
run`` they are awaited.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from simpleflow.core import errors

from .program import futures, run, strands
from .tasks import timers

FIRST_COMPLETED = "FIRST_COMPLETED"
FIRST_EXCEPTION = "FIRST_EXCEPTION"
ALL_COMPLETED = "ALL_COMPLETED"

Steps = Generator[futures.Wait, None, Any]
T = TypeVar("T")


class Results(list[T]):
    """The list of results of ``wait`` and ``gather`` as type checkers see it: ``async def run`` awaits it.

    At run time it is a plain list, and in ``async def run`` something that gives one when it is awaited.
    """

    def __await__(self) -> Generator[Any, Any, list[T]]:
        yield from ()
        return self


class DoneAndNotDone(NamedTuple, Generic[T]):
    """What ``wait(..., return_when=..., timeout=...)`` returns: ``done`` and ``not_done``, in the order given."""

    done: list[futures.Future[T]]
    not_done: list[futures.Future[T]]

    def __await__(self) -> Generator[Any, Any, DoneAndNotDone[T]]:
        yield from ()
        return self


class Operation:
    """What ``async def run`` awaits."""

    __slots__ = ("_steps",)

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __await__(self) -> Steps:
        return self._steps


def perform(steps: Steps) -> Any:
    """Do the steps now, blocking, or return what ``async def run`` awaits to do them."""
    strand = run.current()
    if strand is None:
        return _at_once(steps)
    if strand.driven:
        return Operation(steps)
    try:
        wait = next(steps)
        while True:
            try:
                strand.block(wait)
            except BaseException as error:
                wait = steps.throw(error)
            else:
                wait = steps.send(None)
    except StopIteration as stop:
        return stop.value


def _at_once(steps: Steps) -> Any:
    try:
        next(steps)
    except StopIteration as stop:
        return stop.value
    raise errors.ExecutionBlocked


def _evaluation_of(given: Iterable[futures.Future[Any]]) -> run.Run | None:
    for future in given:
        if future._evaluation is not None:
            return future._evaluation
    return None


# -- wait


class _Gate:
    """Opens once the futures satisfy a condition, or time is up."""

    __slots__ = ("_given", "_left", "_when", "future", "position")

    def __init__(self, evaluation: run.Run, given: tuple[futures.Future[Any], ...], when: str) -> None:
        self._given = given
        self._when = when
        self.future: futures.Future[Any] = futures.Future(evaluation, timers.Settled("gate"))
        #: the event that decided
        self.position = -1
        self._left = sum(1 for future in given if future._kind == futures.OPEN)
        at = _decided_at(given, when)
        if at is not None:
            self.position = at
            self.future._kind = futures.VALUE
            self.future._at = at
            return
        for future in given:
            if future._kind == futures.OPEN:
                future._subscribe(self._one)

    def _one(self) -> None:
        self._left -= 1
        if self._left == 0 or self._when == FIRST_COMPLETED or self._when == FIRST_EXCEPTION:
            at = _decided_at(self._given, self._when)
            if at is not None:
                self._open(at)

    def expire(self) -> None:
        evaluation = self.future._evaluation
        if evaluation is not None:
            self._open(evaluation.position)

    def _open(self, at: int) -> None:
        if self.future._kind == futures.OPEN:
            self.position = at
            self.future._complete(None)
            self.close()

    def close(self) -> None:
        for future in self._given:
            future._unsubscribe(self._one)


def _decided_at(given: tuple[futures.Future[Any], ...], when: str) -> int | None:
    """Return the event that satisfied the condition first, None when none did yet."""
    settled = [future._at for future in given if future._kind != futures.OPEN]
    if when == FIRST_COMPLETED and settled:
        return min(settled)
    if when == FIRST_EXCEPTION:
        failed = [future._at for future in given if future._kind == futures.FAILED]
        if failed:
            return min(failed)
    if len(settled) == len(given):
        return max(settled, default=0)
    return None


def wait(given: Iterable[futures.Future[Any]], when: str, timeout: Any) -> Any:
    """Wait until the condition holds or the durable timer of ``timeout`` seconds fires."""
    if when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        raise errors.Misuse(f"return_when={when!r}: write {FIRST_COMPLETED}, {FIRST_EXCEPTION} or {ALL_COMPLETED}")
    return perform(_wait(tuple(given), when, timeout))


def _wait(given: tuple[futures.Future[Any], ...], when: str, timeout: Any) -> Steps:
    evaluation = _evaluation_of(given)
    if evaluation is None:
        return DoneAndNotDone(list(given), [])
    gate = _Gate(evaluation, given, when)
    if gate.future._kind == futures.OPEN:
        timer = None
        if timeout is not None:
            evaluation.check_alive()
            timer = timers.TimerCall(evaluation, timers.timeout_id(evaluation.branch, "wait", ""), timeout, None)
            timer.future._subscribe(gate.expire)
        try:
            yield evaluation.waiting_for((gate.future,), 1)
        finally:
            gate.close()
            if timer is not None:
                timer.cancel(timer.future)
    elif timeout is not None:
        timers.timeout_id(evaluation.branch, "wait", "")
    done = [future for future in given if future._kind != futures.OPEN and future._at <= gate.position]
    return DoneAndNotDone(done, [future for future in given if future not in done])


def results(given: tuple[futures.Future[Any], ...]) -> Any:
    """Wait for all and return their results in order; raises what the first that failed raises."""
    return perform(_results(given))


def _results(given: tuple[futures.Future[Any], ...]) -> Steps:
    waiting = tuple([future for future in given if future._kind == futures.OPEN])
    if waiting:
        evaluation = _evaluation_of(waiting)
        if evaluation is None:
            raise errors.ExecutionBlocked
        yield evaluation.waiting_for(waiting, len(waiting))
    return futures.outcomes(given)


# -- as_completed


class AsCompleted(Generic[T]):
    """Futures in the order in which they settle; for ``for`` in ``def run``, ``async for`` in ``async def run``."""

    def __init__(self, given: Iterable[futures.Future[T]]) -> None:
        self._given = list(given)
        self._open = {id(future): place for place, future in enumerate(self._given)}
        settled = [(f._at, place, f) for place, f in enumerate(self._given) if f._kind != futures.OPEN]
        settled.sort(key=lambda entry: entry[:2], reverse=True)
        #: settled and not handed out yet, next one last
        self._queue = [future for _, _, future in settled]
        self._later: list[futures.Future[Any]] = []
        self._waits: list[Callable[[], object]] = []
        for future in self._given:
            if future._kind == futures.OPEN:
                future._subscribe(_Push(self, future))

    def push(self, future: futures.Future[Any]) -> None:
        self._later.append(future)
        waits, self._waits = self._waits, []
        for wait in waits:
            wait()

    def _steps(self) -> Steps:
        if not self._queue and not self._later:
            evaluation = _evaluation_of(self._given)
            strand = run.current()
            if evaluation is None or strand is None:
                raise errors.ExecutionBlocked
            wait = futures.Wait(strand, (), 1)
            self._waits.append(wait)
            yield wait
        if self._queue:
            return self._queue.pop()
        return self._later.pop(0)

    def _take(self) -> bool:
        if not self._given:
            return False
        left = len(self._open)
        if left == 0:
            return False
        self._open.popitem()
        return True

    def __iter__(self) -> Iterator[futures.Future[T]]:
        return self

    def __next__(self) -> futures.Future[T]:
        if not self._take():
            raise StopIteration
        future: futures.Future[T] = perform(self._steps())
        return future

    def __aiter__(self) -> AsCompleted[T]:
        return self

    async def __anext__(self) -> futures.Future[T]:
        if not self._take():
            raise StopAsyncIteration
        future: futures.Future[T] = await Operation(self._steps())
        return future


class _Push:
    __slots__ = ("_future", "_to")

    def __init__(self, to: AsCompleted[Any], future: futures.Future[Any]) -> None:
        self._to = to
        self._future = future

    def __call__(self) -> None:
        self._to.push(self._future)


# -- gather


def gather(
    arms: tuple[futures.Future[Any] | Callable[[], Any] | Coroutine[Any, Any, Any], ...], return_exceptions: bool
) -> Any:
    """Run arms side by side and return their results in order."""
    strand = run.current()
    if strand is None:
        raise errors.Misuse("gather() belongs into run()")
    evaluation = strand.evaluation
    evaluation.check_alive()
    branch = strand.branch.step("gather")
    started: list[futures.Future[Any]] = []
    for place, arm in enumerate(arms):
        if isinstance(arm, futures.Future):
            started.append(arm)
            continue
        function = arm if callable(arm) else _returning(arm)
        started.append(strands.start_arm(evaluation, branch.child(place), function))
    return perform(_gathered(tuple(started), return_exceptions))


def _returning(coroutine: Coroutine[Any, Any, Any]) -> Callable[[], Any]:
    return lambda: coroutine


def _gathered(started: tuple[futures.Future[Any], ...], return_exceptions: bool) -> Steps:
    waiting = tuple(future for future in started if future._kind == futures.OPEN)
    if waiting:
        evaluation = _evaluation_of(waiting)
        assert evaluation is not None
        yield evaluation.waiting_for(waiting, len(waiting))
    if not return_exceptions:
        return futures.outcomes(started)
    return [future._outcome() if future.exception is None else future.exception for future in started]
