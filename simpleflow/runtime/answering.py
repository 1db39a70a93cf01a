"""Answers of one slot on their way to the service: one by one, or several in one call that brings the next tasks."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from simpleflow.core import clock, limits, retries
from simpleflow.process import Stop
from simpleflow.swf import errors
from simpleflow.swf.transport import base

from . import failures, pollers, retrying, values

logger = logging.getLogger(__name__)

#: seconds for which a response is repeated while the service does not answer
PATIENCE = 3600.0
#: seconds that an answer waits for those of the tasks that came with it
HOLD = 0.04
#: seconds between two attempts to send held answers while a task runs
AGAIN = 1.0


#: an answer to send
Answer: TypeAlias = values.Completed | values.Failed | values.Canceled


class Sender(Protocol):
    """The worker, as its answers see it. Thread safe."""

    @property
    def transport(self) -> base.Transport: ...
    @property
    def time(self) -> clock.Clock: ...
    @property
    def stop(self) -> Stop: ...


class _Held(NamedTuple):
    task: values.Task
    token: str
    answer: Answer


class Answering:
    """Holds answers until they are sent. One thread."""

    def __init__(self, worker: Sender, *, ahead: base.Ahead | None = None) -> None:
        """``ahead``: of polls that go with an answer."""
        self._worker = worker
        self._ahead = ahead
        self._held: list[_Held] = []
        self._due = 0.0
        #: whether an earlier attempt to send the held answers may have arrived
        self._doubtful = False

    def add(self, task: values.Task, token: str, answer: Answer) -> None:
        """Hold an answer."""
        if not self._held:
            self._due, self._doubtful = self._worker.time.monotonic() + HOLD, False
        self._held.append(_Held(task, token, answer))

    @property
    def wait(self) -> float | None:
        """Seconds until the held answers are to be sent; None without any."""
        return max(0.0, self._due - self._worker.time.monotonic()) if self._held else None

    def try_to_send(self) -> None:
        """Try once to send the held answers. It does not repeat the call, because a task runs that needs attention."""
        try:
            exchanged = self._worker.transport.exchange_several(self._requests(self._held), None)
        except Exception as error:  # of the service or of its network: ``send`` meets the same error and logs it
            logger.debug("%d answers are held longer: %s", len(self._held), error)
            self._doubtful = self._doubtful or errors.kind_of(error) is not retries.Kind.UNREACHED
            self._due = self._worker.time.monotonic() + AGAIN
            return
        held, self._held = self._held, []
        if exchanged is None:
            for each in held:
                self._respond(each, None)
        else:
            self._look_at(held, exchanged.refusals, doubtful=self._doubtful)

    def send(self, following: base.Following | None, poller: pollers.Poller | None = None) -> Sequence[Any]:
        """Send the held answers until they are acknowledged; return the next tasks that the response brought.

        ``poller`` opens its next poll with a lone answer.
        """
        held, self._held = self._held, []
        if len(held) > 1 or (held and following is not None and following.most > 1):
            brought = self._several(held, following)
            if brought is not None:
                return brought
        found: list[Any] = []
        for each in held:
            last = each is held[-1]
            found += self._respond(each, following if last else None, poller if last else None)
        return found

    @staticmethod
    def _requests(held: Sequence[_Held]) -> list[tuple[str, dict[str, Any]]]:
        return [values.to_request(each.answer, each.token) for each in held]

    def _several(self, held: Sequence[_Held], following: base.Following | None) -> Sequence[Any] | None:
        """Send several answers in one call; None when the service does not support that."""
        transport, requests = self._worker.transport, self._requests(held)
        came: list[base.Exchanged | None] = []
        doubted = [self._doubtful]

        def exchange(doubtful: bool) -> None:
            doubted.append(doubtful)
            wanted = None if following is None else following._replace(again=doubtful)
            came[:] = [transport.exchange_several(requests, wanted)]

        try:
            taken = retrying.insist(
                transport, "RespondActivityTasks", {}, wait=self._wait, patience=PATIENCE, send=exchange
            )
        except errors.SwfError as error:
            logger.debug("%d answers are sent one by one: %s", len(held), error)
            taken, came = True, [None]
        if not taken:
            return ()
        exchanged = came[0]
        if exchanged is None:
            self._doubtful = any(doubted)
            return None
        self._look_at(held, exchanged.refusals, doubtful=any(doubted))
        return exchanged.tasks

    def _look_at(self, held: Sequence[_Held], refusals: Sequence[errors.SwfError | None], *, doubtful: bool) -> None:
        """Send refused answers one by one."""
        for each, refusal in zip(held, refusals, strict=True):
            if refusal is not None:
                self._respond(each, None, doubtful=doubtful)

    def _respond(
        self,
        each: _Held,
        following: base.Following | None,
        poller: pollers.Poller | None = None,
        *,
        doubtful: bool | None = None,
    ) -> Sequence[Any]:
        """Send one answer until it is acknowledged; return the next task that the response brought."""
        doubtful = self._doubtful if doubtful is None else doubtful
        action, request = values.to_request(each.answer, each.token)
        try:
            return self._insist(each.task, action, request, following, poller, doubtful)
        except errors.SwfError as error:
            # The service refuses this answer itself (say, a field over its limit): a failure closes the task instead.
            logger.error("%s of %s was refused: %s", action, each.task.id, error)
            failed = failures.of_words("AnswerRefused", str(error)[: limits.REASON])
            return self._insist(each.task, *values.to_request(failed, each.token), following, poller, doubtful)

    def _insist(
        self,
        task: values.Task,
        action: str,
        request: dict[str, Any],
        following: base.Following | None,
        poller: pollers.Poller | None,
        doubtful: bool,
    ) -> Sequence[Any]:
        transport = self._worker.transport
        brought: list[Any] = []

        def exchange(wanted: base.Following, doubtful: bool) -> None:
            brought[:] = [transport.exchange(action, request, wanted._replace(again=doubtful))]

        send: Callable[[bool], None] | None = None if following is None else functools.partial(exchange, following)
        if poller is not None:
            send = lambda doubtful: poller.answer(action, request, ahead=self._ahead)  # noqa: E731 - a name for one call
        retrying.insist(
            transport,
            action,
            request,
            wait=self._wait,
            patience=PATIENCE,
            arrived=lambda: retrying.arrived(transport, task.domain, task, task.started_event_id),
            send=send,
            doubtful=doubtful,
        )
        return [each for each in brought if each is not None]

    def _wait(self, seconds: float) -> bool:
        """Sleep; True when the process hurries and this was the last attempt."""
        return patiently(self._worker.stop, seconds)


def patiently(stop: Stop, seconds: float) -> bool:
    """Sleep; True when the process hurries and this was the last attempt."""
    hurried = stop.level >= Stop.HURRY
    threading.Event().wait(min(seconds, 1.0) if hurried else seconds)
    return hurried
