"""Part 3 of docs/design/control.md, model-checked from the code's own steps: a cancelled machine loses no task.

Each simpler protocol of that page is a mutant here, and the checker finds the trace that breaks it.
"""

from __future__ import annotations

import itertools

import pytest

from simpleflow.core import documents
from simpleflow.nodes import boot

from .cancel_model import FAITHFUL, Limits, Mutant, World

S, E = boot.BootState, boot.BootEvent


@pytest.mark.parametrize(
    ("limits", "least"),
    [
        pytest.param(Limits(minds=1), 40_000, id="two managers"),
        pytest.param(Limits(managers=1, minds=3, attempts=2), 10_000, id="one that changes its mind, and launches"),
        pytest.param(Limits(minds=3), 150_000, id="two that change their mind", marks=pytest.mark.slow),
        pytest.param(Limits(minds=2, attempts=2), 350_000, id="and launch again", marks=pytest.mark.slow),
        pytest.param(Limits(managers=3, minds=1), 350_000, id="three managers", marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(900)
def test_no_cancelled_machine_loses_a_task_and_none_is_left_behind(limits: Limits, least: int) -> None:
    world = World(limits)
    states, way = world.explore()
    assert not way
    assert len(states) >= least
    assert not world.stuck(states)


#: the least world in which each of them breaks
SMALL = Limits(minds=1, crashes=False)
TWO = Limits(minds=2, crashes=False)


def found(limits: Limits, mutant: Mutant = FAITHFUL) -> None:
    world = World(limits, mutant=mutant)
    _, way = world.explore()
    assert way
    assert way[-1].lost
    # The way there is one of this world: each state follows from the one before.
    assert all(after in world.successors(before) for before, after in itertools.pairwise(way))


@pytest.mark.parametrize(
    ("limits", "mutant"),
    [
        pytest.param(SMALL, Mutant(looks_first=True), id="the document is read before the mark is written"),
        pytest.param(SMALL, Mutant(ends_unwritten=True), id="the termination is not written down"),
        pytest.param(TWO, Mutant(any_mark=True), id="the mark has no number"),
        pytest.param(SMALL, Mutant(unmarks_ending=True), id="the mark of a machine that is being ended is taken back"),
        pytest.param(SMALL, Mutant(overwrites=True), id="documents are replaced whatever was read"),
        pytest.param(SMALL, Mutant(reads_first=True), id="the machine reads, then stores its document"),
        pytest.param(SMALL, Mutant(unanswered=True), id="the machine does not wait for the store's answer"),
        pytest.param(SMALL, Mutant(stale_control=True), id="the store shows control.json as it was"),
        pytest.param(SMALL, Mutant(stale_absence=True), id="the store denies a document that was written"),
        pytest.param(SMALL, Mutant(announced_too=True), id="a machine that has not polled yet is ended all the same"),
    ],
)
def test_the_checker_finds_the_trace_that_breaks_a_simpler_protocol(limits: Limits, mutant: Mutant) -> None:
    found(limits, mutant)


def test_a_machine_that_polls_before_it_reads_loses_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "TABLE", {**boot.TABLE, (S.STARTING, E.STORED): S.ADMITTED})
    found(SMALL)


def test_a_machine_that_does_not_look_for_its_mark_loses_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(control: documents.Control, node: str, attempt: str) -> boot.BootEvent:
        return E.OWNED

    monkeypatch.setattr(boot, "seen", blind)
    found(SMALL)


def test_the_order_before_the_first_poll_is_one_way() -> None:
    order = [S.STARTING, S.ANNOUNCED, S.ADMITTED, S.REFUSED]
    for state, event in itertools.product(S, E):
        following = boot.step(state, event)
        assert order.index(following) >= order.index(state)
        assert following is not S.ADMITTED or state in {S.ANNOUNCED, S.ADMITTED}
    assert not [pair for pair in boot.TABLE if pair[0] in {S.ADMITTED, S.REFUSED}]
