"""Results that a type hint turns into something else settle as all others do."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from simpleflow import Workflow, activity, futures
from tests.backends import places


@activity.with_attributes(version="1", task_list="l")
def when(n: int) -> datetime.date:
    return datetime.date(2024, 1, n)


class Dates(Workflow):
    name, version, task_list = "w", "1", "d"

    def run(self) -> Any:
        fs = [self.submit(when, n) for n in (1, 2, 3)]
        return [str(d) for d in futures.wait(*fs)] + [str(self.submit(when, 4).then(lambda d: d.isoformat()).result)]


@pytest.mark.usefixtures("backend")
def test_results_with_a_hint_that_are_waited_for_together() -> None:
    with places.environment() as environment:
        assert environment.run(Dates) == ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
