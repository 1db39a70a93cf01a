"""The service in the caller's own process: nothing listens, nothing waits."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.swf.transport import base as transports
from simpleflow.swf.transport import inprocess

from . import service
from .requests import errors, validation
from .state import polls, quotas
from .store import memory

#: calls that share a commit
_GROUP = 64


def open_memory(
    clock: clocks.Clock | None = None, domain: str = "default", *, limits: quotas.Kind = "data"
) -> service.Service:
    """Return a service in memory with this domain registered; on a virtual clock its run ids repeat from run to run."""
    time = clock or clocks.RealClock()
    names = domain if isinstance(time, clocks.VirtualClock) else None
    opened = service.Service(memory.open_memory(), time, limits=limits, names=names)
    opened.call("RegisterDomain", {"name": domain, "workflowExecutionRetentionPeriodInDays": "30"})
    return opened


def transport(owned: service.Service) -> transports.Transport:
    """Return a transport whose calls the service carries out at once, with typed answers; a poll never waits."""
    # a Transport is thread safe, a Service belongs to one thread at a time
    lock = threading.RLock()

    held = 0

    def call(action: str, request: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal held
        with lock:
            answer = owned.call(action, request, hold=True)
            held += 1
            if held >= _GROUP:  # nobody else reads this store: a commit only bounds what SQLite keeps to undo
                owned.commit()
                held = 0
            if isinstance(answer, polls.Waiter):
                owned.settle()
                if answer.answer is not None:
                    return answer.answer
                owned.withdraw(answer)
                return answer.empty()
            return answer

    def several(
        answers: Sequence[tuple[str, Mapping[str, Any]]], following: transports.Following | None
    ) -> tuple[list[errors.Fault | None], list[dict[str, Any]]]:
        then = None
        if following is not None:
            request = validation.check("PollForActivityTask", msgspec.json.decode(following.poll))
            then = polls.Then(request, following.claim, following.again, following.most, frozenset(following.quick))
        with lock:
            outcomes, given = owned.answer(answers, then)
            if not isinstance(given, polls.Waiter):
                return outcomes, given
            owned.settle()
            return outcomes, [given.answer, *given.further] if given.answer else []

    return inprocess.InProcess(call, several=several)
