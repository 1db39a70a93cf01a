"""Cancelling tasks, scopes and executions (docs/design/replay.md, rules 16 to 18)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from simpleflow import Workflow, exceptions, futures

from .driver import Play, act

A, B, C, CLEAN, TICK = (act(name) for name in ("a", "b", "c", "clean", "tick"))


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


def test_a_requested_cancel_with_no_scope_closes_alone_as_0_36_did() -> None:
    called: list[str] = []

    class Program(Base):
        def run(self) -> Any:
            self.submit(A).result

        def should_cancel(self, history: Any) -> bool:
            called.append("should_cancel")
            return True

        def on_canceled(self, history: Any) -> None:
            called.append("on_canceled")

    play = Play(Program, check=False)
    play.decide()
    play.history.start_activity("activity-a-1")
    play.history.request_cancel()
    called.clear()
    assert play.decide() == ["CancelWorkflowExecution"]
    assert called == ["should_cancel", "on_canceled"]
    assert play.history.open.closed == "WorkflowExecutionCanceled"


def test_a_cancel_requested_before_the_first_completed_decision_closes_the_run() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(A).result

    play = Play(Program)
    play.history.request_cancel()
    assert play.decide() == ["CancelWorkflowExecution"]


def test_should_cancel_may_say_no() -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(A).result

        def should_cancel(self, history: Any) -> bool:
            return False

    play = Play(Program)
    play.decide()
    play.history.request_cancel()
    assert play.decide() == []
    play.complete("activity-a-1", "went on")
    play.decide()
    assert play.result == "went on"


def test_workflow_cancel_cancels_open_tasks_first() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(A)
            self.submit(self.start_timer("t", 60))
            self.submit(B).result
            self.submit(self.cancel())

    play = Play(Program, check=False)
    play.decide()
    play.complete("activity-b-1")
    made = play.decide()
    assert made[-1] == "CancelWorkflowExecution"
    assert sorted(made[:-1]) == ["CancelTimer t", "RequestCancelActivityTask activity-a-1"]
    assert play.history.open.closed == "WorkflowExecutionCanceled"


def test_16_cancel_settles_at_once_and_a_later_result_is_dropped() -> None:
    class Program(Base):
        def run(self) -> Any:
            given_up = self.submit(A)
            self.submit(TICK).result
            said = given_up.cancel()
            kind = type(given_up.exception).__name__
            self.submit(B).result
            return [said, kind, given_up.cancelled, type(given_up.exception).__name__]

    play = Play(Program)
    play.decide()
    play.history.start_activity("activity-a-1")
    play.complete("activity-tick-1")
    assert play.decide() == ["RequestCancelActivityTask activity-a-1", "ScheduleActivityTask activity-b-1"]
    play.complete("activity-a-1", "late")
    assert play.decide() == []
    play.complete("activity-b-1")
    play.decide()
    assert play.result == [True, "TaskCanceled", True, "TaskCanceled"]


def test_16_opened_and_cancelled_within_one_decision_is_never_emitted() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(A).cancel()
            self.submit(self.start_timer("t", 5)).cancel()
            return self.submit(B).result

    play = Play(Program)
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    play.complete("activity-b-1", 1)
    play.evict()
    play.decide()
    assert play.result == 1


def test_16_a_shared_idempotent_task_is_cancelled_when_its_last_holder_cancels() -> None:
    once = act("once", idempotent=True)

    class Program(Base):
        def run(self) -> Any:
            first, second = self.submit(once), self.submit(once)
            self.submit(A).result
            first.cancel()
            self.submit(B).result
            second.cancel()
            self.submit(C).result

    play = Play(Program)
    once_id = play.decide()[0].split()[1]
    play.history.start_activity(once_id)
    play.complete("activity-a-1")
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    play.complete("activity-b-1")
    assert play.decide() == [f"RequestCancelActivityTask {once_id}", "ScheduleActivityTask activity-c-1"]


def test_a_timer_and_a_child_are_really_cancelled() -> None:
    class Child(Workflow):
        name, version, task_list = "child", "1", "decisions"

        def run(self) -> None:
            return

    class Program(Base):
        def run(self) -> Any:
            timer, child = self.submit(self.start_timer("t", 60)), self.submit(Child)
            self.submit(A).result
            timer.cancel()
            child.cancel()
            return self.submit(B).result

    play = Play(Program, others=(Child,))
    play.decide()
    (child_id,) = play.history.open.children
    play.history.start_child(child_id)
    play.complete("activity-a-1")
    made = play.decide()
    assert "CancelTimer t" in made
    assert f"RequestCancelExternalWorkflowExecution {child_id}" in made
    for outgoing in list(play.history.open.outgoing):
        play.history.deliver(outgoing)
    play.history.cancel_child(child_id)
    play.decide()
    play.complete("activity-b-1", 2)
    play.decide()
    assert play.result == 2


def test_17_a_scope_raises_in_each_waiting_arm_and_the_close_waits_for_the_clean_ups() -> None:
    class Program(Base):
        def arm(self, task: Any, name: str) -> Any:
            try:
                return self.submit(task).result
            except exceptions.TaskCanceled:
                self.submit(CLEAN, name).result
                raise

        def run(self) -> Any:
            with self.cancel_scope():
                return futures.gather(lambda: self.arm(A, "first"), lambda: self.arm(B, "second"))

    play = Play(Program)
    assert play.decide() == ["ScheduleActivityTask activity-a-1", "ScheduleActivityTask activity-b-1"]
    play.history.start_activity("activity-a-1")
    play.history.start_activity("activity-b-1")
    play.history.request_cancel()
    made = play.decide()
    assert [line for line in made if line.startswith("Schedule")] == [
        "ScheduleActivityTask activity-clean-1",
        "ScheduleActivityTask activity-clean-2",
    ]
    assert [envelope["args"] for envelope in play.inputs()[-2:]] == [["first"], ["second"]]
    play.complete("activity-clean-2")
    assert play.decide() == []
    play.complete("activity-clean-1")
    assert play.decide() == ["CancelWorkflowExecution"]


def test_a_scope_raises_at_the_innermost_unshielded_wait() -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope():
                with self.cancel_scope(shield=True):
                    kept = self.submit(A).result
                self.submit(B).result
                return kept

    play = Play(Program)
    play.decide()
    play.history.request_cancel()
    assert play.decide() == []
    play.complete("activity-a-1", "finished first")
    made = play.decide()
    assert made[-1] == "CancelWorkflowExecution"


def test_when_run_catches_it_and_returns_the_execution_completes() -> None:
    class Program(Base):
        def run(self) -> Any:
            try:
                with self.cancel_scope():
                    self.submit(A).result
            except exceptions.TaskCanceled:
                return "saved"

    play = Play(Program)
    play.decide()
    play.history.request_cancel()
    assert play.decide()[-1] == "CompleteWorkflowExecution"
    assert play.result == "saved"


def test_18_whether_a_scope_is_open_is_asked_of_runs_own_branch() -> None:
    """An arm's scope does not count: without one in run() itself, 0.36's close applies."""

    class Program(Base):
        def arm(self) -> Any:
            with self.cancel_scope():
                return self.submit(A).result

        def run(self) -> Any:
            return futures.gather(self.arm, lambda: self.submit(B).result)

    play = Play(Program)
    play.decide()
    play.history.request_cancel()
    assert play.decide() == ["CancelWorkflowExecution"]


def test_compensate_runs_what_was_done_backwards() -> None:
    undo = act("undo")

    class Program(Base):
        def run(self) -> Any:
            with self.compensate() as saga:
                for number, task in enumerate((A, B)):
                    self.submit(task).result
                    saga.add(undo, number)
                self.submit(act("c", raises_on_failure=True)).result

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    play.complete("activity-b-1")
    play.decide()
    play.history.fail_activity("activity-c-1", "no")
    undone = []
    for _ in range(3):
        made = play.decide()
        if made == ["FailWorkflowExecution"]:
            break
        (line,) = made
        undone.append(play.inputs()[-1]["args"])
        play.complete(line.split()[1])
    assert undone == [[1], [0]]
    assert "no" in play.failure


def test_a_scope_that_waits_leaves_only_when_its_activities_have_acknowledged() -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope(wait=True):
                self.submit(A).result

    play = Play(Program)
    play.decide()
    play.history.start_activity("activity-a-1")
    play.history.request_cancel()
    assert play.decide() == ["RequestCancelActivityTask activity-a-1"]
    play.history.cancel_activity("activity-a-1")
    assert play.decide() == ["CancelWorkflowExecution"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_scope_that_is_cancelled_at_its_end_waits_and_goes_on(asynchronous: bool) -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope(wait=True) as scope:
                task = self.submit(A)
                self.submit(TICK).result
                scope.cancel()
            return [task.cancelled, self.submit(B).result]

    class Async(Base):
        async def run(self) -> Any:
            with self.cancel_scope(wait=True) as scope:
                task = self.submit(A)
                await self.submit(TICK)
                scope.cancel()
            return [task.cancelled, await self.submit(B)]

    play = Play(Async if asynchronous else Program)
    play.decide()
    play.history.start_activity("activity-a-1")
    play.complete("activity-tick-1")
    assert play.decide() == ["RequestCancelActivityTask activity-a-1"]
    play.history.cancel_activity("activity-a-1")
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    play.complete("activity-b-1", "went on")
    play.decide()
    assert play.result == [True, "went on"]


def test_what_is_cancelled_alone_is_waited_for_too() -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope(wait=True):
                given_up, kept = self.submit(A), self.submit(C)
                self.submit(TICK).result
                given_up.cancel()
            return [given_up.cancelled, kept.finished, self.submit(B).result]

    play = Play(Program)
    play.decide()
    play.history.start_activity("activity-a-1")
    play.complete("activity-tick-1")
    assert play.decide() == ["RequestCancelActivityTask activity-a-1"]
    play.complete("activity-a-1", "it ended before it heard of it")
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    play.complete("activity-b-1")
    play.decide()
    assert play.result == [True, False, None]


def test_an_outer_cancel_is_raised_after_the_inner_scope_has_waited() -> None:
    class Program(Base):
        def run(self) -> Any:
            seen = []
            with contextlib.suppress(exceptions.TaskCanceled), self.cancel_scope() as outer:
                with self.cancel_scope(wait=True):
                    self.submit(A)
                    self.submit(TICK).result
                    outer.cancel()
                seen.append("left the inner one")
                self.submit(B).result
                seen.append("never")
            return seen

    play = Play(Program)
    play.decide()
    play.history.start_activity("activity-a-1")
    play.complete("activity-tick-1")
    assert play.decide() == ["RequestCancelActivityTask activity-a-1"]
    play.history.cancel_activity("activity-a-1")
    play.decide()
    assert play.result == ["left the inner one"]


def test_children_are_cancelled_with_their_parent_where_a_scope_is_open() -> None:
    class Child(Workflow):
        name, version, task_list = "child", "1", "decisions"

        def run(self) -> None:
            return

    class Program(Base):
        scoped = True

        def run(self) -> Any:
            child = self.submit(Child)
            with self.cancel_scope() if self.scoped else contextlib.nullcontext():
                child.result

    class Unscoped(Program):
        scoped = False

    for cls, last in ((Program, 2), (Unscoped, 1)):
        play = Play(cls, others=(Child,))
        (started,) = play.decide()
        play.history.start_child(started.split()[1])
        play.decide()
        play.history.request_cancel()
        made = play.decide()
        assert len(made) == last
        assert made[-1] == "CancelWorkflowExecution"
        assert made[:-1] == [f"RequestCancelExternalWorkflowExecution {started.split()[1]}"][: last - 1]


def test_a_scope_that_waits_does_not_wait_for_a_task_that_somebody_else_holds() -> None:
    once = act("once", idempotent=True)

    class Program(Base):
        def run(self) -> Any:
            outside = self.submit(once, 1)
            with contextlib.suppress(exceptions.TaskCanceled), self.cancel_scope(wait=True) as scope:
                self.submit(once, 1)
                scope.cancel()
                self.submit(B).result
            return [self.submit(A).result, outside.result]

    play = Play(Program)
    scheduled, after = play.decide()
    assert after == "ScheduleActivityTask activity-a-1"
    play.complete("activity-a-1", 1)
    play.decide()
    play.complete(scheduled.split()[1], 2)
    play.decide()
    assert play.result == [1, 2]


def test_one_that_does_not_say_so_closes_at_once() -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope():
                self.submit(A).result

    play = Play(Program)
    play.decide()
    play.history.start_activity("activity-a-1")
    play.history.request_cancel()
    assert play.decide()[-1] == "CancelWorkflowExecution"


def test_cancel_of_a_task_that_a_hook_retries_says_the_same_in_a_re_run() -> None:
    class Program(Base):
        def run(self) -> Any:
            retried, other = self.submit(A), self.submit(B)
            other.result
            said = retried.cancel()
            self.submit(C).result
            return said

        def on_task_failure(self, context: Any) -> Any:
            return context.decide_retry()

    play = Play(Program)
    play.decide()
    play.history.fail_activity("activity-a-1")
    play.complete("activity-b-1")
    play.decide()
    for activity_id in list(play.history.open.activities):
        play.complete(activity_id)
    while play.history.open.closed is None:
        play.decide()
    assert play.result is True


def test_a_cancelled_scope_that_waits_ends_its_timers(backend: Any) -> None:
    class Program(Workflow):
        name, version, task_list = "timed-scope", "1", "decisions"

        def run(self) -> Any:
            with self.cancel_scope(wait=True) as scope:
                inside = self.submit(self.start_timer("inside", 90_000))
                never_sent = self.submit(self.start_timer("never", 90_000))
                never_sent.cancel()
                futures.wait(self.submit(self.start_timer("short", 1)))
                scope.cancel()
            return [inside.cancelled, self.now().timestamp()]

    (cancelled, ended), history = backend.played(Program)
    assert cancelled
    assert ended - history[0].timestamp < 60
    assert [type(event).__name__ for event in history].count("TimerCanceled") == 1
