"""control.json: who may replace it, and what closes an intent or a row."""

from __future__ import annotations

import msgspec
import pytest

from simpleflow.core import documents
from simpleflow.nodes import billing, config, control, errors
from simpleflow.nodes.providers import base

from . import fakes

TIMES = config.PRESETS["aws"]
TERMS = config.Billing(period=1, minimum=60)


def intent(**changes: object) -> documents.Intent:
    made = documents.Intent(
        id="a", kind="launch", creator="m1", profile="p", not_after=60.0, units=1, price=3600, worst=300
    )
    return msgspec.structs.replace(made, **changes)


def instance(name: str, **changes: object) -> base.Instance:
    made = base.Instance(id=name, state="running", profile="p", attempt="a", launched=10.0, instance_type="t")
    return msgspec.structs.replace(made, **changes)


def listing(*instances: base.Instance, begun: float = 100.0) -> base.Listing:
    return base.Listing(instances=instances, begun=begun)


def two_managers() -> tuple[control.ControlFile, control.ControlFile, fakes.MemoryStore]:
    store, clock = fakes.MemoryStore(), fakes.virtual()
    return (
        control.ControlFile(store, "demo", "m1", clock),
        control.ControlFile(store, "demo", "m2", clock),
        store,
    )


def test_of_two_managers_one_replaces_and_the_others_next_replacement_fails() -> None:
    first, second, _ = two_managers()
    first.read()
    second.read()
    first.replace(control.take(first.known, "m1", 0.0))
    with pytest.raises(errors.ControlLost, match="was not replaced"):
        second.replace(control.take(second.known, "m2", 0.0))
    with pytest.raises(errors.ControlLost, match="read it again"):
        second.known  # it forgot
    assert control.holds(second.read(), "m1")


def test_a_lost_answer_makes_the_manager_forget_although_the_write_happened() -> None:
    first, _, store = two_managers()
    first.read()
    store.lose = 1
    with pytest.raises(errors.ControlLost):
        first.replace(control.take(first.known, "m1", 0.0))
    assert control.holds(first.read(), "m1")


def test_seq_changes_with_an_equal_renewal() -> None:
    first, _, _ = two_managers()
    first.read()
    one = first.replace(control.take(first.known, "m1", 5.0))
    two = first.replace(control.renew(first.known, 6.0))
    assert two.seq == one.seq + 1


def test_a_contender_waits_a_lease_time_of_unchanged_seq_on_its_own_clock() -> None:
    store, clock = fakes.MemoryStore(), fakes.virtual()
    holder = control.ControlFile(store, "demo", "m1", clock)
    contender = control.ControlFile(store, "demo", "m2", clock)
    holder.read()
    holder.replace(control.take(holder.known, "m1", clock.now()))
    contender.read()
    clock.advance(TIMES.lease - 1)
    holder.replace(control.renew(holder.known, clock.now()))
    contender.read()
    assert not contender.may_take(TIMES)
    clock.advance(TIMES.lease - 1)
    contender.read()
    assert not contender.may_take(TIMES)
    clock.advance(1)
    contender.read()
    assert contender.may_take(TIMES)


def test_the_creators_answer_makes_a_row_per_machine_and_voids_the_rest() -> None:
    document = control.open_intent(control.empty("demo"), intent(units=3))
    document = control.answered(document, "a", [instance("i-2"), instance("i-1")], TIMES)
    assert [row.instance for row in document.rows] == ["i-1", "i-2"]
    assert document.intents == ()
    assert document.rows[0].until == 10.0 + TIMES.commit


def test_what_lists_show_of_a_fleet_gets_rows_and_the_rest_stays_open() -> None:
    document = control.open_intent(control.empty("demo"), intent(units=2, worst=300))
    document = control.found(document, listing(instance("i-1")), TIMES)
    assert [row.instance for row in document.rows] == ["i-1"]
    assert (document.intents[0].units, document.intents[0].worst) == (1, 150)
    assert control.found(document, listing(instance("i-1")), TIMES) == document
    # The first one's row closes while it still is listed as terminated: it is not counted a second time.
    closed = control.close_row(document, "i-1", TERMS, 20.0, 30.0)
    dead = instance("i-1", state="terminated")
    assert control.found(closed, listing(dead), TIMES).rows == ()
    both = control.found(closed, listing(dead, instance("i-2")), TIMES)
    assert [row.instance for row in both.rows] == ["i-2"]
    assert both.intents == ()


@pytest.mark.parametrize(
    ("begun", "open_after", "spent"),
    [
        pytest.param(60 + 900 + 300, True, 0, id="the last moment itself: too early"),
        pytest.param(60 + 900 + 301, False, 0, id="void"),
        pytest.param(60 + 3300 - 1, False, 0, id="still void"),
        pytest.param(60 + 3300, False, 300, id="the provider forgets: spent at worst cost"),
    ],
)
def test_an_attempt_that_lists_never_show(begun: float, open_after: bool, spent: int) -> None:
    document = control.open_intent(control.empty("demo"), intent())
    document = control.expire(document, listing(begun=float(begun)), TIMES)
    assert bool(document.intents) is open_after
    assert sum(each.amount for each in document.spent if each.window == "day") == spent


def test_a_provider_with_attempt_locks_closes_without_waiting_and_never_before() -> None:
    document = control.open_intent(control.empty("demo"), intent())
    assert control.expire(document, listing(begun=61.0), TIMES, {"a": True}).intents == ()
    assert control.expire(document, listing(begun=1e6), TIMES, {"a": False}).intents != ()


def test_a_row_closes_by_termination_or_by_absence_after_its_moment_never_before() -> None:
    document = control.answered(control.open_intent(control.empty("demo"), intent()), "a", [instance("i-1")], TIMES)
    row = document.rows[0]
    assert not control.closable((row,), listing(begun=1000.0))
    assert control.closable((row,), listing(begun=60.0 + 900 + 300 + 1))
    assert control.closable((row,), listing(instance("i-1", state="terminated")))
    assert not control.closable((row,), listing(instance("i-1", state="stopping"), begun=1e6))


def test_closing_adds_the_cost_in_the_same_document_and_closes_the_termination() -> None:
    document = control.answered(control.open_intent(control.empty("demo"), intent()), "a", [instance("i-1")], TIMES)
    document = control.terminate(document, {"i-1": "silent"}, "m1", 99.0)
    assert document.rows[0].reason == "silent", "the ledger says why"
    document = control.close_row(document, "i-1", TERMS, ended=110.0, now=120.0)
    assert (document.rows, document.intents) == ((), ())
    assert {each.window: each.amount for each in document.spent} == {"hour": 100, "day": 100, "month": 100}
    assert control.close_row(document, "i-1", TERMS, ended=110.0, now=120.0) == document


def test_drain_counts_up_and_unmark_never_reuses_a_generation() -> None:
    document = control.answered(control.open_intent(control.empty("demo"), intent()), "a", [instance("i-1")], TIMES)
    document = control.drain(document, "i-1", "idle", 1.0)
    assert control.drain(document, "i-1", "again", 2.0) == document
    document = control.drain(control.undrain(document, "i-1", 1), "i-1", "idle", 3.0)
    assert (document.rows[0].drain, document.rows[0].generation) == (2, 2)


def test_windows_that_are_over_are_forgotten() -> None:
    first = control.add_spent(control.empty("demo"), dict.fromkeys(billing.WINDOWS, 5), 0.0)
    later = control.add_spent(first, dict.fromkeys(billing.WINDOWS, 7), 3700.0)
    assert {each.window: each.amount for each in later.spent} == {"hour": 7, "day": 12, "month": 12}
