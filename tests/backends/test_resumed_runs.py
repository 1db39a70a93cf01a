"""A run that stopped, and the run that goes on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simpleflow import Workflow, activity, canvas, futures, settings
from simpleflow.core import errors, events, limits
from simpleflow.swf import errors as swf_errors
from simpleflow.testing import Environment, Failed
from tests.backends.places import Backend

#: what ran, in order; what fails
RAN: list[Any] = []
BROKEN: set[Any] = set()


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    RAN.clear()
    BROKEN.clear()


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def work(what: Any, *more: Any) -> Any:
    RAN.append(what)
    if what in BROKEN:
        raise ValueError(f"{what} is broken")
    return f"{what}!"


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def large(size: int) -> str:
    RAN.append(size)
    return "x" * size


@activity.with_attributes(version="1", task_list="work", raises_on_failure=True)
def length(text: str) -> int:
    RAN.append("length")
    return len(text)


class Base(Workflow):
    version, task_list = "1", "decisions"


class Wide(Base):
    name = "wide"

    def run(self, count: int, *, greeting: str) -> Any:
        done = [self.submit(work, number) for number in range(count)]
        futures.wait(*done)
        return [greeting, *(future.result for future in done)]


def test_c17_resuming_runs_only_what_is_left_with_the_results_and_the_input_of_the_stopped_run(
    backend: Backend,
) -> None:
    place = backend.environment(Wide)
    BROKEN.add(3)
    run = place.start(Wide, 6, greeting="hello")
    with pytest.raises(Failed):
        place.wait(run)
    RAN.clear()
    BROKEN.clear()
    resumed = place.resume(run)
    assert place.wait(resumed) == ["hello", "0!", "1!", "2!", "3!", "4!", "5!"]
    assert RAN == [3]
    assert (resumed.workflow_id, resumed.run_id) != (run.workflow_id, run.run_id)
    assert resumed.workflow_id == run.workflow_id


class Twice(Base):
    name = "twice"

    def run(self) -> Any:
        drawn = [str(self.uuid4()), self.random(), self.side_effect("drawn", lambda: len(RAN))]
        first = self.submit(work, "a").result
        second = self.submit(work, "b").result
        third = self.submit(work, "c").result
        return [first, second, third, drawn]


def test_a_resumed_run_is_resumed_again(backend: Backend) -> None:
    place = backend.environment(Twice)
    run = first = place.start(Twice)
    for broken in ("b", "c"):
        BROKEN.add(broken)
        with pytest.raises(Failed):
            place.wait(run)
        BROKEN.clear()
        run = place.resume(run)
    result = place.wait(run)
    assert result[:3] == ["a!", "b!", "c!"]
    assert RAN == ["a", "b", "b", "c", "c"]
    assert result[3][2] == 0
    started: Any = place.history(run)[0]
    assert f'"seed":"{first.run_id}"' in started.attributes.input


def test_the_old_history_may_be_gone(backend: Backend) -> None:
    """What a resumed run goes on from lies in blobs that its own history names."""
    place = backend.environment(Twice)
    BROKEN.add("c")
    run = place.start(Twice)
    with pytest.raises(Failed):
        place.wait(run)
    BROKEN.clear()
    resumed = place.resume(run)
    asked: list[Any] = []
    transport = place.connection.transport
    call = transport.call

    def noted(action: str, request: Any, **more: Any) -> Any:
        asked.append((action, request.get("execution", {}).get("runId")))
        return call(action, request, **more)

    transport.call = noted
    assert place.wait(resumed)[:3] == ["a!", "b!", "c!"]
    assert asked
    assert run.run_id not in {run_id for _, run_id in asked}
    marker = next(event for event in place.history(resumed) if isinstance(event, events.MarkerRecorded))
    started: Any = place.history(resumed)[0]
    assert marker.attributes.marker_name == "simpleflow.resumed"
    pointer = started.attributes.input.partition('"manifest":"')[2].partition('"')[0]
    assert pointer in (marker.attributes.details or "")


class Values(Base):
    name = "values"

    def run(self, text: str) -> Any:
        value = self.submit(large, limits.DATA + 1)
        self.submit(work, "gate").result
        return [self.submit(length, value).result, len(value.result), len(text)]


def test_values_over_the_limits_are_named_by_the_resumed_run(backend: Backend) -> None:
    place = backend.environment(Values)
    BROKEN.add("gate")
    run = place.start(Values, "y" * (limits.DATA + 1))
    with pytest.raises(Failed):
        place.wait(run)
    BROKEN.clear()
    resumed = place.resume(run)
    assert place.wait(resumed) == [limits.DATA + 1, limits.DATA + 1, limits.DATA + 1]
    assert RAN.count(limits.DATA + 1) == 1
    result = next(event for event in place.history(run) if isinstance(event, events.ActivityTaskCompleted))
    markers = [event for event in place.history(resumed) if isinstance(event, events.MarkerRecorded)]
    assert any((result.attributes.result or "-") in (marker.attributes.details or "") for marker in markers)


class Patient(Base):
    name = "patient"

    def run(self) -> Any:
        value = self.submit(large, limits.DATA + 1)
        self.submit(work, "gate").result
        self.submit(self.start_timer("long", 40 * 86_400)).result
        return [self.submit(length, value).result, len(value.result)]


def test_a_resumed_run_outlives_the_history_that_it_goes_on_from(backend: Backend) -> None:
    """The service deletes that after 30 days, and values that no history names."""
    place = backend.environment(Patient)
    BROKEN.add("gate")
    run = place.start(Patient)
    with pytest.raises(Failed):
        place.wait(run)
    BROKEN.clear()
    result = next(event for event in place.history(run) if isinstance(event, events.ActivityTaskCompleted))
    resumed = place.resume(run)
    place.advance(35 * 86_400)
    with pytest.raises(swf_errors.UnknownResourceFault):
        place.history(run)
    if backend.name == "http":  # its values lie in a folder that the server cleans
        digest = (result.attributes.result or "").rpartition("/")[2].split()[0]
        assert len(digest) == 64
        assert digest not in backend.unreferenced()
    assert place.wait(resumed) == [limits.DATA + 1, limits.DATA + 1]
    assert RAN.count(limits.DATA + 1) == 1


class Child(Base):
    name = "child"

    def run(self, what: str) -> Any:
        return self.submit(work, what).result


class Only(Child):
    name = "only"
    idempotent = True


class Parts(Base):
    """Children, a canvas, a signal, a marker, a timer, a version."""

    name = "parts"

    def run(self) -> Any:
        said = [self.submit(self.wait_signal("go")).value]
        said.append(self.submit(self.start_timer("hour", 3600)).result)
        said += [self.submit(Child, "child").result, self.submit(Only, "only").result]
        said.append(self.submit(canvas.Group((work, "g1"), canvas.Chain((work, "g2"), (work, "g3")))).result)
        self.submit(self.record_marker("seen", {"by": "parts"}))
        said.append(self.patched("newer"))
        said.append(self.submit(work, "gate").result)
        return [*said, [marker.name for marker in self.list_markers()], self.submit(work, "after").result]


@pytest.mark.parametrize("ending", ["fail", "terminate", "cancel"])
def test_children_canvas_signals_timers_markers_and_versions_are_taken_over(backend: Backend, ending: str) -> None:
    place = backend.environment(Parts, Child, Only)
    if ending == "fail":
        BROKEN.add("gate")
    else:
        BROKEN.add("after")
    run = place.start(Parts)
    place.signal(run, "go", 7)
    if ending == "fail":
        with pytest.raises(Failed):
            place.wait(run)
    else:
        place.advance(60)
        place.terminate(run) if ending == "terminate" else place.cancel(run)
        place.settle()
    BROKEN.clear()
    before = RAN.copy()
    RAN.clear()
    resumed = place.resume(run)
    assert place.wait(resumed) == [
        7,
        None,
        "child!",
        "only!",
        ["g1!", ["g2!", "g3!"]],
        True,
        "gate!",
        ["seen"],
        "after!",
    ]
    if ending == "fail":
        assert RAN == ["gate", "after"]
    else:
        assert before == []
        assert len(RAN) == 7


class Again(Base):
    name = "again"

    def run(self, last: bool = False) -> Any:
        said = [self.submit(work, "a").result, self.submit(work, "b").result]
        if not last:
            self.submit(self.continue_as_new(True))
        return said


def test_a_run_that_continues_a_resumed_one_begins_anew(backend: Backend) -> None:
    place = backend.environment(Again)
    BROKEN.add("b")
    run = place.start(Again)
    with pytest.raises(Failed):
        place.wait(run)
    BROKEN.clear()
    assert place.wait(place.resume(run)) == ["a!", "b!"]
    assert RAN == ["a", "b", "b", "a", "b"]


class Asked(Base):
    name = "asked"

    def run(self) -> Any:
        self.said = [self.submit(work, "a").result, self.submit(work, "b").result]
        return self.submit(self.wait_signal("go")).value

    def so_far(self) -> Any:
        return self.said


def test_a_resumed_run_is_queried(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = f"file://{tmp_path}"
    monkeypatch.setattr(settings, "SIMPLEFLOW_JUMBO_FIELDS_BUCKET", where, raising=False)
    place = backend.environment(Asked, jumbo=where)
    BROKEN.add("b")
    run = place.start(Asked)
    with pytest.raises(Failed):
        place.wait(run)
    BROKEN.clear()
    with backend.client(place) as client:
        resumed = client.resume(run.workflow_id)
        place.settle()
        assert client.query(resumed, "so_far") == ["a!", "b!"]
        client.signal(resumed, "go", 7)
        place.settle()
        assert client.result(resumed, timeout=0) == 7


class Fallback(Base):
    name = "fallback"

    def run(self) -> Any:
        try:
            first = self.submit(work, "first").result
        except Exception:
            first = self.submit(work, "instead").result
        return [first, self.submit(work, "last").result]


def test_from_an_event_everything_before_it_is_as_it_was(backend: Backend) -> None:
    place = backend.environment(Fallback)
    BROKEN.update({"first", "last"})
    run = place.start(Fallback)
    with pytest.raises(Failed):
        place.wait(run)
    BROKEN.clear()
    failed = [event.id for event in place.history(run) if isinstance(event, events.ActivityTaskFailed)]
    assert place.wait(place.resume(run, failed[-1])) == ["instead!", "last!"]
    assert RAN == ["first", "instead", "last", "last"]


def test_from_a_task_it_and_what_came_after_it_run_again(backend: Backend) -> None:
    place = backend.environment(Twice)
    run = place.start(Twice)
    place.wait(run)
    RAN.clear()
    with pytest.raises(errors.UsageError, match="completed"):
        place.resume(run)
    with pytest.raises(errors.UsageError, match="no task 'activity-none-1'"):
        place.resume(run, "activity-none-1")
    with pytest.raises(errors.UsageError, match="event 10000"):
        place.resume(run, 10_000)
    named = [event for event in place.history(run) if isinstance(event, events.ActivityTaskScheduled)]
    assert place.wait(place.resume(run, named[1].attributes.activity_id))[:3] == ["a!", "b!", "c!"]
    assert RAN == ["b", "c"]


def test_what_matches_is_done_again(backend: Backend) -> None:
    place = backend.environment(Wide)
    BROKEN.add(1)
    run = place.start(Wide, 3, greeting="")
    with pytest.raises(Failed):
        place.wait(run)
    BROKEN.clear()
    RAN.clear()
    assert place.wait(place.resume(run, again=r"work-3$")) == ["", "0!", "1!", "2!"]
    assert sorted(RAN) == [1, 2]
    assert place.wait(place.resume(run, again="work")) == ["", "0!", "1!", "2!"]
    with pytest.raises(errors.UsageError, match="regular expression"):
        place.resume(run, again="(")


def test_a_run_that_is_open_is_not_resumed() -> None:
    with Environment(workflows=[Parts]) as place:
        run = place.start(Parts)
        place.settle()
        with pytest.raises(errors.UsageError, match="open"):
            place.resume(run)
