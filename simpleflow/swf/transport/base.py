"""The one seam to the coordinator: every distance (https, unix socket, in process) implements this Protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from simpleflow.swf import errors

#: gets a task that is on its way: it may be prepared, and begun only when the poll returned it
Ahead: TypeAlias = Callable[[Any], object]


class Following(NamedTuple):
    """The next activity tasks, that the answer to one asks for."""

    #: of PollForActivityTask, as JSON in ASCII
    poll: str
    #: names this exchange: where its answer is lost, the one who repeats it is given the same task again
    claim: str
    #: an earlier attempt may have arrived
    again: bool = False
    #: tasks that are wanted: more than one only while all of them are of these types (name, version); 0: only those
    #: that an earlier attempt brought
    most: int = 1
    quick: tuple[tuple[str, str], ...] = ()


class Exchanged(NamedTuple):
    """The response to a call that carries several answers to activity tasks."""

    #: of each answer, in order: None when it was taken
    refusals: tuple[errors.SwfError | None, ...]
    #: the next tasks
    tasks: tuple[Any, ...]


class Poll(NamedTuple):
    """A long poll that is sent together with an answer."""

    action: str
    request: Mapping[str, Any]
    #: names it, as with ``Transport.call``
    poll_id: str
    #: as with ``Transport.call``
    ahead: Ahead | None = None


class Transport(Protocol):
    """Calls one action of Amazon SWF. Thread safe; nothing is retried below it.

    ``request`` is a mapping with SWF's own field names. The answer is the Struct of ``shapes.RESPONSES[action]``.
    Raises the errors of ``swf.errors``: a fault of the service by its name (``UnknownResourceFault``), throttling,
    ``TransportError`` when no answer came (the request may or may not have been carried out).
    """

    def call(
        self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: Ahead | None = None
    ) -> Any:
        """Call one action. ``poll_id`` names a long poll so that ``revoke`` can end it.

        ``ahead`` may be called, on this thread, with the task that a poll is about to return, while the service waits
        for its disk. When the call raises after that, the task must not be run. ``ahead`` must not raise.
        """

    def exchange(self, action: str, request: Mapping[str, Any], following: Following) -> Any | None:
        """Answer an activity task (as ``call``), and take the next one in the same call.

        None: there is none, or the service does not do that; then a poll asks.
        """

    def exchange_several(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], following: Following | None
    ) -> Exchanged | None:
        """Give several answers to activity tasks (action and request) in one call, and take the next tasks.

        None, and nothing was sent: the service does not do that, or is not known to; each is answered by itself then.
        """

    def answer_and_poll(self, action: str, request: Mapping[str, Any], poll: Poll) -> Callable[[], Any] | None:
        """Answer a task (as ``call``), and open the next long poll with the same message.

        The returned function waits for the poll's answer and returns or raises what ``call`` would; it is called once.
        It is given when the answer is acknowledged, which the poll does not delay. None: no poll was opened. What is
        raised says nothing about the poll, which may have brought a task.
        """

    def revoke(self, poll_id: str) -> bool:
        """End an open long poll at once: it returns with a task or empty. False where polls cannot be revoked."""

    def close(self) -> None:
        """Drop pooled connections; the transport may not be used again."""
