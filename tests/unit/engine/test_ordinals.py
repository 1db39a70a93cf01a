"""Equal tasks are numbered, whoever claims them (docs/design/replay.md, rule 8)."""

from __future__ import annotations

import hashlib
from typing import Any

from simpleflow import Workflow, activity, futures

from .driver import Play, act

A, B, X = (act(name) for name in ("a", "b", "x"))


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


def test_8_the_ordinal_is_taken_when_the_slots_are_filled_ties_by_submission() -> None:
    class Program(Base):
        def run(self) -> Any:
            first, second = self.submit(A), self.submit(B)
            late = self.submit(X, first)
            early, tie = self.submit(X, second), self.submit(X, second)
            return [late.result, early.result, tie.result]

    play = Play(Program)
    play.decide()
    play.complete("activity-b-1", 5)
    assert play.decide() == ["ScheduleActivityTask activity-x-1", "ScheduleActivityTask activity-x-2"]
    play.complete("activity-a-1", 5)
    assert play.decide() == ["ScheduleActivityTask activity-x-3"]
    assert [control["ordinal"] for control in play.controls()[-3:]] == [0, 1, 2]
    for number, name in ((3, "late"), (2, "tie"), (1, "early")):
        play.complete(f"activity-x-{number}", name)
        play.evict()
        play.decide()
    assert play.result == ["late", "early", "tie"]


def test_equal_tasks_are_counted_by_a_replay_that_claims_them_in_the_history_s_order() -> None:
    """Two in turn, one with keyword arguments, which is looked up, then equal ones again and one that is new."""

    class Program(Base):
        def run(self) -> Any:
            found = [self.submit(X, 1), self.submit(X, 2), self.submit(X, key=1), self.submit(X, 1)]
            values = [future.result for future in found]
            return [*values, self.submit(X, 1).result, self.submit(X, 2).result]

    play = Play(Program)
    assert play.decide() == [f"ScheduleActivityTask activity-x-{number}" for number in (1, 2, 3, 4)]
    for number in (4, 2, 3, 1):
        play.complete(f"activity-x-{number}", f"of {number}")
    play.evict()
    assert play.decide() == ["ScheduleActivityTask activity-x-5"]
    play.complete("activity-x-5", "of 5")
    play.evict()
    assert play.decide() == ["ScheduleActivityTask activity-x-6"]
    assert [control["ordinal"] for control in play.controls()] == [0, 0, 0, 1, 2, 1]
    play.complete("activity-x-6", "of 6")
    play.evict()
    play.decide()
    assert play.result == [f"of {number}" for number in (1, 2, 3, 4, 5, 6)]


def test_a_task_claimed_in_turn_while_it_is_open_counts_too() -> None:
    class Program(Base):
        def run(self) -> Any:
            first = self.submit(X, 1)
            second = self.submit(X, 1) if first.finished else None
            return [first.result, second.result if second else None]

    play = Play(Program)
    play.decide()
    play.evict()
    play.signal("anything")
    assert play.decide() == []
    play.complete("activity-x-1", "of 1")
    assert play.decide() == ["ScheduleActivityTask activity-x-2"]
    assert [control["ordinal"] for control in play.controls()] == [0, 1]


def test_an_argument_that_is_no_json_is_named() -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(X, 1, float("nan")).result

    play = Play(Program)
    assert play.decide() == ["FailWorkflowExecution"]
    assert "args[1] is nan" in play.failure


def test_a_task_whose_id_is_its_identity_is_no_equal_one() -> None:
    """Not even when a plain one of the same arguments comes first: neither takes the other's result, or its id."""
    once = act("x", idempotent=True)
    held = hashlib.md5(b'{"args":[1],"kwargs":{}}').hexdigest()

    class Program(Base):
        def run(self) -> Any:
            other = self.submit(A)
            plain = [self.submit(X, 1)] if other.finished else []
            return [future.result for future in [*plain, self.submit(once, 1), other]]

    play = Play(Program)
    assert play.decide() == ["ScheduleActivityTask activity-a-1", f"ScheduleActivityTask activity-x-{held}"]
    play.complete("activity-a-1", "other")
    assert play.decide() == ["ScheduleActivityTask activity-x-1"]
    play.complete("activity-x-1", "plain")
    play.complete(f"activity-x-{held}", "once")
    play.decide()
    assert play.result == ["plain", "once", "other"]


def test_what_was_refused_is_given_to_no_task_of_another_kind() -> None:
    """A refusal names the id: of one whose id is its identity, no plain task takes it over."""
    once = act("x", idempotent=True)
    held = hashlib.md5(b'{"args":[1],"kwargs":{}}').hexdigest()

    class Program(Base):
        def run(self) -> Any:
            other = self.submit(A)
            opened = [self.submit(X, 1)] if other.finished else [self.submit(once, 1)]
            return futures.wait(*opened, other)

    play = Play(Program)
    play.history.open.activity_limit = 1
    assert play.decide() == ["ScheduleActivityTask activity-a-1", f"ScheduleActivityTask activity-x-{held}"]
    play.complete("activity-a-1", "other")
    assert play.decide() == ["ScheduleActivityTask activity-x-1"]


def test_the_second_of_two_equal_ones_is_counted_although_it_comes_in_turn() -> None:
    class Program(Base):
        def run(self) -> Any:
            both = futures.wait(self.submit(X, 1), self.submit(X, 1))
            return [*both, self.submit(X, 1).result]

    play = Play(Program)
    play.decide()
    play.complete("activity-x-2", "second")
    play.complete("activity-x-1", "first")
    play.evict()
    play.decide()
    assert [control["ordinal"] for control in play.controls()] == [0, 1, 2]
    play.complete("activity-x-3", "third")
    play.evict()
    play.decide()
    assert play.result == ["first", "second", "third"]


def test_an_equal_one_of_another_branch_is_not_taken_although_it_comes_in_turn() -> None:
    class Program(Base):
        def run(self) -> Any:
            first, second = self.submit(A), self.submit(B)
            if not first.finished:
                self.submit(X, 1)
            return second.then(lambda _: self.submit(X, 1)).result

    play = Play(Program)
    play.decide()
    play.complete("activity-b-1")
    assert play.decide() == ["ScheduleActivityTask activity-x-2"]
    play.complete("activity-a-1")
    play.complete("activity-x-1", "of run()")
    play.complete("activity-x-2", "of the callback")
    play.decide()
    assert play.result == "of the callback"


def test_an_id_of_the_program_s_own_takes_a_number_only_where_it_is_one() -> None:
    @activity.with_attributes(name="x", version="1", task_list="list")
    class Named:
        @staticmethod
        def get_task_id(workflow: Any, value: str) -> str:
            return value

        def __init__(self, value: str) -> None: ...

        def execute(self) -> None: ...

    class Program(Base):
        def run(self) -> Any:
            named = [self.submit(Named, "of-7"), self.submit(Named, "2")]
            self.submit(A).result
            return futures.wait(*named, *[self.submit(X, number) for number in range(2)])

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    assert play.decide() == ["ScheduleActivityTask activity-x-3", "ScheduleActivityTask activity-x-4"]
