"""Progress that retries see, and tasks that others complete, on each backend."""

from __future__ import annotations

from typing import Any

from simpleflow import Workflow, activity
from simpleflow.testing import environment
from tests.backends.places import Backend

tokens: list[str] = []


@activity.with_attributes(version="1", task_list="list", retry=3, heartbeat_timeout=5, raises_on_failure=True)
def reports(ways: list[str]) -> Any:
    """End in one way after the other; each attempt goes on from the one before."""
    done = activity.last_heartbeat() or 0
    if done == len(ways):
        return done
    activity.heartbeat(done + 1)
    if ways[done] == "hang":
        environment.hang(heartbeats=False)
    if ways[done] == "die":
        environment.dies()
    raise ValueError(ways[done])


@activity.with_attributes(
    version="1", task_list="list", start_to_close_timeout="NONE", heartbeat_timeout="NONE", raises_on_failure=True
)
def approve(what: str) -> Any:
    tokens.append(activity.task_token())
    activity.complete_later()


class Reports(Workflow):
    name, version, task_list = "reports", "1", "decisions"

    def run(self, ways: list[str]) -> Any:
        return self.submit(reports, ways).result


class Approved(Workflow):
    name, version, task_list = "approved", "1", "decisions"

    def run(self) -> Any:
        first = self.submit(approve, "a").result
        second = self.submit(approve.options(raises_on_failure=False), "b").exception
        return [first, type(second).__name__]


def test_each_attempt_goes_on_from_the_one_before(backend: Backend) -> None:
    assert backend.run(Reports, ["raise", "hang", "die"]) == 3


def test_a_client_completes_and_fails_tasks_days_later(backend: Backend) -> None:
    tokens.clear()
    place = backend.environment(Approved)
    run, client = place.start(Approved), backend.client(place)
    place.advance(3 * 86_400)
    assert client.heartbeat_activity(tokens[0]) is False
    client.complete_activity(tokens[0], {"by": "Ada", "words": "yes"})
    place.advance(86_400)
    client.fail_activity(tokens[1], "no")
    result = place.wait(run)
    assert result[0]["words"] == "yes"
    assert result[1] == "TaskFailed"
