"""A task is found again by what it is (docs/design/replay.md, "Identity" and rules 7 to 11)."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import Any

from simpleflow import Workflow, activity
from simpleflow.canvas import Chain
from simpleflow.core import decisions

from .driver import Play, act

A, B, X, LOG, CHARGE, TICK = (act(name) for name in ("a", "b", "x", "log", "charge", "tick"))


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


def test_7_a_branch_is_named_by_what_it_is_never_by_when_it_opened() -> None:
    """Counted by opening, ``charge`` would run twice."""

    class Program(Base):
        def run(self) -> Any:
            first, second = self.submit(A), self.submit(B)
            if not first.finished:
                first.then(lambda _: self.submit(LOG))
            charged = second.then(lambda _: self.submit(CHARGE))
            return charged.result

    play = Play(Program)
    play.decide()
    play.complete("activity-b-1")
    assert play.decide() == ["ScheduleActivityTask activity-charge-1"]
    play.complete("activity-a-1")
    assert play.decide() == []
    play.complete("activity-charge-1", "paid")
    play.decide()
    assert play.result == "paid"


def test_7_two_then_callbacks_that_submit_equal_tasks_and_finish_in_the_other_order() -> None:
    class Program(Base):
        def run(self) -> Any:
            first = self.submit(A).then(lambda _: self.submit(X, 1))
            second = self.submit(B).then(lambda _: self.submit(X, 1))
            return [first.result, second.result]

    play = Play(Program)
    play.decide()
    play.complete("activity-b-1")
    assert play.decide() == ["ScheduleActivityTask activity-x-1"]
    play.complete("activity-a-1")
    assert play.decide() == ["ScheduleActivityTask activity-x-2"]
    play.complete("activity-x-2", "of a")
    play.evict()
    play.decide()
    play.complete("activity-x-1", "of b")
    play.decide()
    assert play.result == ["of a", "of b"]


def test_7_two_chains_that_submit_equal_tasks_and_finish_in_the_other_order() -> None:
    class Program(Base):
        def run(self) -> Any:
            chains = [self.submit(Chain(first, (X, 1))) for first in (A, B)]
            return [chain.result for chain in chains]

    play = Play(Program)
    play.decide()
    play.complete("activity-b-1", "b")
    play.decide()
    play.complete("activity-a-1", "a")
    play.decide()
    play.complete("activity-x-2", "after a")
    play.evict()
    play.decide()
    play.complete("activity-x-1", "after b")
    play.decide()
    assert play.result == [["a", "after a"], ["b", "after b"]]


def test_7_members_of_a_group_are_numbered_by_place() -> None:
    from simpleflow.canvas import Group

    class Program(Base):
        def run(self) -> Any:
            return self.submit(Group((X, 1), (X, 1))).result

    play = Play(Program)
    play.decide()
    branches = [control["branch"] for control in play.controls()]
    assert len(set(branches)) == 2
    assert all(control["ordinal"] == 0 for control in play.controls())
    play.complete("activity-x-2", "second")
    play.decide()
    play.complete("activity-x-1", "first")
    play.decide()
    assert play.result == ["first", "second"]


def test_ready_tasks_are_emitted_in_order_of_submission() -> None:
    class Program(Base):
        def run(self) -> Any:
            first, second = self.submit(A), self.submit(B)
            waits = [self.submit(X, second, 1), self.submit(LOG, first), self.submit(CHARGE, second)]
            return [waiting.result for waiting in waits]

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    play.complete("activity-b-1")
    assert play.decide() == [f"ScheduleActivityTask activity-{name}-1" for name in ("x", "log", "charge")]


def test_9_a_timer_of_an_id_may_be_started_again_once_the_former_closed() -> None:
    class Program(Base):
        def run(self) -> Any:
            for seconds in (1, 2, 3):
                self.submit(self.start_timer("pause", seconds)).result
            return "done"

    play = Play(Program)
    for _ in range(3):
        assert play.decide() == ["StartTimer pause"]
        play.history.fire_timer("pause")
    play.evict()
    play.decide()
    assert play.result == "done"


def test_9_a_second_open_one_is_refused() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(self.start_timer("pause", 5))
            self.submit(self.start_timer("pause", 6))
            self.submit(A).result

    play = Play(Program)
    assert play.decide()[-1] == "FailWorkflowExecution"
    assert "pause" in play.failure


def test_9_a_timer_carries_no_control_of_ours_and_a_marker_of_the_user_is_sent_as_given() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(self.start_timer("pause", 5, control="mine"))
            self.submit(self.record_marker("m", "details"))
            self.submit(A).result

    play = Play(Program)
    play.decide()
    timer = next(d for d in play.last.decisions if isinstance(d, decisions.StartTimer))
    marker = next(d for d in play.last.decisions if isinstance(d, decisions.RecordMarker))
    assert json.loads(timer.control or "") == "mine"
    assert marker.marker_name == "m"
    assert json.loads(marker.details or "") == "details"


def test_markers_are_recorded_once_per_name_and_details() -> None:
    class Program(Base):
        def run(self) -> Any:
            for details in ("one", "one", "two"):
                self.submit(self.record_marker("m", details))
            self.submit(A).result

    play = Play(Program)
    assert play.decide().count("RecordMarker m") == 2
    for timer in list(play.history.open.timers):
        play.history.fire_timer(timer)
    play.complete("activity-a-1")
    play.decide()
    assert play.history.open.closed == "WorkflowExecutionCompleted"


def test_10_what_a_failure_hook_submits_belongs_to_the_hook_the_task_and_the_attempt() -> None:
    class Program(Base):
        def run(self) -> Any:
            failing = self.submit(A)
            mine = self.submit(X, 1)
            failing.exception
            return mine.result

        def on_task_failure(self, context: Any) -> Any:
            self.submit(X, 1)
            return context

    play = Play(Program)
    play.decide()
    play.history.fail_activity("activity-a-1")
    assert play.decide() == ["ScheduleActivityTask activity-x-2"]
    assert play.controls()[-1]["branch"].startswith("hook(")
    play.complete("activity-x-2", "the hook's")
    play.evict()
    play.decide()
    play.complete("activity-x-1", "mine")
    play.decide()
    assert play.result == "mine"


def test_10_a_hook_that_blocks_is_refused() -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(A).result

        def on_task_failure(self, context: Any) -> Any:
            self.submit(X, 1).result
            return context

    play = Play(Program)
    play.decide()
    play.history.fail_activity("activity-a-1")
    assert play.decide()[-1] == "FailWorkflowExecution"
    assert "hook" in play.failure or "on_task_failure" in play.failure


def test_11_without_control_the_oldest_unclaimed_task_of_that_name_and_input_is_taken() -> None:
    class Program(Base):
        def run(self) -> Any:
            opened = [self.submit(X, number) for number in (1, 2, 1)]
            return [future.result for future in opened]

    play = Play(Program, strip_control=True)
    play.decide()
    play.evict()
    play.complete("activity-x-2", "two")
    assert play.decide() == []
    play.complete("activity-x-3", "one")
    play.complete("activity-x-1", "one")
    play.decide()
    assert play.result == ["one", "two", "one"]


def test_11_retries_of_one_id_are_one_task() -> None:
    class Program(Base):
        def run(self) -> Any:
            return [self.submit(act("x", retry=2), 1).result, self.submit(X, 1).result]

    play = Play(Program, strip_control=True)
    play.decide()
    play.history.fail_activity("activity-x-1")
    assert play.decide() == ["ScheduleActivityTask activity-x-1"]
    play.complete("activity-x-1", "second attempt")
    play.evict()
    assert play.decide() == ["ScheduleActivityTask activity-x-2"]
    play.complete("activity-x-2", "next")
    play.decide()
    assert play.result == ["second attempt", "next"]


def test_a_list_of_futures_mutated_after_submit_changes_nothing() -> None:
    class Program(Base):
        def run(self) -> Any:
            items: list[Any] = [self.submit(A), {"deep": self.submit(B)}]
            waiting = self.submit(X, items)
            items.append(99)
            items[1]["deep"] = 0
            return waiting.result

    play = Play(Program)
    play.decide()
    play.complete("activity-b-1", 2)
    play.complete("activity-a-1", 1)
    play.decide()
    assert play.inputs()[-1] == {"args": [[1, {"deep": 2}]], "kwargs": {}}
    play.complete("activity-x-1", "kept")
    play.decide()
    assert play.result == "kept"


def test_c10_a_task_never_gets_the_result_of_another_when_the_flow_changes() -> None:
    """task1 timed out, task2 is done: ``task1bis``, which now runs in its place, must not get task2's result."""

    class Program(Base):
        def run(self) -> Any:
            first, second = self.submit(X, "task1"), self.submit(X, "task2")
            if first.finished and first.exception:
                first = self.submit(X, "task1bis")
            return [first.result, second.result]

    play = Play(Program)
    play.decide()
    play.complete("activity-x-2", "of task2")
    play.decide()
    play.history.time_out_activity("activity-x-1")
    assert play.decide() == ["ScheduleActivityTask activity-x-3"]
    play.complete("activity-x-3", "of task1bis")
    play.decide()
    assert play.result == ["of task1bis", "of task2"]


