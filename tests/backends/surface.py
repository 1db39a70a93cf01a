"""Workflows and activities with 0.36's public names, and what is new beside them."""

from __future__ import annotations

from typing import Any

from simpleflow import Workflow, activity, canvas, exceptions, futures
from simpleflow.task import (
    ActivityTask,
    CancelTimerTask,
    ChildWorkflowTask,
    MarkerTask,
    NonPythonicActivityTask,
    SignalTask,
    TimerTask,
)
from simpleflow.testing import takes

#: what ran, in order
RAN: list[Any] = []


def declared(**options: Any) -> Any:
    return activity.with_attributes(**{"version": "1", "task_list": "work", **options})


@declared()
def add(left: Any, right: Any = 1) -> Any:
    RAN.append(left)
    return left + right


@declared()
def total(numbers: Any, more: Any = ()) -> Any:
    return sum(numbers) + sum(more)


@declared()
class Whole:
    """A class with everything."""

    context: Any = None

    def __init__(self, value: int) -> None:
        self.value = value

    def execute(self) -> Any:
        return [self.value, self.context["version"]]

    def post_execute(self) -> None:
        RAN.append("post_execute")


@declared()
def named(value: str) -> str:
    return value


named.callable.get_task_id = lambda workflow, value: f"of-{value}"


@declared(retry=2, raises_on_failure=True)
def third(value: Any) -> Any:
    RAN.append(value)
    if RAN.count(value) < 3:
        raise OSError(value)
    return value


@declared(retry=activity.RetryPolicy(max_attempts=3, initial=10, backoff=2, retry_on=("OSError",)))
def waits(kind: str) -> Any:
    RAN.append(kind)
    raise OSError(kind) if kind == "os" else KeyError(kind)


@declared()
def fails(value: Any = None) -> None:
    raise ValueError(str(value))


@declared(raises_on_failure=True)
def hard(value: Any = None) -> None:
    raise ValueError(str(value))


@declared()
def slow(value: Any) -> Any:
    takes(50)
    return value


class Base(Workflow):
    """What all have in common."""

    version, task_list = "1", "decisions"


class Activities(Base):
    """Every kind of activity."""

    name = "activities"

    def run(self) -> Any:
        return [
            self.submit(add, 1).result,
            self.submit(add, self.submit(add, 1), right=self.submit(add, 2)).result,
            self.submit(total, [1, self.submit(add, 1)], more=[self.submit(add, 2)]).result,
            self.submit(Whole, 3).result,
            self.submit(ActivityTask(add, 4, right=2)).result,
            self.submit(named, "x").result,
            [future.result for future in self.map(add, [1, 2])],
            [future.result for future in self.starmap(add, [(1, 2), (3, 4)])],
        ]


class Raw(Base):
    """Sends arguments without the envelope."""

    name = "raw"

    def run(self) -> Any:
        return [
            self.submit(NonPythonicActivityTask(add, 1, 2)).result,
            self.submit(NonPythonicActivityTask(add, left=3, right=4)).result,
        ]


class Child(Base):
    """A child with everything that a class may say of itself."""

    name = "child"
    execution_timeout = 600
    decision_tasks_timeout = 60
    child_policy = "REQUEST_CANCEL"
    task_priority = 7

    @classmethod
    def get_workflow_id(cls, value: Any, **kwargs: Any) -> Any:
        return f"child-of-{value}" if kwargs.get("own") else None

    @staticmethod
    def get_tag_list(value: Any, **kwargs: Any) -> Any:
        return [f"v={value}"]

    def get_task_list(cls: Any, value: Any, **kwargs: Any) -> Any:
        return "decisions"

    def run(self, value: Any, own: bool = False) -> Any:
        said = self.get_run_context()
        return [value, said["tag_list"], said["parent_workflow_id"] is not None, sorted(said)]


class Inherits(Base):
    """A child that takes its parent's tags."""

    name = "inherits"
    tag_list = Workflow.INHERIT_TAG_LIST
    idempotent = True

    def run(self) -> Any:
        return self.get_run_context()["tag_list"]


class Parent(Base):
    """Starts children in every way."""

    name = "parent"
    tag_list = ["p"]

    def run(self) -> Any:
        opened = [
            self.submit(Child, 1),
            self.submit(Child, 2, own=True),
            self.submit(ChildWorkflowTask(Child, 3, workflow_task_list="decisions")),
            self.submit(Inherits),
            self.submit(Inherits),
        ]
        return futures.wait(*opened)


class FailingChild(Base):
    """Fails."""

    name = "failing-child"
    raises_on_failure = False

    def run(self) -> Any:
        self.fail("no luck", {"why": 1})


