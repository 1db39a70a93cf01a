"""Tasks that run where they are submitted: the local executor outside ``run()``, and subclasses of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simpleflow import Workflow, activity, base, canvas, exceptions, futures, settings, task
from simpleflow.local.executor import Executor


@activity.with_attributes()
def text_of(value: Any) -> str:
    return str(value)


@activity.with_attributes()
def total(numbers: list[int], more: int = 0) -> int:
    return sum(numbers) + more


@activity.with_attributes()
def goes_on() -> None:
    raise AssertionError("the executor below never runs it")


@activity.with_attributes()
def divides_by_zero() -> float:
    return 1 / 0


class Waiting(Executor):
    """Leaves one activity running for ever."""

    def submit(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(func, "activity", func) == goes_on:
            future: futures.Future[Any] = futures.Future()
            future.set_running()
            return future
        return super().submit(func, *args, **kwargs)


class Program(Workflow):
    name, version, task_list = "program", "1", "decisions"


class Child(Workflow):
    name, version, task_list = "Child", "1", "decisions"

    @classmethod
    def get_workflow_id(cls, *args: Any, **kwargs: Any) -> Any:
        return kwargs.get("name")

    def run(self, name: str | None = None) -> dict[str, Any]:
        inner = canvas.Chain((text_of, 2)).submit(self.executor).result
        return {**self.get_run_context(), "inner": inner}


@pytest.fixture
def executor() -> Waiting:
    made = Waiting(Program)
    made.initialize_history({})
    return made


def test_a_group_has_ended_when_its_members_have(executor: Waiting) -> None:
    done = canvas.Group((text_of, 1), (text_of, 2)).submit(executor)
    assert (done.finished, done.result, done.exception) == (True, ["1", "2"], None)
    open_ = canvas.Group((text_of, "a"), goes_on, (total, [1, 2])).submit(executor)
    assert (open_.running, open_.finished, open_.count_finished_activities) == (True, False, 2)
    assert open_._result == ["a", None, 3]
    with pytest.raises(exceptions.ExecutionBlocked):
        open_.result


def test_no_more_run_than_a_group_takes(executor: Waiting) -> None:
    assert len(canvas.Group(goes_on, goes_on, goes_on, max_parallel=2).submit(executor).futures) == 2
    some = canvas.Group((text_of, 1), goes_on, goes_on, goes_on, max_parallel=2).submit(executor)
    assert [future.state for future in some.futures] == [futures.FINISHED, futures.RUNNING, futures.RUNNING]
    assert canvas.Group((text_of, 1), (text_of, 2), (text_of, 3), max_parallel=2).submit(executor).finished


def test_a_chain_stops_where_it_waits_and_goes_on_when_submitted_again(executor: Waiting) -> None:
    chain = canvas.Chain((text_of, 1), canvas.Chain((total, [1]), goes_on), (text_of, 2))
    submitted = chain.submit(executor)
    assert (submitted.running, len(submitted.futures)) == (True, 2)
    assert [future.finished for future in submitted.futures[1].futures] == [True, False]
    chain.activities[1].activities[1] = task.ActivityTask(total, [3])
    assert chain.submit(executor).result == ["1", [1, 3], "2"]


def test_results_are_sent_on(executor: Waiting) -> None:
    sent = canvas.Chain((total, [1, 2]), (total, [2, 3]), (total, [4, 5]), send_result=True).submit(executor)
    assert sent.result == [3, 8, 17]

    def spread(many: int) -> canvas.Group:
        return canvas.Group(*((text_of, number) for number in range(many)))

    through = canvas.Chain((total, [1, 2]), canvas.FuncGroup(spread), (len_of,), send_result=True).submit(executor)
    assert through.result == [3, ["0", "1", "2"], 3]


@activity.with_attributes()
def len_of(values: list[Any]) -> int:
    return len(values)


def test_what_a_failure_in_a_canvas_gives(executor: Waiting) -> None:
    failed = canvas.Chain((text_of, 1), divides_by_zero, (text_of, 2)).submit(executor)
    assert (failed.finished, failed.result) == (True, ["1", None])
    first, second = failed.exception.exceptions
    assert first is None
    assert isinstance(second, exceptions.TaskFailed)
    assert json.loads(second.details or "")["error_type"] == "ZeroDivisionError"
    quiet = canvas.Chain(divides_by_zero, (text_of, 1), raises_on_failure=False).submit(executor)
    assert (quiet.count_finished_activities, quiet.exception) == (1, None)
    with pytest.raises(exceptions.TaskFailed):
        canvas.FuncGroup(lambda: canvas.Group(divides_by_zero), raises_on_failure=True).submit(executor)


def test_members_show_the_flags_of_their_group_and_share_nothing(executor: Waiting) -> None:
    chain = canvas.Chain((text_of, 1), divides_by_zero, raises_on_failure=True)
    assert [entry.activity.raises_on_failure for entry in chain.activities] == [True, True]
    assert not divides_by_zero.raises_on_failure
    inner, alone = canvas.Group((goes_on,), canvas.Chain((goes_on,))), task.ActivityTask(goes_on)
    strict = canvas.Group((goes_on,), raises_on_failure=False)
    outer = canvas.Group(inner, alone, strict, raises_on_failure=True)
    shown = [alone, inner.activities[0], inner.activities[1].activities[0], strict.activities[0]]
    assert [entry.activity.raises_on_failure for entry in shown] == [True, True, True, False]
    made = canvas.Chain((goes_on,))
    called = canvas.FuncGroup(lambda: made, raises_on_failure=True)
    called.submit(executor)
    assert called.activities is made
    assert made.activities[0].activity.raises_on_failure
    assert len(outer.activities) == 3


def test_signals_markers_and_timers_hurt_nobody(executor: Waiting) -> None:
    program = Program(executor)
    chain = canvas.Chain(
        (text_of, 1),
        program.signal("go", 3),
        program.wait_signal("go"),
        program.record_marker("seen", {"a": 1}),
        program.start_timer("soon", 0),
        program.cancel_timer("soon"),
        raises_on_failure=False,
    ).submit(executor)
    assert (chain.count_finished_activities, chain.exception) == (6, None)
    assert [(each.name, each.details) for each in program.list_markers()] == [("seen", {"a": 1})]
    with pytest.raises(NotImplementedError, match="never"):
        executor.submit(program.wait_signal("never"))


def test_child_workflows_run_within_their_parent(executor: Waiting) -> None:
    first, second, named = (
        canvas.Group(Child, Child, task.WorkflowTask(None, Child, name="mine")).submit(executor).result
    )
    assert first["workflow_id"] == second["workflow_id"] == "local_child"
    assert named["workflow_id"] == "mine"
    assert len({first["run_id"], second["run_id"], named["run_id"], executor.run_id}) == 4
    assert first["inner"] == ["2"]


def test_a_workflow_under_an_executor_of_ones_own() -> None:
    seen: list[Any] = []

    class Hooked(Program):
        def run(self, number: int) -> Any:
            return [
                self.submit(text_of, number).result,
                self.submit(total, [number]).result,
                self.map(text_of, [1, 2])[1].result,
            ]

        def after_closed(self, history: Any) -> None:
            seen.append("closed")

    class Replacing(Executor):
        def submit(self, func: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(func, "activity", func) == text_of:
                future: futures.Future[Any] = futures.Future()
                future.set_finished("replaced")
                return future
            return super().submit(func, *args, **kwargs)

    assert Replacing(Hooked).run({"args": [3]}) == ["replaced", 3, "replaced"]
    assert seen == ["closed"]


def test_submittables_of_ones_own(executor: Waiting) -> None:
    class Now(base.Submittable):
        def execute(self) -> int:
            return 7

    class Later(base.SubmittableContainer):
        def submit(self, executor: Any) -> Any:
            return executor.workflow.submit(Now())

    class Empty(base.Submittable):
        pass

    class Both(Program):
        def run(self) -> Any:
            return self.submit(canvas.Group(Now(), Later())).result

    assert canvas.Group(Now(), Later()).submit(executor).result == [7, 7]
    assert Executor(Both).run() == [7, 7]
    with pytest.raises(TypeError, match=r"execute\(\)"):
        executor.submit(Empty())


def test_the_result_is_what_a_future_class_of_ones_own_says(executor: Waiting) -> None:
    class Named(canvas.GroupFuture):
        def sync_result(self) -> None:
            super().sync_result()
            self._result = dict(zip("ab", self._result, strict=False))

    class Program_(Program):
        def run(self) -> Any:
            named = self.submit(canvas.Group((text_of, 1), (text_of, 2), future_class=Named))
            return [named.result, self.submit(text_of, named).result]

    assert canvas.Group((text_of, 1), (text_of, 2), future_class=Named).submit(executor).result == {"a": "1", "b": "2"}
    assert Executor(Program_).run() == [{"a": "1", "b": "2"}, "{'a': '1', 'b': '2'}"]
    assert canvas.GroupFuture([task.ActivityTask(text_of, 5)], Program(executor)).result == ["5"]


def test_a_future_of_ones_own() -> None:
    future: futures.Future[Any] = futures.Future()
    assert repr(future) == f"<Future at {id(future):#x} state=pending>"
    assert (future._state, future._result, future.pending, future.done) == (futures.PENDING, None, True, False)
    for read in ("result", "exception"):
        with pytest.raises(exceptions.ExecutionBlocked):
            getattr(future, read)
    future.set_running()
    assert future.running
    future.set_finished([1])
    assert (future.result, future.exception, future.finished, future.cancel()) == ([1], None, True, False)
    failed: futures.Future[Any] = futures.Future()
    failed.set_exception(ValueError("x"))
    assert (failed.result, str(failed.exception), failed.finished) == (None, "x", True)
    dropped: futures.Future[Any] = futures.Future()
    assert dropped.cancel()
    assert (dropped.cancelled, dropped.done, dropped.result) == (True, True, None)
    assert isinstance(dropped.exception, exceptions.TaskCanceled)


def test_a_future_of_ones_own_wakes_what_waits_for_it() -> None:
    class Program_(Program):
        def run(self) -> Any:
            own: futures.Future[Any] = futures.Future()
            waits = self.submit(canvas.Group(Given(own), (text_of, 1)))
            before = waits.finished
            own.set_finished("settled")
            return [before, waits.result]

    class Given(base.SubmittableContainer):
        def __init__(self, future: Any) -> None:
            self.future = future

        def submit(self, executor: Any) -> Any:
            return self.future

    assert Executor(Program_).run() == [False, ["settled", "1"]]


def test_middlewares_are_called_at_once(executor: Waiting) -> None:
    settings.reload()
    with_them = Executor(Program, middlewares={"pre": [f"{__name__}.before"], "post": []})
    SEEN.clear()
    assert with_them.submit(text_of, 1).result == "1"
    assert [text_of.name] == SEEN


SEEN: list[str] = []


def before(context: dict[str, Any]) -> None:
    SEEN.append(context["name"])
