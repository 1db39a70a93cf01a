"""The fixture: the three are what they say."""

from __future__ import annotations

from typing import Any

from simpleflow import Workflow, activity
from tests.backends.places import Backend


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def double(value: Any) -> Any:
    return 2 * value


class Double(Workflow):
    name, version, task_list = "double", "1", "decisions"

    def run(self, value: Any) -> Any:
        self.submit(self.start_timer("month", 30 * 86_400)).result
        return self.submit(double, value).result


def test_a_workflow_runs_in_virtual_time_on_each(backend: Backend) -> None:
    result, history = backend.played(Double, 2)
    assert result == 4
    assert history[-1].timestamp - history[0].timestamp == 30 * 86_400


def test_each_is_another_service(backend: Backend) -> None:
    url = backend.environment(Double).connection.endpoint_url
    assert str(url).partition(":")[0] == {"local": "None", "embedded": "unix", "http": "http"}[backend.name]


def test_large_values_travel_and_a_client_reads_them(backend: Backend) -> None:
    place = backend.environment(Double)
    run = place.start(Double, "x" * 40_000)
    assert place.wait(run) == "x" * 80_000
    described = backend.client(place).describe(run.workflow_id)
    assert described.execution_info.close_status == "COMPLETED"
