"""What reads say, and as of when (docs/design/replay.md, rules 1 to 6)."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from simpleflow import Workflow, canvas, exceptions, futures
from simpleflow.core import decisions, limits

from .driver import Play, act

A, B, C, TICK = act("a"), act("b"), act("c"), act("tick")


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"

    def seconds(self) -> float:
        return float(self.now().timestamp())


def test_1_a_read_speaks_as_of_the_decision_that_follows_the_event_last_delivered() -> None:
    """A and B arrive while a decision runs: after A.result, B.cancel() must not say that B can still be cancelled."""

    class Program(Base):
        def run(self) -> Any:
            first, second = self.submit(A), self.submit(B)
            first.result
            return [self.seconds(), second.cancel()]

    play = Play(Program)
    play.decide()
    play.signal("poke")
    play.decide(during=lambda: (play.complete("activity-a-1"), play.complete("activity-b-1")))
    assert play.decide() == ["CompleteWorkflowExecution"]
    assert play.result == [play.time_of(2), False]


def test_1_if_not_cancel_is_true_while_the_task_is_open_as_of_that_decision() -> None:
    class Program(Base):
        def run(self) -> Any:
            first, second = self.submit(A), self.submit(B)
            first.result
            if not second.cancel():
                return "too late"
            self.submit(C).result
            return "cancelled"

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    assert play.decide() == ["RequestCancelActivityTask activity-b-1", "ScheduleActivityTask activity-c-1"]
    # B's worker did not hear in time: a re-run must still say "cancelled".
    play.complete("activity-c-1")
    assert play.decide() == ["CompleteWorkflowExecution"]
    assert play.result == "cancelled"


def test_1_now_is_the_start_of_the_decision_in_which_the_line_first_ran() -> None:
    class Program(Base):
        def run(self) -> Any:
            begun = self.seconds()
            first, second = self.submit(A), self.submit(B)
            first.result
            middle = self.seconds()
            second.result
            assert self.now().tzinfo == datetime.UTC
            return [begun, middle, self.seconds()]

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    play.complete("activity-b-1")
    play.decide()
    assert play.result == [play.time_of(0), play.time_of(1), play.time_of(2)]


def test_1_a_decision_that_timed_out_never_was() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(A).result
            middle = self.seconds()
            self.submit(B).result
            return middle

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    play.history.begin_decision()
    play.history.time_out_decision()
    play.decide()
    answered = play.time_of(1)
    play.complete("activity-b-1")
    play.decide()
    assert play.result == answered


def test_1_a_flag_read_twice_between_two_waits_is_one_value() -> None:
    class Program(Base):
        def run(self) -> Any:
            first, second = self.submit(A), self.submit(B)
            first.result
            before = self.cancel_requested
            again = [self.cancel_requested for _ in range(3)]
            second.result
            return [before, *again, self.cancel_requested]

        def should_cancel(self, history: Any) -> bool:
            return False

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    play.decide(during=play.history.request_cancel)
    play.decide()
    play.complete("activity-b-1")
    play.decide()
    assert play.result == [False, False, False, False, True]


def test_1_should_continue_as_new_in_a_loop_turns_only_where_it_first_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as of the whole history, every re-run would find its flag raised at the first item, and never advance."""
    monkeypatch.setattr(limits, "HISTORY_EVENTS", 600)

    class Program(Base):
        def run(self, start: int = 0) -> Any:
            for number in range(start, 10_000):
                if self.should_continue_as_new:
                    return self.submit(self.continue_as_new(number))
                self.submit(A, number).result
            return "never"

    play = Play(Program)
    made: list[str] = []
    count = 0
    while play.history.open.closed is None:
        made = play.decide()
        for activity_id in list(play.history.open.activities):
            play.complete(activity_id)
        count += 1
        assert count < 200
    assert made == ["ContinueAsNewWorkflowExecution"]
    last = play.last.decisions[-1]
    assert isinstance(last, decisions.ContinueAsNewWorkflowExecution)
    assert json.loads(last.input or "")["args"] == [count - 1]
    assert 0.5 < len(play.history.events) / 600 < 1


def test_2_a_whole_history_read_answered_by_what_was_not_delivered_raises_the_as_of() -> None:
    """``while not f.finished: tick.result`` must not leave the clock at the first decision."""

    class Program(Base):
        def run(self) -> Any:
            watched, ticks = self.submit(A), 0
            while not watched.finished:
                ticks += 1
                self.submit(TICK, ticks).result
            return [ticks, self.seconds()]

    play = Play(Program)
    play.decide()
    play.complete("activity-tick-1")
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    assert play.result == [0, play.time_of(2)]


