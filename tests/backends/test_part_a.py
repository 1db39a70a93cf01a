"""What 0.36's users know, and policies and sagas beside it, each on three backends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simpleflow import Workflow, registry
from simpleflow.core import events
from simpleflow.testing import Failed
from tests.backends import surface
from tests.backends.places import Backend


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    surface.RAN.clear()


def of(found: list[Any], kind: type) -> list[Any]:
    return [event.attributes for event in found if isinstance(event, kind)]


def test_activities_are_functions_classes_and_tasks(backend: Backend) -> None:
    result, history = backend.played(surface.Activities)
    assert result[0] == 2
    assert result[1] == 5
    assert result[2] == 6
    assert result[3:] == [[3, "1"], 6, "x", [2, 3], [3, 7]]
    assert "post_execute" in surface.RAN
    ids = [said.activity_id for said in of(history, events.ActivityTaskScheduled)]
    assert ids[0] == f"activity-{surface.add.name}-1"
    assert f"activity-{surface.named.name}-of-x" in ids
    first = of(history, events.ActivityTaskScheduled)[0]
    assert first.input == '{"args":[1],"kwargs":{}}'
    assert registry.registry[None][surface.add.name] is surface.add


def test_other_languages_get_plain_arguments(backend: Backend) -> None:
    result, history = backend.played(surface.Raw)
    assert result == [3, 7]
    inputs = [said.input for said in of(history, events.ActivityTaskScheduled)]
    assert inputs == ["[1,2]", '{"left":3,"right":4}']


def test_children_are_what_their_class_says(backend: Backend) -> None:
    place = backend.environment(surface.Parent, surface.Child, surface.Inherits)
    run = place.start(surface.Parent)
    result = place.wait(run)
    keys = sorted(
        [
            "name",
            "version",
            "domain_name",
            "workflow_id",
            "run_id",
            "tag_list",
            "continued_execution_run_id",
            "parent_workflow_id",
            "parent_run_id",
        ]
    )
    assert result[:3] == [[number, [f"v={number}"], True, keys] for number in (1, 2, 3)]
    assert result[3:] == [["p"], ["p"]]
    started = of(place.history(run), events.StartChildWorkflowExecutionInitiated)
    assert len(started) == 4
    assert {said.workflow_type.name for said in started} == {
        f"{cls.__module__}.{cls.__qualname__}" for cls in (surface.Child, surface.Inherits)
    }
    child = next(said for said in started if said.workflow_id == "child-of-2")
    assert (child.execution_start_to_close_timeout, child.task_start_to_close_timeout) == ("600", "60")
    assert (child.child_policy, child.task_priority) == ("REQUEST_CANCEL", "7")
    assert started[0].workflow_id.startswith(f"workflow-child-{run.workflow_id}--")
    assert json.loads(started[0].input)["__extra"]["class"] == started[0].workflow_type.name


def test_failures_are_read_as_with_0_36(backend: Backend) -> None:
    result = backend.run(surface.Failures)
    assert result[:5] == [None, "TaskFailed", "ValueError: 1", "ValueError: 2", None]
    assert "Workflow execution failed: no luck" in result[5]


def test_retries_are_at_once_or_as_a_policy_says(backend: Backend) -> None:
    result = backend.run(surface.Retried)
    assert result == ["t", 0.0, "TaskFailed", 30.0, "TaskFailed", 0.0]
    assert surface.RAN == ["t"] * 3 + ["os"] * 3 + ["key"]


def test_futures_have_states_and_are_waited_for_and_cancelled(backend: Backend) -> None:
    result = backend.run(surface.Futures)
    assert result[:6] == [1, 1, True, "FINISHED", True, True]
    assert result[6:] == ["TaskCanceled", [2, 6], [2, 2], 0, 1]


def test_canvas_gives_lists_and_keeps_to_its_flags(backend: Backend) -> None:
    assert backend.run(surface.Canvas) == [
        [2, 3, 4, 5],
        [2, 3],
        [[2, 3, 4, 5], [3, 4, 5, 6]],
        [None],
        1,
        "AggregateException",
        [None, 2],
    ]


def test_signals_markers_and_timers(backend: Backend) -> None:
    assert backend.run(surface.Signals) == [[1], {"two": 2}, "TaskCanceled", 2, 3, True, {"a": 1}, True, True, None]


def test_a_run_continues_as_new(backend: Backend) -> None:
    assert backend.run(surface.Continues, 2) == [2, True]


def test_a_saga_undoes_what_was_done_newest_first(backend: Backend) -> None:
    assert backend.run(surface.Saga, "done") == "done"
    assert surface.RAN == ["hotel", "car"]
    surface.RAN.clear()
    assert backend.run(surface.Saga, "fail") == "undone"
    assert surface.RAN == ["hotel", "car", "no car", "no hotel"]


def test_a_saga_undoes_what_was_done_when_it_is_cancelled(backend: Backend) -> None:
    place = backend.environment(surface.Scoped)
    run = place.start(surface.Scoped, "cancel")
    place.settle()
    assert surface.RAN == ["hotel", "car"]
    place.cancel(run)
    with pytest.raises(Failed) as raised:
        place.wait(run)
    assert raised.value.status == "CANCELED"
    assert surface.RAN == ["hotel", "car", "no car", "no hotel"]


def test_a_workflow_bounds_its_open_activities(backend: Backend) -> None:
    result, history = backend.played(surface.Bounded)
    assert result == list(range(6))
    opened = most = 0
    for event in history:
        opened += isinstance(event, events.ActivityTaskScheduled)
        opened -= isinstance(event, events.ActivityTaskCompleted)
        most = max(most, opened)
    assert most == 2


def test_every_workflow_here_is_one() -> None:
    flows = [found for found in vars(surface).values() if isinstance(found, type) and issubclass(found, Workflow)]
    assert len({flow.name for flow in flows if "name" in vars(flow)}) == len(flows) - 2
