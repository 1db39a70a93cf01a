"""``Client.resume``: a new run goes on where a stopped one ended."""

from __future__ import annotations

import base64
import datetime
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from simpleflow import Workflow, futures, settings
from simpleflow.cli import context, entry, main
from simpleflow.client import Client, starting
from simpleflow.core import errors
from simpleflow.testing import Environment, Failed
from simpleflow.testing.environment import Run
from tests.unit.client import resumed_programs as programs


@pytest.fixture(autouse=True)
def world() -> programs.World:
    programs.world = programs.World()
    return programs.world


def begun(environment: Environment, spec: Any) -> Any:
    run = environment.start(programs.Program, spec)
    for number in range(sum(kind == "signal" for kind, *_ in spec)):
        environment.signal(run, "s", number)
    return run


def uninterrupted(spec: Any) -> Any:
    programs.world = programs.World()
    with Environment(workflows=[programs.Child, programs.Same], replay=False) as environment:
        return environment.wait(begun(environment, spec))


def tried(examples: int) -> profile:
    """Try this number of random programs. The quick run always tries the same ones."""
    return profile(
        max_examples=examples,
        deadline=None,
        derandomize=examples < 100,
        suppress_health_check=list(HealthCheck),
        database=None,
    )


def completed(environment: Environment, run: Any) -> Counter[str]:
    """How often each activity had completed in a run."""
    scheduled, found = {}, Counter[str]()
    for event in environment.history(run):
        name = type(event).__name__
        if name == "ActivityTaskScheduled":
            scheduled[event.id] = event.attributes.input
        elif name == "ActivityTaskCompleted":
            found[scheduled[event.attributes.scheduled_event_id]] += 1
    return found


