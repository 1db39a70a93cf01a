"""Resuming is an optimisation of re-running, and nothing depends on it (docs/design/replay.md, "Resuming")."""

from __future__ import annotations

import gc
import time
from typing import Any

import greenlet
import msgspec
import pytest

from simpleflow import Workflow, engine

from .driver import Play, act, new_engine, show

A, B, C, TICK = (act(name) for name in ("a", "b", "c", "tick"))


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


class Steps(Base):
    """A chain; ``ran`` counts how often its first line ran."""

    ran = 0

    def run(self, count: int = 5) -> Any:
        type(self).ran += 1
        return [self.submit(A, number).result for number in range(count)]


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    Steps.ran = 0


def step(play: Play, number: int) -> list[str]:
    play.complete(f"activity-a-{number}", number)
    return play.decide()


def test_a_cached_evaluation_is_resumed_not_re_run() -> None:
    play = Play(Steps, check=False)
    play.decide()
    for number in range(1, 6):
        step(play, number)
    assert play.result == [1, 2, 3, 4, 5]
    assert Steps.ran == 1
    assert play.needs == []


def test_it_is_used_only_after_an_acknowledged_response() -> None:
    play = Play(Steps, check=False)
    play.decide()
    play.complete("activity-a-1", 1)
    play.decide(acknowledge=False)
    assert step(play, 2) == ["ScheduleActivityTask activity-a-3"]
    assert [need.history for need in play.needs] == [True]
    assert Steps.ran == 2


def test_a_response_that_was_lost_is_decided_again_from_the_start() -> None:
    play = Play(Steps, check=False)
    play.decide()
    play.complete("activity-a-1", 1)
    task = play.history.begin_decision(whole=False)
    first = play.resolved(play.engine, task)
    play.history.time_out_decision()  # SWF never got it
    assert play.decide() == show(first.decisions)
    assert play.controls()[-1]["ordinal"] == 0
    for number in range(2, 6):
        step(play, number)
    assert play.result == [1, 2, 3, 4, 5]


def test_a_decision_made_by_another_decider_in_between_evicts() -> None:
    play = Play(Steps, check=False)
    play.decide()
    mine = play.engine
    play.evict()
    step(play, 1)  # the other decider's
    play.engine = mine
    assert step(play, 2) == ["ScheduleActivityTask activity-a-3"]
    assert any(need.history for need in play.needs)


def test_events_that_come_twice_are_dropped_by_their_ids() -> None:
    play = Play(Steps, check=False)
    play.decide()
    for number in range(1, 6):
        play.complete(f"activity-a-{number}", number)
        play.decide(overlap=4)
    assert play.result == [1, 2, 3, 4, 5]
    assert Steps.ran == 1
    assert play.needs == []


def test_a_gap_is_filled_by_the_whole_history() -> None:
    play = Play(Steps, check=False)
    play.decide()
    play.complete("activity-a-1", 1)
    task = play.history.begin_decision(whole=False)
    holed = msgspec.structs.replace(task, events=task.events[2:])
    assert play.answer(holed) == ["ScheduleActivityTask activity-a-2"]
    assert [need.history for need in play.needs] == [True]


def test_a_task_from_the_shared_list_still_meets_the_cached_evaluation() -> None:
    play = Play(Steps, check=False)
    play.decide()
    for number in range(1, 6):
        play.complete(f"activity-a-{number}", number)
        play.answer(play.history.begin_decision(whole=True))
    assert play.result == [1, 2, 3, 4, 5]
    assert Steps.ran == 1


def test_forget_evicts() -> None:
    play = Play(Steps, check=False)
    play.decide()
    play.engine.forget(play.history.run_id)
    assert step(play, 1) == ["ScheduleActivityTask activity-a-2"]
    assert Steps.ran == 2


def test_a_partial_history_that_nobody_cached_asks_for_the_whole_one() -> None:
    play = Play(Steps, check=False)
    play.decide()
    play.complete("activity-a-1", 1)
    answer = new_engine(Steps).decide(play.history.begin_decision(whole=False))
    assert isinstance(answer, engine.Needs)
    assert answer.history
    assert (answer.blobs, answer.local) == ((), ())


