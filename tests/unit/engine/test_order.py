"""One thing at a time, in the order of the history (docs/design/replay.md, rules 12 to 15)."""

from __future__ import annotations

from typing import Any

import pytest

from simpleflow import Workflow, exceptions, futures

from .driver import Play, act

A, B, C, TICK, RAISES = act("a"), act("b"), act("c"), act("tick"), act("raises", raises_on_failure=True)


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


def test_settlements_are_delivered_in_event_order_in_a_re_run_too() -> None:
    class Program(Base):
        def run(self) -> Any:
            order: list[str] = []
            opened = {name: self.submit(one) for name, one in (("a", A), ("b", B), ("c", C))}
            for name, future in opened.items():
                future.add_done_callback(lambda _, name=name: order.append(name))
            futures.wait(*opened.values())
            return order

    play = Play(Program)
    play.decide()
    for name in ("c", "a"):
        play.complete(f"activity-{name}-1")
    play.decide()
    play.complete("activity-b-1")
    play.decide()
    assert play.result == ["c", "a", "b"]


def test_12_callbacks_on_a_settled_future_run_first_in_first_out_and_never_inside_the_call() -> None:
    class Program(Base):
        def run(self) -> Any:
            order: list[str] = []
            done = self.submit(A)
            done.result
            done.add_done_callback(lambda _: order.append("first"))
            done.add_done_callback(lambda _: order.append("second"))
            order.append("after the calls")
            self.submit(TICK).result
            return order

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    play.complete("activity-tick-1")
    play.decide()
    assert play.result == ["after the calls", "first", "second"]


def test_12_several_woken_by_one_event_run_in_the_order_of_registration() -> None:
    class Program(Base):
        def run(self) -> Any:
            order: list[int] = []
            awaited = self.submit(A)
            for number in range(5):
                awaited.add_done_callback(lambda _, number=number: order.append(number))
            self.submit(TICK).result
            return order

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    play.complete("activity-tick-1")
    play.decide()
    assert play.result == [0, 1, 2, 3, 4]


def test_13_a_loop_over_a_shrinking_set_visits_each_once() -> None:
    class Program(Base):
        def run(self) -> Any:
            pending: Any = [self.submit(one) for one in (A, B, C)]
            sizes, visited = [], []
            while pending:
                done, pending = futures.wait(pending, return_when=futures.FIRST_COMPLETED)
                sizes.append(len(done))
                visited += [future.result for future in done]
            return [sizes, visited]

    play = Play(Program)
    play.decide()
    for name in ("b", "c", "a"):  # all three before one decision
        play.complete(f"activity-{name}-1", name)
    play.decide()
    assert play.result == [[1, 1, 1], ["b", "c", "a"]]


def test_wait_any_asked_again_after_the_second_finished_answers_as_it_did() -> None:
    class Program(Base):
        def run(self) -> Any:
            both = [self.submit(A), self.submit(B)]
            first, _ = futures.wait(both, return_when=futures.FIRST_COMPLETED)
            self.submit(TICK).result
            again, pending = futures.wait(both, return_when=futures.FIRST_COMPLETED)
            return [[f.result for f in first], [f.result for f in again], len(list(pending))]

    play = Play(Program)
    play.decide()
    play.complete("activity-b-1", "b")
    play.decide()
    play.complete("activity-a-1", "a")
    play.decide()
    play.complete("activity-tick-1")
    play.decide()
    assert play.result == [["b"], ["b"], 1]


def test_wait_first_exception_is_decided_by_the_first_failure() -> None:
    class Program(Base):
        def run(self) -> Any:
            fs = [self.submit(A), self.submit(B), self.submit(C)]
            done, pending = futures.wait(fs, return_when=futures.FIRST_EXCEPTION)
            return [len(list(done)), len(list(pending))]

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    assert play.decide() == []
    play.history.fail_activity("activity-b-1")
    play.complete("activity-c-1")
    play.decide()
    assert play.result == [2, 1]


