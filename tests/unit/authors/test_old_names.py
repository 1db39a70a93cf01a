"""What 0.36's programs call beside the usual: tasks and futures outside an execution, dispatchers by function."""

from __future__ import annotations

import time
from typing import Any

import pytest

from simpleflow import Workflow, activity, dispatch, exceptions, futures, registry, settings, task
from simpleflow.dispatch import by_module, dry_run, from_task_registry
from simpleflow.dispatch import exceptions as dispatching
from simpleflow.testing import Environment


@activity.with_attributes(version="1", task_list="work")
def double(value: int) -> int:
    return 2 * value


class Doubles(Workflow):
    name, version, task_list = "doubles", "1", "decisions"

    def run(self, value: int) -> Any:
        future = self.submit(double, value)
        future.wait()
        return future.result


def test_a_future_is_waited_for_by_its_method() -> None:
    with pytest.raises(exceptions.ExecutionBlocked):
        futures.Future().wait()
    done: futures.Future[int] = futures.Future()
    done.set_finished(1)
    done.wait()
    with Environment() as environment:
        assert environment.run(Doubles, 4) == 8
    assert futures.CANCELLED_AND_NOTIFIED == "CANCELLED_AND_NOTIFIED"


def test_tasks_are_executed_here_and_now() -> None:
    class Adds(Workflow):
        name, version, task_list = "adds", "1", "decisions"

        def run(self, left: int, right: int = 1) -> Any:
            return left + right

    assert task.WorkflowTask(None, Adds, 1, right=2).execute() == 3
    begun = time.monotonic()
    task.TimerTask("t", 0.01).execute()
    assert time.monotonic() - begun < 30
    nothing = (task.SignalTask("s"), task.MarkerTask("m", "details"), task.CancelTimerTask("t"))
    assert [each.execute() for each in nothing] == [None] * 3
    assert (nothing[1].args, nothing[1].kwargs) == (["details"], {})


def test_dispatchers_give_functions() -> None:
    assert dry_run.DryRunDispatcher().dispatch("a.b")(1) is None
    found = from_task_registry.RegistryDispatcher(registry.registry, None, workflow=None).dispatch(double.name)
    assert found(3) == 6
    assert by_module.ModuleDispatcher(dispatch).dispatch("exceptions.DispatchError") is dispatching.DispatchError
    mapped = by_module.ModuleDispatcher(dispatch, {"old": "exceptions"})
    assert mapped.dispatch("old.DispatchError") is dispatching.DispatchError
    with pytest.raises(dispatching.DispatchError, match=r"new\.DispatchError"):
        mapped.dispatch("new.DispatchError")


def test_a_setting_is_put_by_its_key() -> None:
    settings.put_setting(key="STEP_BUCKET", value="mine")
    try:
        assert settings.STEP_BUCKET == "mine"
    finally:
        settings.reload()
