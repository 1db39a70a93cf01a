"""Feeding an evaluation: settlements one by one, each after all that the one before set off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import greenlet  # type: ignore[import-untyped]  # it ships no types

from simpleflow.core import events

from . import contract, futures, local

if TYPE_CHECKING:
    from . import evaluation as evaluations


def advance(evaluation: evaluations.Evaluation) -> contract.Needs | None:
    """Go on until nothing can; return what is missing, or None when it is blocked or has ended."""
    evaluation.hub = greenlet.getcurrent()
    if evaluation.hungry is not None:
        strand, evaluation.hungry = evaluation.hungry, None
        evaluation.missing_blobs.clear()
        strand.resume()
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
        target, event = arrived.popleft()
        evaluation.position = event.id
        if type(event) is not events.ActivityTaskCompleted:
            target.deliver(event)
            continue
        # What happens most: no detours.
        call = target.call
        if type(call) is futures.Future:
            if call._kind == futures.OPEN:
                call._text = event.attributes.result
                call._kind = futures.TEXT
                call._at = event.id
                callbacks = call._callbacks
                if callbacks is not None:
                    call._callbacks = None
                    if type(callbacks) is futures.Wait and callbacks.remaining > 1:
                        callbacks.remaining -= 1  # all that its turn would do
                    elif type(callbacks) is list:
                        ready.extend(callbacks)
                    else:
                        ready.append(callbacks)  # type: ignore[arg-type]  # it is no list here
        elif call is None:
            target.deliver(event)
        elif not call.done:
            call.completed(event.attributes.result)
        else:
            call.deliver(event)
    return None


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
