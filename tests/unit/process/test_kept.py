"""What a kept process says of itself."""

from __future__ import annotations

import pytest

from simpleflow.core import text
from simpleflow.process import kept


def never() -> kept.Running:
    raise OSError("no process is started here")


@pytest.mark.parametrize(("deaths", "said"), [(0, "0 deaths"), (1, "1 death"), (2, "2 deaths")])
def test_deaths_are_counted_in_words_that_fit(deaths: int, said: str) -> None:
    child = kept.Kept[kept.Running]("worker", never, monotonic=lambda: 0.0)
    child.deaths = deaths
    assert child.status_text() == f"worker starts in 0.0 s, {said}"


def test_words_whose_plural_is_another_one() -> None:
    counted = [text.count(number, "launch", "launches") for number in (0, 1, 2000)]
    assert counted == ["0 launches", "1 launch", "2,000 launches"]
