"""Workflows and activities of the acceptance tests: what users asked for."""

from __future__ import annotations

import sys
from typing import Any

from simpleflow import Workflow, activity, canvas, execute, futures
from simpleflow.testing import takes

#: what ran, in order
RAN: list[Any] = []


def declared(**options: Any) -> Any:
    return activity.with_attributes(**{"version": "1", "task_list": "work", **options})


@declared(raises_on_failure=True)
def slow(value: Any) -> Any:
    takes(100)
    RAN.append(("slow", value))
    return value


@declared(raises_on_failure=True)
def double(value: Any) -> Any:
    RAN.append(value)
    return 2 * value


@declared()
def breaks(value: Any = None) -> None:
    RAN.append(("breaks", value))
    raise ValueError(f"{value} is broken")


@declared(idempotent=True, retry=1)
def once(value: Any) -> Any:
    RAN.append(value)
    if len(RAN) == 1:
        raise OSError("the first time")
    return [value]


@declared()
def record(key: str) -> Any:
    return {"k": key, "other": 1}


@declared()
class Foo:
    """An activity that is a class."""

    def __init__(self, bar: int) -> None:
        self.bar = bar

    def execute(self) -> int:
        return self.bar + 1


@declared()
@execute.program(path=sys.executable)
def python(*args: str) -> str:
    raise AssertionError("the program is run instead")


@declared()
@execute.python()
def elsewhere(value: Any) -> None:
    raise KeyError(value)


@declared(
    start_to_close_timeout=None, schedule_to_close_timeout=None, schedule_to_start_timeout=None, heartbeat_timeout=None
)
def unlimited() -> None:
    RAN.append("unlimited")


#: a set, whose order depends on the hash seed of the process
WORDS = {"of", "words", "that", "no", "two", "processes", "have", "in", "one", "order"}


@declared(idempotent=True, raises_on_failure=True)
def in_order(words: Any, by_length: dict[str, Any]) -> Any:
    assert sorted(by_length) == sorted(words)
    return sorted(words)


@declared()
def type_of(value: Any) -> str:
    return type(value).__name__


class Base(Workflow):
    """What all have in common."""

    version, task_list = "1", "decisions"


class Items(Base):
    """Keeps things on itself."""

    name = "items"

    def run(self, count: int) -> Any:
        self.items: list[int] = getattr(self, "items", [])
        self.items.append(1)
        for number in range(count):
            self.submit(canvas.Group((double, number), raises_on_failure=False)).result
        return len(self.items), double.raises_on_failure, double.task_list


class Ordered(Base):
    """Gives sets, and dictionaries made from one, to a task, a marker and a signal."""

    name = "ordered"

    def run(self) -> Any:
        by_length = {word: {len(word), word} for word in WORDS}
        self.submit(self.record_marker("words", by_length))
        self.submit(self.signal("words", WORDS, propagate=False, **dict.fromkeys(WORDS)))
        return self.submit(in_order, WORDS, by_length).result


class Twice(Base):
    """Submits one task twice."""

    name = "twice"

    def run(self) -> Any:
        return [future.result for future in [self.submit(once, "x"), self.submit(once, "x")]]


class Concurrent(Base):
    """Uses futures as ``concurrent.futures`` has them."""

    name = "concurrent"

    def run(self) -> Any:
        opened = [self.submit(double, number) for number in range(3)]
        called: list[Any] = []
        opened[0].add_done_callback(lambda future: called.append(future.result))
        done, pending = futures.wait(opened, return_when=futures.FIRST_COMPLETED)
        order = [future.result for future in futures.as_completed(opened)]
        real = futures.to_concurrent(opened[2])
        return [len(list(done)) + len(list(pending)), sorted(order), called, real.result(timeout=0), real.done()]


class Details(Base):
    """Fails in two ways, and then itself."""

    name = "details"

    def run(self) -> Any:
        said = [self.submit(breaks, 1).exception.details, self.submit(elsewhere, "k").exception.details]
        self.submit(self.record_marker("said", said)).result
        raise RuntimeError("of its own")


class Overrides(Base):
    """Overrides attributes for one submission."""

    name = "overrides"

    def run(self) -> Any:
        special = double.options(task_list="gpu", version="2", start_to_close_timeout=7)
        return [future.result for future in [self.submit(special, 1), self.submit(double, 2)]]


class Instance(Base):
    """Submits an instance."""

    name = "instance"

    def run(self, bar: int) -> Any:
        return self.submit(Foo(bar)).result


class Told(Base):
    """Notes when its hooks are called."""

    name = "told"
    called: list[str] = []

    def run(self) -> Any:
        return [self.submit(double, number).result for number in range(2)]

    def after_replay(self, history: Any) -> None:
        self.called.append("after_replay")

    def after_closed(self, history: Any) -> None:
        self.called.append(f"after_closed {history.events[-1].name}")


class Mapped(Base):
    """Hands on a part of a result."""

    name = "mapped"

    def run(self) -> Any:
        return self.submit(double, self.submit(record, "v").map(lambda found: found["k"])).result


class Sleeper(Base):
    """Never ends by itself."""

    name = "sleeper"

    def run(self) -> Any:
        return self.submit(self.wait_signal("never")).result


class Cancels(Base):
    """Cancels itself, with everything that is open."""

    name = "cancels"
    canceled = 0

    def run(self) -> Any:
        self.submit(slow, 1)
        self.submit(self.start_timer("long", 1_000))
        self.submit(Sleeper)
        self.submit(self.start_timer("short", 1)).result
        self.submit(self.cancel())

    def on_canceled(self, history: Any) -> None:
        type(self).canceled += 1


class Flags(Base):
    """A nested tree: the innermost group raises, the middle one does not let it out."""

    name = "flags"

    def run(self) -> Any:
        inner = canvas.Group((double, 4), (breaks, "leaf"), (slow, 1), raises_on_failure=True)
        middle = canvas.Chain(inner, (double, 5), raises_on_failure=False)
        outer = canvas.Group(middle, (double, 6))
        return self.submit(outer).result


class Tagged(Base):
    """Reads its tags."""

    name = "tagged"

    def run(self) -> Any:
        return self.get_run_context()["tag_list"]


class Programs(Base):
    """Runs a program."""

    name = "programs"

    def run(self) -> Any:
        said = self.submit(python, "-c", "import sys; print(sys.argv[1:])", "a b", "$HOME", "'q'").result
        failed = self.submit(python, "-c", "import sys; sys.exit('gone wrong')").exception
        return [said.strip(), "gone wrong" in failed.reason]


class Unlimited(Base):
    """Submits what has no timeouts."""

    name = "unlimited"

    def run(self) -> Any:
        return type(self.submit(unlimited).exception).__name__


class Serialized(Base):
    """Sends a tuple, and what cannot be sent."""

    name = "serialized"

    def run(self) -> Any:
        sent = self.submit(type_of, (1, 2)).result
        try:
            self.submit(type_of, {"a": [object()]})
        except TypeError as error:
            return [sent, "a[0]" in str(error).replace("'", "").replace('"', "") or str(error)]
        return sent