def test_c10_in_the_order_of_submission_too() -> None:
    class Program(Base):
        def run(self) -> Any:
            first = self.submit(X, "task1")
            if first.finished and first.exception:
                replacement = self.submit(X, "task1bis")
                return [self.submit(X, "task2").result, replacement.result]
            return [self.submit(X, "task2").result, first.result]

    play = Play(Program)
    play.decide()
    play.complete("activity-x-2", "of task2")
    play.decide()
    play.history.time_out_activity("activity-x-1")
    assert play.decide() == ["ScheduleActivityTask activity-x-3"]
    assert play.inputs()[-1]["args"] == ["task1bis"]
    play.complete("activity-x-3", "of task1bis")
    play.decide()
    assert play.result == ["of task2", "of task1bis"]


def test_c10_one_more_task_before_the_others_moves_no_result() -> None:
    class Old(Base):
        def run(self) -> Any:
            return [self.submit(X, number).result for number in (1, 2)]

    class New(Base):
        def run(self) -> Any:
            extra = self.submit(X, 0)
            return [*(self.submit(X, number).result for number in (1, 2)), extra.result]

    play = Play(Old)
    play.decide()
    play.complete("activity-x-1", "one")
    play.decide()
    play.deploy(New)
    play.complete("activity-x-2", "two")
    assert play.decide() == ["ScheduleActivityTask activity-x-3"]
    play.complete("activity-x-3", "extra")
    play.decide()
    assert play.result == ["one", "two", "extra"]


