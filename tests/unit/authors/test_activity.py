"""Activities as their authors declare them."""

from __future__ import annotations

from typing import Any

import pytest

from simpleflow import activity, exceptions, registry, settings, task


@activity.with_attributes(task_list="render", retry=2, raises_on_failure=True, heartbeat_timeout=None, meta={"a": 1})
def render(scene: str, frame: int = 1) -> str:
    """Render one frame."""
    return f"{scene}-{frame}"


@activity.with_attributes(version="7")
class Count:
    def __init__(self, start: int) -> None:
        self.start = start

    def execute(self) -> int:
        return self.start + 1


@activity.with_attributes()
class Named:
    name = "its.own.name"

    def execute(self) -> None:
        return


def test_what_is_declared_can_be_read() -> None:
    assert render.name == f"{__name__}.render"
    assert (render.task_list, render.retry, render.raises_on_failure) == ("render", 2, True)
    assert render.version == settings.ACTIVITY_DEFAULT_VERSION
    assert render.task_start_to_close_timeout == settings.ACTIVITY_START_TO_CLOSE_TIMEOUT
    assert render.task_heartbeat_timeout is None
    assert render.task_priority is activity.PRIORITY_NOT_SET
    assert render.idempotent is None
    assert render.meta == {"a": 1}
    assert render.__doc__ == "Render one frame."
    assert render.callable("x", 2) == "x-2"
    assert render.context is None


def test_the_name_of_a_class_activity() -> None:
    assert Count.name == f"{__name__}.Count"
    assert Named.name == "its.own.name"
    assert activity.Activity(print, "given").name == "given"


def test_outside_a_workflow_calling_it_runs_it() -> None:
    assert render("scene", frame=3) == "scene-3"
    assert Count(4) == 5


def test_it_registers_itself() -> None:
    assert registry.registry[None][render.name] is render


def test_options_give_a_copy_for_one_submission() -> None:
    other = render.options(task_list="gpu", start_to_close_timeout=60, retry=0)
    assert (other.task_list, other.task_start_to_close_timeout, other.retry) == ("gpu", 60, 0)
    assert (render.task_list, render.retry) == ("render", 2)
    assert other.name == render.name
    assert registry.registry[None][render.name] is render


def test_attributes_can_be_propagated_but_not_invented() -> None:
    declared = activity.Activity(print, "propagated")
    declared.propagate_attribute("raises_on_failure", True)
    assert declared.raises_on_failure
    with pytest.raises(exceptions.Misuse, match="no attribute 'colour'"):
        declared.propagate_attribute("colour", "red")


def test_a_task_keeps_its_arguments_and_runs_here_when_asked() -> None:
    made = task.ActivityTask(render, "scene", frame=2, context={"x": 1})
    assert made.name == f"activity-{render.name}"
    assert (made.args, made.kwargs, made.context) == (["scene"], {"frame": 2}, {"x": 1})
    assert made.execute() == "scene-2"


def test_a_task_of_another_language_has_one_list_or_one_object() -> None:
    with pytest.raises(ValueError, match="not both"):
        task.NonPythonicActivityTask(render, 1, frame=2)


def test_propagating_to_a_task_leaves_the_shared_activity_alone() -> None:
    made = task.ActivityTask(render, "scene")
    made.propagate_attribute("raises_on_failure", False)
    assert not made.activity.raises_on_failure
    assert render.raises_on_failure


def test_a_retry_policy_chooses_by_error_and_bounds_its_delays() -> None:
    policy = activity.RetryPolicy(max_attempts=4, initial=2, backoff=3, maximum=10, give_up_on=(KeyError, "Fatal"))
    assert [policy.delay(n, 0.0) for n in (1, 2, 3)] == [2, 6, 10]
    details = '{"error":"KeyError","error_type":"KeyError","message":"","traceback":""}'
    for error, wanted in (
        (exceptions.TaskFailed("a", "KeyError: x", details), False),
        (exceptions.TaskFailed("a", "Fatal: x"), False),
        (exceptions.TaskFailed("a", "ValueError: x"), True),
        (exceptions.TimeoutError("HEARTBEAT"), True),
    ):
        assert policy.wants(error) is wanted, error
    only = activity.RetryPolicy(retry_on=("HEARTBEAT",))
    assert only.wants(exceptions.TimeoutError("HEARTBEAT"))
    assert not only.wants(exceptions.TaskFailed("a", "ValueError: x"))


def test_get_actual_value_looks_into_futures_only() -> None:
    from simpleflow import futures

    value: Any = futures.Future.settled(3)
    assert task.get_actual_value(value) == 3
    assert task.get_actual_value("plain") == "plain"
