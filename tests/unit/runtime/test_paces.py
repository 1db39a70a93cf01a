"""Which types of activity tasks are quick, so that a slot takes several at once."""

from __future__ import annotations

import threading

import hypothesis
import pytest
from hypothesis import strategies as st

from simpleflow.runtime import paces


def test_a_type_is_quick_while_its_mean_is() -> None:
    known = paces.Paces()
    for _ in range(paces.KNOWN - 1):
        known.note("a", "1", 0.001)
    assert known.quick == ()
    known.note("a", "1", 0.001)
    known.note("b", "1", 10.0)
    assert known.quick == (("a", "1"),)
    known.note("a", "1", 1.0)
    assert known.quick == ()
    for _ in range(120):
        known.note("a", "1", 0.001)
    assert known.quick == (("a", "1"),)


@hypothesis.given(st.lists(st.integers(1, 400), max_size=40))
def test_a_type_with_slow_tasks_now_and_then_is_taken_one_by_one(rests: list[int]) -> None:
    """``rests``: quick tasks between the slow ones."""
    known = paces.Paces()
    waited = 0
    for rest in rests:
        for _ in range(rest):
            known.note("a", "1", 0.001)
        waited += bool(known.quick)  # this slow task may have others behind it
        known.note("a", "1", 0.5)
    assert waited <= 2


def test_a_type_that_was_slow_long_ago_is_quick_again() -> None:
    known = paces.Paces()
    for _ in range(5):
        for _ in range(paces.LONG + 100):
            known.note("a", "1", 0.001)
        assert known.quick == (("a", "1"),)
        known.note("a", "1", 0.5)
        assert known.quick == ()


def test_what_a_task_waits_for_counts_and_what_others_took_of_the_processor_does_not() -> None:
    begun = paces.Spent(wall=1.0, cpu=0.5, waits=3)
    assert begun.seconds(paces.Spent(wall=2.0, cpu=0.501, waits=3)) == pytest.approx(0.001)
    assert begun.seconds(paces.Spent(wall=2.0, cpu=0.501, waits=4)) == 1.0
    assert begun._replace(waits=None).seconds(paces.Spent(wall=2.0, cpu=0.0, waits=None)) == 1.0
    slept = paces.Spent.now()
    threading.Event().wait(0.01)
    assert slept.seconds(paces.Spent.now()) >= 0.01
