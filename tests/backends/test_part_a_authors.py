"""What workflows and activities declare, and the hooks that they have: one test a row, on three backends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simpleflow import Workflow, activity, exceptions, futures, registry, task
from simpleflow.testing import Failed
from tests.backends.places import Backend


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def double(number: int) -> int:
    return 2 * number


@activity.with_attributes(version="1", task_list="list")
def refuse(word: str = "it") -> None:
    raise ValueError(f"no {word}")


class Base(Workflow):
    name, version, task_list = "part-a", "1", "decisions"


class Class:
    context: Any = None
    seen: list[str] = []

    def __init__(self, number: int) -> None:
        self.number = number

    def execute(self) -> list[Any]:
        return [self.number, sorted(self.context)]

    def post_execute(self) -> None:
        self.seen.append("post")


TOLD = ["activity_id", "activity_task_list", "domain_name", "input", "name", "run_id", "version", "workflow_id"]
class_activity = activity.with_attributes(version="2", task_list="list")(Class)


def test_activities_get_their_context(backend: Backend) -> None:
    def asks(number: int) -> Any:
        return [number, sorted(asks.context)]  # type: ignore[attr-defined]  # the worker sets it

    def takes(number: int, context: dict[str, Any]) -> Any:
        return [number, sorted(context)]

    takes.add_context_in_kwargs = True  # type: ignore[attr-defined]  # functions take attributes
    declared = {
        each.__name__: activity.with_attributes(name=f"part_a.{each.__name__}", version="1", task_list="list")(each)
        for each in (asks, takes)
    }

    class Program(Base):
        def run(self) -> Any:
            return futures.wait(
                self.submit(declared["asks"], 1), self.submit(declared["takes"], 2), self.submit(class_activity, 3)
            )

    class Dispatcher:
        def dispatch_activity(self, name: str) -> Any:
            return declared.get(name.rpartition(".")[2], class_activity)

    Class.seen.clear()
    place = backend.environment(Program, dispatcher=Dispatcher())
    assert place.run(Program) == [[1, TOLD], [2, TOLD], [3, TOLD]]
    assert Class.seen == ["post"]
    assert registry.registry[None][class_activity.name] is class_activity


def test_what_is_declared_goes_to_the_service(backend: Backend) -> None:
    class Program(Base):
        execution_timeout, decision_tasks_timeout, task_priority, tag_list = 500, "20", 7, ["a", "b"]

        def run(self) -> Any:
            self.submit(double.options(task_list="other", start_to_close_timeout=12), 1, __priority=3).result
            return self.submit(double, 2).result

    result, history = backend.played(Program)
    assert result == 4
    started = history[0].attributes
    assert (started.execution_start_to_close_timeout, started.task_start_to_close_timeout) == ("500", "20")
    assert (started.task_priority, list(started.tag_list)) == ("7", ["a", "b"])
    one, two = [event.attributes for event in history if type(event).__name__ == "ActivityTaskScheduled"]
    assert (one.task_list.name, one.start_to_close_timeout, one.task_priority) == ("other", "12", "3")
    assert (two.task_list.name, two.task_priority, two.heartbeat_timeout) == ("list", "7", "300")


@pytest.mark.parametrize("kind", [classmethod, staticmethod, lambda function: function])
def test_getters_of_a_child_work_in_each_form(backend: Backend, kind: Any) -> None:
    takes_class = kind is not staticmethod

    def getter(value: Any) -> Any:
        if takes_class:
            return kind(lambda cls, number: value(number))
        return kind(lambda number: value(number))

    class Child(Base):
        name = "part-a-child"
        get_workflow_id = getter(lambda number: f"chosen-{number}")
        get_task_list = getter(lambda number: f"decisions-{number}")
        get_tag_list = getter(lambda number: [f"tag-{number}"])

        def run(self, number: int) -> Any:
            context = self.get_run_context()
            return [context["workflow_id"], context["tag_list"], context["parent_workflow_id"] is not None]

    class Program(Base):
        def run(self) -> Any:
            return self.submit(Child, 4).result

    assert backend.environment(Program, Child).run(Program) == ["chosen-4", ["tag-4"], True]


def test_hooks_are_called_with_the_history(backend: Backend) -> None:
    called: list[Any] = []

    class Program(Base):
        def run(self, fails: bool) -> Any:
            self.submit(double, 1).result
            if fails:
                self.fail("on purpose", {"why": "a test"})
            return "done"

        def before_replay(self, history: Any) -> None:
            called.append("before")

        def after_replay(self, history: Any) -> None:
            called.append("after")

        def on_failure(self, history: Any, reason: str, details: str | None = None) -> None:
            called.append(("failed", reason, history.events[0].type))

        def on_completed(self, history: Any) -> None:
            called.append(("completed", len(history.activities)))

        def after_closed(self, history: Any) -> None:
            called.append("closed")

    place = backend.environment(Program, replay=False)
    assert place.run(Program, False) == "done"
    assert called[-2:] == [("completed", 1), "closed"]
    assert called.count("before") == called.count("after") >= 2
    called.clear()
    with pytest.raises(Failed) as failed:
        place.run(Program, True)
    assert failed.value.reason == "Workflow execution failed: on purpose"
    assert json.loads(failed.value.details or "") == {"why": "a test"}
    assert [each for each in called if isinstance(each, tuple)] == [("failed", "on purpose", "WorkflowExecution")]
    assert called[-1] == "closed"


def test_a_cancel_request_is_the_workflow_s_to_refuse(backend: Backend) -> None:
    class Program(Base):
        def should_cancel(self, history: Any) -> bool:
            return bool(history.events[0].input["args"][0])

        def on_canceled(self, history: Any) -> None:
            canceled.append(history.cancel_requested is not None)

        def run(self, agrees: bool) -> Any:
            self.submit(self.start_timer("long", 60)).result
            return "went on"

    canceled: list[bool] = []
    place = backend.environment(Program, replay=False)
    for agrees in (False, True):
        run = place.start(Program, agrees)
        place.advance(5)
        place.cancel(run)
        if agrees:
            with pytest.raises(Failed) as failed:
                place.wait(run)
            assert failed.value.status == "CANCELED"
        else:
            assert place.wait(run) == "went on"
    assert canceled == [True]


def test_what_a_run_waits_for_is_in_its_execution_context(backend: Backend) -> None:
    class Program(Base):
        def run(self) -> Any:
            first = self.submit(self.wait_signal("one"))
            return [first.value, self.submit(self.wait_signal("two", timeout=100)).value]

    def context() -> Any:
        return json.loads(client.describe(run.workflow_id).latest_execution_context or "{}").get("waiting_signals")

    place = backend.environment(Program)
    client = backend.client(place)
    run = place.start(Program)
    place.settle()
    assert context() == ["one"]
    client.signal(run.workflow_id, "one", 1)
    place.settle()
    assert context() == ["two"]
    client.signal(run.workflow_id, "two", 2)
    assert place.wait(run) == [1, 2]


def test_the_failure_hook_decides_what_becomes_of_a_task(backend: Backend) -> None:
    class Program(Base):
        def on_task_failure(self, context: task.TaskFailureContext) -> Any:
            word = context.task_message.rpartition(" ")[2]
            said.append((word, context.attempt_number, context.task_error, context.reason))
            if word == "ignored":
                return context.decide_ignore()
            if word == "again":
                return context.decide_retry(5) if context.attempt_number < 3 else context.decide_cancel()
            if word == "handled":
                return context.decide_handled(task.ActivityTask(double, 21))
            return context.decide_abort() if word == "aborted" else None

        def run(self, word: str) -> Any:
            future = self.submit(refuse, word)
            error = future.exception
            return [future.result if word in ("ignored", "handled") else None, type(error).__name__]

    said: list[Any] = []
    place = backend.environment(Program, strict=False)
    assert place.run(Program, "ignored") == [None, "NoneType"]
    assert place.run(Program, "handled") == [42, "NoneType"]
    assert place.run(Program, "plain") == [None, "TaskFailed"]
    assert place.run(Program, "aborted") == [None, "TaskFailed"]
    assert place.run(Program, "again") == [None, "TaskCanceled"]
    assert {(word, error, reason) for word, _, error, reason in said} == {
        (word, "ValueError", f"ValueError: no {word}") for word in ("ignored", "handled", "plain", "aborted", "again")
    }
    assert {attempt for word, attempt, *_ in said if word == "again"} == {1, 2, 3}


def test_failures_tell_their_details_as_json(backend: Backend) -> None:
    class Child(Base):
        name = "part-a-failing-child"
        raises_on_failure = False

        def run(self) -> Any:
            return self.submit(refuse.options(raises_on_failure=True), "child").result

    class Program(Base):
        def run(self) -> Any:
            errors = [self.submit(refuse, "task").exception, self.submit(Child).exception]
            return [[error.reason, error.details] for error in errors if isinstance(error, exceptions.TaskFailed)]

    (reason, details), (why, _) = backend.environment(Program, Child).run(Program)
    told = json.loads(details)
    assert reason == "ValueError: no task"
    assert (told["error"], told["message"]) == ("ValueError", "no task")
    assert told["error_type"].endswith("ValueError")
    assert "raise ValueError" in "".join(told["traceback"])
    assert "no child" in why
