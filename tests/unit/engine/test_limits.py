"""What does not fit waits, and nothing is truncated silently (docs/design/replay.md, "Limits")."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from simpleflow import Workflow, futures
from simpleflow.core import decisions, events, limits
from simpleflow.engine.tasks import outbox

from .driver import Play, act, new_engine

A, B = act("a"), act("b")


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


class FanOut(Base):
    def run(self, count: int, size: int = 0) -> Any:
        return len(futures.wait(*[self.submit(A, number, "x" * size) for number in range(count)]))


def wake(play: Play) -> bool:
    if "_simpleflow_wake_up_timer" in play.history.open.timers:
        play.history.fire_timer("_simpleflow_wake_up_timer")
        return True
    return False


def test_at_most_100_decisions_and_the_wake_up_timer_brings_the_rest() -> None:
    play = Play(FanOut, 250)
    sizes = []
    while True:
        made = play.decide()
        sizes.append(sum(line.startswith("Schedule") for line in made))
        assert len(made) <= limits.DECISIONS
        if not wake(play):
            break
        assert made[-1] == "StartTimer _simpleflow_wake_up_timer"
    assert sum(sizes) == 250
    assert len(sizes) < 10
    for activity_id in list(play.history.open.activities):
        play.complete(activity_id)
    play.decide()
    assert play.result == 250


def test_at_most_963_kilobytes_of_decisions() -> None:
    play = Play(FanOut, 80, 30_000)
    total = 0
    while True:
        made = play.decide()
        body = msgspec.json.encode([decisions.to_wire(decision) for decision in play.last.decisions])
        assert len(body) <= limits.RESPONSE_BYTES
        total += sum(line.startswith("Schedule") for line in made)
        if not wake(play):
            break
    assert total == 80


def test_at_most_1000_open_activities() -> None:
    play = Play(FanOut, 1_200, check=False)
    while True:
        play.decide()
        assert len(play.history.open.activities) <= 1_000
        if not wake(play):
            break
    assert len(play.history.open.activities) == 1_000
    assert not [event for event in play.history.events if type(event).__name__ == "ScheduleActivityTaskFailed"]
    while play.history.open.closed is None:
        for activity_id in list(play.history.open.activities):
            play.complete(activity_id)
        play.decide()
        assert len(play.history.open.activities) <= 1_000
    assert play.result == 1_200


def test_max_open_activity_count_of_the_class() -> None:
    class Few(FanOut):
        max_open_activity_count = 7

    play = Play(Few, 20)
    play.decide()
    assert len(play.history.open.activities) == 7
    play.complete("activity-a-3")
    assert play.decide() == ["ScheduleActivityTask activity-a-8"]


@pytest.mark.parametrize("seed", [1, 2])
def test_c28_with_a_server_cap_of_10_500_tasks_finish_with_few_failed_schedules(seed: int) -> None:
    chance = random.Random(seed)
    play = Play(FanOut, 500, check=False, options={"activity_limit": 10})
    for _ in range(20_000):
        if play.history.open.closed is not None:
            break
        if play.history.decision_waits:
            play.decide()
            continue
        opened = list(play.history.open.activities)
        if opened and (not play.history.open.timers or chance.random() < 0.7):
            for activity_id in chance.sample(opened, k=chance.randint(1, len(opened))):
                play.complete(activity_id)
        else:
            assert play.history.open.timers, "nothing is open, and nothing waits"
            play.history.fire_timer(min(play.history.open.timers, key=lambda name: play.history.open.timers[name].due))
    assert play.result == 500
    failed = sum(type(event).__name__ == "ScheduleActivityTaskFailed" for event in play.history.events)
    assert failed < 20, failed


def test_c37_throttled_scheduling_backs_off_with_a_growing_timer_then_schedules() -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(A).result

    play = Play(Program)
    play.history.refuse("ScheduleActivityTask", "ACTIVITY_CREATION_RATE_EXCEEDED", times=4)
    waits = []
    for _ in range(4):
        assert play.decide() == ["ScheduleActivityTask activity-a-1"]
        (line,) = play.decide()
        assert line.startswith("StartTimer ")
        (made,) = play.last.decisions
        assert isinstance(made, decisions.StartTimer)
        waits.append(float(made.start_to_fire_timeout))
        play.evict()
        play.history.fire_timer(made.timer_id)
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]
    assert play.decide() == ["ScheduleActivityTask activity-a-1"]
    play.complete("activity-a-1", "in the end")
    play.decide()
    assert play.result == "in the end"


def test_c14_a_missing_type_is_registered_once_and_all_its_tasks_scheduled_again() -> None:
    play = Play(FanOut, 3)
    play.history.refuse("ScheduleActivityTask", "ACTIVITY_TYPE_DOES_NOT_EXIST", times=3)
    play.decide()
    assert play.decide() == [f"ScheduleActivityTask activity-a-{number}" for number in (1, 2, 3)]
    assert [(one.kind, one.name, one.version) for one in play.last.types] == [("activity", "a", "1")]


def test_a_missing_child_type_too() -> None:
    class Child(Workflow):
        name, version, task_list = "child", "1", "decisions"

        def run(self) -> None:
            return

    class Program(Base):
        def run(self) -> Any:
            return self.submit(Child).result

    play = Play(Program, others=(Child,))
    play.history.refuse("StartChildWorkflowExecution", "WORKFLOW_TYPE_DOES_NOT_EXIST")
    first = play.decide()
    assert play.decide() == first
    assert [one.kind for one in play.last.types] == ["workflow"]


def test_the_wake_up_timer_follows_a_marker_that_something_waits_for() -> None:
    class Program(Base):
        def run(self, waits: bool) -> Any:
            marker = self.submit(self.record_marker("m"))
            if waits:
                marker.result
            return self.submit(self.start_timer("t", 60)).result

    play = Play(Program, True)
    assert play.decide() == ["RecordMarker m", "StartTimer _simpleflow_wake_up_timer"]
    play.history.fire_timer("_simpleflow_wake_up_timer")
    assert play.decide() == ["StartTimer t"]
    # Nobody waits for it: the timer of the program will bring the next decision.
    assert Play(Program, False).decide() == ["RecordMarker m", "StartTimer t"]


def test_a_value_over_its_limit_is_an_error_that_names_field_size_limit_and_setting() -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(A, "x" * 40_000).result

    play = Play(Program)
    assert play.decide() == ["FailWorkflowExecution"]
    said = play.failure + str(play.last.decisions)
    for part in ("input", "40", str(limits.DATA), "SIMPLEFLOW_JUMBO_FIELDS_BUCKET"):
        assert part in said.replace(",", "").replace("_000", "000") or part in said, part


def test_a_reason_is_never_longer_than_swf_takes() -> None:
    class Program(Base):
        def run(self) -> Any:
            raise ValueError("y" * 1_000)

    play = Play(Program)
    play.decide()
    assert len(play.failure) <= limits.REASON
    last = play.history.events[-1]
    assert isinstance(last, events.WorkflowExecutionFailed)
    assert "y" * 1_000 in (last.attributes.details or "")


def test_a_warning_at_80_per_cent_of_the_history() -> None:
    class Program(Base):
        def run(self) -> Any:
            for number in range(10_000):
                self.submit(A, number).result

    play = Play(Program, check=False)
    warned = 0
    while len(play.history.events) < 0.82 * limits.HISTORY_EVENTS:
        play.decide()
        if any("25,000" in line or "25000" in line for line in play.last.diagnostics):
            warned = warned or len(play.history.events)
        for activity_id in list(play.history.open.activities):
            play.complete(activity_id)
    assert 0.79 * limits.HISTORY_EVENTS < warned < 0.81 * limits.HISTORY_EVENTS


def test_auto_continue_as_new_continues_when_due_else_returns() -> None:
    class Program(Base):
        def run(self, start: int = 0) -> Any:
            for number in range(start, 10_000):
                self.submit(A, number).result
                self.auto_continue_as_new(number + 1)
            return "all"

    play = Play(Program, check=False)
    while play.history.open.closed is None:
        made = play.decide()
        for activity_id in list(play.history.open.activities):
            play.complete(activity_id)
    assert made == ["ContinueAsNewWorkflowExecution"]
    (last,) = play.last.decisions
    assert isinstance(last, decisions.ContinueAsNewWorkflowExecution)
    scheduled = sum(isinstance(event, events.ActivityTaskScheduled) for event in play.history.events)
    assert json.loads(last.input or "")["args"] == [scheduled]


def test_demand_counts_what_is_scheduled_and_what_will_be() -> None:
    class Program(Base):
        def run(self) -> Any:
            first = self.submit(A)
            return self.submit(B, first).result

    play = Play(Program)
    play.decide()
    counts = {(one.task_list, one.activity, one.state): one.count for one in play.last.demand}
    assert counts[("list", "a", "scheduled")] == 1
    assert sum(count for (_, name, _), count in counts.items() if name == "b") == 1


def test_at_most_1000_open_timers_and_children() -> None:
    class Child(Workflow):
        name, version, task_list = "child", "1", "decisions"

        def run(self) -> None:
            return

    class Program(Base):
        def run(self, what: str) -> Any:
            if what == "timers":
                opened = [self.submit(self.start_timer(f"t{number}", 60)) for number in range(1_050)]
            else:
                opened = [self.submit(Child, number) for number in range(1_050)]
            return len(futures.wait(*opened))

    for what in ("timers", "children"):
        play = Play(Program, what, check=False, others=(Child,))
        for _ in range(30):
            if not play.history.decision_waits:
                break
            play.decide()
            assert len(play.history.open.timers) <= 1_000
            assert len(play.history.open.children) <= 1_000
            wake(play)
        assert not [event for event in play.history.events if type(event).__name__.endswith("Failed")], what
        while play.history.open.closed is None:
            for timer in list(play.history.open.timers)[:400]:
                play.history.fire_timer(timer)
            for child in list(play.history.open.children)[:400]:
                play.history.complete_child(child)
            play.decide()
        assert play.result == 1_050


def test_a_cancellation_that_nobody_wants_any_more_takes_no_place() -> None:
    class Program(Base):
        def run(self) -> Any:
            slow, quick = self.submit(B), self.submit(A, 0)
            quick.result
            opened = [self.submit(A, number) for number in range(1, 9)]
            slow.cancel()
            return len(futures.wait(*opened))

    def narrow(*workflows: type) -> Any:
        return new_engine(*workflows, bounds=outbox.Bounds(decisions=3, open_activities=50))

    play = Play(Program, engines=narrow)
    play.decide()
    play.complete("activity-a-1")
    play.decide()  # three of the eight go, the cancellation waits behind
    play.complete("activity-b-1")
    while play.history.open.closed is None:
        if play.history.decision_waits:
            play.decide()
        elif play.history.open.timers:
            play.history.fire_timer("_simpleflow_wake_up_timer")
        else:
            for activity_id in list(play.history.open.activities):
                play.complete(activity_id)
    assert play.result == 8


def test_a_task_that_was_refused_and_scheduled_later_is_never_taken_for_another() -> None:
    """A refusal names only the type, the event that schedules it later says which submission it was."""

    class Program(Base):
        def run(self) -> Any:
            first, second = self.submit(A, 0), self.submit(A, 0)
            third = self.submit(A, second.finished)
            return futures.wait(first, second, third)

    play = Play(Program)
    play.history.open.activity_limit = 2
    play.decide()  # the third is refused
    play.decide()
    play.complete("activity-a-1", "first")
    assert play.decide() == ["ScheduleActivityTask activity-a-3"]
    play.complete("activity-a-2", "second")
    assert play.decide() == ["ScheduleActivityTask activity-a-4"]  # of other arguments: another task
    play.complete("activity-a-4", "fourth")
    play.decide()
    assert play.result == ["first", "second", "fourth"]
    assert [said["args"] for said in play.inputs()] == [[0], [0], [False], [True]]


def test_a_timer_that_was_refused_twice_and_then_started_is_one_timer() -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(self.start_timer("t", 1)).result

    play = Play(Program)
    play.history.refuse("StartTimer", "TIMER_CREATION_RATE_EXCEEDED")
    play.decide()
    play.history.open.refusals.clear()
    play.decide()
    wake(play)
    play.history.refuse("StartTimer", "TIMER_CREATION_RATE_EXCEEDED")
    play.decide()
    play.history.open.refusals.clear()
    play.decide()
    wake(play)
    assert play.decide() == ["StartTimer t"]
    play.history.fire_timer("t")
    play.evict()
    play.decide()
    assert play.result is None


def test_a_timer_after_one_of_its_id_that_was_refused_for_good_is_another_timer() -> None:
    class Program(Base):
        def run(self) -> Any:
            first = self.submit(self.start_timer("t", 1)).exception
            self.submit(self.start_timer("t", 1)).result
            return str(first)

    play = Play(Program)
    play.history.refuse("StartTimer", "OPERATION_NOT_PERMITTED")
    play.decide()
    play.history.open.refusals.clear()
    assert play.decide() == ["StartTimer t"]
    play.signal("anything")
    play.evict()
    assert play.decide() == []
    play.history.fire_timer("t")
    play.decide()
    assert "OPERATION_NOT_PERMITTED" in play.result


def test_a_timer_that_was_refused_and_cancelled_leaves_its_id_to_the_next() -> None:
    class Program(Base):
        def run(self) -> Any:
            first, other = self.submit(self.start_timer("t", 100)), self.submit(A)
            other.result
            first.cancel()
            return self.submit(self.start_timer("t", 1)).result

    play = Play(Program)
    play.history.refuse("StartTimer", "TIMER_CREATION_RATE_EXCEEDED")
    play.decide()
    play.history.open.refusals.clear()
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    wake(play)
    assert play.decide() == ["StartTimer t"]
    play.signal("anything")
    play.evict()
    assert play.decide() == []
    play.history.fire_timer("t")
    play.decide()
    assert play.result is None


def test_what_was_refused_and_cancelled_since_leaves_the_others_their_ids() -> None:
    class Program(Base):
        def run(self) -> Any:
            opened = [self.submit(A, number) for number in range(4)]
            self.submit(self.wait_signal("less")).result
            opened[2].cancel()
            return futures.wait(opened[0], opened[1], opened[3])

    play = Play(Program)
    play.history.open.activity_limit = 2
    play.decide(during=lambda: play.signal("less"))  # comes before the refusals in the history
    assert play.decide() == []
    play.complete("activity-a-1", 1)
    assert play.decide() == ["ScheduleActivityTask activity-a-4"]
