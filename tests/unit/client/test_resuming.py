"""``Client.resume``: a new run goes on where a stopped one ended."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from simpleflow.testing import Environment

from . import resumed_programs as programs


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


@pytest.mark.parametrize("examples", [60, pytest.param(1_500, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_resumed_run_gives_the_result_of_the_uninterrupted_one_and_nothing_completed_runs_twice(
    examples: int,
) -> None:
    @profile(
        max_examples=examples,
        deadline=None,
        derandomize=examples < 100,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
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


def asked(spec: Any, text: str) -> int:
    """How often a program submits the activity with this input."""
    return 2 * sum(kind == "equal" and f'"equal{number}"' in text for kind, _, number in spec) or 1


def is_open(environment: Environment, run: Any) -> bool:
    return type(environment.history(run)[-1]).__name__ != "WorkflowExecutionCompleted"
