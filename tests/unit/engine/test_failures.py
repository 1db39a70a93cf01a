"""Failures, retries, policies, and every decision of ``on_task_failure`` (docs/design/replay.md, rule 10)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simpleflow import Workflow, activity, exceptions
from simpleflow.core import decisions

from .driver import Play, act

A, B, RAISES = act("a"), act("b"), act("raises", raises_on_failure=True)
RETRIED = act("a", retry=2)


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


class One(Base):
    def run(self) -> Any:
        task = self.submit(self.task())
        return [task.result, str(task.exception)]

    def task(self) -> Any:
        return A


def test_result_of_a_failed_task_is_none_and_the_error_is_in_exception() -> None:
    play = Play(One)
    play.decide()
    play.history.fail_activity("activity-a-1", "ValueError", json.dumps({"error": "ValueError", "message": "bad"}))
    play.decide()
    assert play.result[0] is None
    assert "ValueError" in play.result[1]


def test_raises_on_failure_raises_at_result_and_fails_the_workflow_with_the_reason() -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(RAISES).result

    play = Play(Program)
    play.decide()
    play.history.fail_activity("activity-raises-1", "boom")
    assert play.decide() == ["FailWorkflowExecution"]
    assert play.failure.startswith("Workflow execution error in ")
    assert '"boom"' in play.failure


def test_what_run_raises_fails_the_workflow() -> None:
    class Program(Base):
        def run(self) -> Any:
            raise ValueError("odd")

    play = Play(Program)
    assert play.decide() == ["FailWorkflowExecution"]
    assert play.failure.startswith("Cannot replay the workflow: ValueError(")


def test_fail_stops_the_workflow() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.fail("no more", "details")
            self.submit(A).result

    play = Play(Program)
    assert play.decide() == ["FailWorkflowExecution"]
    assert play.failure == "Workflow execution failed: no more"


@pytest.mark.parametrize("how", ["fail_activity", "time_out_activity"])
def test_retry_schedules_again_with_the_same_id_so_many_times(how: str) -> None:
    class Program(One):
        def task(self) -> Any:
            return RETRIED

    play = Play(Program)
    assert play.decide() == ["ScheduleActivityTask activity-a-1"]
    for _ in range(2):
        getattr(play.history, how)("activity-a-1")
        play.evict()
        assert play.decide() == ["ScheduleActivityTask activity-a-1"]
    getattr(play.history, how)("activity-a-1")
    play.decide()
    assert play.result[0] is None


def test_a_retry_that_completes_is_a_success() -> None:
    class Program(One):
        def task(self) -> Any:
            return RETRIED

    play = Play(Program)
    play.decide()
    play.history.fail_activity("activity-a-1")
    play.decide()
    play.complete("activity-a-1", "second time")
    play.decide()
    assert play.result == ["second time", "None"]


def test_a_canceled_task_is_recognised() -> None:
    class Program(Base):
        def run(self) -> Any:
            task = self.submit(A)
            return type(task.exception).__name__

    play = Play(Program)
    play.decide()
    play.history.cancel_activity("activity-a-1")
    play.decide()
    assert play.result == "TaskCanceled"


def test_a_child_fails_is_retried_and_raises() -> None:
    class Child(Workflow):
        name, version, task_list, retry = "child", "1", "decisions", 1

        def run(self) -> None:
            return

    class Program(Base):
        def run(self) -> Any:
            return self.submit(Child).result

    play = Play(Program, others=(Child,))
    play.decide()
    (first,) = play.history.open.children
    play.history.fail_child(first)
    made = play.decide()
    assert made == [f"StartChildWorkflowExecution {first}"]
    play.history.terminate_child(first)
    assert play.decide() == ["FailWorkflowExecution"]


def test_a_child_s_result_and_its_pinned_id_and_type() -> None:
    class Child(Workflow):
        name, version, task_list = "child", "1", "decisions"

        def run(self) -> None:
            return

    class Program(Base):
        def run(self) -> Any:
            return self.submit(Child, 1).result

    import zlib

    play = Play(Program, others=(Child,))
    play.decide()
    (made,) = play.last.decisions
    assert isinstance(made, decisions.StartChildWorkflowExecution)
    hashed = f"{zlib.adler32(play.history.run_id.encode()):x}"
    type_name = made.workflow_type.name
    assert type_name.endswith("Child")
    assert made.workflow_id.startswith("workflow-")
    assert made.workflow_id.endswith(f"-{play.history.workflow_id}--{hashed}--1")
    assert json.loads(made.input or "")["args"] == [1]
    assert made.control
    play.history.complete_child(made.workflow_id, "5")
    play.decide()
    assert play.result == 5


class Hooked(Base):
    """What the hook answers is taken from ``answer``; each call is noted in ``calls``."""

    calls: list[Any] = []
    task: Any = A

    def run(self) -> Any:
        task = self.submit(self.task)
        value = task.result
        return [value, type(task.exception).__name__ if task.exception else None]

    def answer(self, context: Any) -> Any:
        return context

    def on_task_failure(self, context: Any) -> Any:
        self.calls.append(
            {
                "reason": context.reason,
                "attempt": context.attempt_number,
                "retries": context.retry_count,
                "name": context.task_name,
                "error": context.task_error,
                "message": context.task_message,
                "exception": type(context.exception).__name__,
            }
        )
        return self.answer(context)


def hooked(answer: Any, task: Any = A) -> Play:
    program = type("Program", (Hooked,), {"answer": answer, "task": task, "calls": []})
    play = Play(program)
    play.decide()
    return play


def test_hook_none_leaves_the_default() -> None:
    play = hooked(lambda self, context: context, RETRIED)
    play.history.fail_activity("activity-a-1")
    assert play.decide() == ["ScheduleActivityTask activity-a-1"]


def test_hook_sees_the_failure() -> None:
    play = hooked(lambda self, context: context)
    play.check = False
    calls = play.workflows[0].calls  # type: ignore[attr-defined]
    details = json.dumps({"error": "ValueError", "error_type": "ValueError", "message": "bad row 7"})
    play.history.fail_activity("activity-a-1", "ValueError: bad row 7", details)
    play.decide()
    assert calls == [
        {
            "reason": "ValueError: bad row 7",
            "attempt": 1,
            "retries": 0,
            "name": "a",
            "error": "ValueError",
            "message": "bad row 7",
            "exception": "TaskFailed",
        }
    ]


def test_hook_abort_raises() -> None:
    play = hooked(lambda self, context: context.decide_abort(), act("a", retry=5, raises_on_failure=True))
    play.history.fail_activity("activity-a-1", "boom")
    assert play.decide() == ["FailWorkflowExecution"]


def test_hook_ignore_is_success_without_result() -> None:
    play = hooked(lambda self, context: context.decide_ignore(), act("a", raises_on_failure=True))
    play.history.fail_activity("activity-a-1")
    play.decide()
    assert play.result == [None, None]


def test_hook_retry_now_schedules_at_once_beyond_the_retries() -> None:
    play = hooked(lambda self, context: context.decide_retry())
    for _ in range(3):
        play.history.fail_activity("activity-a-1")
        assert play.decide() == ["ScheduleActivityTask activity-a-1"]
    play.complete("activity-a-1", 1)
    play.decide()
    assert play.result == [1, None]


def test_hook_retry_later_waits_on_its_pinned_timer() -> None:
    play = hooked(lambda self, context: context.decide_retry(30))
    for number in range(1, 4):
        play.history.fail_activity("activity-a-1")
        timer = "__simpleflow_task_activity-a-1" + (f"-{number}" if number > 1 else "")
        assert play.decide() == [f"StartTimer {timer}"]
        (made,) = play.last.decisions
        assert isinstance(made, decisions.StartTimer)
        assert made.start_to_fire_timeout == "30"
        assert json.loads(made.control or "{}")["args"] == []
        play.evict()
        play.history.fire_timer(timer)
        assert play.decide() == ["ScheduleActivityTask activity-a-1"]
    play.complete("activity-a-1", "at last")
    play.decide()
    assert play.result == ["at last", None]


def test_hook_cancel_cancels_the_future() -> None:
    class Program(Base):
        def run(self) -> Any:
            return type(self.submit(A).exception).__name__

        def on_task_failure(self, context: Any) -> Any:
            return context.decide_cancel()

    play = Play(Program)
    play.decide()
    play.history.fail_activity("activity-a-1")
    play.decide()
    assert play.result == "TaskCanceled"


def test_hook_handled_with_another_future() -> None:
    def answer(self: Any, context: Any) -> Any:
        return context.decide_handled(context.a_task, self.submit(B))

    play = hooked(answer)
    play.history.fail_activity("activity-a-1")
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    play.complete("activity-b-1", "instead")
    play.decide()
    assert play.result[0] == "instead"


def test_hooks_run_once_per_failure_per_evaluation_in_event_order() -> None:
    class Program(Base):
        seen: list[str] = []

        def run(self) -> Any:
            type(self).seen.clear()
            opened = [self.submit(A, number) for number in range(3)]
            self.submit(B).result
            return [future.exception is not None for future in opened]

        def on_task_failure(self, context: Any) -> Any:
            self.seen.append(context.reason)
            return context

    play = Play(Program, check=False)
    play.decide()
    for number in (3, 1, 2):
        play.history.fail_activity(f"activity-a-{number}", str(number))
        play.decide()
    assert Program.seen == ["3", "1", "2"]
    play.evict()
    play.complete("activity-b-1")
    play.decide()
    assert Program.seen == ["3", "1", "2"]
    assert play.result == [True, True, True]


def test_hook_context_is_as_of_the_failure() -> None:
    class Program(Base):
        seen: list[Any] = []

        def run(self) -> Any:
            self.submit(A).exception
            return self.submit(B).result

        def on_task_failure(self, context: Any) -> Any:
            self.seen.append((context.id, context.last_completed_decision_id))
            return context

    play = Play(Program, check=False)
    play.decide()
    play.history.fail_activity("activity-a-1")
    play.decide()
    play.evict()
    play.complete("activity-b-1")
    play.decide()
    assert len(Program.seen) == 2
    assert Program.seen[0] == Program.seen[1]


DETAILS = json.dumps({"error": "TransientError", "error_type": "jobs.TransientError", "message": "busy"})


def policy(**options: Any) -> Any:
    return activity.RetryPolicy(**options)


def timers(play: Play) -> list[float]:
    return [
        float(event.attributes.start_to_fire_timeout)
        for event in play.history.events
        if type(event).__name__ == "TimerStarted"
    ]


def failing_under(retry: Any, times: int, run_id: str = "run-id") -> Play:
    class Program(Base):
        def run(self) -> Any:
            task = self.submit(A.options(retry=retry))
            return [task.result, task.exception is None]

    play = Play(Program, options={"run_id": run_id})
    play.decide()
    for _ in range(times):
        play.history.fail_activity("activity-a-1", "TransientError: busy", DETAILS)
        if play.decide()[0].startswith("StartTimer"):
            play.history.fire_timer(next(iter(play.history.open.timers)))
            assert play.decide() == ["ScheduleActivityTask activity-a-1"]
    return play


def test_a_retry_policy_backs_off_up_to_its_maximum_and_ends_after_its_attempts() -> None:
    play = failing_under(policy(max_attempts=5, initial=2, backoff=2.0, maximum=10, jitter=0.0), 4)
    assert timers(play) == [2, 4, 8, 10]
    play.history.fail_activity("activity-a-1", "TransientError: busy", DETAILS)
    play.decide()
    assert play.result == [None, False]


def test_jitter_comes_from_the_run_id_not_from_chance() -> None:
    retry = policy(max_attempts=5, initial=100, backoff=2.0, maximum=10_000, jitter=0.5)
    first, again, other = (timers(failing_under(retry, 3, run_id)) for run_id in ("r1", "r1", "r2"))
    assert first == again != other


def test_retry_on_and_give_up_on_choose_by_the_error() -> None:
    for options in ({"give_up_on": ["TransientError"]}, {"retry_on": ["Other"]}):
        play = failing_under(policy(max_attempts=5, initial=1, backoff=1.0, maximum=1, jitter=0.0, **options), 1)
        assert play.result == [None, False]


def test_failed_markers_are_not_retried_for_ever() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(self.record_marker("m", "x"))
            return self.submit(A).result

    play = Play(Program)
    play.history.refuse("RecordMarker", "OPERATION_NOT_PERMITTED", times=5)
    play.decide()
    for _ in range(4):
        if play.history.decision_waits:
            play.decide()
    failed = [event for event in play.history.events if type(event).__name__ == "RecordMarkerFailed"]
    assert len(failed) <= 2
    assert not play.history.decision_waits


def test_an_unread_exception_type_is_kept() -> None:
    class Program(Base):
        def run(self) -> Any:
            try:
                return self.submit(RAISES).result
            except exceptions.TaskFailed as error:
                return [error.reason, error.details]

    play = Play(Program)
    play.decide()
    play.history.fail_activity("activity-raises-1", "why", "what")
    play.decide()
    assert play.result == ["why", "what"]


def test_what_a_failed_task_gives_to_one_that_takes_it_as_an_argument() -> None:
    """None where its failure does not raise; where it does, the other fails with it and is never scheduled."""

    class Program(Base):
        def run(self) -> Any:
            quiet, loud = self.submit(A), self.submit(RAISES)
            taken, failed = self.submit(B, quiet), self.submit(B, loud)
            return [taken.result, str(failed.exception), str(loud.exception)]

    play = Play(Program)
    play.decide()
    play.history.fail_activity("activity-a-1")
    play.history.fail_activity("activity-raises-1")
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    assert play.inputs()[-1]["args"] == [None]
    play.complete("activity-b-1", 1)
    play.decide()
    taken, failed, loud = play.result
    assert taken == 1
    assert failed == loud
