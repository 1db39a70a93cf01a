"""Answers by token whose acknowledgement is lost, and the list of tasks that wait."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from simpleflow.cli import main
from simpleflow.client import activities, connect
from simpleflow.core import errors as core_errors
from simpleflow.data import jumbo, left_tasks
from simpleflow.swf import errors
from simpleflow.testing.environment import Environment, Run

sys.path.insert(0, str(Path(__file__).parents[1] / "authors"))

import attempt_flows as flows


class Loses:
    """Carries out a call, and loses its answer so many times."""

    def __init__(self, transport: Any, times: int) -> None:
        self._transport = transport
        self.times = times

    def call(self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: object = None) -> Any:
        answer = self._transport.call(action, request, poll_id=poll_id)
        if action.startswith("Respond") and self.times:
            self.times -= 1
            raise errors.TransportError("the connection was closed before the answer")
        return answer


@pytest.fixture
def store(tmp_path: Path) -> jumbo.Store:
    return jumbo.Store(f"file://{tmp_path}/values")


@pytest.fixture
def place() -> Iterator[Environment]:
    flows.tokens.clear()
    with Environment() as made:
        yield made


def waiting(place: Environment, store: jumbo.Store) -> Run:
    """A task that waits, kept as a worker keeps it."""
    run = place.start(flows.Approved, "a")
    place.settle()
    started = next(event for event in place.history(run) if type(event).__name__ == "ActivityTaskStarted")
    assert store.blobs is not None
    left_tasks.keep(
        store.blobs,
        left_tasks.LeftTask(
            token=flows.tokens[-1],
            domain="default",
            workflow_id=run.workflow_id,
            run_id=run.run_id,
            activity_id="activity-attempt_flows.approve-1",
            name="attempt_flows.approve",
            version="1",
            task_list="work",
            started_event_id=started.id,
            since=float(len(flows.tokens)),
        ),
    )
    return run


def losing(place: Environment, times: int) -> connect.Connection:
    return connect.Connection(transport=Loses(place.connection.transport, times), domain="default", endpoint_url=None)  # type: ignore[arg-type]  # calls are all that is made


def test_an_answer_whose_acknowledgement_is_lost_arrived(place: Environment, store: jumbo.Store) -> None:
    run = waiting(place, store)
    activities.respond(losing(place, 1), store, "RespondActivityTaskCompleted", flows.tokens[0], result='"yes"')
    assert place.wait(run) == "yes"
    assert activities.waiting(place.connection, store) == []


def test_another_answer_is_not_taken_for_it(place: Environment, store: jumbo.Store) -> None:
    waiting(place, store)
    connection = losing(place, 1)
    place.connection.transport.call("RespondActivityTaskFailed", {"taskToken": flows.tokens[0], "reason": "no"})
    with pytest.raises(activities.TaskNotOpen):
        activities.respond(connection, store, "RespondActivityTaskCompleted", flows.tokens[0])


def test_the_list_forgets_what_is_over(place: Environment, store: jumbo.Store) -> None:
    runs = [waiting(place, store) for _ in range(4)]
    transport = place.connection.transport
    transport.call("TerminateWorkflowExecution", {"domain": "default", "workflowId": runs[0].workflow_id})
    transport.call("RespondActivityTaskCompleted", {"taskToken": flows.tokens[1]})
    found = activities.waiting(place.connection, store)
    assert [(task.workflow_id, task.token) for task in found] == [
        (run.workflow_id, token) for run, token in zip(runs[2:], flows.tokens[2:], strict=True)
    ]
    assert store.blobs is not None
    assert len(list(left_tasks.every(store.blobs, "default"))) == 2
    assert list(left_tasks.every(store.blobs, "another")) == []


def test_what_another_version_kept_is_left_alone(place: Environment, store: jumbo.Store) -> None:
    waiting(place, store)
    assert store.blobs is not None
    (kept,) = store.blobs.list(left_tasks.FOLDER)
    store.blobs.put(kept.key, b"\xff")
    assert activities.waiting(place.connection, store) == []


def test_what_is_not_a_token_is_told(place: Environment, store: jumbo.Store) -> None:
    with pytest.raises(core_errors.UsageError, match=r"task token 'no token'.*activity\.list"):
        activities.respond(place.connection, store, "RespondActivityTaskCompleted", "no token")
    with pytest.raises(core_errors.UsageError, match=r"activity\.list"):
        activities.heartbeat(place.connection, "no token", None)


def test_a_result_that_is_not_json_is_refused_before_anything_is_called() -> None:
    with pytest.raises(core_errors.UsageError, match="write text as"):
        main.cli.main(["activity.complete", "a.1.1.x", "--result", "{oops"], standalone_mode=False)