class Failures(Base):
    """Reads failures in every way."""

    name = "failures"

    def run(self) -> Any:
        soft = self.submit(fails, 1)
        said = [soft.result, type(soft.exception).__name__, soft.exception.reason]
        try:
            self.submit(hard, 2).result
        except exceptions.TaskFailed as error:
            said.append(error.reason)
        child = self.submit(FailingChild)
        said += [child.result, child.exception.reason]
        return said


class Retried(Base):
    """Retries at once, and by a policy."""

    name = "retried"

    def run(self) -> Any:
        begun = self.now()
        said = [self.submit(third, "t").result, (self.now() - begun).total_seconds()]
        for kind in ("os", "key"):
            begun = self.now()
            said += [type(self.submit(waits, kind).exception).__name__, (self.now() - begun).total_seconds()]
        return said


class Futures(Base):
    """States, waits and cancellation."""

    name = "futures"

    def run(self) -> Any:
        quick, late = self.submit(add, 1), self.submit(slow, 2)
        done, pending = futures.wait([late, quick], return_when=futures.FIRST_COMPLETED)
        said = [len(list(done)), len(list(pending)), quick.finished, quick.state, late.cancel(), late.cancelled]
        said += [type(late.exception).__name__, futures.wait(quick, self.submit(add, 5)), futures.gather(quick, quick)]
        done, pending = futures.wait([self.submit(slow, 3)], timeout=10)
        return [*said, len(list(done)), len(list(pending))]


class Canvas(Base):
    """Groups, chains and functions."""

    name = "canvas"

    def run(self) -> Any:
        group = canvas.Group(max_parallel=2)
        group.append(add, 1)
        group += [(add, 2), (add, 3)]
        group.extend([(add, 4)])
        function = canvas.FuncGroup(lambda found: canvas.Group(*[(add, number) for number in found]))
        soft = canvas.Chain((fails, 1), (add, 9), raises_on_failure=False)
        future = self.submit(soft)
        return [
            self.submit(group).result,
            self.submit(canvas.Chain((add, 1), add, send_result=True)).result,
            self.submit(canvas.Chain(group, function, send_result=True)).result,
            future.result,
            future.count_finished_activities,
            type(self.submit(canvas.Group((fails, 1), (add, 1))).exception).__name__,
            self.submit(canvas.Chain((fails, 1), (add, 1), break_on_failure=False)).result,
        ]


class Signals(Base):
    """Signals, markers, timers."""

    name = "signals"

    def run(self) -> Any:
        waited = self.submit(self.wait_signal("s"))
        self.submit(self.signal("s", 1, two=2))
        first = waited.result
        missed = self.submit(self.wait_signal("s", timeout=5))
        said = [first["args"], first["kwargs"], type(missed.exception).__name__]
        self.submit(SignalTask("t", workflow_id=None))
        futures.wait(self.submit(self.wait_signal("t")))
        self.submit(self.record_marker("m", {"n": 1}))
        self.submit(MarkerTask("m", 2))
        self.submit(self.record_marker("o")).result
        said += [len(self.list_markers()), len(self.list_markers(all=True))]
        timer = self.submit(TimerTask("long", 100))
        self.submit(self.start_timer("short", 3, control={"a": 1})).result
        self.submit(CancelTimerTask("long")).result
        said += [timer.done, self.get_event_details("timer", "short")["control"]]
        said += [self.get_event_details(*asked) is not None for asked in (("signal", "s"), ("marker", "m"))]
        return [*said, self.get_event_details("marker", "none")]


class Continues(Base):
    """Continues as new."""

    name = "continues"

    def run(self, left: int, *, seen: int = 0) -> Any:
        if left:
            self.submit(self.continue_as_new(left - 1, seen=seen + 1)).result
        return [seen, self.get_run_context()["continued_execution_run_id"] is not None]


class Saga(Base):
    """Undoes what was done."""

    name = "saga"

    def run(self, ending: str) -> Any:
        try:
            with self.compensate() as saga:
                for step in ("hotel", "car"):
                    self.submit(add, step, "!").result
                    saga.add(add, f"no {step}", "!")
                if ending == "fail":
                    self.submit(hard, "flight").result
                if ending == "cancel":
                    self.submit(self.wait_signal("never")).result
        except exceptions.TaskFailed:
            return "undone"
        return "done"


class Scoped(Saga):
    """The same in a scope that a cancel request reaches."""

    name = "scoped"

    def run(self, ending: str) -> Any:
        with self.cancel_scope():
            return super().run(ending)


class Bounded(Base):
    """At most two activities are open at once."""

    name = "bounded"
    max_open_activities = 2

    def run(self) -> Any:
        return futures.wait(*[self.submit(slow, number) for number in range(6)])
