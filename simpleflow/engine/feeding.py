"""Feeding an evaluation: settlements one by one, each after all that the one before set off."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import greenlet  # type: ignore[import-untyped]  # it ships no types

from simpleflow.core import events

from . import contract, futures, local

if TYPE_CHECKING:
    from . import evaluation as evaluations

_Future, _Wait, _COMPLETED = futures.Future, futures.Wait, events.ActivityTaskCompleted


def advance(evaluation: evaluations.Evaluation) -> contract.Needs | None:
    """Go on until nothing can; return what is missing, or None when it is blocked or has ended."""
    evaluation.hub = greenlet.getcurrent()
    if evaluation.hungry is not None:
        strand, evaluation.hungry = evaluation.hungry, None
        evaluation.missing_blobs.clear()
        strand.resume()
        while evaluation.stalled and evaluation.hungry is None:
            evaluation.stalled.pop(0).resume()
    return _advance(evaluation)


def _advance(evaluation: evaluations.Evaluation) -> contract.Needs | None:
    ready, arrived = evaluation.ready, evaluation.ledger.arrived
    while evaluation.outcome is None:
        if evaluation.hungry is not None or (evaluation.parked and not _unpark(evaluation)):
            return contract.Needs(blobs=tuple(evaluation.missing_blobs))
        if ready:
            ready.popleft()()
            continue
        if evaluation.parked:
            continue
        if not arrived:
            if not evaluation.local_open:
                return None
            needs = local.settle(evaluation)
            if needs is not None:
                return needs
            continue
        _deliver(evaluation, ready, arrived)
    return None


def _deliver(
    evaluation: evaluations.Evaluation, ready: deque[Callable[[], object]], arrived: deque[tuple[Any, Any]]
) -> None:
    """Deliver what arrived, up to the first that may set something off."""
    while arrived:
        target, event = arrived.popleft()
        evaluation.position = event.id
        if type(event) is not _COMPLETED:
            target.deliver(event)
            return
        call = target.call
        if type(call) is not _Future:
            if call is None:
                target.deliver(event)
            elif not call.done:
                call.completed(event.attributes.result)
            else:
                call.deliver(event)
            return
        # What happens most: no detours. The record has done its part: without the way back there is no cycle.
        target.call = None
        if call._kind != futures.OPEN:
            continue
        call._text = event.attributes.result
        call._kind = futures.TEXT
        call._at = event.id
        callbacks = call._callbacks
        if callbacks is None:
            continue
        call._callbacks = None
        if type(callbacks) is _Wait and callbacks.remaining > 1:
            callbacks.remaining -= 1  # all that its turn would do
            continue
        if type(callbacks) is list:
            ready.extend(callbacks)
        else:
            ready.append(callbacks)  # type: ignore[arg-type]  # it is no list here
        return


def _unpark(evaluation: evaluations.Evaluation) -> bool:
    """Go on with what waited for blobs; False when some are missing still."""
    parked, evaluation.parked = evaluation.parked, []
    missing = [pointer for pointers, _ in parked for pointer in pointers if pointer not in evaluation.blobs]
    if missing:
        evaluation.parked = parked
        evaluation.missing_blobs = dict.fromkeys(missing)
        return False
    for _, then in parked:
        then()
    return True
