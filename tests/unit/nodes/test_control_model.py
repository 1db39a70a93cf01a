"""Part 1 of docs/design/control.md, model-checked from the code's own steps: never two launches for one demand.

The world is explored exhaustively: managers that read, plan, send, record, list and crash in every order, a network
that delivers, loses and delays within a signature's life, lists that lag. A take-over may come at any moment, so the
lease plays no part: what is held here is If-Match, attempts sent at most once, and the closing rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations
from typing import NamedTuple

import msgspec
import pytest

from simpleflow.core import documents
from simpleflow.nodes import config, control
from simpleflow.nodes.providers import base

#: one time unit each, so that every boundary is met
WORLD = msgspec.structs.replace(config.PRESETS["aws"], intent=1.0, signature=1.0, list_lag=1.0, forget=50.0, commit=1.0)


class Manager(NamedTuple):
    known: documents.Control | None = None
    attempt: str = ""
    #: its own note of the last moment to send: it may have been paused since it wrote the intent
    not_after: float = 0.0
    sent: bool = False
    #: when a list began, and what it shows
    listing: tuple[int, tuple[tuple[str, int], ...]] | None = None
    tries: int = 0


class State(NamedTuple):
    now: int
    document: documents.Control
    managers: tuple[Manager, ...]
    #: attempts on their way, with the moment at which they were signed
    network: tuple[tuple[str, int], ...] = ()
    #: machines that exist: (attempt, born)
    cloud: tuple[tuple[str, int], ...] = ()
    #: attempts whose answer may still reach the creator
    answers: tuple[str, ...] = ()
    crashes: int = 0


def with_manager(state: State, number: int, manager: Manager) -> State:
    managers = (*state.managers[:number], manager, *state.managers[number + 1 :])
    return state._replace(managers=managers)


def replace(state: State, number: int, manager: Manager, new: documents.Control) -> tuple[State, bool]:
    """What ControlFile.replace does: only over the very document that was read."""
    assert manager.known is not None
    if new == manager.known:
        return state, True
    if state.document.seq != manager.known.seq:
        return with_manager(state, number, manager._replace(known=None, listing=None)), False
    new = msgspec.structs.replace(new, seq=new.seq + 1)
    return with_manager(state._replace(document=new), number, manager._replace(known=new)), True


def instance(attempt: str, born: int) -> base.Instance:
    return base.Instance(
        id=f"i-{attempt}", state="running", profile="p", attempt=attempt, launched=float(born), instance_type="t"
    )


def listings(state: State, lag: int) -> Iterator[tuple[int, tuple[tuple[str, int], ...]]]:
    """Every list that the provider may show now: what is older than the lag surely, the rest perhaps."""
    sure = [each for each in state.cloud if each[1] <= state.now - lag]
    maybe = [each for each in state.cloud if each[1] > state.now - lag]
    for some in chain.from_iterable(combinations(maybe, size) for size in range(len(maybe) + 1)):
        yield state.now, tuple(sorted([*sure, *some]))


def successors(state: State, steps: config.Times, limits: tuple[int, int, int], world: config.Times) -> Iterator[State]:
    horizon, tries, crashes = limits
    if state.now < horizon:
        yield state._replace(now=state.now + 1)
    for sending in state.network:
        rest = tuple(each for each in state.network if each != sending)
        if state.now - sending[1] <= world.signature:
            born = (*state.cloud, (sending[0], state.now))
            yield state._replace(network=rest, cloud=tuple(sorted(born)), answers=(*state.answers, sending[0]))
        else:
            yield state._replace(network=rest)
    for number, manager in enumerate(state.managers):
        yield from manager_steps(state, number, manager, steps, tries, world)
        if state.crashes < crashes and manager != Manager(tries=manager.tries):
            yield with_manager(state._replace(crashes=state.crashes + 1), number, Manager(tries=manager.tries))


def manager_steps(
    state: State, number: int, manager: Manager, steps: config.Times, tries: int, world: config.Times
) -> Iterator[State]:
    if manager.known is None:
        yield with_manager(state, number, manager._replace(known=state.document))
        return
    known = manager.known
    if not known.rows and not known.intents and not manager.attempt and manager.tries < tries:
        attempt = f"{number}{manager.tries}"
        intent = documents.Intent(
            id=attempt,
            kind="launch",
            creator=str(number),
            profile="p",
            not_after=state.now + steps.intent,
            units=1,
            worst=1,
        )
        planned, done = replace(state, number, manager, control.open_intent(known, intent))
        if done:
            mine = planned.managers[number]._replace(
                attempt=attempt, not_after=intent.not_after, sent=False, tries=manager.tries + 1
            )
            planned = with_manager(planned, number, mine)
        yield planned
    if manager.attempt and not manager.sent:
        if state.now <= manager.not_after:
            after = with_manager(state, number, manager._replace(sent=True))
            yield after._replace(network=tuple(sorted([*state.network, (manager.attempt, state.now)])))
        else:
            yield with_manager(state, number, manager._replace(attempt=""))
    if manager.sent and manager.attempt in state.answers:
        born = next(when for attempt, when in state.cloud if attempt == manager.attempt)
        new = control.answered(known, manager.attempt, [instance(manager.attempt, born)], steps)
        after, _ = replace(state, number, manager, new)
        yield with_manager(after, number, after.managers[number]._replace(attempt="", sent=False))
    if manager.listing is None:
        for shown_now in listings(state, int(world.list_lag)):
            yield with_manager(state, number, manager._replace(listing=shown_now))
    else:
        begun, shown = manager.listing
        listing = base.Listing(instances=tuple(instance(*each) for each in shown), begun=float(begun))
        new = control.expire(control.found(known, listing, steps), listing, steps)
        after, _ = replace(state, number, manager, new)
        yield with_manager(after, number, after.managers[number]._replace(listing=None))


def explore(
    steps: config.Times, limits: tuple[int, int, int], world: config.Times = WORLD, managers: int = 2
) -> tuple[int, State | None]:
    """Return how many states there are, and the first with two machines for the one demand."""
    start = State(now=0, document=control.empty("c"), managers=(Manager(),) * managers)
    seen = {start}
    frontier = [start]
    while frontier:
        state = frontier.pop()
        if len(state.cloud) > 1:
            return len(seen), state
        for following in successors(state, steps, limits, world):
            if following not in seen:
                seen.add(following)
                frontier.append(following)
    return len(seen), None


def test_never_two_launches_for_one_demand() -> None:
    count, broken = explore(WORLD, (5, 1, 1))
    assert broken is None
    assert count > 10_000, "the exploration lost its freedom"


@pytest.mark.parametrize(("field", "true"), [("signature", 2.0), ("list_lag", 2.0)])
def test_the_checker_sees_a_rule_that_is_too_short(field: str, true: float) -> None:
    """A closing rule that leaves out a signature's life, or the lag of lists, does launch twice."""
    world = msgspec.structs.replace(WORLD, **{field: true})
    _, broken = explore(msgspec.structs.replace(world, **{field: 0.0}), (6, 1, 0), world)
    assert broken is not None


@pytest.mark.slow
def test_never_two_launches_with_more_of_everything() -> None:
    assert explore(WORLD, (8, 2, 2))[1] is None
