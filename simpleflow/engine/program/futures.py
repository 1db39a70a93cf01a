"""What a submission returns: a value that is there, or will be."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, Generic, Protocol, TypeVar, overload

import msgspec

from simpleflow.core import errors
from simpleflow.engine.history import identity, records

from . import run, settable, slot_texts

PENDING, RUNNING = settable.PENDING, settable.RUNNING
CANCELLED, FINISHED = settable.CANCELLED, settable.FINISHED
OPEN, TEXT, VALUE, FAILED, CANCELED = settable.OPEN, settable.TEXT, settable.VALUE, settable.FAILED, settable.CANCELED

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")

_NO_POSITION = -1
#: details of what was not sent any more, because a cancel request was taken up
WITHDRAWN = "cancellation was requested"
#: details of a timer that ``cancel_timer`` ended: what waited for it goes on
STOPPED = "the timer was cancelled"


class Source(Protocol):
    """What settles a future. Each kind of submission is one."""

    def identity(self) -> str:
        """``kind:name:digest:ordinal``: names the branches of callbacks."""

    def state(self, future: Future[Any]) -> str:
        """State of a future that is not settled yet, as reads of its flags see it."""

    def cancel(self, future: Future[Any]) -> bool:
        """Request the cancellation; False when it is too late. The future settles itself."""


class Future(settable.Settable, Generic[T_co]):
    """A value that is there, or will be. ``result`` and ``exception`` block the decision, not a thread.

    In ``async def run`` write ``await future``. ``Future()`` is one that the program settles itself.
    """

    _content: Any
    _at: int
    _held: str
    _thens: int

    __slots__ = (
        "__weakref__",
        "_at",
        "_callbacks",
        "_content",
        "_evaluation",
        "_held",
        "_kind",
        "_raises",
        "_source",
        "_text",
        "_thens",
    )

    def __init__(self, evaluation: run.Run | None = None, source: Any = None, raises: bool | None = None) -> None:
        self._evaluation = evaluation
        self._source = source
        self._raises = evaluation is not None if raises is None else raises
        self._kind = OPEN
        #: unparsed result; kept beside the value, which the program may change
        self._text: str | None = None
        #: called when it settles, in order of registration
        self._callbacks: list[Callable[[], object]] | Callable[[], object] | None = None
        # Not before they are needed, one is made for each task: _content, the value, exception or details of a
        # settled one; _at, the event that settled it; _thens, how many callbacks it has; _held, which submission it is
        # of a task that was submitted more than once.

    #: type of the value, where the decoded one is something else (Typed)
    _hint: Any = None

    @classmethod
    def settled(cls, value: Any = None, error: BaseException | None = None, *, raises: bool = True) -> Future[Any]:
        """Return a future outside any evaluation that is done already."""
        future: Future[Any] = cls(None, None, raises)
        future._at = _NO_POSITION
        future._kind, future._content = (VALUE, value) if error is None else (FAILED, error)
        return future

    # -- what the program reads

    @property
    def result(self) -> T_co:
        """The value; blocks until it is there.

        Raises what the task failed with (None is returned instead when it was submitted with
        ``raises_on_failure=False``), and TaskCanceled when it was cancelled.
        """
        evaluation = self._evaluation
        if self._kind == OPEN:
            if evaluation is None:
                raise errors.ExecutionBlocked
            evaluation.block_on(self)
        if self._kind == TEXT and evaluation is not None and self._hint is None:  # the most frequent case
            text = self._text
            if text is not None and not text.startswith(identity.POINTER):
                self._content = value = evaluation.decode(text)
                self._kind = VALUE
                return value  # type: ignore[no-any-return]  # the activity's own type
        return self._outcome()  # type: ignore[no-any-return]  # holds a T_co once it is settled

    @property
    def exception(self) -> BaseException | None:
        """What the task failed with, None when it completed; blocks until either is known."""
        if self._kind == OPEN:
            self._wait()
        if self._kind == FAILED:
            self._read_error()
            return self._content  # type: ignore[no-any-return]  # holds an exception in this state
        return self._canceled() if self._kind == CANCELED else None

    @property
    def state(self) -> str:
        """PENDING, RUNNING, CANCELLED or FINISHED."""
        if self._kind == OPEN:
            if self._evaluation is None:
                return RUNNING if self._source is RUNNING else PENDING
            return str(self.source.state(self))
        return CANCELLED if self._kind == CANCELED else FINISHED

    def _closed_state(self) -> str:
        """The state, by one who does not care whether it runs already."""
        evaluation = self._evaluation
        if self._kind != OPEN or evaluation is None:
            return self.state
        evaluation.reads.only_final = True
        try:
            return self.state
        finally:
            evaluation.reads.only_final = False

    @property
    def pending(self) -> bool:
        """Whether it is open and its task was not started."""
        return self.state == PENDING

    @property
    def running(self) -> bool:
        """Whether its task was started and has not ended."""
        return self.state == RUNNING

    @property
    def finished(self) -> bool:
        """Whether it completed or failed."""
        return self._closed_state() == FINISHED

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._closed_state() == CANCELLED

    @property
    def done(self) -> bool:
        """Whether it completed, failed or was cancelled."""
        return self._closed_state() in (FINISHED, CANCELLED)

    def cancel(self) -> bool:
        """Request the cancellation of the task and settle as cancelled; return False when it was done before."""
        if self._kind == CANCELED:
            return True
        if self._kind == OPEN and self._own:
            self._settle_own(CANCELED, None)
            return True
        if self._kind != OPEN or self._evaluation is None:
            return False
        self._evaluation.check_alive()
        return bool(self.source.cancel(self))

    # -- composing

    @overload
    def then(self, function: Callable[[T_co], Coroutine[Any, Any, U]]) -> Future[U]: ...

    @overload
    def then(self, function: Callable[[T_co], Future[U]]) -> Future[U]: ...

    @overload
    def then(self, function: Callable[[T_co], U]) -> Future[U]: ...

    def then(self, function: Callable[[T_co], Any]) -> Future[Any]:
        """Call ``function(result)`` once it completed; the returned future has what it returns.

        The function may submit and wait; it has a branch of its own. A future that it returns is waited for. Without
        success it is not called, and the returned future ends as this one.
        """
        return self._then(function)

    def map(self, function: Callable[[T_co], U]) -> Future[U]:
        """Return a future of ``function(result)``: ``page.map(lambda p: p["links"])`` as an argument, for example."""
        return self._then(function)

    def add_done_callback(self, function: Callable[[Future[Any]], object]) -> None:
        """Call ``function(future)`` once it is settled in any way. It may submit; it never runs inside this call."""
        evaluation = self._needs_evaluation()
        evaluation.check_alive()
        DoneCallback(evaluation, self, function)

    def _then(self, function: Callable[[Any], Any]) -> Future[Any]:
        evaluation = self._needs_evaluation()
        evaluation.check_alive()
        return Callback(evaluation, self, function).future

    def __await__(self) -> Generator[Any, Any, T_co]:
        if self._kind == OPEN:
            yield self._needs_evaluation().waiting_for((self,), 1)
        return self._outcome()  # type: ignore[no-any-return]  # holds a T_co once it is settled

    def __repr__(self) -> str:
        if self._own:
            failed = f" exception={self._content!r}" if self._kind == FAILED else ""
            return f"<Future at {id(self):#x} state={self.state.lower()}{failed}>"
        names = ("open", "completed", "completed", "failed", "cancelled")
        own = "Future" if self._hint is not None else type(self).__name__
        return f"<{own} {names[self._kind]}>"

    # -- what the engine does

    @property
    def source(self) -> Any:
        """What settles it. Of a task whose end the history held already it is made only when it is asked for."""
        if type(self._source) is records.Record:
            self._source = self._needs_evaluation().call_of(self._source, self)
        return self._source

    def _needs_evaluation(self) -> run.Run:
        if self._evaluation is None:
            raise errors.Misuse("this future was made outside an evaluation: it is done, use its result directly")
        return self._evaluation

    def _wait(self) -> None:
        if self._evaluation is None:
            raise errors.ExecutionBlocked
        self._evaluation.block_on(self)

    def _outcome(self) -> Any:
        kind = self._kind
        if kind == VALUE:
            return self._content
        if kind == TEXT:
            text = self._text
            if text is not None:
                evaluation = self._evaluation
                assert evaluation is not None
                if text.startswith(identity.POINTER):
                    text = evaluation.load(text)
                self._content = evaluation.decode(text)
                if self._hint is not None:
                    self._content = evaluation.payloads.convert(self._content, self._hint, "the result of a task")
            else:
                self._content = None
            self._kind = VALUE
            return self._content
        if kind == FAILED:
            self._read_error()
            if self._raises:
                raise self._content
            return None
        if self._content is STOPPED or self._own:
            return None
        raise self._canceled()

    def _canceled(self) -> errors.TaskCanceled:
        evaluation = self._evaluation
        if self._content is WITHDRAWN and evaluation is not None and evaluation.scopes is not None:
            evaluation.scopes.told(evaluation.current)  # by this very exception
        return errors.TaskCanceled(self._content)

    def _read_error(self) -> None:
        if self._evaluation is not None:
            self._evaluation.unread.pop(id(self._content), None)

    def _subscribe(self, callback: Callable[[], object]) -> None:
        """Have ``callback()`` queued when this settles; at once when it is settled."""
        if self._kind != OPEN:
            settable.queue_of(self).append(callback)
        elif self._callbacks is None:
            self._callbacks = callback  # most have one: no list for it
        elif type(self._callbacks) is list:
            self._callbacks.append(callback)
        else:
            self._callbacks = [self._callbacks, callback]  # type: ignore[list-item]  # it is not a list here

    def _unsubscribe(self, callback: Callable[[], object]) -> None:
        if self._callbacks is callback or self._callbacks == callback:
            self._callbacks = None
        elif type(self._callbacks) is list and callback in self._callbacks:
            self._callbacks.remove(callback)

    def _complete_with_text(self, text: str | None) -> None:
        if self._kind == OPEN:
            self._text = text
            self._settle(TEXT)

    def _complete(self, value: Any) -> None:
        if self._kind == OPEN:
            self._content = value
            self._settle(VALUE)

    def _fail(self, error: BaseException, *, unread: bool = True) -> None:
        if self._kind == OPEN:
            self._content = error
            if unread and self._raises and self._evaluation is not None:
                self._evaluation.unread[id(error)] = error
            self._settle(FAILED)

    def _cancel(self, details: str | None = None) -> None:
        if self._kind == OPEN:
            self._content = details
            self._settle(CANCELED)

    def _settle_as(self, other: Future[Any]) -> None:
        """Settle as another one that is settled did."""
        if self._kind != OPEN:
            return
        if other._kind == FAILED:
            self._fail(other._content)
        elif other._kind == CANCELED:
            self._cancel(other._content)
        else:
            self._text = other._text
            if other._kind == VALUE:
                self._content = other._content
            self._settle(other._kind)

    def _settle(self, kind: int) -> None:
        self._kind = kind
        evaluation = self._evaluation
        self._at = _NO_POSITION if evaluation is None else evaluation.position
        callbacks = self._callbacks
        if callbacks is not None:
            self._callbacks = None
            ready = settable.queue_of(self)
            if type(callbacks) is list:
                ready.extend(callbacks)
            else:
                ready.append(callbacks)

    def _slot(self) -> str:
        """The text that enters a slot; only of a future that completed, or failed without raising."""
        evaluation = self._needs_evaluation()
        if self._kind == TEXT or self._text is not None:
            return slot_texts.of_result(self._text, evaluation.payloads)
        return evaluation.payloads.encode(self._content) if self._kind == VALUE else "null"

    def _pointers(self) -> list[str]:
        """What its value needs from blobs."""
        text = self._text
        return [text] if text is not None and text.startswith(identity.POINTER) else []

    def _full_slot(self) -> str:
        """As ``_slot``, with what lies in blobs in full; they are here."""
        evaluation = self._needs_evaluation()
        texts = [
            slot_texts.of_result(evaluation.blobs.texts[pointer], evaluation.payloads) for pointer in self._pointers()
        ]
        return texts[0] if texts else self._slot()


class Typed(Future[Any]):
    """A future whose value is made as a type hint says."""

    __slots__ = ("_hint",)

    def __init__(self, evaluation: run.Run | None, source: Any, raises: bool, hint: Any) -> None:
        super().__init__(evaluation, source, raises)
        self._hint = hint


def made(evaluation: run.Run, source: Any, raises: bool, hint: Any) -> Future[Any]:
    """Return an open future; ``hint`` is the type of its value, None for the decoded one."""
    return Future(evaluation, source, raises) if hint is None else Typed(evaluation, source, raises, hint)


def outcomes(given: Iterable[Future[Any]]) -> list[Any]:
    """Return the values of futures that are settled, in order; raises what the first that failed raises."""
    values = []
    for future in given:
        if future._kind == TEXT and future._hint is None:  # the most frequent case
            text, evaluation = future._text, future._evaluation
            if text is not None and evaluation is not None and not text.startswith(identity.POINTER):
                future._content = value = evaluation.decode(text)
                future._kind = VALUE
                values.append(value)
                continue
        values.append(future._outcome())
    return values


class Wait(msgspec.Struct, eq=False):
    """One strand that waits until enough futures are settled. Queued once by each of them."""

    strand: Any
    futures: tuple[Any, ...]
    remaining: int
    #: those before are settled
    place: int = 0

    def open(self, most: int) -> list[Future[Any]]:
        """Return the first ones that are open; what is settled is passed once."""
        given, place = self.futures, self.place
        while place < len(given) and given[place]._kind != OPEN:
            place += 1
        self.place = place
        return [future for future in given[place : place + most] if future._kind == OPEN]

    def drop(self) -> None:
        """Take back the subscriptions that are left."""
        for future in self.futures:
            future._unsubscribe(self)

    def __call__(self) -> None:
        self.remaining -= 1
        if self.remaining <= 0 and self.strand.wait is self:
            self.strand.resume()


class Callback:
    """One callback: a strand of its own, started once its source is settled.

    Its branch is named by the source's identity and its ordinal on it, so that callbacks which open in another order
    in a re-run are the same.
    """

    __slots__ = ("_evaluation", "_function", "_number", "_origin", "_source", "future")

    def __init__(
        self,
        evaluation: run.Run,
        source: Future[Any],
        function: Callable[[Any], Any],
        raises: bool = True,
    ) -> None:
        self._evaluation = evaluation
        self._source = source
        self._function = function
        self._origin = evaluation.origin()
        self._number = getattr(source, "_thens", 0)
        source._thens = self._number + 1
        self.future: Future[Any] = Future(evaluation, self, raises)
        source._subscribe(self._start)

    def _start(self) -> None:
        source, future = self._source, self.future
        if future._kind != OPEN:
            return
        if source._kind == CANCELED:
            future._cancel(source._content)
        elif source._kind == FAILED:
            future._raises = source._raises
            future._fail(source._content)
        else:
            function = self._function
            self._run(lambda: function(source._outcome()))

    def _run(self, function: Callable[[], Any]) -> None:
        # Named only now: a source that waited for its own arguments did not know before what it is.
        evaluation = self._evaluation
        barred = evaluation.barred(self._origin)
        evaluation.spawn(identity.Branch(self.identity()), function, self.future, barred=barred).resume()

    def identity(self) -> str:
        source = self._source
        return f"then({source.source.identity()}{getattr(source, '_held', '')})#{self._number}"

    def state(self, future: Future[Any]) -> str:
        # Whether it will be settled by what happened already only its function could say.
        if not self._evaluation.facts.asynchronous:
            self._evaluation.reads.single_use = True
        return PENDING

    def cancel(self, future: Future[Any]) -> bool:
        future._cancel()
        return True


class DoneCallback(Callback):
    """``add_done_callback``: called with the future itself, however it ended."""

    __slots__ = ()

    def _start(self) -> None:
        source, function = self._source, self._function
        self._run(lambda: function(source))