def test_whole_history_reads_re_run_the_evaluation_when_that_thing_changes() -> None:
    ran: list[int] = []

    class Program(Base):
        def run(self) -> Any:
            ran.append(1)
            watched, other = self.submit(A), self.submit(B)
            seen = watched.finished
            other.result
            self.submit(TICK, seen).result
            return seen

    play = Play(Program, check=False)
    play.decide()
    play.complete("activity-b-1")
    play.decide()
    assert len(ran) == 1  # only B changed, which nobody read
    play.complete("activity-a-1")
    assert play.decide() == ["ScheduleActivityTask activity-tick-2"]
    assert len(ran) == 2


@pytest.mark.parametrize("hook", ["before_replay", "after_replay", "should_cancel"])
def test_a_class_with_hooks_that_see_the_history_is_re_run_unless_it_says_it_is_resumable(hook: str) -> None:
    for resumable, times in ((False, 3), (True, 1)):
        ran: list[int] = []

        def run(self: Any, ran: list[int] = ran) -> Any:
            ran.append(1)
            return [self.submit(A, number).result for number in range(2)]

        members = {"run": run, hook: lambda self, history: None}
        if resumable:
            members["resumable"] = True  # type: ignore[assignment]
        play = Play(type("Program", (Base,), members), check=False)
        play.decide()
        step(play, 1)
        step(play, 2)
        assert play.history.open.closed
        assert len(ran) == times, (hook, resumable)


def test_hooks_before_and_after_replay_run_at_each_decision() -> None:
    called: list[str] = []

    class Program(Base):
        def run(self) -> Any:
            return self.submit(A).result

        def before_replay(self, history: Any) -> None:
            called.append(f"before {history.last_event_id}")

        def after_replay(self, history: Any) -> None:
            called.append("after")

    play = Play(Program, check=False)
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    assert called == [f"before {play.started[0]}", "after", f"before {play.started[1]}", "after"]


def living() -> int:
    greenlet.getcurrent()  # the main one exists from its first use on
    gc.collect()
    return sum(isinstance(thing, greenlet.greenlet) and not thing.dead for thing in gc.get_objects())


@pytest.mark.timeout(300)
def test_a_finally_that_waits_does_not_keep_an_evicted_evaluation_alive() -> None:
    class Stubborn(Base):
        def run(self) -> Any:
            while True:
                try:
                    self.submit(A).result
                finally:
                    self.submit(B).result

    play = Play(Stubborn, check=False)
    before = living()
    play.decide()
    assert living() > before
    play.engine.forget(play.history.run_id)
    assert living() == before
    assert (play.engine.suspended, play.engine.would_not_end) == (0, 0)


@pytest.mark.timeout(300)
def test_nor_does_a_bare_except_in_a_loop_what_still_lives_after_ten_is_dropped_and_counted() -> None:
    class Immortal(Base):
        tries = 0

        def run(self) -> Any:
            while True:
                try:
                    self.submit(A).result
                except:  # noqa: E722  # what users do
                    type(self).tries += 1

    play = Play(Immortal, check=False)
    before = living()
    play.decide()
    play.engine.forget(play.history.run_id)
    assert play.engine.would_not_end == 1
    assert 10 <= Immortal.tries <= 12
    assert living() <= before + 1


def test_a_clean_up_that_only_submits_is_told_to_end_too() -> None:
    seen: list[str] = []

    class Program(Base):
        def run(self) -> Any:
            try:
                return self.submit(A).result
            finally:
                for declared in (A, Steps):
                    try:
                        self.submit(declared)
                    except BaseException as error:
                        seen.append(type(error).__name__)

    play = Play(Program, check=False)
    play.decide()
    play.engine.forget(play.history.run_id)
    assert seen == ["GreenletExit", "GreenletExit"]
    assert play.engine.would_not_end == 0


