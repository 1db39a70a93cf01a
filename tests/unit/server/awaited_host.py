"""A host whose calls are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from simpleflow.server.process import host
from simpleflow.server.requests import errors
from simpleflow.server.state import polls


class Disk:
    """What a host calls before it commits: a disk that is full as long as the test says so."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full

    def __call__(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")


class Host(host.Host):
    """Cancelling a call says that its client is gone."""

    async def call(self, action: str, request: Mapping[str, Any], **more: Any) -> Any:
        begin = super().call
        return await self._outcome(lambda give: begin(action, request, give, **more))

    async def answer(self, answers: Sequence[tuple[str, Mapping[str, Any]]], then: polls.Then | None) -> Any:
        begin = super().answer
        return await self._outcome(lambda give: begin(answers, then, give))

    async def _outcome(self, begin: Callable[[Callable[[Any], None]], polls.Waiter | None]) -> Any:
        outcome = _Outcome()

        def give(given: Any) -> None:
            if not outcome.done():
                outcome.set_exception(given) if isinstance(given, errors.Fault) else outcome.set_result(given)

        waiter = begin(give)
        if waiter is not None:
            outcome.abandon = lambda: self.abandon(waiter)
        return await outcome


class _Outcome(asyncio.Future[Any]):
    """Tells at once that it is cancelled: its callbacks, and the task that awaits it, come after the next commit."""

    abandon: Callable[[], object] = int

    def cancel(self, msg: Any | None = None) -> bool:
        self.abandon()
        return super().cancel(msg)