@pytest.mark.parametrize("examples", [20, pytest.param(1_500, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_resumed_run_gives_the_result_of_the_uninterrupted_one_and_nothing_completed_runs_twice(
    examples: int,
) -> None:
    @tried(examples)
    @given(programs.programs, st.lists(st.integers(0, 15), min_size=1, max_size=3))
    def holds(spec: Any, moments: list[int]) -> None:
        expected = uninterrupted(spec)
        programs.world = programs.World()
        with Environment(workflows=[programs.Child, programs.Same], replay=False) as environment:
            run = begun(environment, spec)
            done = Counter[str]()
            for seconds in moments:
                environment.advance(seconds)
                if is_open(environment, run):
                    environment.terminate(run)
                    done += completed(environment, run)
                    run = environment.resume(run)
            assert environment.wait(run) == expected
            done += completed(environment, run)
            assert {text: count for text, count in done.items() if count > asked(spec, text)} == {}
            environment.verify()

    holds()


@pytest.mark.parametrize("examples", [10, pytest.param(1_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_run_that_failed_gives_the_result_that_it_would_have_given(examples: int) -> None:
    @tried(examples)
    @given(programs.programs, st.lists(st.integers(0, 8), min_size=1, max_size=2))
    def holds(spec: Any, places: list[int]) -> None:
        expected = uninterrupted(spec)
        programs.world = programs.World()
        with Environment(workflows=[programs.Child, programs.Same], replay=False) as environment:
            broken = [f"{kind}{place}" for place, (kind, *_) in enumerate(spec) if place in places]
            programs.world.broken.update(broken, (f"{label}.1" for label in broken))
            run, done, fails = begun(environment, spec), Counter[str](), True
            while fails:
                try:
                    assert environment.wait(run) == expected
                    fails = False
                except Failed:
                    programs.world.broken.clear()
                done += completed(environment, run)
                run = environment.resume(run) if fails else run
            assert {text: count for text, count in done.items() if count > asked(spec, text)} == {}
            environment.verify()

    holds()


@pytest.mark.parametrize("examples", [10, pytest.param(600, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_from_any_event_or_task_the_result_is_the_same(examples: int) -> None:
    @tried(examples)
    @given(programs.programs, st.integers(0, 15), st.tuples(st.integers(0, 999), st.integers(0, 999)), st.booleans())
    def holds(spec: Any, seconds: int, places: tuple[int, int], by_task: bool) -> None:
        spec = [each for each in spec if each[0] != "signal"]  # those after the event are left out
        expected = uninterrupted(spec)
        programs.world = programs.World()
        with Environment(workflows=[programs.Child, programs.Same], replay=False) as environment:
            run = begun(environment, spec)
            for place in places:
                environment.advance(seconds)
                if is_open(environment, run):
                    environment.terminate(run)
                run = environment.resume(run, from_=one_of(environment.history(run), place, by_task))
            assert environment.wait(run) == expected
            environment.verify()

    holds()


def one_of(history: list[Any], place: int, by_task: bool) -> int | str:
    """The id of one of its activity tasks, or the number of one of its events."""
    tasks = [each.attributes.activity_id for each in history if type(each).__name__ == "ActivityTaskScheduled"]
    return tasks[place % len(tasks)] if by_task and tasks else 2 + place % (len(history) - 1)


def test_a_decision_is_taken_over_with_all_that_it_wrote_or_not_at_all() -> None:
    with Environment(workflows=[programs.Program]) as environment:
        run = environment.start(programs.Program, [["patch", 1, 0], ["chance", 1, 0], ["task", 1, 0]])
        first = environment.wait(run)
        names = [type(event).__name__ for event in environment.history(run)]
        resumed = environment.resume(run, from_=names.index("MarkerRecorded") + 1)
        assert environment.wait(resumed)[0][0] is first[0][0] is True


def asked(spec: Any, text: str) -> int:
    """How often a program submits the activity with this input."""
    return 2 * sum(kind == "equal" and f'"equal{number}"' in text for kind, _, number in spec) or 1


def is_open(environment: Environment, run: Any) -> bool:
    return type(environment.history(run)[-1]).__name__ != "WorkflowExecutionCompleted"


def test_without_a_place_for_the_results_it_is_refused_with_the_setting_to_set() -> None:
    with Environment(workflows=[programs.Program], replay=False) as environment:
        run = environment.start(programs.Program, [["task", 1, 0]])
        environment.terminate(run)
        with pytest.raises(errors.UsageError, match="SIMPLEFLOW_JUMBO_FIELDS_BUCKET"):
            Client(environment.connection).resume(run.workflow_id)


def test_the_client_and_the_command_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"file://{tmp_path}"
    monkeypatch.setattr(settings, "SIMPLEFLOW_JUMBO_FIELDS_BUCKET", where, raising=False)
    with Environment(workflows=[programs.Program], jumbo=where, replay=False) as environment:
        monkeypatch.setattr(context.State, "connect", lambda self, domain=None, **given: environment.connection)
        programs.world.broken.add("task1")
        run = environment.start(programs.Program, [["task", 1, 0], ["task", 1, 1]])
        for resume in ("client", "command"):
            with pytest.raises(Failed):
                environment.wait(run)
            if resume == "client":
                fresh = Client(environment.connection).resume(run.workflow_id, run.run_id)
                run = Run(workflow_id=fresh.workflow_id, run_id=fresh.run_id)
            else:
                programs.world.broken.clear()
                assert entry.status(main.cli, "simpleflow", ["workflow.resume", run.workflow_id, "--from", "5"]) == 0
                workflow_id, run_id = capsys.readouterr().out.split()
                run = Run(workflow_id=workflow_id, run_id=run_id)
        assert environment.wait(run) == [[], [["task0"], ["task1"]]]
        assert programs.world.ran == ["task0", "task1", "task1", "task1"]
        assert entry.status(main.cli, "simpleflow", ["workflow.restart", run.workflow_id]) == 0
        fresh_id, run_id = capsys.readouterr().out.split()
        assert environment.wait(Run(workflow_id=fresh_id, run_id=run_id)) == [[], [["task0"], ["task1"]]]
    assert programs.world.ran[4:] == ["task0", "task1"]


def test_a_resumed_run_has_the_input_tags_and_timeouts_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"file://{tmp_path}"
    monkeypatch.setattr(settings, "SIMPLEFLOW_JUMBO_FIELDS_BUCKET", where, raising=False)
    with Environment(workflows=[programs.Program], jumbo=where, replay=False) as environment:
        monkeypatch.setattr(context.State, "connect", lambda self, domain=None, **given: environment.connection)
        client = Client(environment.connection)
        programs.world.broken.add("task1")
        run = environment.start(programs.Program, [["task", 1, 0], ["task", 1, 1]])
        with pytest.raises(Failed):
            environment.wait(run)
        before = environment.history(run)[0].attributes
        client.resume(
            run.workflow_id, tags=["a", "b"], execution_timeout=77, decision_tasks_timeout=datetime.timedelta(seconds=7)
        )
        fresh = client.find(run.workflow_id)
        asked = environment.history(Run(workflow_id=fresh.workflow_id, run_id=fresh.run_id))[0].attributes
        assert (asked.tag_list, asked.execution_start_to_close_timeout) == (["a", "b"], "77")
        assert (asked.task_start_to_close_timeout, asked.child_policy) == ("7", before.child_policy)
        with pytest.raises(Failed):
            environment.wait(Run(workflow_id=fresh.workflow_id, run_id=fresh.run_id))
        command = ["workflow.resume", run.workflow_id]
        for wrong in (["--tags", "1,2,3,4,5,6"], ["--input", "["], ["--input", "1", "--input-file", "x"]):
            assert entry.status(main.cli, "simpleflow", [*command, *wrong]) == 64
        capsys.readouterr()
        programs.world.broken.clear()
        shorter = [["task", 1, 0]]
        command += ["--input", json.dumps([shorter]), "--tags", "c", "--execution-timeout", "88"]
        assert entry.status(main.cli, "simpleflow", command) == 0
        workflow_id, run_id = capsys.readouterr().out.split()
        last = Run(workflow_id=workflow_id, run_id=run_id)
        assert environment.wait(last) == [[], [["task0"]]]
        asked = environment.history(last)[0].attributes
        assert (asked.tag_list, asked.execution_start_to_close_timeout) == (["c"], "88")
    assert programs.world.ran == ["task0", "task1", "task1"]


def test_a_list_of_standalone_is_not_waited_for() -> None:
    with Environment(workflows=[programs.Program], replay=False) as environment:
        asked = starting.request(
            programs.Program, "x.Program", {"args": [[]], "kwargs": {}}, workflow_id="w", task_list="standalone-1"
        )
        run_id = starting.begin(environment.connection.transport, environment.connection.domain, asked)
        environment.terminate(Run(workflow_id="w", run_id=run_id))
        with pytest.raises(errors.UsageError, match="--repair w"):
            environment.resume(Run(workflow_id="w", run_id=run_id))


def test_encrypted_values_are_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMPLEFLOW_ENCRYPTION_KEYS", f"k:{base64.b64encode(bytes(32)).decode()}")
    settings.reload()
    try:
        with Environment(workflows=[programs.Program]) as environment:
            run = environment.start(programs.Program, [["task", 1, 0], ["chance", 1, 0], ["task", 1, 1]])
            programs.world.broken = {"task2"}
            with pytest.raises(Failed):
                environment.wait(run)
            programs.world.broken = set()
            resumed = environment.resume(run)
            assert environment.wait(resumed)[1] == [["task0"], ["task2"]]
            said = repr([environment.history(run), environment.history(resumed)])
    finally:
        settings.reload()
    assert programs.world.ran == ["task0", "task2", "task2"]
    assert "_previous_workflow_execution" not in said
    assert "simpleflow.resumed" in said


class Naps(Workflow):
    """Naps for 100 s, and then as often as its argument says; the nap of half a minute before them is cut short."""

    name, version, task_list = "naps", "1", "d"

    def run(self, then: int, cut: bool = False) -> Any:
        begun = self.now()
        if cut:
            self.submit(self.start_timer("nap", 30))
            self.submit(programs.work, "short", 5).result
            self.submit(self.cancel_timer("nap"))
        for _ in range(1 + then):
            self.submit(self.start_timer("nap", 100)).result
        return round((self.now() - begun).total_seconds())


def stopped(environment: Environment, seconds: float, run: Run) -> Run:
    """The run, stopped after this many seconds and resumed after 20 more."""
    environment.advance(seconds)
    environment.terminate(run)
    environment.advance(20)
    return environment.resume(run)


def test_an_open_timer_fires_when_it_would_have_fired() -> None:
    with Environment(workflows=[Naps]) as environment:
        resumed = stopped(environment, 30, environment.start(Naps, 0))
        assert environment.wait(resumed) == 100
        environment.verify()
    with Environment(workflows=[Naps]) as environment:  # one more after it has its whole time
        assert environment.wait(stopped(environment, 30, environment.start(Naps, 1))) == 200
    with Environment(workflows=[Naps]) as environment:  # it is late already
        assert environment.wait(stopped(environment, 95, environment.start(Naps, 1))) == 115 + 100


def test_an_open_timer_keeps_its_moment_through_several_runs() -> None:
    with Environment(workflows=[Naps]) as environment:
        run = stopped(environment, 10, environment.start(Naps, 0))
        environment.terminate(run)  # before its first decision
        run = environment.resume(run)
        for _ in range(2):
            run = stopped(environment, 10, run)
        assert environment.wait(run) == 100


def test_the_moment_is_that_of_the_timer_that_was_open() -> None:
    with Environment(workflows=[Naps]) as environment:
        assert environment.wait(stopped(environment, 35, environment.start(Naps, 0, cut=True))) == 105
    with Environment(workflows=[Naps]) as environment:
        run = environment.start(Naps, 0, cut=True)
        environment.advance(35)
        environment.terminate(run)
        environment.advance(20)
        # Before the first nap was cancelled: it is open again, and cancelled again.
        names = [type(event).__name__ for event in environment.history(run)]
        again = environment.resume(run, from_=names.index("TimerCanceled"))
        assert environment.wait(again) == 55 + 100
        assert environment.wait(environment.resume(again, from_="nap")) >= 100


def test_a_timeout_counts_on_while_the_run_is_stopped() -> None:
    class Waits(Workflow):
        name, version, task_list = "waits", "1", "d"

        def run(self) -> Any:
            begun = self.now()
            future = self.submit(self.wait_signal("go", timeout=100))
            futures.wait([future], return_when=futures.ALL_COMPLETED)
            return [future.cancelled, round((self.now() - begun).total_seconds())]

    with Environment(workflows=[Waits]) as environment:
        assert environment.wait(stopped(environment, 30, environment.start(Waits))) == [True, 100]
