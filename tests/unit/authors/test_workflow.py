"""What a Workflow may submit, and what its methods give."""

from __future__ import annotations

from typing import Any

import pytest

from simpleflow import Workflow, activity, canvas, task
from simpleflow.engine import hooks
from simpleflow.local import Executor
from simpleflow.testing import environment
from tests.backends import places

#: each test runs on the local, the embedded and the HTTP backend
pytestmark = pytest.mark.usefixtures("backend")


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def double(number: int) -> int:
    return 2 * number


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
class Add:
    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def execute(self) -> int:
        return sum(self.numbers)


class Base(Workflow):
    name, version, task_list = "workflows", "1", "decisions"


class Child(Workflow):
    name, version, task_list = "child", "1", "decisions"

    def run(self, number: int) -> Any:
        return self.submit(double, number).result


def run(program: type, *args: Any, **kwargs: Any) -> Any:
    with places.environment(program, Child) as place:
        return place.run(program, *args, **kwargs)


def test_everything_that_can_be_submitted() -> None:
    class Program(Base):
        def run(self) -> Any:
            return [
                self.submit(double, 1).result,
                self.submit(double, number=2).result,
                self.submit(Add, 1, 2).result,
                self.submit(Add(3, 4)).result,
                self.submit(task.ActivityTask(double, 5)).result,
                self.submit(Child, 6).result,
                self.submit(task.ChildWorkflowTask(Child, 7)).result,
                self.submit(canvas.Group((double, 1), (double, 2))).result,
                self.submit(canvas.Chain((double, 3), double, send_result=True)).result,
                self.submit(canvas.FuncGroup(lambda n: canvas.Group((double, n)), 4)).result,
                [future.result for future in self.starmap(Add, [(1, 1), (2, 2)])],
            ]

    assert run(Program) == [2, 4, 3, 7, 10, 12, 14, [2, 4], [6, 12], [8], [2, 4]]


def test_anything_else_is_a_type_error_that_says_what_to_pass() -> None:
    class Program(Base):
        def run(self) -> Any:
            try:
                self.submit(len, [1])
            except TypeError as error:
                return str(error)
            return None

    assert "with_attributes" in run(Program)


def test_arguments_may_be_futures_in_lists_and_dictionaries() -> None:
    class Program(Base):
        def run(self) -> Any:
            parts = [self.submit(double, number) for number in (1, 2)]
            return self.submit(collect, parts, {"last": parts[-1]}).result

    assert run(Program) == [[2, 4], {"last": 4}]


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def collect(parts: list[int], named: dict[str, int]) -> Any:
    return [parts, named]


def test_the_run_context_has_the_same_keys_everywhere() -> None:
    class Program(Base):
        def run(self) -> Any:
            return sorted(self.get_run_context())

    assert run(Program) == [
        "continued_execution_run_id",
        "domain_name",
        "name",
        "parent_run_id",
        "parent_workflow_id",
        "run_id",
        "tag_list",
        "version",
        "workflow_id",
    ]


def test_markers_are_listed_newest_of_each_name_or_all() -> None:
    class Program(Base):
        def run(self) -> Any:
            for details in (1, 2):
                self.submit(self.record_marker("m", details)).result
            self.submit(self.record_marker("n")).result
            newest = [(found.name, found.details) for found in self.list_markers()]
            return [newest, len(self.list_markers(all=True)), self.get_event_details("marker", "m")["details"]]  # type: ignore[index]

    assert run(Program) == [[["m", 2], ["n", None]], 3, 2]


def test_details_of_unknown_event_types_are_refused() -> None:
    class Program(Base):
        def run(self) -> Any:
            assert self.get_event_details("signal", "none") is None
            with pytest.raises(ValueError, match="signal, marker or timer"):
                self.get_event_details("activity", "x")

    assert run(Program) is None


def test_a_new_run_goes_on_with_new_arguments() -> None:
    class Program(Base):
        def run(self, left: int, *, done: int = 0) -> Any:
            if left:
                self.submit(self.continue_as_new(left - 1, done=done + 1))
            return done

    assert run(Program, 3) == 3


def test_submitting_a_cancel_closes_as_canceled() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(self.start_timer("long", 1000))
            self.submit(self.cancel())

    with pytest.raises(environment.Failed) as raised:
        run(Program)
    assert raised.value.status == "CANCELED"


def test_fail_fails() -> None:
    class Program(Base):
        def run(self) -> Any:
            self.fail("enough", {"left": 3})

    with pytest.raises(environment.Failed) as raised:
        run(Program)
    assert raised.value.reason == "Workflow execution failed: enough"
    assert raised.value.details == '{"left":3}'


def test_each_evaluation_has_a_fresh_instance() -> None:
    class Program(Base):
        def __init__(self, executor: Any) -> None:
            super().__init__(executor)
            self.items: list[int] = []

        def run(self) -> Any:
            self.items.append(1)
            self.submit(double, len(self.items)).result
            return len(self.items)

    assert run(Program) == 1


def test_hooks_of_the_base_class_are_never_called() -> None:
    assert hooks.hooks_of(Base) == frozenset()

    class Hooked(Base):
        def on_completed(self, history: Any) -> None: ...

    assert hooks.hooks_of(Hooked) == {"on_completed"}


def test_async_def_run() -> None:
    class Program(Base):
        async def run(self) -> Any:
            one = await self.submit(double, 1)
            from simpleflow import futures

            both = await futures.gather(self.submit(double, one), self.half(8))
            return [one, both]

        async def half(self, number: int) -> int:
            return (await self.submit(double, number)) // 4

    assert run(Program) == [2, [4, 4]]


def test_outside_an_evaluation_a_task_runs_at_once() -> None:
    workflow = Base(Executor(Base))
    assert workflow.submit(double, 4).result == 8
    assert [future.result for future in workflow.map(double, [1, 2])] == [2, 4]
    assert workflow.get_run_context()["workflow_id"] == "local_workflows"


def test_strict_mode_does_not_take_the_garbage_collector_for_the_program() -> None:
    import gc
    import time

    seen: list[float] = []

    def callback(phase: str, info: Any) -> None:
        seen.append(time.perf_counter())

    class Program(Base):
        strict = True

        def run(self) -> Any:
            gc.collect()
            return self.submit(double, 1).result

    gc.callbacks.append(callback)
    try:
        assert run(Program) == 2
    finally:
        gc.callbacks.remove(callback)
    assert seen