def test_2_one_answered_by_what_was_delivered_raises_nothing() -> None:
    class Program(Base):
        def run(self) -> Any:
            first, second = self.submit(A), self.submit(B)
            first.result
            assert first.finished
            middle = self.seconds()
            second.result
            return middle

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    play.complete("activity-b-1")
    play.decide()
    assert play.result == play.time_of(1)


def test_3_a_read_of_a_chain_or_group_first_advances_it() -> None:
    from simpleflow.canvas import Chain, Group

    class Program(Base):
        def run(self) -> Any:
            chain = self.submit(Chain((A, 1), (B, 2)))
            group = self.submit(Group((C, 1), (C, 2)))
            if not chain.finished or not group.finished:
                raise exceptions.ExecutionBlocked
            return [chain.result, group.result]

    play = Play(Program)
    assert play.decide() == [f"ScheduleActivityTask activity-{name}" for name in ("a-1", "c-1", "c-2")]
    play.complete("activity-a-1", 1)
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    play.complete("activity-c-2", 3)
    play.complete("activity-b-1", 2)
    assert play.decide() == []
    play.complete("activity-c-1", 4)
    assert play.decide() == ["CompleteWorkflowExecution"]
    assert play.result == [[1, 2], [4, 3]]


def test_3_what_is_refused_for_now_is_no_settlement_of_a_member() -> None:
    """It raises no as-of: that its task was refused before it was scheduled only a re-run would see."""

    class Program(Base):
        def run(self) -> Any:
            opened = [self.submit(A), self.submit(B)]
            chain = self.submit(canvas.Chain((C, 1)))
            return futures.wait(*opened, chain, self.submit(TICK, chain.finished, self.seconds()))

    play = Play(Program)
    play.history.open.activity_limit = 2
    play.decide()  # the chain's member and the tick are refused
    play.decide()
    play.complete("activity-a-1")
    play.complete("activity-b-1")
    assert play.decide() == ["ScheduleActivityTask activity-c-1", "ScheduleActivityTask activity-tick-1"]
    play.signal("anything")
    assert play.decide() == []
    assert play.inputs()[-1]["args"] == [False, play.time_of(0)]


def test_a_group_read_while_unfinished_shows_what_is_there() -> None:
    from simpleflow.canvas import Group

    class Program(Base):
        def run(self) -> Any:
            group = self.submit(Group((A, 1), (A, 2)))
            seen = group.count_finished_activities
            self.submit(TICK, seen).result
            group.result
            return seen

    play = Play(Program)
    play.decide()
    play.complete("activity-a-2", "two")
    # One of two is done now: the program observes it, and rightly takes another way.
    assert play.decide() == ["ScheduleActivityTask activity-tick-2"]
    assert play.inputs()[-1]["args"] == [1]


def test_4_after_execution_blocked_events_still_reach_other_branches() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(A).then(lambda value: self.submit(B, value))
            raise exceptions.ExecutionBlocked

    play = Play(Program)
    assert play.decide() == ["ScheduleActivityTask activity-a-1"]
    play.complete("activity-a-1", 7)
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    assert play.inputs()[-1]["args"] == [7]


def test_4_blocked_with_nothing_open_is_reported() -> None:
    class Program(Base):
        def run(self) -> Any:
            raise exceptions.ExecutionBlocked

    play = Play(Program)
    assert play.decide() == []
    assert any("nothing" in line for line in play.last.diagnostics), play.last.diagnostics


def test_5_cancel_of_a_signal_wait_speaks_as_of_the_events_delivered_so_far() -> None:
    class Program(Base):
        def run(self) -> Any:
            wait = self.submit(self.wait_signal("go"))
            self.submit(A).result
            given_up = wait.cancel()
            self.submit(B).result
            return given_up

    play = Play(Program)
    play.decide()
    # Both before the same decision: the signal is not delivered yet when A's waiter runs.
    play.complete("activity-a-1")
    play.signal("go")
    play.decide()
    play.complete("activity-b-1")
    play.decide()
    assert play.result is True


def test_5_cancel_of_a_computed_future_too() -> None:
    class Program(Base):
        def run(self) -> Any:
            mapped = self.submit(B).map(lambda value: value)
            self.submit(A).result
            given_up = mapped.cancel()
            self.submit(C).result
            return given_up

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    play.complete("activity-b-1", 1)
    play.decide()
    play.complete("activity-c-1")
    play.decide()
    assert play.result is True


