"""SWF in the same process: the calls go to a service's function, and polls never wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from simpleflow.swf import errors, shapes

from . import base


class InProcess:
    """A ``base.Transport`` over a function ``call(action, request) -> answer in wire names``. Thread safe as that is.

    A poll that the function does not answer with a mapping but with something to wait for is given to ``withdraw``
    and comes back empty: in one process it is the caller who lets time pass. What the function raises with ``code``,
    ``message`` and ``status`` becomes the error of that code. ``several`` carries out several answers to activity
    tasks: it gets them with the ``base.Following``, and returns what each came to and the next tasks.
    """

    def __init__(
        self,
        call: Callable[[str, Mapping[str, Any]], Any],
        *,
        several: Callable[..., tuple[Sequence[Any], Sequence[Any]]] | None = None,
        withdraw: Callable[[Any], object] = lambda waiter: None,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self._call = call
        self._several = several
        self._withdraw = withdraw
        self._close = close

    def call(
        self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: base.Ahead | None = None
    ) -> Any:
        # What is sent is what would be sent: a value that JSON cannot hold, or a later change of it, is found here too.
        sent = msgspec.json.decode(msgspec.json.encode(request))
        try:
            answer = self._call(action, sent)
        except Exception as error:
            code = getattr(error, "code", None)
            if not isinstance(code, str):
                raise
            message, status = getattr(error, "message", ""), getattr(error, "status", 400)
            raise errors.from_answer(action, int(status), code, str(message)) from error
        if answer is not None and not isinstance(answer, Mapping):
            self._withdraw(answer)
            answer = {"startedEventId": 0}
        return shapes.decode(action, msgspec.json.encode(answer) if answer else b"")

    def exchange(self, action: str, request: Mapping[str, Any], following: base.Following) -> None:
        """Only answer: without a network a poll costs no more."""
        self.call(action, request)

    def exchange_several(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], following: base.Following | None
    ) -> base.Exchanged | None:
        if self._several is None:
            return None
        sent = msgspec.json.decode(msgspec.json.encode(answers))
        faults, tasks = self._several([(action, request) for action, request in sent], following)
        refusals = tuple(
            None if fault is None else errors.from_answer(action, fault.status, fault.code, fault.message)
            for (action, _), fault in zip(answers, faults, strict=True)
        )
        decoded = (shapes.decode("PollForActivityTask", msgspec.json.encode(task)) for task in tasks)
        return base.Exchanged(refusals, tuple(decoded))

    def answer_and_poll(self, action: str, request: Mapping[str, Any], poll: base.Poll) -> None:
        """Only answer: without a network a poll costs no more."""
        self.call(action, request)

    def revoke(self, poll_id: str) -> bool:
        return False

    def close(self) -> None:
        self._close()
