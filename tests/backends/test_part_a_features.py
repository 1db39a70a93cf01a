"""Features beside workflows and activities: one test a row, on three backends."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import moto
import pytest

from simpleflow import Workflow, activity, canvas, execute, format, futures, settings, storage
from simpleflow.history import History
from simpleflow.step.workflow import WorkflowStepMixin
from tests.backends import part_a_middleware, places
from tests.backends.places import Backend


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def double(number: int) -> int:
    return 2 * number


@activity.with_attributes(version="1", task_list="list", idempotent=True, retry=1)
def flaky(name: str) -> str:
    TRIES.append(name)
    if TRIES.count(name) == 1:
        raise ValueError("the first time")
    return f"{name} after {TRIES.count(name)}"


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
@execute.program(path=sys.executable, argument_format=lambda *words: ["-c", "import sys; print(sys.argv[1:])", *words])
def program(*words: str) -> str: ...


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
@execute.python()
def elsewhere(number: int) -> int:
    return number + 1


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def write(count: int) -> str:
    return "x" * count


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def measured(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


TRIES: list[str] = []


class Base(Workflow):
    name, version, task_list = "part-a-features", "1", "decisions"


@pytest.fixture
def bucket(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in places.SIGNED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(storage, "BUCKET_LOCATIONS_CACHE", {})
    monkeypatch.setattr(format, "JUMBO_FIELDS_MEMORY_CACHE", {})
    with moto.mock_aws(config={"core": {"mock_credentials": False}}):  # the keys are those of the backend
        made = boto3.resource("s3", region_name="us-east-1").Bucket("kept")
        made.create()
        yield made
    settings.reload()


def inputs(history: list[Any], kind: str) -> list[Any]:
    return [event.attributes for event in history if type(event).__name__ == kind]


def test_idempotent_tasks_are_scheduled_once_and_still_retried(backend: Backend) -> None:
    class Program(Base):
        def run(self) -> Any:
            return futures.wait(self.submit(flaky, "one"), self.submit(flaky, "one"), self.submit(double, 1))

    TRIES.clear()
    result, history = backend.played(Program)
    assert result == ["one after 2", "one after 2", 2]
    scheduled = inputs(history, "ActivityTaskScheduled")
    plain, *shared = sorted(each.activity_id for each in scheduled)
    assert plain == f"activity-{double.name}-1"
    assert len(shared) == 2
    assert len(set(shared)) == 1
    assert re.fullmatch(rf"activity-{flaky.name}-[0-9a-f]{{32}}", shared[0])


class Sender(Base):
    name = "part-a-sends"

    def run(self, workflow_id: str) -> Any:
        self.submit(self.signal("down", 7, workflow_id=workflow_id)).result


def test_signals_are_propagated_to_children_and_parents(backend: Backend) -> None:
    class Child(Base):
        name = "part-a-hears"

        def run(self) -> Any:
            heard = self.submit(self.wait_signal("down")).value
            self.submit(self.signal("up", heard + 1))
            self.submit(self.wait_signal("up")).result  # its own: what it has heard it sends on
            return heard

    class Program(Base):
        def run(self) -> Any:
            child = self.submit(Child)
            up = self.submit(self.wait_signal("up")).value
            return [up, child.result]

    place = backend.environment(Program, Child)
    run = place.start(Program)
    place.advance(5)
    place.run(Sender, run.workflow_id)
    assert place.wait(run) == [8, 7]


def test_middleware_stands_around_each_activity(backend: Backend) -> None:
    class Program(Base):
        def run(self) -> Any:
            return [self.submit(double, 4).result, self.submit(flaky, "middleware").result]

    TRIES.clear()
    part_a_middleware.CALLS.clear()
    path = part_a_middleware.__name__
    place = backend.environment(Program, pre=[f"{path}.before"], post=[f"{path}.after"])
    assert place.run(Program) == [8, "middleware after 2"]
    told = [each[1:] for each in part_a_middleware.CALLS if each[0] == "after"]
    assert told == [(8, "NoneType"), (None, "ValueError"), ("middleware after 2", "NoneType")]
    assert len(part_a_middleware.CALLS) == 6


def test_programs_and_other_pythons(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))

    class Program(Base):
        def run(self) -> Any:
            return futures.wait(self.submit(program, "a b", "$HOME"), self.submit(elsewhere, 2))

    assert backend.run(Program) == ["['a b', '$HOME']\n", 3]


class Steps(Base, WorkflowStepMixin):
    name = "part-a-steps"

    def get_step_bucket(self) -> str:
        return "kept"

    def get_step_path_prefix(self) -> str:
        return "marks/"

    def run(self, forced: list[str], skipped: list[str]) -> Any:
        self.add_forced_steps(forced, "a test")
        self.add_skipped_steps(skipped)
        for name in ("fetch", "build.docs", "build.site"):
            step = self.step(name, canvas.Group((double, len(name))), emit_signal=name == "fetch")
            futures.wait(self.submit(step))
        heard = self.submit(self.wait_signal("step.fetch"))
        said = [each.details for each in self.list_markers(all=True) if each.name == "log.step"]
        return [heard.done, [[each["step"], each["status"], each["forced"]] for each in said], self.get_steps_done()]


def test_steps_run_once_unless_they_are_forced(backend: Backend, bucket: Any) -> None:
    place = backend.environment(Steps)
    every = ["build.docs", "build.site", "fetch"]

    def ran(said: list[Any]) -> list[Any]:
        return [[step, status] for step, status, _ in said if status != "scheduled"]

    _, said, done = place.run(Steps, [], ["build.docs"])
    assert ran(said) == [["fetch", "completed"], ["build.docs", "skipped"], ["build.site", "completed"]]
    assert done == []  # what lists them is idempotent: it ran once, before the first step
    _, said, done = place.run(Steps, ["build"], ["build.site"])
    assert ran(said) == [["fetch", "skipped"], ["build.docs", "completed"], ["build.site", "completed"]]
    assert [forced for step, status, forced in said if status == "completed"] == [True, True]
    assert done == ["build.site", "fetch"]
    assert sorted(each.key.removeprefix("marks/") for each in bucket.objects.all()) == every


@pytest.mark.parametrize("where", ["file", "s3"])
def test_large_values_lie_in_a_store_and_travel_as_references(
    backend: Backend, bucket: Any, tmp_path: Path, where: str
) -> None:
    class Program(Base):
        def run(self, given: str) -> Any:
            large = self.submit(write, 40_000)
            again = self.submit(write.options(task_list="other"), 40_000)
            sizes = [*self.submit(measured, [large, again]).result, *self.submit(measured, [given]).result]
            self.submit(self.record_marker("large", "y" * 40_000)).result
            self.submit(self.signal("large", "z" * 40_000, propagate=False))
            signalled = self.submit(self.wait_signal("large")).value
            return [sizes, len(signalled), large.result == again.result, len(self.list_markers()[0].details)]

    place = backend.environment(Program, jumbo=f"file://{tmp_path}/kept" if where == "file" else "kept/below")
    run = place.start(Program, "g" * 50_000)
    assert place.wait(run) == [[40_000, 40_000, 50_000], 40_000, True, 40_000]
    history = place.history(run)
    results = [each.result for each in inputs(history, "ActivityTaskCompleted")]
    assert results[0] == results[1]  # keys are digests of the content
    kind, _, size = results[0].partition(" ")
    assert kind.startswith(f"simpleflow+{where}://")
    key = kind.rpartition("/")[2]
    content = json.dumps("x" * 40_000).encode()
    assert (key, size) == (hashlib.sha256(content).hexdigest(), str(len(content)))
    sent = json.loads(inputs(history, "ActivityTaskScheduled")[-2].input)
    assert sent["args"][0][0] == {"$simpleflow.ref": results[0]}
    texts = [value for event in history for value in _texts(event.attributes)]
    assert max(map(len, texts)) <= 32_768


def _texts(attributes: Any) -> list[str]:
    names = ("input", "result", "details", "control", "reason")
    return [value for name in names if isinstance(value := getattr(attributes, name, None), str)]


def test_a_value_that_was_changed_in_its_store_is_refused(backend: Backend, tmp_path: Path) -> None:
    class Program(Base):
        def run(self) -> Any:
            large = self.submit(write, 40_000)
            futures.wait(large)
            return self.submit(measured.options(raises_on_failure=False), [large]).exception.reason  # type: ignore[union-attr]

    place = backend.environment(Program, jumbo=f"file://{tmp_path}/kept", replay=False)
    run = place.start(Program)
    while not (found := [each for each in (tmp_path / "kept").rglob("*") if each.is_file()]):
        assert place.step()
    found[0].chmod(0o600)
    found[0].write_bytes(b'"' + b"w" * 40_000 + b'"')
    with pytest.raises(Exception, match="digest differs"):
        place.wait(run)


def test_the_history_of_a_run_is_read_as_0_36_s_programs_do(backend: Backend) -> None:
    class Program(Base):
        def run(self) -> Any:
            self.submit(self.record_marker("m", {"a": 1})).result
            self.submit(self.signal("s", 1, propagate=False))
            return [self.submit(double, 2).result, self.submit(self.wait_signal("s")).value]

    result, events = backend.played(Program)
    assert result == [4, 1]
    history = History(events)
    history.parse()
    (task,) = history.activities.values()
    assert (task["name"], task["state"], task["result"]) == (double.name, "completed", "4")
    assert history.markers["m"][0]["details"] == '{"a":1}'
    assert list(history.signals) == ["s"]
    assert (history.events[0].type, history.last_event_id) == ("WorkflowExecution", len(events))


def test_markers_and_local_results_that_lie_elsewhere_are_found_again(backend: Backend) -> None:
    """Each decision is made again from the start at the end of the test, too."""

    class Program(Base):
        def run(self) -> Any:
            marker = self.record_marker("large", "m" * 40_000)
            first = self.submit(marker).result
            beside = self.submit_local(write, 40_000).result
            self.submit(self.start_timer("t", 1)).result
            again = self.submit(self.record_marker("large", "m" * 40_000)).result
            other = self.submit(self.record_marker("large", "n" * 40_000)).result
            return [len(first), len(beside), again == first, other == first, self.submit(measured, [beside]).result]

    result, history = backend.played(Program)
    assert result == [40_000, 40_000, True, False, [40_000]]
    assert [each.marker_name for each in inputs(history, "MarkerRecorded")].count("large") == 2


def test_what_is_drawn_once_must_be_small(backend: Backend) -> None:
    class Program(Base):
        def run(self) -> Any:
            try:
                self.side_effect("drawn", lambda: "x" * 40_000)
            except ValueError as error:
                return str(error)
            return None

    assert "let an activity compute it" in backend.run(Program)