def test_6_patched_is_asked_of_the_decision_of_this_position() -> None:
    """With a marker read as of the whole history a loop would diverge after the deploy."""

    class Old(Base):
        def run(self) -> Any:
            for number in range(4):
                self.submit(A, number).result

    class New(Base):
        def run(self) -> Any:
            for number in range(4):
                self.submit(B if self.patched("faster") else A, number).result

    play = Play(Old)
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    play.deploy(New)
    play.complete("activity-a-2")
    assert play.decide() == ["RecordMarker simpleflow.patch", "ScheduleActivityTask activity-b-1"]
    for number in (1, 2):
        play.complete(f"activity-b-{number}")
        made = play.decide()
    assert made == ["CompleteWorkflowExecution"]
    assert play.inputs() == [{"args": [number], "kwargs": {}} for number in range(4)]


def test_a_clean_up_that_reads_cancel_requested_reads_the_same_again() -> None:
    class Program(Base):
        def run(self) -> Any:
            try:
                with self.cancel_scope():
                    self.submit(A).result
            except exceptions.TaskCanceled:
                why = "asked" if self.cancel_requested else "own"
                return self.submit(B, why).result
            return "not cancelled"

    play = Play(Program)
    play.decide()
    play.history.request_cancel()
    play.decide()
    assert play.inputs()[-1]["args"] == ["asked"]
    play.complete("activity-b-1", "cleaned")
    play.decide()
    assert play.history.open.closed is not None


def test_whole_history_reads_are_refused_or_absent_in_async_run() -> None:
    class Program(Base):
        async def run(self) -> Any:
            watched = self.submit(A)
            await self.submit(TICK)
            state = watched.finished
            await self.submit(B)
            return state

    play = Play(Program)
    play.decide()
    play.complete("activity-tick-1")
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    play.complete("activity-b-1")
    play.decide()
    # Positional: as of the decision after tick, not of the last one.
    assert play.result is False
    assert futures.FIRST_COMPLETED


def test_a_flag_of_a_marker_is_followed_too() -> None:
    """Another way is taken once the history holds it, by a resumed evaluation as well."""

    class Program(Base):
        def run(self) -> Any:
            marker = self.submit(self.record_marker("seen", 1))
            if marker.finished:
                return self.submit(A, "after").result
            return self.submit(A, "before").result

    play = Play(Program)
    assert play.decide() == ["RecordMarker seen", "ScheduleActivityTask activity-a-1"]
    play.signal("anything")
    assert play.decide() == ["ScheduleActivityTask activity-a-2"]
    assert play.inputs()[1]["args"] == ["after"]


def test_a_flag_of_a_signal_that_was_sent_is_followed_too() -> None:
    class Program(Base):
        def run(self) -> Any:
            sent = self.submit(self.signal("go", workflow_id="other"))
            return self.submit(A, sent.finished).result

    play = Play(Program)
    play.decide()
    play.history.deliver(next(iter(play.history.open.outgoing)))
    assert play.decide() == ["ScheduleActivityTask activity-a-2"]
    assert [said["args"] for said in play.inputs()] == [[False], [True]]


def test_a_flag_of_a_marker_in_async_run_speaks_as_of_its_position() -> None:
    class Program(Base):
        async def run(self) -> Any:
            marker, signal = self.submit(self.record_marker("seen", 1)), self.submit(self.wait_signal("go"))
            flags = [marker.finished]
            await signal
            return [*flags, marker.finished]

    play = Play(Program)
    play.decide(during=lambda: play.signal("go"))  # before the marker in the history, after this decision's start
    play.decide()
    assert play.result == [False, True]


def test_a_flag_of_a_timer_is_followed_in_def_run_and_positional_in_async_run() -> None:
    class Whole(Base):
        def run(self) -> Any:
            timer = self.submit(self.start_timer("t", 5))
            return self.submit(A, timer.finished).result

    class Positional(Base):
        async def run(self) -> Any:
            timer = self.submit(self.start_timer("t", 5))
            return await self.submit(A, timer.finished)

    for program, after in ((Whole, ["ScheduleActivityTask activity-a-2"]), (Positional, [])):
        play = Play(program)
        assert play.decide() == ["StartTimer t", "ScheduleActivityTask activity-a-1"]
        play.history.fire_timer("t")
        assert play.decide() == after