def test_an_activity_that_moved_to_another_list_and_version_between_two_decisions_goes_on() -> None:
    moved = act("x", version="2", task_list="elsewhere")

    class Old(Base):
        def run(self) -> Any:
            return [self.submit(X, number).result for number in (1, 2, 3)]

    class New(Base):
        def run(self) -> Any:
            return [self.submit(moved, number).result for number in (1, 2, 3)]

    play = Play(Old)
    play.decide()
    play.complete("activity-x-1", 1)
    play.decide()
    play.deploy(New)
    play.complete("activity-x-2", 2)
    assert play.decide() == ["ScheduleActivityTask activity-x-3"]
    last = play.last.decisions[-1]
    assert isinstance(last, decisions.ScheduleActivityTask)
    assert (last.activity_type.version, last.task_list and last.task_list.name) == ("2", "elsewhere")
    play.complete("activity-x-3", 3)
    play.decide()
    assert play.result == [1, 2, 3]


def test_idempotent_tasks_are_one_however_often_they_are_submitted() -> None:
    once = act("once", idempotent=True, retry=1)

    class Program(Base):
        def run(self) -> Any:
            opened = [self.submit(once, 1, two=2) for _ in range(2)]
            return [future.result for future in opened]

    digest = hashlib.md5(b'{"args":[1],"kwargs":{"two":2}}').hexdigest()
    play = Play(Program)
    assert play.decide() == [f"ScheduleActivityTask activity-once-{digest}"]
    play.history.fail_activity(f"activity-once-{digest}")
    assert play.decide() == [f"ScheduleActivityTask activity-once-{digest}"]
    play.complete(f"activity-once-{digest}", 7)
    play.decide()
    assert play.result == [7, 7]


