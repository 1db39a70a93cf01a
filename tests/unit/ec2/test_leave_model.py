"""Part 2 of docs/design/control.md, model-checked from the code's own steps: no run is lost, nothing boots for ever.

Each simpler protocol of that page is a mutant here that the checker breaks, and so is each loss that it admits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from .leave_code import Code
from .leave_model import Rules, State, World, boots_for_ever, cut_tasks, launches_for_nothing, lost_runs


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> Iterator[Code]:
    logging.disable(logging.CRITICAL)
    yield Code(monkeypatch)
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(Rules(), id="nothing goes wrong"),
        pytest.param(Rules(client_dies=True), id="the client dies at each step, lists lag up to a poll"),
        pytest.param(Rules(client_dies=True, processes_die=1), id="decider or manager dies too, not the machine"),
        pytest.param(Rules(machines_die=1, client_sleeps=True), id="the decider machine dies at each step"),
        pytest.param(Rules(answer_lost=True, client_sleeps=True), id="a poll's answer is lost"),
        pytest.param(Rules(machines=2, machines_die=1), id="two deciders, one dies", marks=pytest.mark.slow),
    ],
)
def test_without_an_alarm_no_run_is_lost(code: Code, rules: Rules) -> None:
    graph = World(code, rules).explore()
    assert not lost_runs(graph)
    assert not boots_for_ever(graph)
    assert any(state.run == "done" and state.desired == 0 and not state.machines for state in graph), "it scales to 0"


EVERYTHING = Rules(alarm=True, machines_die=1, answer_lost=True, long_lag=True, client_sleeps=True, client_dies=True)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(EVERYTHING._replace(stranger=True), id="whatever started it"),
        pytest.param(EVERYTHING._replace(processes_die=1), id="whatever dies", marks=pytest.mark.slow),
        pytest.param(EVERYTHING._replace(machines=2), id="two deciders", marks=pytest.mark.slow),
    ],
)
def test_with_the_alarm_nothing_loses_a_run_and_nothing_boots_for_ever(code: Code, rules: Rules) -> None:
    graph = World(code, rules).explore()
    assert not lost_runs(graph)
    assert not boots_for_ever(graph)
    assert all(state.desired <= 1 for state in graph)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(Rules(answer_lost=True, long_lag=True), id="a lost answer while lists lag over both polls"),
        pytest.param(Rules(answer_lost=True, client_dies=True), id="a lost answer and the client dies"),
        pytest.param(Rules(client_sleeps=True, client_dies=True), id="the client sleeps, starts and dies"),
        pytest.param(Rules(client_dies=True, machines_die=1), id="client and machine die"),
        pytest.param(Rules(stranger=True), id="the starter ensures nothing"),
    ],
)
def test_what_the_page_admits_without_an_alarm_is_found(code: Code, rules: Rules) -> None:
    assert lost_runs(World(code, rules).explore())
    assert not lost_runs(World(code, rules._replace(alarm=True)).explore())


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(Rules(one_poll=True, client_dies=True), id="set 0, then power off, without the second poll"),
        pytest.param(Rules(one_look=True, answer_lost=True), id="one look at the list before the 0"),
        pytest.param(Rules(unprotected=True, client_dies=True), id="AWS may scale the group in"),
        pytest.param(Rules(ensures_once=True, client_sleeps=True), id="the client ensures once"),
    ],
)
def test_each_simpler_leave_loses_a_run(code: Code, rules: Rules) -> None:
    assert lost_runs(World(code, rules).explore())
    faithful = rules._replace(one_poll=False, one_look=False, unprotected=False, ensures_once=False)
    assert not lost_runs(World(code, faithful).explore())


TWO = Rules(machines=2, wanted=2)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(TWO, id="nothing goes wrong"),
        pytest.param(TWO._replace(wanted=1), id="the number was lowered before anybody was named"),
        pytest.param(TWO._replace(client_dies=True), id="the client dies"),
        pytest.param(TWO._replace(machines_die=1), id="one of them dies", marks=pytest.mark.slow),
        pytest.param(TWO._replace(processes_die=1), id="decider or manager dies", marks=pytest.mark.slow),
        pytest.param(Rules(grows=1), id="the queue grows", marks=pytest.mark.slow),
        pytest.param(TWO._replace(grows=1), id="the queue grows meanwhile", marks=pytest.mark.slow),
    ],
)
def test_a_decider_that_is_too_many_goes_and_nothing_is_lost(code: Code, rules: Rules) -> None:
    graph = World(code, rules).explore()
    assert not lost_runs(graph)
    assert not boots_for_ever(graph)
    assert not cut_tasks(graph)
    assert not launches_for_nothing(graph)
    assert any(state.run == "done" and state.desired == 0 and not state.machines for state in graph), "it scales to 0"


@pytest.mark.parametrize(
    ("rules", "broken"),
    [
        pytest.param(TWO._replace(unnamed=True), launches_for_nothing, id="it goes by the number, without a name"),
        pytest.param(
            TWO._replace(before_lowered=True), launches_for_nothing, id="it goes before the number is lowered"
        ),
        pytest.param(TWO._replace(undrained=True), cut_tasks, id="it goes before its decider has finished"),
    ],
)
def test_each_simpler_way_to_take_a_decider_out_breaks(
    code: Code, rules: Rules, broken: Callable[[dict[State, list[tuple[str, State]]]], object]
) -> None:
    assert broken(World(code, rules).explore(20_000))


def test_an_alarm_that_adds_one_climbs(code: Code) -> None:
    assert any(state.desired > 1 for state in World(code, Rules(alarm=True, alarm_adds=True)).explore())


def test_a_boot_guard_that_sets_0_flaps_for_ever(code: Code) -> None:
    rules = Rules(alarm=True, boots_fail=True)
    assert not boots_for_ever(World(code, rules).explore())
    assert boots_for_ever(World(code, rules._replace(guard_sets_zero=True)).explore())
