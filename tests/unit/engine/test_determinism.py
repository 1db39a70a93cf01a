"""Divergence is found, answered without filling the history, and heals (docs/design/replay.md, "Determinism")."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from simpleflow import Workflow
from simpleflow.core import decisions

from .driver import Play, act

A, B, C, X = (act(name) for name in ("a", "b", "c", "x"))


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


class Good(Base):
    def run(self) -> Any:
        return [self.submit(A, 1).result, self.submit(B, 2).result]


class Bad(Base):
    def run(self) -> Any:
        return [self.submit(X, 1).result, self.submit(B, 2).result]


def diverged() -> Play:
    """A run of Good whose decider now has Bad."""
    play = Play(Good, check=False)
    play.decide()
    play.deploy(Bad)
    play.complete("activity-a-1", "one")
    return play


def test_a_task_that_is_not_submitted_again_is_a_divergence_answered_by_the_reserved_timer_alone() -> None:
    play = diverged()
    assert play.decide() == ["StartTimer _simpleflow_diverged"]
    (timer,) = play.last.decisions
    assert isinstance(timer, decisions.StartTimer)
    assert timer.start_to_fire_timeout == "1"
    assert "diverged" in json.loads(play.last.execution_context or "{}")


def test_the_diff_has_two_columns_and_begins_at_the_first_difference() -> None:
    play = diverged()
    play.decide()
    diff = play.last.divergence or ""
    lines = diff.splitlines()
    assert any("|" in line or "│" in line for line in lines), diff
    line = next(line for line in lines if "activity-a-1" in line or " a" in line)
    assert "x" in line or any("x" in other for other in lines), diff
    assert any("list" in text for text in lines), f"the task list is named: {diff}"


def test_it_backs_off_to_at_most_six_events_an_hour() -> None:
    play = diverged()
    play.history.tick = 0.0
    begun, waits = play.history.now, []
    while play.history.now - begun < 6 * 3600:
        assert play.decide() == ["StartTimer _simpleflow_diverged"]
        waits.append(int(play.history.open.timers["_simpleflow_diverged"].due - play.history.now))
        play.history.fire_timer("_simpleflow_diverged")
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) == 3600
    before, now = len(play.history.events), play.history.now
    for _ in range(3):
        play.evict()
        play.decide()
        play.history.fire_timer("_simpleflow_diverged")
    hours = (play.history.now - now) / 3600
    assert (len(play.history.events) - before) / hours <= 6


def test_a_rollback_of_the_code_heals_the_run() -> None:
    play = diverged()
    for _ in range(3):
        play.decide()
        play.history.fire_timer("_simpleflow_diverged")
    play.deploy(Good)
    play.check = True
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    play.complete("activity-b-1", "two")
    play.decide()
    assert play.result == ["one", "two"]


def test_events_meanwhile_do_not_shorten_the_wait_nor_start_a_second_timer() -> None:
    play = diverged()
    play.decide()
    play.signal("poke")
    assert play.decide() == []
    assert list(play.history.open.timers) == ["_simpleflow_diverged"]


def test_on_divergence_fail_workflow() -> None:
    class Failing(Bad):
        on_divergence = "fail_workflow"

    play = diverged()
    play.deploy(Failing)
    assert play.decide() == ["FailWorkflowExecution"]
    assert "diverge" in play.failure.lower()


def test_on_divergence_warn_goes_on() -> None:
    class Warning_(Bad):
        on_divergence = "warn"

    play = diverged()
    play.deploy(Warning_)
    assert play.decide() == ["ScheduleActivityTask activity-x-1"]
    assert play.last.diagnostics


def test_executions_begun_by_0_36_are_only_warned_about() -> None:
    play = Play(Good, check=False, strip_control=True)
    play.decide()
    play.deploy(Bad)
    play.complete("activity-a-1", "one")
    assert play.decide() == ["ScheduleActivityTask activity-x-1"]
    assert play.last.diagnostics


def test_a_program_that_observed_something_may_take_another_way() -> None:
    class Watching(Base):
        def run(self) -> Any:
            watched = self.submit(A)
            if not watched.finished:
                self.submit(B).result
            return self.submit(C).result

    play = Play(Watching)
    play.decide()
    play.complete("activity-a-1")
    assert play.decide() == ["ScheduleActivityTask activity-c-1"]
    assert play.last.divergence is None


def test_a_new_task_list_and_version_are_no_divergence_but_named_in_the_diff() -> None:
    class Moved(Base):
        def run(self) -> Any:
            self.submit(act("a", task_list="elsewhere", version="7"), 1).result
            return self.submit(X).result

    play = Play(Good, check=False)
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    play.deploy(Moved)
    play.complete("activity-b-1")
    play.decide()
    diff = play.last.divergence or ""
    assert "elsewhere" in diff or "activity-b-1" in diff


def test_patched_takes_the_old_branch_in_runs_that_passed_it_and_the_new_one_elsewhere() -> None:
    class New(Base):
        def run(self) -> Any:
            return self.submit(X if self.patched("p") else A, 1).result

    old = Play(Good, check=False)
    old.decide()
    old.deploy(New)
    old.complete("activity-a-1", "old way")
    assert old.decide() == ["CompleteWorkflowExecution"]
    assert old.result == "old way"
    new = Play(New)
    assert new.decide() == ["RecordMarker simpleflow.patch", "ScheduleActivityTask activity-x-1"]
    new.complete("activity-x-1", "new way")
    new.decide()
    assert new.result == "new way"


def test_deprecate_patch_takes_the_new_branch_and_never_diverges_on_its_absence() -> None:
    class New(Base):
        def run(self) -> Any:
            return self.submit(X if self.patched("p") else A, 1).result

    class Later(Base):
        def run(self) -> Any:
            self.deprecate_patch("p")
            return self.submit(X, 1).result

    class Last(Base):
        def run(self) -> Any:
            return self.submit(X, 1).result

    for following in (Later, Last):
        play = Play(New, check=False)
        play.decide()
        play.deploy(following)
        play.complete("activity-x-1", "same")
        assert play.decide()[-1] == "CompleteWorkflowExecution", following
    play = Play(Later)
    play.decide()
    play.deploy(Last)
    play.complete("activity-x-1", "same")
    assert play.decide()[-1] == "CompleteWorkflowExecution"


def test_uuid4_and_random_are_the_same_in_every_evaluation_and_differ_by_run_and_place() -> None:
    class Program(Base):
        def run(self) -> Any:
            drawn = [str(self.uuid4()), str(self.uuid4()), self.random()]
            self.submit(A).result
            return [*drawn, str(self.uuid4())]

    results = []
    for run_id in ("r1", "r1", "r2"):
        play = Play(Program, options={"run_id": run_id})
        play.decide()
        play.evict()
        play.complete("activity-a-1")
        play.decide()
        results.append(play.result)
    assert results[0] == results[1] != results[2]
    assert len(set(map(str, results[0]))) == 4


def test_random_in_a_branch_does_not_depend_on_which_branch_ran_first() -> None:
    class Program(Base):
        def run(self) -> Any:
            drawn = [self.submit(one).map(lambda _: str(self.uuid4())) for one in (A, B)]
            return [future.result for future in drawn]

    results = []
    for order in (("a", "b"), ("b", "a")):
        play = Play(Program)
        play.decide()
        for name in order:
            play.complete(f"activity-{name}-1")
            play.decide()
        results.append(play.result)
    assert results[0] == results[1]


def test_a_side_effect_is_recorded_and_its_function_called_once() -> None:
    called: list[int] = []

    class Program(Base):
        def run(self) -> Any:
            value = self.side_effect("draw", lambda: called.append(1) or len(called))
            self.submit(A, value).result
            return value

    play = Play(Program, check=False)
    assert play.decide() == ["RecordMarker simpleflow.side_effect", "ScheduleActivityTask activity-a-1"]
    play.evict()
    play.complete("activity-a-1")
    play.decide()
    assert play.result == 1
    assert called == [1]


STRICT = {
    "time.time()": "now",
    "time.sleep(1)": "timer",
    "random.random()": "random",
    "uuid.uuid4()": "uuid4",
    "datetime.datetime.now()": "now",
    "threading.Thread(target=print).start()": "",
    "open('/etc/hostname')": "activity",
    "socket.create_connection(('127.0.0.1', 1))": "activity",
    "subprocess.run(['true'])": "activity",
}


@pytest.mark.parametrize("call", STRICT)
def test_strict_mode_refuses_by_name_of_the_replacement(call: str) -> None:
    namespace: dict[str, Any] = {"Base": Base, "A": A}
    source = (
        "import time, random, uuid, datetime, threading, socket, subprocess\n"
        "class Program(Base):\n"
        "    strict = True\n"
        "    def run(self):\n"
        f"        {call}\n"
        "        return self.submit(A).result\n"
    )
    exec(source, namespace)  # one class per forbidden call
    play = Play(namespace["Program"], check=False)
    assert play.decide() == ["FailWorkflowExecution"]
    assert STRICT[call] in (play.failure + str(play.last)).lower()


def test_strict_mode_lets_the_same_calls_through_outside_run_and_when_off() -> None:
    import time

    class Loose(Base):
        strict = False

        def run(self) -> Any:
            time.time()
            return self.submit(A).result

    class Strict(Base):
        strict = True

        def run(self) -> Any:
            return self.submit(A).result

    for program in (Loose, Strict):
        play = Play(program)
        assert play.decide() == ["ScheduleActivityTask activity-a-1"]
        assert time.time() > 0


def test_a_lock_held_across_a_wait_is_refused_in_strict_mode() -> None:
    lock = threading.Lock()

    class Program(Base):
        strict = True

        def run(self) -> Any:
            with lock:
                return self.submit(A).result

    play = Play(Program, check=False)
    assert play.decide() == ["FailWorkflowExecution"]
    assert "lock" in (play.failure + str(play.last)).lower()
    assert not lock.locked()


def test_a_lock_held_across_a_wait_is_refused_also_where_the_result_came_with_the_event_before() -> None:
    lock = threading.Lock()

    class Program(Base):
        strict = True

        def run(self) -> Any:
            first, second = self.submit(A), self.submit(B)
            first.result
            with lock:
                return second.result

    play = Play(Program)  # resumed and from the start
    play.decide()
    play.complete("activity-a-1")
    play.complete("activity-b-1")
    assert play.decide() == ["FailWorkflowExecution"]
    assert "lock" in play.failure


def test_decisions_are_byte_identical_under_ten_hash_seeds() -> None:
    script = Path(__file__).with_name("hash_seed_program.py")
    outputs = {
        subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in range(10)
    }
    assert len(outputs) == 1
    assert b"ScheduleActivityTask" in outputs.pop()


def test_a_replay_makes_no_network_call_and_needs_no_credentials() -> None:
    script = Path(__file__).with_name("offline_program.py")
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "replayed, nothing opened"


class Child(Workflow):
    name, version, task_list = "child", "1", "decisions"

    def run(self) -> None:
        return


@pytest.mark.parametrize("kind", ["activity", "child", "timer", "signal"])
def test_every_kind_of_task_that_is_missing_is_a_divergence(kind: str) -> None:
    class Before(Base):
        def run(self) -> Any:
            what: Any = {
                "activity": A,
                "child": Child,
                "timer": self.start_timer("t", 60),
                "signal": self.signal("s", workflow_id="other"),
            }[kind]
            self.submit(what)
            return self.submit(B).result

    class After(Base):
        def run(self) -> Any:
            return self.submit(B).result

    play = Play(Before, check=False, others=(Child,))
    play.decide()
    play.deploy(After, Child)
    play.complete("activity-b-1")
    assert play.decide() == ["StartTimer _simpleflow_diverged"]
    assert kind in (play.last.divergence or "") or "workflow" in (play.last.divergence or "")
    play.deploy(Before, Child)
    play.history.fire_timer("_simpleflow_diverged")
    assert play.decide()[-1] == "CompleteWorkflowExecution"
