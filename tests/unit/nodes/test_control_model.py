"""Part 1 of docs/design/control.md, model-checked from the code's own steps: never two launches for one demand.

Each simpler protocol of that page is a mutant here, and the checker finds the trace that breaks it.
"""

from __future__ import annotations

import itertools

import msgspec
import pytest

from .launch_model import TIMES, Limits, Mutant, World


def times(**changes: float) -> Mutant:
    """Managers that believe something else of the provider than what is true."""
    return Mutant(believed=msgspec.structs.replace(TIMES, **changes))


@pytest.mark.parametrize(
    ("limits", "least"),
    [
        pytest.param(Limits(horizon=5), 100_000, id="two managers, two attempts, any pauses and crashes"),
        pytest.param(Limits(horizon=3, demand=2), 50_000, id="fleets of two that appear one by one"),
        pytest.param(Limits(horizon=3, deaths=1), 100_000, id="a machine dies", marks=pytest.mark.slow),
        pytest.param(Limits(horizon=4, demand=2), 100_000, id="fleets for longer", marks=pytest.mark.slow),
        pytest.param(Limits(horizon=7), 100_000, id="for longer", marks=pytest.mark.slow),
        pytest.param(Limits(horizon=4, managers=3), 100_000, id="three managers", marks=pytest.mark.slow),
    ],
)
def test_never_two_launches_for_one_demand(limits: Limits, least: int) -> None:
    count, way = World(limits).explore()
    assert not way
    assert count > least, "the exploration lost its freedom"


@pytest.mark.parametrize(
    ("limits", "mutant"),
    [
        pytest.param(Limits(horizon=5), Mutant(sends_again=True), id="the successor sends the attempt again"),
        pytest.param(Limits(horizon=5), Mutant(silence_closes=True), id="any error closes the intent"),
        pytest.param(
            Limits(horizon=5),
            times(signature=-9.0, list_lag=0.0),
            id="a list without the tag closes the intent at once",
        ),
        pytest.param(Limits(horizon=6), Mutant(sends_late=True), id="the intent closes after a fixed time"),
        pytest.param(Limits(horizon=5), Mutant(absence_closes=True), id="absence from a list closes a row"),
        pytest.param(
            Limits(horizon=5, demand=2),
            Mutant(first_closes=True),
            id="the intent closes with the instances seen so far",
        ),
        pytest.param(Limits(horizon=5), Mutant(overwrites=True), id="the lease alone protects launches"),
    ],
)
def test_each_simpler_protocol_breaks_the_promise(limits: Limits, mutant: Mutant) -> None:
    world = World(limits, mutant=mutant)
    _, way = world.explore()
    assert way
    assert world.broken(way[-1])
    # The way there is one of this world: each state follows from the one before.
    assert all(after in world.successors(before) for before, after in itertools.pairwise(way))


@pytest.mark.parametrize("field", ["signature", "list_lag"])
def test_the_checker_sees_a_rule_that_is_too_short(field: str) -> None:
    """A closing rule that leaves out a signature's life, or the lag of lists, breaks the promise."""
    world = World(Limits(horizon=6), mutant=times(**{field: 0.0}), times=msgspec.structs.replace(TIMES, **{field: 2.0}))
    assert world.explore()[1]
