"""Programs made at random whose result does not depend on the order in which their tasks end, and their activities."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from simpleflow import Workflow, activity, canvas, futures
from simpleflow.testing import takes


class World:
    """What the activities of one run meet, and leave behind."""

    def __init__(self) -> None:
        #: label of each execution of an activity, in order
        self.ran: list[str] = []
        #: labels whose activity fails
        self.broken: set[str] = set()


world = World()


@activity.with_attributes(raises_on_failure=True, start_to_close_timeout=10_000, heartbeat_timeout=10_000)
def work(label: str, seconds: float, *given: Any) -> Any:
    takes(seconds)
    world.ran.append(label)
    if label in world.broken:
        raise ValueError(f"{label} is broken")
    return [label, *given]


@activity.with_attributes(
    idempotent=True, raises_on_failure=True, start_to_close_timeout=10_000, heartbeat_timeout=10_000
)
def shared(label: str, seconds: float) -> Any:
    takes(seconds)
    world.ran.append(label)
    return label


@activity.with_attributes(raises_on_failure=False, start_to_close_timeout=10_000, heartbeat_timeout=10_000)
def fails(label: str) -> None:
    raise KeyError(label)


@activity.with_attributes(retry=2, raises_on_failure=True, start_to_close_timeout=10_000, heartbeat_timeout=10_000)
def second_time(label: str, seconds: float) -> Any:
    takes(seconds)
    world.ran.append(f"try {label}")
    if world.ran.count(f"try {label}") % 2:
        raise OSError(label)
    world.ran.append(label)
    return label


class Child(Workflow):
    name, version, task_list = "child", "1", "d"

    def run(self, label: str, seconds: float) -> Any:
        return [self.submit(work, label, seconds).result, self.submit(work, f"{label}+", 1).result]


class Same(Child):
    name = "same"
    idempotent = True


class Program(Workflow):
    """Interprets its argument, statement by statement."""

    name, version, task_list = "resumed", "1", "d"

    def run(self, spec: list[Any]) -> Any:
        opened: list[Any] = []
        said: list[Any] = []
        for place, (kind, seconds, number) in enumerate(spec):
            getattr(self, kind)(opened, said, f"{kind}{place}", seconds, number)
        return [said, [future.result if not hasattr(future, "value") else future.value for future in opened]]

    def task(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        opened.append(self.submit(work, label, seconds))

    def equal(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        opened += [self.submit(work, f"equal{number}", 1) for _ in range(2)]

    def once(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        opened.append(self.submit(shared, f"once{number % 2}", 2))

    def retried(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        opened.append(self.submit(second_time, label, seconds))

    def handled(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        said.append(type(self.submit(fails, label).exception).__name__)

    def after(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        if opened:
            opened.append(self.submit(work, label, seconds, [opened[number % len(opened)]]))

    def then(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        if opened:
            opened.append(opened[number % len(opened)].then(lambda value: self.submit(work, label, seconds)))

    def read(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        if opened:
            said.append(opened[number % len(opened)].result)

    def all(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        futures.wait(*opened)

    def timer(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        opened.append(self.submit(self.start_timer(f"t{number}", seconds + 1)))
        futures.wait(opened[-1])

    def deadline(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        future = self.submit(work, label, seconds)
        futures.wait([future], timeout=1_000)
        opened.append(future)

    def child(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        opened.append(self.submit(Child, label, seconds))

    def same(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        opened.append(self.submit(Same, f"same{number % 2}", 1))

    def group(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        members = [(work, f"{label}.{place}", seconds) for place in range(3)]
        opened.append(self.submit(canvas.Group(*members, max_parallel=number % 3 or None)))

    def chain(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        members = [(work, f"{label}.{place}", seconds) for place in range(2)]
        opened.append(self.submit(canvas.Chain(*members, send_result=bool(number % 2))))

    def signal(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        opened.append(self.submit(self.wait_signal("s", timeout=10_000)))
        said.append(opened[-1].value)

    def chance(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        said.append([str(self.uuid4()), self.random(), self.side_effect(label, lambda: len(said))])

    def patch(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        said.append(self.patched(f"p{number % 2}"))

    def marker(self, opened: list[Any], said: list[Any], label: str, seconds: int, number: int) -> None:
        # list_markers() reads the whole history: what it says depends on when it is asked.
        said.append(self.submit(self.record_marker(f"m{number}", number)).result)


KINDS = [
    "task",
    "equal",
    "once",
    "retried",
    "handled",
    "after",
    "then",
    "read",
    "all",
    "timer",
    "deadline",
    "child",
    "same",
    "group",
    "chain",
    "signal",
    "chance",
    "patch",
    "marker",
]
programs = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(1, 4), st.integers(0, 4)), min_size=3, max_size=9
).map(lambda made: json.loads(json.dumps(made)))
