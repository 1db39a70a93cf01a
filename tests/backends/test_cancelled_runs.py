"""Cancellation, and clients that speak of whatever run is open: the same on three backends."""

from __future__ import annotations

from typing import Any

import pytest

from simpleflow import Workflow, activity, exceptions, futures
from simpleflow.client import executions
from simpleflow.testing import Failed, hang
from tests.backends.places import Backend


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True, start_to_close_timeout=3600)
def endless(name: str = "") -> None:
    hang()


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def cleaned(name: str) -> str:
    return f"{name} cleaned"


class Base(Workflow):
    name, version, task_list = "cancelled", "1", "decisions"


class Child(Base):
    name = "cancelled-child"

    def run(self) -> Any:
        self.submit(self.start_timer("long", 3000)).result


def names(history: list[Any]) -> list[str]:
    return [type(event).__name__ for event in history]


def test_a_scope_that_is_cancelled_last_waits_for_the_acknowledgements_and_goes_on(backend: Backend) -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope(wait=True) as scope:
                inside = self.submit(endless)
                child = self.submit(Child)
                self.submit(self.start_timer("soon", 5)).result
                scope.cancel()
            return [inside.cancelled, child.cancelled, self.submit(cleaned, "all").result]

    place = backend.environment(Program, Child)
    run = place.start(Program)
    assert place.wait(run) == [True, True, "all cleaned"]
    said = names(place.history(run))
    after = said.index("ActivityTaskScheduled", said.index("ActivityTaskScheduled") + 1)
    assert said.index("ActivityTaskCanceled") < after
    assert said.index("ChildWorkflowExecutionCanceled") < after


def test_a_task_that_is_cancelled_inside_is_waited_for_too(backend: Backend) -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope(wait=True):
                inside = self.submit(endless)
                self.submit(self.start_timer("soon", 5)).result
                inside.cancel()
            return self.submit(cleaned, "one").result

    result, history = backend.played(Program)
    said = names(history)
    assert result == "one cleaned"
    assert said.index("ActivityTaskCanceled") < len(said) - 1 - said[::-1].index("ActivityTaskScheduled")


def test_children_that_run_are_cancelled_with_a_run_that_a_request_ends(backend: Backend) -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope() as scope:
                self.submit(Child)
                try:
                    self.submit(endless).result
                finally:
                    with scope.shield():
                        self.submit(cleaned, "shielded").result

    place = backend.environment(Program, Child)
    client = backend.client(place)
    run = place.start(Program)
    place.advance(5)
    client.cancel(run.workflow_id)
    with pytest.raises(Failed) as failed:
        place.wait(run)
    assert failed.value.status == "CANCELED"
    history = place.history(run)
    (child,) = [e.attributes for e in history if type(e).__name__ == "StartChildWorkflowExecutionInitiated"]
    assert "RequestCancelExternalWorkflowExecutionInitiated" in names(history)
    place.advance(5)
    assert client.find(child.workflow_id).run_id
    assert client.describe(child.workflow_id).execution_info.close_status == "CANCELED"


def test_without_a_scope_a_request_closes_alone_and_children_go_on(backend: Backend) -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(Child)
            self.submit(endless).result

    place = backend.environment(Program, Child)
    run = place.start(Program)
    place.advance(5)
    place.cancel(run)
    with pytest.raises(Failed) as failed:
        place.wait(run)
    assert failed.value.status == "CANCELED"
    history = place.history(run)
    assert names(history)[-2:] == ["DecisionTaskCompleted", "WorkflowExecutionCanceled"]
    (child,) = [e.attributes for e in history if type(e).__name__ == "StartChildWorkflowExecutionInitiated"]
    client = backend.client(place)
    assert client.describe(child.workflow_id).execution_info.execution_status == "OPEN"


def test_workflow_cancel_asks_everything_that_is_open(backend: Backend) -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(Child)
            self.submit(endless)
            self.submit(self.start_timer("soon", 5)).result
            self.submit(self.cancel())

    place = backend.environment(Program, Child)
    run = place.start(Program)
    with pytest.raises(Failed) as failed:
        place.wait(run)
    assert failed.value.status == "CANCELED"
    said = names(place.history(run))
    assert {"ActivityTaskCancelRequested", "RequestCancelExternalWorkflowExecutionInitiated"} <= set(said)
    assert said[-1] == "WorkflowExecutionCanceled"


def test_futures_that_are_cancelled_cancel_what_they_stand_for(backend: Backend) -> None:
    class Program(Base):
        def run(self) -> Any:
            open_ones = [
                self.submit(endless),
                self.submit(self.start_timer("long", 3000)),
                self.submit(Child),
                self.submit(self.wait_signal("never")),
            ]
            self.submit(self.start_timer("soon", 5)).result
            asked = [each.cancel() for each in open_ones]
            said = [[each.cancelled, type(each.exception).__name__] for each in open_ones]
            self.submit(self.start_timer("later", 60)).result
            try:
                futures.wait(*open_ones)
            except exceptions.TaskCanceled:
                said.append("raised")
            return [asked, said]

    place = backend.environment(Program, Child)
    run = place.start(Program)
    assert place.wait(run) == [[True] * 4, [[True, "TaskCanceled"]] * 4 + ["raised"]]
    said = set(names(place.history(run)))
    assert {"ActivityTaskCanceled", "TimerCanceled", "ChildWorkflowExecutionCanceled"} <= said


class Rounds(Base):
    name = "rounds"

    def run(self, left: int, *heard: Any) -> Any:
        value = self.submit(self.wait_signal("go")).value
        if left:
            self.submit(self.continue_as_new(left - 1, *heard, value))
        return [*heard, value]


def test_a_client_speaks_of_whatever_run_is_open(backend: Backend) -> None:
    place = backend.environment(Rounds)
    client = backend.client(place)
    first = client.start(Rounds, 2)
    for number in range(3):
        place.settle()
        client.signal(first if number % 2 else first.workflow_id, "go", {"round": number})
    place.settle()
    assert client.result(first.workflow_id, timeout=0) == [{"round": number} for number in range(3)]
    assert client.result(first, timeout=0) == [{"round": number} for number in range(3)]  # it follows the first run
    with pytest.raises(executions.NotOpen):
        client.signal(first.workflow_id, "go")


@pytest.mark.parametrize("action", ["cancel", "terminate"])
def test_cancel_and_terminate_meet_the_run_that_is_open(backend: Backend, action: str) -> None:
    place = backend.environment(Rounds)
    client = backend.client(place)
    first = client.start(Rounds, 2)
    place.settle()
    client.signal(first.workflow_id, "go", 1)
    place.settle()
    getattr(client, action)(first.workflow_id)
    place.settle()
    closed = client.wait(first, timeout=0)
    assert closed.status == {"cancel": "CANCELED", "terminate": "TERMINATED"}[action]
    assert closed.run.run_id != first.run_id
    with pytest.raises(executions.NotOpen):
        getattr(client, action)(client.find(first.workflow_id, first.run_id))


def test_a_client_s_signal_and_an_environment_s_are_the_same_value(backend: Backend) -> None:
    place = backend.environment(Rounds)
    client = backend.client(place)
    run = place.start(Rounds, 1)
    place.settle()
    place.signal(run, "go", {"a": [1, None]})
    place.settle()
    client.signal(run.workflow_id, "go", {"a": [1, None]})
    assert place.wait(run) == [{"a": [1, None]}] * 2
