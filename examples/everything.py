"""One workflow that uses most of what simpleflow has. It gives the same result and decides the same on every backend.

    simpleflow workflow.start --local --virtual-time examples.everything.Everything -i '["tea"]'
    simpleflow standalone examples.everything.Everything -i '["tea"]'
    python -m examples.everything            # in virtual time, as a test would

Each method below is one feature, by the name under which its result stands. The run continues as new in the middle.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
from typing import Any

from simpleflow import Workflow, activity, canvas, exceptions, futures, task
from simpleflow.activity import RetryPolicy
from simpleflow.testing import Environment

WORK = "everything-work"
DECISIONS = "everything-decisions"


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@dataclasses.dataclass
class Order:
    name: str
    price: decimal.Decimal
    due: datetime.date
    sizes: set[Size]


@activity.with_attributes(version="1", task_list=WORK, raises_on_failure=True)
def double(number: int) -> int:
    return 2 * number


@activity.with_attributes(version="1", task_list=WORK, raises_on_failure=True)
async def twice(text: str) -> str:
    return text + text


@activity.with_attributes(version="1", task_list=WORK, raises_on_failure=True)
class Total:
    def __init__(self, *numbers: int, start: int = 0) -> None:
        self.numbers, self.start = numbers, start

    def execute(self) -> int:
        return sum(self.numbers, self.start)


@activity.with_attributes(version="1", task_list=WORK, raises_on_failure=True)
def add(numbers: list[int], more: dict[str, int]) -> int:
    return sum(numbers) + sum(more.values())


@activity.with_attributes(version="1", task_list=WORK, raises_on_failure=True, idempotent=True)
def once(name: str) -> str:
    return f"{name} once"


@activity.with_attributes(version="1", task_list=WORK, retry=1)
def refuse(word: str) -> None:
    raise ValueError(f"no {word}")


@activity.with_attributes(version="1", task_list=WORK, raises_on_failure=True)
def reprice(order: Order) -> Order:
    return dataclasses.replace(order, price=order.price * 2, sizes={Size.LARGE})


@activity.with_attributes(version="1", task_list=WORK, raises_on_failure=True)
def write_book(pages: int) -> str:
    return "page " * pages


@activity.with_attributes(version="1", task_list=WORK, raises_on_failure=True)
def book(place: str) -> str:
    if place == "hotel":
        raise RuntimeError("the hotel is full")
    return f"{place} booked"


@activity.with_attributes(version="1", task_list=WORK)
def unbook(place: str) -> str:
    return f"{place} free again"


class Part(Workflow):
    """A child; its tags are those of its parent."""

    name, version, task_list = "everything-part", "1", DECISIONS
    tag_list = Workflow.INHERIT_TAG_LIST

    def run(self, number: int) -> dict[str, Any]:
        return {"doubled": self.submit(double, number).result, "tags": self.get_run_context()["tag_list"]}


class AsyncPart(Workflow):
    """A child whose ``run()`` is a coroutine."""

    name, version, task_list = "everything-async-part", "1", DECISIONS

    async def run(self, count: int) -> list[int]:
        found = [await each async for each in futures.as_completed([self.submit(double, n) for n in range(count)])]
        return sorted(found)


class FailingPart(Workflow):
    name, version, task_list = "everything-failing-part", "1", DECISIONS
    raises_on_failure = False

    def run(self) -> None:
        self.fail("on purpose", "with details")


class Everything(Workflow):
    """The methods that ``FIRST`` and ``SECOND`` name, one after the other; the second half in a run of its own."""

    name, version, task_list = "everything", "1", DECISIONS
    execution_timeout = datetime.timedelta(days=400) - datetime.timedelta(days=36)
    decision_tasks_timeout = datetime.timedelta(minutes=1)
    tag_list = ("example", "everything")
    strict = True

    def run(self, word: str, found: dict[str, Any] | None = None) -> dict[str, Any]:
        if found is None:
            first = {feature: getattr(self, feature)(word) for feature in FIRST}
            self.submit(self.continue_as_new(word, found=first))
        assert found is not None
        return {**found, **{feature: getattr(self, feature)(word) for feature in SECOND}}

    # -- activities

    def arguments_that_are_futures(self, word: str) -> Any:
        numbers = [self.submit(double, number) for number in (1, 2)]
        return self.submit(add, numbers, {"last": numbers[-1]}).result

    def class_activities(self, word: str) -> Any:
        return futures.wait(self.submit(Total, 1, 2, start=3), self.submit(Total(4, 5)))

    def coroutine_activities(self, word: str) -> Any:
        return self.submit(twice, word).result

    def idempotent_tasks(self, word: str) -> Any:
        return [self.submit(once, word).result, self.submit(once, word).result]

    def options_of_one_submission(self, word: str) -> Any:
        hurried = double.options(task_list=f"{WORK}-hurried", start_to_close_timeout=datetime.timedelta(minutes=2))
        return self.submit(hurried, 21, __priority=5).result

    def failures(self, word: str) -> Any:
        failed = self.submit(refuse, word)
        try:
            raised = self.submit(refuse.options(raises_on_failure=True, retry=0), "way").result
        except exceptions.TaskFailed as error:
            raised = error.reason
        return [failed.result, failed.exception.reason, raised]  # type: ignore[union-attr]  # it failed

    def retries_with_delays(self, word: str) -> Any:
        policy = RetryPolicy(max_attempts=3, initial=datetime.timedelta(seconds=1), backoff=1, retry_on=("ValueError",))
        return type(self.submit(refuse.options(retry=policy), f"{word} at all").exception).__name__

    def failure_hook(self, word: str) -> Any:
        return [self.submit(refuse, "ignored").result, self.submit(refuse, "ignored").exception]

    def on_task_failure(self, failure_context: task.TaskFailureContext) -> task.TaskFailureContext | None:
        return failure_context.decide_ignore() if failure_context.task_message == "no ignored" else None

    def typed_values(self, word: str) -> Any:
        order = self.submit(
            reprice, Order(word, decimal.Decimal("2.50"), datetime.date(2026, 1, 31), {Size.SMALL})
        ).result
        return [type(order).__name__, str(order.price), order.due.isoformat(), [size.name for size in order.sizes]]

    def large_values(self, word: str) -> Any:
        return len(self.submit(write_book, 20_000).result)

    def local_activities(self, word: str) -> Any:
        return self.submit_local(double, 8).result

    # -- several

    def fan_out(self, word: str) -> Any:
        return futures.wait(*self.map(double, range(5)), *self.starmap(Total, [(1, 1), (2, 2)]))

    def composed_futures(self, word: str) -> Any:
        doubled = self.submit(double, 4)
        return [doubled.map(str).result, doubled.then(lambda number: self.submit(double, number)).result]

    def arms_side_by_side(self, word: str) -> Any:
        def arm(number: int) -> Any:
            return self.submit(double, self.submit(double, number).result).result

        return futures.gather(lambda: arm(1), lambda: arm(2), self.submit(double, 50))

    def first_of_several(self, word: str) -> Any:
        quick, slow = self.submit(double, 3), self.submit(self.start_timer("slow", datetime.timedelta(days=30)))
        done, not_done = futures.wait([quick, slow], return_when=futures.FIRST_COMPLETED)
        return [len(done), len(not_done), slow.cancel(), slow.cancelled]

    def waits_with_an_end(self, word: str) -> Any:
        done, not_done = futures.wait([self.submit(self.wait_signal("never", timeout=7200))], timeout=1)
        return [len(done), len(not_done)]

    # -- canvas

    def groups(self, word: str) -> Any:
        return self.submit(canvas.Group(*((double, number) for number in range(4)), max_parallel=2)).result

    def chains(self, word: str) -> Any:
        spread = canvas.FuncGroup(lambda many: canvas.Group(*((double, number) for number in range(many))))
        return self.submit(canvas.Chain((double, 1), (double,), spread, send_result=True)).result

    def failing_canvas(self, word: str) -> Any:
        chain = canvas.Chain((double, 1), (refuse, "further"), (double, 2), bubbles_exception_on_failure=False)
        group = self.submit(canvas.Group(chain, (refuse, "more")))
        return [group.result, [type(each).__name__ for each in group.exception.exceptions]]  # type: ignore[union-attr]

    # -- children

    def children(self, word: str) -> Any:
        return futures.wait(self.submit(Part, 3), self.submit(task.ChildWorkflowTask(AsyncPart, 3)))

    def failing_children(self, word: str) -> Any:
        failed = self.submit(FailingPart)
        return [failed.result, type(failed.exception).__name__]

    # -- signals, markers, timers

    def signals(self, word: str) -> Any:
        self.submit(self.signal("go", word, propagate=False))
        self.submit(self.signal("go", fast=True, propagate=False))
        values = [self.submit(self.wait_signal("go")).value for _ in range(2)]
        nobody = self.submit(self.wait_signal("nobody", timeout=1))
        return [*values, type(nobody.exception).__name__]

    def markers(self, word: str) -> Any:
        for details in (1, 2):
            futures.wait(self.submit(self.record_marker("step", details)))
        return [
            [(each.name, each.details) for each in self.list_markers() if each.name == "step"],
            self._event("marker"),
        ]

    def timers(self, word: str) -> Any:
        late = self.submit(self.start_timer("late", 90_000))
        futures.wait(self.submit(self.start_timer("step", 1, control={"word": word})))
        futures.wait(self.submit(self.cancel_timer("late")))
        return [late.done, self._event("timer")]

    def _event(self, kind: str) -> Any:
        details = self.get_event_details(kind, "step") or {}
        return {name: details[name] for name in ("details", "control", "state") if name in details}

    # -- determinism

    def what_is_drawn_once(self, word: str) -> Any:
        drawn = self.side_effect("drawn", lambda: 7)
        return [drawn, 0 <= self.random() < 1, self.uuid4() != self.uuid4(), self.now().tzinfo is not None]

    def patches(self, word: str) -> Any:
        return self.patched("everything-patch")

    # -- cancellation

    def cancelled_tasks(self, word: str) -> Any:
        timer = self.submit(self.start_timer("cancelled", 90_000))
        return [timer.cancel(), type(timer.exception).__name__]

    def cancellation_scopes(self, word: str) -> Any:
        with self.cancel_scope(wait=True) as scope:
            inside = self.submit(self.start_timer("inside", 90_000))
            futures.wait(self.submit(double, 1))
            scope.cancel()
        return inside.cancelled

    def sagas(self, word: str) -> Any:
        try:
            with self.compensate() as saga:
                for place in ("flight", "hotel"):
                    saga.add(unbook, place)
                    futures.wait(self.submit(book, place))
        except exceptions.TaskFailed as error:
            return error.reason
        return "nothing failed"

    # -- where it runs

    def run_context(self, word: str) -> Any:
        context = self.get_run_context()
        continued = context["continued_execution_run_id"] is not None
        return [sorted(context), context["tag_list"], continued, self.should_continue_as_new]


FIRST = (
    "arguments_that_are_futures",
    "class_activities",
    "coroutine_activities",
    "idempotent_tasks",
    "options_of_one_submission",
    "failures",
    "retries_with_delays",
    "failure_hook",
    "typed_values",
    "large_values",
    "local_activities",
    "fan_out",
    "composed_futures",
    "arms_side_by_side",
    "first_of_several",
    "waits_with_an_end",
)
SECOND = (
    "groups",
    "chains",
    "failing_canvas",
    "children",
    "failing_children",
    "signals",
    "markers",
    "timers",
    "what_is_drawn_once",
    "patches",
    "cancelled_tasks",
    "cancellation_scopes",
    "sagas",
    "run_context",
)


def main() -> None:
    """Run it in virtual time and print what each feature gave."""
    with Environment(workflows=[Part, AsyncPart, FailingPart]) as environment:
        for feature, given in environment.run(Everything, "tea").items():
            print(f"{feature:28} {json.dumps(given)}")


if __name__ == "__main__":
    main()
