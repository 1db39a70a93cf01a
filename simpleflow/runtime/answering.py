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

from . import failures, retrying, values

logger = logging.getLogger(__name__)

#: seconds that a response is repeated while nobody answers
PATIENCE = 3600.0
#: seconds that an answer waits for those of the tasks that came with it
HOLD = 0.04
#: seconds between two attempts to send what is held while a task runs
AGAIN = 1.0


#: an answer that is sent
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

    def __init__(self, worker: Sender) -> None:
        self._worker = worker
        self._held: list[_Held] = []
        self._due = 0.0
        #: an attempt to send what is held may have arrived
        self._doubtful = False

    def add(self, task: values.Task, token: str, answer: Answer) -> None:
        """Hold an answer."""
        if not self._held:
            self._due, self._doubtful = self._worker.time.monotonic() + HOLD, False
        self._held.append(_Held(task, token, answer))

    @property
    def wait(self) -> float | None:
        """Seconds until what is held is to be sent; None while there is nothing."""
        return max(0.0, self._due - self._worker.time.monotonic()) if self._held else None

    def try_to_send(self) -> None:
        """Send what is held if that can be done at once: a task runs meanwhile, and must be attended to."""
        try:
            exchanged = self._worker.transport.exchange_several(self._requests(self._held), None)
        except Exception as error:  # of the service or of its network: ``send`` is told the same, and says it
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

    def send(self, following: base.Following | None) -> Sequence[Any]:
        """Send what is held until it is acknowledged; return the next tasks that came with that."""
        held, self._held = self._held, []
        if len(held) > 1 or (held and following is not None and following.most > 1):
            brought = self._several(held, following)
            if brought is not None:
                return brought
        found: list[Any] = []
        for each in held:
            found += self._respond(each, following if each is held[-1] else None)
        return found

    @staticmethod
    def _requests(held: Sequence[_Held]) -> list[tuple[str, dict[str, Any]]]:
        return [values.to_request(each.answer, each.token) for each in held]

    def _several(self, held: Sequence[_Held], following: base.Following | None) -> Sequence[Any] | None:
        """Send several answers in one call; None when the service does not take them so."""
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
            return None
        if not taken:
            return ()
        exchanged = came[0]
        if exchanged is None:
            return None
        self._look_at(held, exchanged.refusals, doubtful=any(doubted))
        return exchanged.tasks

    def _look_at(self, held: Sequence[_Held], refusals: Sequence[errors.SwfError | None], *, doubtful: bool) -> None:
        """See to the answers that were not taken."""
        for each, refusal in zip(held, refusals, strict=True):
            if refusal is not None:
                self._respond(each, None, doubtful=doubtful)

    def _respond(self, each: _Held, following: base.Following | None, *, doubtful: bool | None = None) -> Sequence[Any]:
        """Send one answer until it is acknowledged; return the next task that came with that."""
        doubtful = self._doubtful if doubtful is None else doubtful
        action, request = values.to_request(each.answer, each.token)
        try:
            return self._insist(each.task, action, request, following, doubtful)
        except errors.SwfError as error:
            # The service refuses this very answer (a field over its limit, say): the task must not hang for that.
            logger.error("%s of %s was refused: %s", action, each.task.id, error)
            failed = failures.of_words("AnswerRefused", str(error)[: limits.REASON])
            return self._insist(each.task, *values.to_request(failed, each.token), following, doubtful)

    def _insist(
        self,
        task: values.Task,
        action: str,
        request: dict[str, Any],
        following: base.Following | None,
        doubtful: bool,
    ) -> Sequence[Any]:
        transport = self._worker.transport
        brought: list[Any] = []

        def exchange(wanted: base.Following, doubtful: bool) -> None:
            brought[:] = [transport.exchange(action, request, wanted._replace(again=doubtful))]

        send: Callable[[bool], None] | None = None if following is None else functools.partial(exchange, following)
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