def test_a_clean_up_in_finally_runs_when_evicted_and_sees_greenlet_exit_again() -> None:
    seen: list[str] = []

    class Tidy(Base):
        def run(self) -> Any:
            try:
                self.submit(A).result
            finally:
                try:
                    self.submit(B).result
                except greenlet.GreenletExit:
                    seen.append("exit")
                    raise

    play = Play(Tidy, check=False)
    play.decide()
    play.engine.forget(play.history.run_id)
    assert seen == ["exit"]


def test_decisions_cost_only_what_is_new() -> None:
    """One decision of a long run costs what one of a short run costs: medians, with a wide margin for noise."""

    def cost_of(count: int) -> float:
        play = Play(Steps, count, check=False)
        play.decide()
        each = []
        for number in range(1, count + 1):
            play.complete(f"activity-a-{number}", number)
            task = play.history.begin_decision(whole=False)
            begun = time.process_time()
            decided = play.engine.decide(task)
            each.append(time.process_time() - begun)
            assert isinstance(decided, engine.Decided)
            play.history.respond(decided.decisions)
            play.engine.acknowledged(play.history.run_id, task.started_event_id)
        tail = sorted(each[-60:-1])
        return tail[len(tail) // 2]

    short, long = cost_of(100), cost_of(2000)
    assert long < 3 * short + 0.0002, (short, long)


def test_what_the_service_lost_is_not_gone_on_with() -> None:
    """After a restored backup another decider may write the same events with other results."""
    lost, anew = Play(Steps, 3), Play(Steps, 3)
    anew.history.advance(60.0)
    for play, value in ((lost, "lost"), (anew, "anew")):
        play.decide()
        play.complete("activity-a-1", value)
        play.decide()
    assert lost.started == anew.started
    anew.engine = lost.engine
    for number in (2, 3):
        anew.complete(f"activity-a-{number}", number)
        anew.decide(overlap=1)
    assert anew.result == ["anew", 2, 3]


def test_many_executions_stay_apart() -> None:
    plays = []
    running = new_engine(Steps)
    for number in range(50):
        play = Play(Steps, check=False, options={"run_id": f"run-{number}", "workflow_id": f"w-{number}"})
        play.engine = running
        play.decide()
        plays.append(play)
    for number in range(1, 6):
        for place, play in enumerate(plays):
            play.complete(f"activity-a-{number}", [place, number])
        for play in reversed(plays):
            play.decide()
    assert [play.result[4] for play in plays] == [[place, 5] for place in range(50)]
    assert Steps.ran == 50


def test_a_watched_task_that_was_refused_first_is_still_watched_after_a_re_run() -> None:
    from simpleflow import canvas

    class Program(Base):
        def run(self) -> Any:
            group = self.submit(canvas.Group((A, 1), (A, 2)))
            seen = group.finished
            self.submit(B).result
            return seen

    play = Play(Program)
    play.history.refuse("ScheduleActivityTask", "ACTIVITY_CREATION_RATE_EXCEEDED")
    play.decide()
    play.decide()
    play.complete("activity-a-2")  # something that was read changes: it is re-run, and a-1 is still refused
    play.decide()
    play.history.fire_timer("_simpleflow_wake_up_timer")
    assert play.decide() == ["ScheduleActivityTask activity-a-1"]
    play.complete("activity-a-1")
    play.decide()
    play.complete("activity-b-1")
    play.decide()
    assert play.result is True


def test_a_refused_task_is_one_that_was_ready_when_its_decision_started() -> None:
    """The refusal names only type and id: what became ready later, though submitted before, is not meant."""

    class Program(Base):
        def run(self) -> Any:
            waiting = self.submit(A, self.submit(self.wait_signal("go")))
            return [self.submit(A, 1).result, waiting.result]

    play = Play(Program)
    play.history.refuse("ScheduleActivityTask", "ACTIVITY_CREATION_RATE_EXCEEDED")
    assert play.decide(during=lambda: play.signal("go", 7)) == ["ScheduleActivityTask activity-a-1"]
    play.decide()
    while play.history.open.closed is None:
        for timer in list(play.history.open.timers):
            play.history.fire_timer(timer)
        for activity_id in list(play.history.open.activities):
            play.complete(activity_id, activity_id)
        play.decide()
    assert play.result == ["activity-a-1", "activity-a-2"]
