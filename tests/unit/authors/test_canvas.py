"""Groups and chains."""

from __future__ import annotations

from typing import Any

import pytest

from simpleflow import Workflow, activity, canvas, exceptions, futures, task
from simpleflow.core import documents, events
from tests.backends import places

#: each test runs on the local, the embedded and the HTTP backend
pytestmark = pytest.mark.usefixtures("backend")


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def double(number: int) -> int:
    return 2 * number


@activity.with_attributes(version="1", task_list="list")
def refuse(*anything: Any) -> None:
    raise ValueError("no")


class Base(Workflow):
    name, version, task_list = "canvas", "1", "decisions"


def run(program: type, *args: Any) -> Any:
    with places.environment(program) as place:
        return place.run(program, *args)


def test_members_are_given_in_every_form() -> None:
    group = canvas.Group(double, (double, 1), task.ActivityTask(double, 2))
    group.append(double, 3)
    group.extend([(double, 4)])
    group += [canvas.Chain((double, 5))]
    assert [type(entry).__name__ for entry in group.activities] == ["ActivityTask"] * 5 + ["Chain"]
    assert [entry.args for entry in group.activities[:5]] == [[], [1], [2], [3], [4]]
    with pytest.raises(ValueError, match="cannot be a member"):
        canvas.Group(len)
    with pytest.raises(ValueError, match="has its arguments already"):
        group.append(task.ActivityTask(double), 1)


def test_sending_results_needs_breaking_on_failure() -> None:
    with pytest.raises(ValueError, match="break_on_failure"):
        canvas.Chain(send_result=True, break_on_failure=False)


def test_attributes_propagate_to_the_members_of_this_group_only() -> None:
    group = canvas.Group((refuse, 1), canvas.Group((refuse, 2)))
    group.propagate_attribute("raises_on_failure", True)
    assert group.raises_on_failure
    group.propagate_attribute("task_list", "other")
    assert group.activities[0].activity.task_list == "other"
    assert refuse.task_list == "list"


def test_a_failed_member_is_in_the_exception_and_raises_where_somebody_says_so() -> None:
    class Program(Base):
        def run(self) -> Any:
            quiet = self.submit(canvas.Group((refuse,), (double, 1), bubbles_exception_on_failure=False))
            said = [quiet.result, quiet.exception]
            plain = self.submit(canvas.Group((refuse, 1), (double, 2)))
            said += [
                plain.result,
                futures.wait(plain),
                [type(each).__name__ for each in getattr(plain.exception, "exceptions", ())],
            ]
            strict = [
                canvas.Group((refuse, 2), (double, 3), raises_on_failure=True),
                canvas.Group((double, 1), (refuse.options(raises_on_failure=True), 3)),
                canvas.Chain((double, 5), canvas.Group((refuse, 4)), raises_on_failure=True),
            ]
            for group in strict:
                try:
                    said.append(self.submit(group).result)
                except exceptions.AggregateException as error:
                    said.append([type(one).__name__ for one in error.flatten().exceptions])
            return said

    assert run(Program) == [
        [None, 2],
        None,
        [None, 4],
        [[None, 4]],
        ["TaskFailed", "NoneType"],
        ["TaskFailed", "TaskCanceled"],
        ["TaskFailed"],
        ["TaskFailed"],
    ]


def test_a_timer_that_is_cancelled_is_done_and_not_failed() -> None:
    class Program(Base):
        def run(self) -> Any:
            chain = canvas.Chain(self.start_timer("soon", 1), self.cancel_timer("late"))
            waited = self.submit(canvas.Group(self.start_timer("late", 1000), chain))
            return [futures.wait(waited), waited.exception, waited.finished, waited.futures[0].cancelled]

    assert run(Program) == [[[None, [None, None]]], None, True, True]


def test_a_chain_breaks_where_it_fails() -> None:
    class Program(Base):
        def run(self) -> Any:
            chain = self.submit(canvas.Chain((double, 1), refuse, (double, 3), bubbles_exception_on_failure=False))
            whole = self.submit(
                canvas.Chain((double, 1), refuse, (double, 3), break_on_failure=False, raises_on_failure=False)
            )
            return [chain.result, chain.count_finished_activities, whole.result]

    assert run(Program) == [[2, None], 2, [2, None, 6]]


def test_at_most_so_many_run_at_once() -> None:
    class Program(Base):
        def run(self) -> Any:
            group = self.submit(canvas.Group(*((double, number) for number in range(5)), max_parallel=2))
            return [len(group.futures), group.result]

    assert run(Program) == [2, [0, 2, 4, 6, 8]]


def test_a_function_in_a_chain_gets_the_result_before_it_and_keeps_what_was_propagated() -> None:
    class Program(Base):
        def run(self) -> Any:
            spread = canvas.FuncGroup(lambda many: canvas.Group(*((double, number) for number in range(many))))
            chain = canvas.Chain((double, 1), spread, send_result=True)
            chain.propagate_attribute("task_list", "elsewhere")
            return self.submit(chain).result

    with places.environment(Program) as place:
        run = place.start(Program)
        assert place.wait(run) == [2, [0, 2]]
        scheduled = [e for e in place.history(run) if isinstance(e, events.ActivityTaskScheduled)]
    assert {event.attributes.task_list.name for event in scheduled} == {"elsewhere"}


