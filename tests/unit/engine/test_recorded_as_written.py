"""Recorded histories, replayed by workflows as 0.36's users write them: the same decisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simpleflow import Workflow, canvas, futures, task
from simpleflow.testing.replaying import points as replay_points
from simpleflow.testing.replaying import replay

from .recorded_workflows import recorded

HISTORIES = Path(__file__).parents[2] / "histories" / "swf"


class Base(Workflow):
    name, version, task_list = "example", "example", "example"


class ToCancel(Base):
    def run(self, *args: Any, **kwargs: Any) -> Any:
        return self.submit(recorded("cancel_workflow")).result

    def should_cancel(self, history: Any) -> bool:
        given = history.events[0].input or {}
        agreed = given["args"][0] if given.get("args") else given.get("kwargs", {}).get("agree", True)
        return bool(agreed)


class Timers(Base):
    def run(self, t1: int = 2, t2: int = 120) -> Any:
        future = self.submit(
            canvas.Group(
                self.start_timer("timer 2", t2),
                canvas.Chain(self.start_timer("timer 1", t1), self.cancel_timer("timer 2")),
            )
        )
        self.seen_pending = future.pending
        futures.wait(future)


class FailingMember(Base):
    def run(self) -> Any:
        failing = recorded("returns_too_big_data_activity", idempotent=True)
        return self.submit(canvas.Chain(failing, (recorded("double"), 1))).result


class Sent(Base):
    name = "chaintest"

    def run(self, x: int = 5) -> Any:
        chain = canvas.Chain(
            task.ActivityTask(recorded("increment"), x), task.ActivityTask(recorded("double")), send_result=True
        )
        future = self.submit(chain)
        futures.wait(future)
        return future.result


class Markers(Base):
    def run(self, use_chain: bool) -> Any:
        first, second = self.record_marker("marker 1"), self.record_marker("marker 1", "some details")
        third = self.record_marker("marker 2", "2nd marker's details")
        if use_chain:
            future = self.submit(canvas.Chain(first, second, third))
        else:
            future = self.submit(first)
            self.submit(second)
            self.submit(third)
        futures.wait(future)


class Uuids(Base):
    name = "test_idempotent_workflow"

    def run(self) -> Any:
        get_uuid = recorded("get_uuid", idempotent=True)
        results = [self.submit(get_uuid) for _ in range(10)]
        results.append(self.submit(get_uuid, results[0].result))
        futures.wait(*results)
        assert all(r.result == results[0].result for r in results[1:-1])
        assert results[0].result != results[-1].result


AS_WRITTEN: dict[str, Any] = {
    "cancel_requested": ToCancel,
    "timer_and_cancel": Timers,
    "chain_send_result": Sent,
    "simpleflow_idempotent": Uuids,
    "without_replays": Markers,
    "failing_activity_output": FailingMember,
}


@pytest.mark.parametrize("name", AS_WRITTEN)
def test_the_decisions_are_those_of_the_real_decider(name: str) -> None:
    saved = replay.read(HISTORIES / f"{name}.json")
    outcome = replay.replay(AS_WRITTEN[name], saved.events)
    assert outcome.divergence is None
    made = {point.started_event_id: replay_points.keys(point.decisions) for point in outcome.points}
    assert made == replay_points.recorded(saved.events)
    replay.verify(AS_WRITTEN[name], saved.events)


@pytest.mark.parametrize("form", ["2017-07-14T04:40:00.500+02:00", 1_500_000_000.5])
def test_moments_are_read_as_numbers_and_as_iso_and_written_with_their_zone(tmp_path: Path, form: Any) -> None:
    saved = json.loads((HISTORIES / "chain_send_result.json").read_text())
    for event in saved["events"]:
        event["eventTimestamp"] = form
    (tmp_path / "given.json").write_text(json.dumps(saved))
    read = replay.read(tmp_path / "given.json")
    assert {event.timestamp for event in read.events} == {1_500_000_000.5}
    replay.write(tmp_path / "written.json", "w", "r", read.events)
    written = json.loads((tmp_path / "written.json").read_text())
    assert written["events"][0]["eventTimestamp"] == "2017-07-14T02:40:00.500000+00:00"
    assert replay.read(tmp_path / "written.json").events == read.events
