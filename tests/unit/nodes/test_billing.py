"""Billing as data: any period, any minimum, one question."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleflow.nodes import billing, config

TERMS = st.builds(config.Billing, period=st.integers(1, 90_000), minimum=st.integers(0, 90_000))
SECONDS = st.floats(0, 1e7, allow_nan=False)


@pytest.mark.parametrize(
    ("period", "minimum", "seconds", "billed"),
    [
        (1, 60, 10, 60),
        (1, 60, 60.2, 61),
        (3600, 0, 1, 3600),
        (3600, 3600, 3600, 3600),
        (3600, 3600, 3600.5, 7200),
        (86400, 86400, 90000, 172800),
        (20, 20, 0, 20),
    ],
)
def test_whole_periods_are_billed(period: int, minimum: int, seconds: float, billed: float) -> None:
    assert billing.billed(config.Billing(period=period, minimum=minimum), seconds) == billed


@settings(max_examples=200)
@given(terms=TERMS, seconds=SECONDS, more=SECONDS)
def test_a_bill_never_shrinks_and_covers_what_was_used(terms: config.Billing, seconds: float, more: float) -> None:
    first = billing.billed(terms, seconds)
    assert first >= seconds - 1e-6
    assert first >= terms.minimum
    assert first % terms.period == 0
    assert billing.billed(terms, seconds + more) >= first


@settings(max_examples=200)
@given(terms=TERMS, age=SECONDS, longer=SECONDS)
def test_free_to_keep_means_that_the_bill_stays_the_same(terms: config.Billing, age: float, longer: float) -> None:
    age, longer = round(age, 3), round(longer, 3)
    free = billing.free_to_keep(terms, 0.0, age, age + longer)
    same = billing.billed(terms, age + longer) == billing.billed(terms, age)
    assert free == same


@settings(max_examples=200)
@given(terms=TERMS, price=st.integers(0, 10**8), since=st.floats(1.7e9, 1.8e9), seconds=st.floats(0, 86400 * 2))
def test_windows_partition_a_bill(terms: config.Billing, price: int, since: float, seconds: float) -> None:
    """The days' shares of a bill add up to it: nothing is counted twice, nothing is lost."""
    until = since + seconds
    end = since + billing.billed(terms, seconds)
    total, moment, days = 0, since, 0
    while moment < end:
        total += billing.cost_in_window(terms, price, since, until, "day", moment)
        moment, days = billing.window_end("day", moment), days + 1
    assert 0 <= total - billing.cost(terms, price, seconds) <= days + price * 1e-5


@pytest.mark.parametrize(
    ("begun", "minutes", "before", "after"),
    [
        pytest.param(datetime(2026, 11, 24, 23, 30, tzinfo=UTC), 40, 1, 0, id="one period, begun before midnight"),
        pytest.param(datetime(2026, 11, 24, 23, 30, tzinfo=UTC), 61, 1, 1, id="the second begins after it"),
        pytest.param(datetime(2026, 11, 24, 23, 0, tzinfo=UTC), 90, 1, 1, id="the second begins at midnight"),
        pytest.param(datetime(2026, 11, 25, 0, 0, tzinfo=UTC), 90, 0, 2, id="all of them after it"),
        pytest.param(datetime(2026, 11, 24, 0, 30, tzinfo=UTC), 60 * 24, 24, 0, id="the last one ends after it"),
    ],
)
def test_a_period_is_charged_to_the_day_in_which_it_begins(
    begun: datetime, minutes: int, before: int, after: int
) -> None:
    hourly, since = config.Billing(period=3600, minimum=3600), begun.timestamp()
    days = (datetime(2026, 11, 24, 12, tzinfo=UTC), datetime(2026, 11, 25, 12, tzinfo=UTC))
    costs = [billing.cost_in_window(hourly, 10**6, since, since + 60 * minutes, "day", day.timestamp()) for day in days]
    assert costs == [before * 10**6, after * 10**6]


@pytest.mark.parametrize(
    ("window", "end"),
    [
        ("hour", datetime(2026, 12, 31, 12, tzinfo=UTC)),
        ("day", datetime(2027, 1, 1, tzinfo=UTC)),
        ("month", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_ends_of_windows(window: billing.Window, end: datetime) -> None:
    moment = datetime(2026, 12, 31, 11, 30, tzinfo=UTC).timestamp()
    assert billing.window_end(window, moment) == end.timestamp()
    assert billing.window_start(window, moment) <= moment