def test_7_callbacks_of_two_that_submitted_the_same_idempotent_task_are_two_branches() -> None:
    once = act("once", idempotent=True)

    class Program(Base):
        def run(self) -> Any:
            def drawn(_: Any) -> list[Any]:
                return [str(self.uuid4()), self.side_effect("n", lambda: next(numbers))]

            both = [self.submit(once, 1).then(drawn), self.submit(once, 1).then(drawn)]
            values = [future.result for future in both]
            return [values, self.submit(X).result]

    numbers = itertools.count()
    play = Play(Program, check=False)
    (scheduled,) = play.decide()
    play.complete(scheduled.split()[1])
    play.decide()
    play.evict()
    play.complete("activity-x-1", "end")
    play.decide()
    (first, second), _ = play.result
    assert first[0] != second[0]
    assert [first[1], second[1]] == [0, 1]


def test_get_task_id_is_the_identity() -> None:
    @activity.with_attributes(name="named", version="1", task_list="list")
    class Named:
        @staticmethod
        def get_task_id(workflow: Any, *args: Any, **kwargs: Any) -> str:
            return f"of-{args[0]}"

        def __init__(self, what: str) -> None:
            self.what = what

        def execute(self) -> None:
            raise AssertionError

    class Program(Base):
        def run(self) -> Any:
            return self.submit(Named, "x").result

    play = Play(Program)
    assert play.decide() == ["ScheduleActivityTask activity-named-of-x"]
    play.complete("activity-named-of-x", 1)
    play.decide()
    assert play.result == 1


def test_control_and_input_have_the_pinned_wire_text() -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(X, 1, "two", three=3).result

    play = Play(Program)
    play.decide()
    (made,) = play.last.decisions
    assert isinstance(made, decisions.ScheduleActivityTask)
    text = '{"args":[1,"two"],"kwargs":{"three":3}}'
    assert made.input == text
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    assert made.control == f'{{"branch":"","digest":"{digest}","ordinal":0,"simpleflow":1}}'


def test_text_that_is_not_json_enters_a_slot_as_a_string_and_no_result_as_null() -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(X, self.submit(A), self.submit(B)).result

    play = Play(Program)
    play.decide()
    play.history.complete_activity("activity-a-1", "plain words")
    play.history.complete_activity("activity-b-1", None)
    play.decide()
    (made,) = play.last.decisions
    assert isinstance(made, decisions.ScheduleActivityTask)
    assert made.input == '{"args":["plain words",null],"kwargs":{}}'


def test_a_long_id_is_cut_and_hashed() -> None:
    name = "n" * 250
    long_act = act(name, idempotent=True)

    class Program(Base):
        def run(self) -> Any:
            return self.submit(long_act).result

    play = Play(Program)
    play.decide()
    (made,) = play.last.decisions
    assert isinstance(made, decisions.ScheduleActivityTask)
    whole = f"activity-{name}-1c819d1df3ad46e07eced4ec93147ce9"
    assert made.activity_id == f"{whole[:223]}-{hashlib.md5(whole.encode()).hexdigest()}"
    play.complete(made.activity_id, 1)
    play.decide()
    assert play.result == 1


def test_7_a_callback_on_a_task_whose_arguments_never_came_is_found_again() -> None:
    class Program(Base):
        def run(self) -> Any:
            given_up = self.submit(self.start_timer("t0", 5))
            first = self.submit(A, 1)
            given_up.cancel()
            after: list[Any] = []
            self.submit(B, given_up).add_done_callback(lambda _: after.append(self.submit(X, 1)))
            return [first.result, after[0].result]

    play = Play(Program)
    assert play.decide() == ["ScheduleActivityTask activity-a-1", "ScheduleActivityTask activity-x-1"]
    play.complete("activity-a-1", 1)
    assert play.decide() == []
    play.complete("activity-x-1", 2)
    play.decide()
    assert play.result == [1, 2]