@pytest.mark.parametrize("none", [0, "0", None])
def test_a_max_parallel_of_0_is_no_limit_as_with_0_36(none: Any) -> None:
    class Program(Base):
        def run(self) -> Any:
            group = self.submit(canvas.Group(*((double, number) for number in range(3)), max_parallel=none))
            return [len(group.futures), group.result, self.submit(canvas.Chain((double, 2), max_parallel=none)).result]

    assert run(Program) == [3, [0, 2, 4], [4]]


def test_what_a_chain_will_submit_is_foreseen() -> None:
    from simpleflow import engine
    from simpleflow.runtime import stores
    from simpleflow.testing.histories import builder as history

    class Program(Base):
        def run(self) -> Any:
            return self.submit(canvas.Chain(*((double, number) for number in range(4)))).result

    built = history.HistoryBuilder(Program)
    decided = engine.Engine([Program], stores.payloads()).decide(built.begin_decision(whole=True))
    assert isinstance(decided, engine.Decided)
    name = double.name
    assert decided.demand == (
        documents.TaskCount(task_list="list", activity=name, state="scheduled", count=1),
        documents.TaskCount(
            task_list="list",
            activity=name,
            state="foreseen",
            count=3,
            after=(documents.After(task_list="list", activity=name, count=1),),
        ),
    )


def test_what_waits_for_arguments_says_how_many_of_which_tasks_it_waits_for() -> None:
    from simpleflow import engine
    from simpleflow.runtime import stores
    from simpleflow.testing.histories import builder as history

    class Program(Base):
        def run(self) -> Any:
            first = [self.submit(double, number) for number in range(3)]
            second = [self.submit(double, each) for each in first]
            group = self.submit(canvas.Group(*((refuse, number) for number in range(2)), max_parallel=1))
            timer = self.submit(self.start_timer("t", 10))
            return self.submit(refuse, second, group, timer).result

    built = history.HistoryBuilder(Program)
    decided = engine.Engine([Program], stores.payloads()).decide(built.begin_decision(whole=True))
    assert isinstance(decided, engine.Decided)
    two, no = double.name, refuse.name

    def count(name: str, number: int, *after: tuple[str, str, int]) -> documents.TaskCount:
        return documents.TaskCount(
            task_list="list",
            activity=name,
            state="foreseen" if after else "scheduled",
            count=number,
            after=tuple(documents.After(task_list=on, activity=other, count=each) for on, other, each in after),
        )

    assert decided.demand == (
        count(two, 3),
        count(two, 3, ("list", two, 1)),
        count(no, 1),
        count(no, 1, ("", "", 1), ("list", two, 3), ("list", no, 2)),
        count(no, 1, ("list", no, 1)),
    )


def fails_in(tree: Any) -> list[str]:
    """Return which tasks are cancelled when the only ``refuse`` of a tree fails while the others run."""
    from simpleflow import engine
    from simpleflow.core import decisions
    from simpleflow.runtime import stores
    from simpleflow.testing.histories import builder as history

    class Program(Base):
        def run(self) -> Any:
            self.submit(tree())
            return self.submit(self.start_timer("end", 10)).result

    built = history.HistoryBuilder(Program)
    running = engine.Engine([Program], stores.payloads())

    def decide() -> tuple[decisions.Decision, ...]:
        task_ = built.begin_decision(whole=False)
        decided = running.decide(task_)
        assert isinstance(decided, engine.Decided)
        built.respond(decided.decisions)
        running.acknowledged(built.run_id, task_.started_event_id)
        return decided.decisions

    decide()
    built.fail_activity(f"activity-{refuse.name}-1", "no")
    return [d.activity_id[-1] for d in decide() if isinstance(d, decisions.RequestCancelActivityTask)]


def test_a_leaf_cancels_its_open_siblings_up_to_the_first_group_that_says_no() -> None:
    def tree(outer: bool | None, middle: bool | None, inner: bool | None) -> Any:
        return canvas.Group(
            (double, 1),
            canvas.Group(
                (double, 2), canvas.Group((refuse,), (double, 3), raises_on_failure=inner), raises_on_failure=middle
            ),
            raises_on_failure=outer,
        )

    assert fails_in(lambda: tree(True, None, None)) == ["3", "2", "1"]
    assert fails_in(lambda: tree(False, True, None)) == ["3", "2"]
    assert fails_in(lambda: tree(True, False, True)) == ["3"]
    assert fails_in(lambda: tree(True, True, False)) == []
    assert fails_in(lambda: tree(None, None, None)) == []


def test_a_function_of_a_failed_future_is_not_called_and_hides_nothing() -> None:
    class Program(Base):
        def run(self) -> Any:
            called: list[Any] = []
            quiet = self.submit(refuse, 1).map(called.append)
            loud = self.submit(refuse.options(raises_on_failure=True), 2).then(called.append)
            said = [quiet.result, type(quiet.exception).__name__, type(loud.exception).__name__, called]
            try:
                loud.result
            except exceptions.TaskFailed as error:
                said.append(error.reason)
            return said

    assert run(Program) == [None, "TaskFailed", "TaskFailed", [], "ValueError: no"]
