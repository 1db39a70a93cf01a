"""What 0.36's programs do with a failure in their hook, and compute in properties."""

from __future__ import annotations

import json
from typing import Any

from simpleflow import Workflow
from simpleflow.task import ActivityTask

from .driver import Play, act

A = act("a")


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


class Broken(Exception):
    pass


def test_hook_context_says_what_0_36_says() -> None:
    class Program(Base):
        seen: list[Any] = []

        def run(self) -> Any:
            return self.submit(A, 7).exception is None

        def on_task_failure(self, context: Any) -> Any:
            self.seen.append(context)
            return context.decide_ignore() if context.attempt_number == 2 else context.decide_retry()

    play = Play(Program, check=False)
    play.decide()
    said = {"error": "Broken", "error_type": f"{__name__}.Broken", "message": "no", "traceback": ""}
    play.history.fail_activity("activity-a-1", "Broken: no", json.dumps(said))
    play.decide()
    play.history.fail_activity("activity-a-1", "words", "text")
    play.decide()
    assert play.result is True
    first, second = Program.seen
    assert (first.reason, first.task_error, first.task_error_type, first.task_message) == (
        "Broken: no", "Broken", Broken, "no",
    )  # fmt: skip
    assert first.details == said
    assert (second.reason, second.details, second.task_error_type) == ("words", "text", None)
    assert (first.event["id"], first.event["state"], first.event["name"]) == ("activity-a-1", "failed", "a")
    assert first.event["input"] == {"args": [7], "kwargs": {}}
    assert (first.event["retry"], second.event["retry"], second.retry_count) == (0, 1, 1)
    scheduled = [e.id for e in play.history.events if type(e).__name__ == "ActivityTaskScheduled"]
    assert [first.id, second.id] == [first.event["scheduled_id"], second.event["scheduled_id"]] == scheduled


def test_the_hook_changes_the_arguments_of_the_next_attempt() -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(A, 1, fail=True).result

        def on_task_failure(self, context: Any) -> Any:
            assert isinstance(context.a_task, ActivityTask)
            assert (context.a_task.args, context.a_task.activity, context.task_name) == ([1], A, "a")
            context.a_task.kwargs = {"fail": False}
            context.decision = context.Decision.retry_later
            context.retry_wait_timeout = 60
            return context

    play = Play(Program, check=False)
    play.decide()
    play.history.fail_activity("activity-a-1")
    assert play.decide() == ["StartTimer __simpleflow_task_activity-a-1"]
    play.history.fire_timer("__simpleflow_task_activity-a-1")
    play.evict()
    assert play.decide() == ["ScheduleActivityTask activity-a-1"]
    (again,) = play.last.decisions
    assert again.input == '{"args":[1],"kwargs":{"fail":false}}'
    play.complete("activity-a-1", "done")
    play.evict()
    play.decide()
    assert play.result == "done"


def test_a_workflow_may_compute_the_priority_of_its_tasks() -> None:
    """0.36 asks the instance: a property says it when a task is submitted."""

    class Program(Base):
        @property
        def task_priority(self) -> Any:
            return self.chosen

        def run(self) -> Any:
            self.chosen = 7
            self.submit(A)
            self.chosen = 8
            self.submit(A, 1)
            self.submit(A, 2, __priority=9)
            return self.submit(A, 3, __priority=False).result

    play = Play(Program)
    play.decide()
    assert [made.task_priority for made in play.last.decisions] == ["7", "8", "9", "8"]
