"""Random programs x random orders of events x evictions x hand-overs: resumed and re-run evaluations are equal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from simpleflow.engine.tasks import outbox

from . import random_programs, wide_programs
from .driver import new_engine


def make(workflow: type) -> Any:
    return new_engine(workflow, random_programs.Child)


def profile(examples: int) -> Any:
    return settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )


CLASSES = [random_programs.Program, random_programs.Hooked, random_programs.Async]


@pytest.mark.parametrize("workflow", CLASSES, ids=lambda cls: cls.__name__)
def test_resumed_and_re_run_evaluations_decide_the_same(workflow: type) -> None:
    @profile(100)
    @given(random_programs.programs, random_programs.worlds)
    def holds(spec: Any, numbers: list[int]) -> None:
        random_programs.World(workflow, spec, numbers, make).play()

    holds()


def narrow(workflow: type) -> Any:
    return new_engine(workflow, random_programs.Child, bounds=outbox.Bounds(decisions=3, open_activities=3))


def test_also_where_little_fits_into_a_response_and_the_service_allows_less_than_it_says() -> None:
    @profile(100)
    @given(random_programs.programs, random_programs.worlds)
    def holds(spec: Any, numbers: list[int]) -> None:
        random_programs.World(random_programs.Program, spec, numbers, narrow, activity_limit=2).play()

    holds()


def wide(workflow: type) -> Any:
    return new_engine(workflow, random_programs.Child, wide_programs.Again, wide_programs.Fixed)


WIDE = [wide_programs.Wide, wide_programs.WideHooked]


@pytest.mark.parametrize("activity_limit", [1_000, 2])
@pytest.mark.parametrize("workflow", WIDE, ids=lambda cls: cls.__name__)
def test_also_with_what_is_rarer(workflow: type, activity_limit: int) -> None:
    @profile(150)
    @given(wide_programs.programs, random_programs.worlds)
    def holds(spec: Any, numbers: list[int]) -> None:
        wide_programs.World(workflow, spec, numbers, wide, activity_limit=activity_limit).play()

    holds()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workflow", CLASSES, ids=lambda cls: cls.__name__)
def test_resumed_and_re_run_evaluations_decide_the_same_long(workflow: type) -> None:
    @settings(profile(3_000), derandomize=False)
    @given(random_programs.programs, random_programs.worlds)
    def holds(spec: Any, numbers: list[int]) -> None:
        random_programs.World(workflow, spec, numbers, make).play()

    holds()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workflow", WIDE, ids=lambda cls: cls.__name__)
def test_also_with_what_is_rarer_long(workflow: type) -> None:
    @settings(profile(3_000), derandomize=False)
    @given(wide_programs.programs, random_programs.worlds)
    def holds(spec: Any, numbers: list[int]) -> None:
        wide_programs.World(workflow, spec, numbers, wide, activity_limit=2 if len(numbers) % 2 else 1_000).play()

    holds()
