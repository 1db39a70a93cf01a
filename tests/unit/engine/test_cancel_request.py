"""After a cancel request was taken up nothing new leaves, but for clean-ups (docs/design/replay.md, 17)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simpleflow import Workflow, canvas, exceptions, futures

from .driver import Play, act

A, B, C, CLEAN, UNDO = (act(name) for name in ("a", "b", "c", "clean", "undo"))
CLOSED = ["CancelWorkflowExecution"]


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


class Child(Base):
    name = "child"


#: what may be submitted, and how often each shows in a decision
WORK: dict[str, Callable[[Workflow], Any]] = {
    "activity": lambda self: A,
    "child": lambda self: Child,
    "timer": lambda self: self.start_timer("t", 5),
    "signal": lambda self: self.signal("s", workflow_id="other"),
    "group": lambda self: canvas.Group((A, 1), (A, 2), max_parallel=1),
    "chain": lambda self: canvas.Chain((A, 1), Child),
}


@pytest.mark.parametrize("scoped", [True, False])
@pytest.mark.parametrize("kind", WORK)
def test_nothing_leaves_with_a_request_that_came_before_the_first_decision(kind: str, scoped: bool) -> None:
    class Program(Base):
        def run(self) -> Any:
            if not scoped:
                return [self.submit(WORK[kind](self)), self.submit(B).result]
            with self.cancel_scope():
                return [self.submit(WORK[kind](self)), self.submit(B).result]

    play = Play(Program, others=(Child,))
    play.history.request_cancel()
    assert play.decide() == CLOSED


@pytest.mark.parametrize("kind", WORK)
def test_nothing_of_an_async_run_leaves(kind: str) -> None:
    class Program(Base):
        async def run(self) -> Any:
            await self.submit(C)
            with self.cancel_scope():
                work = self.submit(WORK[kind](self))
                await futures.gather(self.submit(B), work)

    play = Play(Program, others=(Child,))
    play.decide()
    play.complete("activity-c-1")
    play.history.request_cancel()
    assert play.decide() == CLOSED


def test_what_was_submitted_in_the_same_decision_stays_while_the_clean_up_runs() -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope():
                submitted = [self.submit(make(self)) for make in WORK.values()]
                try:
                    self.submit(B).result
                finally:
                    self.submit(CLEAN, [type(future.exception).__name__ for future in submitted]).result

    play = Play(Program, others=(Child,))
    play.history.request_cancel()
    assert play.decide() == ["ScheduleActivityTask activity-clean-1"]
    assert play.inputs()[0]["args"] == [["TaskCanceled"] * len(WORK)]
    play.complete("activity-clean-1")
    assert play.decide() == CLOSED


def test_cancels_do_not_leave_with_the_close_unless_a_shield_sends_them() -> None:
    class Program(Base):
        def run(self, shield: bool) -> Any:
            with self.cancel_scope() as scope:
                child, task = self.submit(Child), self.submit(A)
                try:
                    self.submit(B).result
                finally:
                    child.cancel()
                    if shield:
                        with scope.shield():
                            task.cancel()

    for shield in (False, True):
        play = Play(Program, shield, others=(Child,))
        play.decide()
        play.history.start_child(next(iter(play.history.open.children)))
        play.history.start_activity("activity-a-1")
        play.history.request_cancel()
        assert play.decide() == ["RequestCancelActivityTask activity-a-1"] * shield + CLOSED


def test_a_shield_s_signals_and_children_leave_with_the_close() -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope() as scope:
                try:
                    self.submit(B).result
                finally:
                    self.submit(self.signal("late", workflow_id="other"))
                    with scope.shield():
                        self.submit(self.signal("stopped", workflow_id="other"))
                        self.submit(Child)

    play = Play(Program, others=(Child,))
    play.decide()
    play.history.request_cancel()
    made = play.decide()
    assert [line.split()[0] for line in made] == [
        "SignalExternalWorkflowExecution",
        "StartChildWorkflowExecution",
        "CancelWorkflowExecution",
    ]
    assert made[0].endswith("stopped")


def test_callbacks_submit_nothing_new() -> None:
    class Program(Base):
        def run(self) -> Any:
            task = self.submit(A)
            later = task.then(lambda value: self.submit(C).result)
            task.add_done_callback(lambda future: self.submit(Child))
            with self.cancel_scope():
                try:
                    self.submit(B).result
                finally:
                    after = self.submit(CLEAN).then(lambda value: self.submit(UNDO, value))
                    undone = after.result
                    self.submit(CLEAN, [later.cancelled, undone]).result

    play = Play(Program, others=(Child,))
    play.decide()
    play.history.request_cancel()
    assert play.decide() == ["ScheduleActivityTask activity-clean-1"]
    play.complete("activity-a-1", 1)
    assert play.decide() == []
    play.complete("activity-clean-1", 2)
    assert play.decide() == ["ScheduleActivityTask activity-undo-1"]
    play.complete("activity-undo-1", 3)
    play.decide()
    assert play.inputs()[-1]["args"] == [[True, 3]]
    play.complete("activity-clean-2")
    assert play.decide() == CLOSED


def test_groups_and_chains_do_not_go_on_but_those_of_a_clean_up_do() -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope():
                group = self.submit(canvas.Group(*((A, n) for n in range(4)), max_parallel=1))
                chain = self.submit(canvas.Chain((C, 1), (C, 2)))
                try:
                    self.submit(B).result
                finally:
                    self.submit(canvas.Chain((UNDO, 1), (UNDO, 2))).result
                    self.submit(CLEAN, [group.cancelled, chain.cancelled]).result

    play = Play(Program)
    play.decide()
    play.history.request_cancel()
    assert play.decide() == ["ScheduleActivityTask activity-undo-1"]
    play.complete("activity-a-1")
    play.complete("activity-c-1")
    assert play.decide() == []
    play.complete("activity-undo-1")
    assert play.decide() == ["ScheduleActivityTask activity-undo-2"]
    play.complete("activity-undo-2")
    assert play.decide() == ["ScheduleActivityTask activity-clean-1"]
    assert play.inputs()[-1]["args"] == [[True, True]]


def test_what_fails_meanwhile_is_not_scheduled_again_but_a_clean_up_is() -> None:
    again, clean = act("again", retry=5), act("tidy", retry=5)

    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope():
                self.submit(again)
                try:
                    self.submit(B).result
                finally:
                    self.submit(clean).result

    play = Play(Program)
    play.decide()
    play.history.request_cancel()
    assert play.decide() == ["ScheduleActivityTask activity-tidy-1"]
    play.history.fail_activity("activity-again-1")
    assert play.decide() == []
    play.history.fail_activity("activity-tidy-1")
    assert play.decide() == ["ScheduleActivityTask activity-tidy-1"]
    play.complete("activity-tidy-1")
    assert play.decide() == CLOSED


def test_a_run_that_handles_the_request_completes_in_spite_of_what_was_withdrawn() -> None:
    class Program(Base):
        def run(self) -> Any:
            try:
                with self.cancel_scope():
                    self.submit(canvas.Group((A, 1), Child))
                    self.submit(canvas.Chain((A, 1), (B, 1)))
                    self.submit(B).result
            except exceptions.TaskCanceled:
                return "saved"

    play = Play(Program, others=(Child,))
    play.history.request_cancel()
    assert play.decide() == ["CompleteWorkflowExecution"]
    assert play.result == "saved"


def test_code_in_a_shield_goes_on_and_what_follows_it_is_not_sent() -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope():
                try:
                    with self.cancel_scope(shield=True):
                        self.submit(A).result
                        self.submit(B).result
                    self.submit(Child).result
                finally:
                    self.submit(CLEAN).result

    play = Play(Program, others=(Child,))
    play.decide()
    play.history.request_cancel()
    assert play.decide() == []
    play.complete("activity-a-1")
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    play.complete("activity-b-1")
    assert play.decide() == ["ScheduleActivityTask activity-clean-1"]
    play.complete("activity-clean-1")
    assert play.decide() == CLOSED


def test_a_clean_up_may_submit_an_idempotent_task_that_was_withdrawn() -> None:
    once = act("once", idempotent=True)

    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope():
                self.submit(once, 1)
                try:
                    self.submit(B).result
                finally:
                    self.submit(once, 1).result

    play = Play(Program)
    play.history.request_cancel()
    (line,) = play.decide()
    assert line.startswith("ScheduleActivityTask activity-once-")
    play.complete(line.split()[1])
    assert play.decide() == CLOSED


def test_local_activities_are_not_run_any_more() -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope():
                self.submit_local(A)
                self.submit(B).result

    play = Play(Program)
    play.history.request_cancel()
    assert play.decide() == CLOSED
    assert play.needs == []


def test_signals_are_not_handed_on_any_more() -> None:
    class Program(Base):
        def run(self) -> Any:
            with self.cancel_scope():
                self.submit(Child)
                try:
                    self.submit(B).result
                finally:
                    self.submit(CLEAN).result

    play = Play(Program, others=(Child,))
    play.decide()
    play.history.start_child(next(iter(play.history.open.children)))
    play.history.request_cancel()
    play.history.signal("s", '{"args":[],"kwargs":{},"__propagate":true}')
    assert play.decide() == ["ScheduleActivityTask activity-clean-1"]


def test_hooks_submit_nothing_new() -> None:
    class Program(Base):
        resumable = True

        def run(self) -> Any:
            with self.cancel_scope():
                try:
                    self.submit(B).result
                finally:
                    self.submit(CLEAN).result

        def after_replay(self, history: Any) -> None:
            if self.cancel_requested:
                self.submit(Child)

        def on_canceled(self, history: Any) -> None:
            self.submit(self.signal("s", workflow_id="other"))

    play = Play(Program, others=(Child,), check=False)
    play.decide()
    play.history.request_cancel()
    assert play.decide() == ["ScheduleActivityTask activity-clean-1"]
    play.complete("activity-clean-1")
    assert play.decide() == CLOSED


def test_a_refused_request_withdraws_nothing() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(Child)
            return self.submit(B).result

        def should_cancel(self, history: Any) -> bool:
            return False

    play = Play(Program, others=(Child,))
    play.history.request_cancel()
    assert [line.split()[0] for line in play.decide()] == ["StartChildWorkflowExecution", "ScheduleActivityTask"]
