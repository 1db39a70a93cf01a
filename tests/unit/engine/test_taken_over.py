"""What a resumed run takes over, seen by the engine: renumbered, fetched when needed, never a divergence."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from simpleflow import Workflow
from simpleflow.client import kept
from simpleflow.core import manifests
from simpleflow.runtime import stores

from .driver import Play, act, new_engine

A, B = act("a"), act("b")
#: pointers, as a store makes them
PAGE = f"simpleflow+file:///values/{'1' * 64} 10"
MANIFEST = f"simpleflow+file:///values/{'2' * 64} 10"


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


class Flow(Base):
    def run(self, count: int = 2) -> Any:
        said = [self.submit(A, number).result for number in range(count)]
        return [*said, self.submit(B).result, str(self.uuid4()), self.history_length()]

    def history_length(self) -> bool:
        return self.should_continue_as_new


def stopped(**options: Any) -> Play:
    play = Play(Flow, check=False, **options)
    play.decide()
    play.complete("activity-a-1", "first")
    play.decide()
    play.history.terminate()
    return play


def resumed(old: Play, workflow: type = Flow, from_: int | None = None) -> Play:
    """Play the run that goes on with an old one."""
    chosen = kept.Kept(old.history.events, from_).events()
    (page,) = manifests.pages(chosen)
    manifest = manifests.Manifest(events=len(chosen), runs=("old-run",), pages=(PAGE,))
    play = Play(workflow, options={"run_id": "new-run"})
    previous = {"manifest": MANIFEST, "seed": "old-run", "run_id": "old-run", "workflow_id": "w"}
    first: Any = play.history.events[0]
    given = stores.payloads().encode({"args": [], "kwargs": {}, "__extra": {"_previous_workflow_execution": previous}})
    play.history.events[0] = msgspec.structs.replace(
        first, attributes=msgspec.structs.replace(first.attributes, input=given)
    )
    play.blobs.update({MANIFEST: msgspec.json.encode(manifest).decode(), PAGE: page})
    return play


@pytest.mark.parametrize("strip_control", [False, True], ids=["ours", "of 0.36"])
def test_completed_results_are_found_again(strip_control: bool) -> None:
    play = resumed(stopped(strip_control=strip_control))
    assert play.decide() == ["RecordMarker simpleflow.resumed", "ScheduleActivityTask activity-a-2"]
    assert [needs.blobs for needs in play.needs[:2]] == [(MANIFEST,), (PAGE,)]
    play.complete("activity-a-2", "second")
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    play.evict()
    play.complete("activity-b-1", "third")
    play.decide()
    assert play.result[:3] == ["first", "second", "third"]
    assert play.result[4] is False


def test_a_suspended_run_fetches_nothing_again() -> None:
    play = resumed(stopped())
    play.check = False
    play.decide()
    play.needs.clear()
    play.complete("activity-a-2", "second")
    play.decide()
    assert play.needs == []


def test_code_that_was_mended_may_leave_copied_tasks_alone() -> None:
    class Mended(Base):
        def run(self) -> Any:
            return self.submit(B, "new").result

    play = resumed(stopped(), Mended)
    assert play.decide() == ["RecordMarker simpleflow.resumed", "ScheduleActivityTask activity-b-1"]
    assert play.last.divergence is None
    play.complete("activity-b-1", 1)

    class Other(Base):
        def run(self) -> Any:
            return self.submit(B, "other").result

    play.check = False
    play.deploy(Other)
    play.decide()
    assert play.last.divergence is not None
    assert "activity a" not in play.last.divergence


def test_a_manifest_of_a_newer_simpleflow_is_told() -> None:
    play = resumed(stopped())
    play.blobs[MANIFEST] = play.blobs[MANIFEST].replace('"simpleflow":1', '"simpleflow":2')
    with pytest.raises(Exception, match="version 2, this simpleflow reads 1"):
        play.decide()
    assert new_engine(Flow).suspended == 0