def test_as_completed_yields_in_event_order() -> None:
    class Program(Base):
        def run(self) -> Any:
            opened = [self.submit(one) for one in (A, B, C)]
            return [future.result for future in futures.as_completed(opened)]

    play = Play(Program)
    play.decide()
    play.complete("activity-c-1", "c")
    play.decide()
    play.complete("activity-a-1", "a")
    play.complete("activity-b-1", "b")
    play.decide()
    assert play.result == ["c", "a", "b"]


def test_a_timeout_stays_a_timeout_when_the_task_finishes_later() -> None:
    class Program(Base):
        def run(self) -> Any:
            slow = self.submit(A)
            done, _ = futures.wait([slow], timeout=10)
            timed_out = not list(done)
            self.submit(TICK).result
            return [timed_out, slow.result]

    play = Play(Program)
    play.decide()
    (timer,) = play.history.open.timers
    play.history.fire_timer(timer)
    play.complete("activity-a-1", "late")
    assert "ScheduleActivityTask activity-tick-1" in play.decide()
    play.complete("activity-tick-1")
    play.decide()
    assert play.result == [True, "late"]


def test_a_timeout_that_was_not_needed_takes_its_timer_back() -> None:
    class Program(Base):
        def run(self) -> Any:
            done, _ = futures.wait([self.submit(A)], timeout=10)
            self.submit(TICK).result
            return len(list(done))

    play = Play(Program)
    play.decide()
    (timer,) = play.history.open.timers
    play.complete("activity-a-1")
    assert f"CancelTimer {timer}" in play.decide()
    play.complete("activity-tick-1")
    play.decide()
    assert play.result == 1


def test_14_what_is_undelivered_when_run_returns_is_dropped_also_if_that_close_fails() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(A).result
            return self.now().timestamp()

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    assert play.decide(during=lambda: play.signal("late")) == ["CompleteWorkflowExecution"]
    assert play.history.open.closed is None
    assert play.decide() == ["CompleteWorkflowExecution"]
    # It returns at the same event again, so what it read is the same.
    assert play.result == play.time_of(1)


def test_14_hooks_of_the_second_close_see_the_new_events() -> None:
    seen: list[list[str]] = []

    class Program(Base):
        def run(self) -> Any:
            self.submit(A).result

        def on_completed(self, history: Any) -> None:
            seen.append(sorted(history.signals))

    play = Play(Program, check=False)
    play.decide()
    play.complete("activity-a-1")
    play.decide(during=lambda: play.signal("late"))
    play.evict()
    seen.clear()
    play.decide()
    assert seen == [["late"]]


def test_14_an_exception_that_nobody_read_fails_the_workflow() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(RAISES)
            self.submit(TICK).result
            return "never read"

    play = Play(Program)
    play.decide()
    play.history.fail_activity("activity-raises-1", "boom")
    play.decide()
    play.complete("activity-tick-1")
    assert play.decide() == ["FailWorkflowExecution"]
    assert "boom" in play.failure


def test_14_unless_raises_on_failure_is_false() -> None:
    class Program(Base):
        def run(self) -> Any:
            quiet = self.submit(A)
            self.submit(TICK).result
            return [quiet.exception is None, "done"]

    play = Play(Program)
    play.decide()
    play.history.fail_activity("activity-a-1")
    play.complete("activity-tick-1")
    play.decide()
    assert play.result == [False, "done"]


def test_15_signals_of_a_name_are_a_queue() -> None:
    class Program(Base):
        def run(self) -> Any:
            first = self.submit(self.wait_signal("go")).result
            self.submit(TICK).result
            return [first, self.submit(self.wait_signal("go")).result, self.submit(self.wait_signal("go")).result]

    play = Play(Program)
    play.decide()
    for number in range(3):
        play.signal("go", number)
    play.decide()
    play.complete("activity-tick-1")
    play.decide()
    assert [value["args"] for value in play.result] == [[0], [1], [2]]


