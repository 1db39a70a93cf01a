"""One poller of a task list: its polls, by themselves or sent together with an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from simpleflow.swf import errors
from simpleflow.swf.transport import base

from . import retrying

#: follows the name of a poll that goes with an answer: the embedded service serves it first, so that what follows from
#: the answer comes back to the process that is warm (docs/reference/formats.md)
FIRST = "; first"


class Poller:
    """Opens one poll at a time. One thread; ``open`` may be read by others."""

    def __init__(
        self,
        transport: base.Transport,
        action: str,
        request: Mapping[str, Any],
        series: retrying.PollNames,
        *,
        names: set[str] | None = None,
    ) -> None:
        """``series``: the names of its polls; ``names`` holds those that are open: they can be revoked."""
        self._transport = transport
        self._action = action
        self.request = request
        #: replaced only while no poll is open and none is doubtful
        self.series = series
        self.pace = retrying.PollPace(request["taskList"]["name"])
        self._open: set[str] = set() if names is None else names
        self._receive: Callable[[], Any] | None = None
        #: whether answers can carry a poll here; True until one could not
        self.joins = True
        #: when the answer that carried the open poll was acknowledged (``time.monotonic()``)
        self.since = 0.0

    @property
    def name(self) -> str:
        """The name of the present poll, with which it can be revoked."""
        return self.series.name

    @property
    def open(self) -> bool:
        """Whether a poll that went with an answer is open: ``poll`` waits for it."""
        return self._receive is not None

    @property
    def doubtful(self) -> bool:
        """Whether an earlier poll may have brought a task that did not arrive."""
        return self.series.doubtful

    def poll(self, whole: Callable[[Any], Any] = lambda answer: answer, *, ahead: base.Ahead | None = None) -> Any:
        """Wait for the answer of the open poll, or of a new one. ``whole`` completes it. Raises what either raises.

        ``ahead`` is for a new one, as with ``Transport.call``.
        """
        name, receive = self.series.name, self._receive
        self._receive = None
        self._open.add(name)
        try:
            if receive is None:
                answer = self._transport.call(self._action, self.request, poll_id=self.series.asked, ahead=ahead)
            else:
                answer = receive()
            found = whole(answer)
        except Exception as error:
            self.series.failed(error)
            raise
        finally:
            self._open.discard(name)
        self.series.answered(empty=not answer.task_token)
        return found

    def answer(self, action: str, request: Mapping[str, Any], *, ahead: base.Ahead | None = None) -> None:
        """Answer a task, and open the next poll with it where that is possible (``open``). Raises what that raises.

        ``ahead`` is for that poll, as with ``Transport.call``.
        """
        assert self._receive is None
        name = self.series.name
        wanted = base.Poll(self._action, self.request, self.series.asked + FIRST, ahead)
        self._open.add(name)
        try:
            self._receive = self._transport.answer_and_poll(action, request, wanted)
            self.joins, self.since = self._receive is not None, time.monotonic()
        except errors.NotSent:
            raise
        except Exception as error:
            self.series.failed(errors.TransportError(f"the poll that went with {action} has no answer ({error})"))
            raise
        finally:
            if self._receive is None:
                self._open.discard(name)