def test_15_a_signal_after_one_was_used_goes_to_the_next_wait() -> None:
    class Program(Base):
        def run(self) -> Any:
            used = self.submit(self.wait_signal("go")).result
            return [used["args"], self.submit(self.wait_signal("go")).result["args"]]

    play = Play(Program)
    play.decide()
    play.signal("go", "one")
    assert play.decide() == []
    play.signal("go", "two")
    play.decide()
    assert play.result == [["one"], ["two"]]


def test_15_a_signal_after_nine_expired_waits_reaches_the_tenth() -> None:
    class Program(Base):
        def run(self) -> Any:
            expired = 0
            while True:
                wait = self.submit(self.wait_signal("go", timeout=60))
                try:
                    return [expired, wait.result["args"]]
                except exceptions.TaskCanceled:
                    expired += 1

    play = Play(Program)
    for _ in range(9):
        play.decide()
        (timer,) = play.history.open.timers
        play.history.fire_timer(timer)
    play.decide()
    play.signal("go", "at last")
    play.decide()
    assert play.result == [9, ["at last"]]


def test_15_a_cancelled_wait_gives_its_turn_back() -> None:
    class Program(Base):
        def run(self) -> Any:
            given_up = self.submit(self.wait_signal("go"))
            kept = self.submit(self.wait_signal("go"))
            given_up.cancel()
            return kept.result["args"]

    play = Play(Program)
    play.decide()
    play.signal("go", 1)
    play.decide()
    assert play.result == [1]


def test_15_a_second_open_wait_of_one_branch_is_logged_with_advice() -> None:
    class Program(Base):
        def run(self) -> Any:
            first, second = (self.submit(self.wait_signal("go")) for _ in range(2))
            return [first.result["args"], second.result["args"]]

    play = Play(Program)
    play.decide()
    assert any("timeout" in line and "go" in line for line in play.last.diagnostics), play.last.diagnostics
    play.signal("go", 1)
    play.signal("go", 2)
    play.decide()
    assert play.result == [[1], [2]]


def test_waiting_signals_stand_in_the_execution_context_and_are_blanked() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(self.wait_signal("go")).result
            self.submit(A).result

    play = Play(Program)
    play.decide()
    assert '"waiting_signals":["go"]' in (play.last.execution_context or "")
    play.signal("go")
    play.decide()
    assert "go" not in (play.last.execution_context or "")


def test_blocking_does_not_raise_a_broad_except_swallows_nothing() -> None:
    class Program(Base):
        def run(self) -> Any:
            caught = []
            try:
                value = self.submit(A).result
            except BaseException as error:
                caught.append(type(error).__name__)
                raise
            return [value, caught]

    play = Play(Program)
    assert play.decide() == ["ScheduleActivityTask activity-a-1"]
    play.complete("activity-a-1", 5)
    play.decide()
    assert play.result == [5, []]


def test_a_fresh_instance_runs_each_evaluation() -> None:
    class Program(Base):
        items: list[int]

        def __init__(self, executor: Any) -> None:
            super().__init__(executor)
            self.items = []

        def run(self) -> Any:
            self.items.append(1)
            self.submit(A).result
            return len(self.items)

    before = {name: getattr(A, name) for name in ("name", "version", "task_list", "retry", "raises_on_failure")}
    for _ in range(3):
        play = Play(Program)
        play.decide()
        play.evict()
        play.complete("activity-a-1")
        play.decide()
        assert play.result == 1
    assert before == {name: getattr(A, name) for name in before}


def test_outside_an_evaluation_result_of_an_unfinished_future_raises_execution_blocked() -> None:
    unfinished: futures.Future[Any] = futures.Future(None, None)
    with pytest.raises(exceptions.ExecutionBlocked):
        unfinished.result


@pytest.mark.parametrize("value", [None, 5, {"a": [1]}, "text"])
def test_what_a_task_returned_is_what_result_says(value: Any) -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(A).result

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1", value)
    play.decide()
    assert play.result == value
