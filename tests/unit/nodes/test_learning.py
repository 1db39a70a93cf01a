"""What managers learn from documents, keep for each other, and do without when it is not there."""

from __future__ import annotations

import msgspec
import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.nodes import config
from simpleflow.nodes.manager import learning

from . import fakes

TIMES = config.PRESETS["aws"]
NOW = 1_767_225_600.0


def document(name: str, count: int, seconds: float, longest: float = 0.0) -> documents.NodeDocument:
    finished = (documents.Finished(activity="a", count=count, seconds=seconds, longest=longest),) if count else ()
    return documents.NodeDocument(
        node=name,
        profile="p",
        attempt="x",
        state="working",
        booted=0.0,
        written=0.0,
        task_lists=(documents.ListStatus(task_list="light", slots=2, finished=finished),),
    )


def row(name: str, *, begun: float = 0.0, changed: float = 0.0) -> documents.RunRow:
    return documents.RunRow(
        run_id=name, workflow_id="w", workflow="W", started_event_id=3, changed=changed, begun=begun
    )


class Manager:
    """Looks at what it is given, by a clock that the test moves."""

    def __init__(self, store: fakes.MemoryStore) -> None:
        self.clock = clocks.VirtualClock(NOW)
        self.learning = learning.Learning("demo", store, self.clock, TIMES)

    def look(
        self,
        *nodes: documents.NodeDocument,
        rows: tuple[documents.RunRow, ...] = (),
        boots: dict[str, float] | None = None,
    ) -> dict[str, documents.Runtime]:
        self.learning.look(
            {each.run_id: each for each in rows}, {each.node: each for each in nodes}, boots or {}, self.clock.now()
        )
        return self.learning.runtimes


@pytest.fixture
def store() -> fakes.MemoryStore:
    return fakes.MemoryStore()


def test_each_task_counts_once_and_a_worker_that_began_again_counts_anew(store: fakes.MemoryStore) -> None:
    manager = Manager(store)
    assert manager.look(document("n", 2, 20.0, 15.0))["a"] == documents.Runtime(
        count=2, mean=10.0, longest=15.0, seen=NOW
    )
    assert manager.look(document("n", 2, 20.0))["a"].count == 2
    found = manager.look(document("n", 3, 50.0), document("m", 1, 40.0))["a"]
    assert (found.count, found.mean) == (4, pytest.approx(22.5))
    again = manager.look(document("n", 1, 60.0), document("m", 1, 40.0))["a"]
    assert (again.count, again.mean) == (5, pytest.approx(30.0))


def test_the_next_manager_knows_it_and_counts_nothing_twice(store: fakes.MemoryStore) -> None:
    Manager(store).look(document("n", 2, 20.0), boots={"p": 80.0})
    second = Manager(store)
    assert second.learning.boots == {"p": 80.0}
    assert second.look(document("n", 2, 20.0))["a"].count == 2
    assert second.look(document("n", 3, 30.0))["a"].count == 3
    other = learning.Learning("other", store, clocks.VirtualClock(NOW), TIMES)
    assert other.runtimes == {}, "another cluster's"


def test_it_is_stored_only_when_it_changed_and_not_too_often(store: fakes.MemoryStore) -> None:
    manager = Manager(store)
    for count in range(1, 20):
        manager.look(document("n", count, count * 1.0))
    assert store.puts == 1
    manager.clock.advance(TIMES.document_max)
    manager.look(document("n", 20, 20.0))
    assert store.puts == 2
    manager.clock.advance(TIMES.document_max)
    manager.look(document("n", 20, 20.0))
    assert store.puts == 2


def test_a_document_that_nobody_can_read_is_learnt_anew(
    store: fakes.MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(documents.FORECAST_KEY, b"{")
    assert Manager(store).look(document("n", 1, 7.0))["a"].mean == 7.0
    assert "forecast.json cannot be read, run times are learnt anew" in caplog.text
    assert msgspec.json.decode(store.objects[documents.FORECAST_KEY][0], type=documents.Forecast).runtimes["a"]


def test_runs_are_as_old_as_their_decider_or_this_manager_saw_them(store: fakes.MemoryStore) -> None:
    """The decider's clock is an hour off: only its own two moments are compared."""
    manager = Manager(store)
    old, new = row("old", begun=NOW + 3600, changed=NOW + 3900), row("new", begun=NOW + 3700, changed=NOW + 3700)
    assert [(run.run_id, run.elapsed) for run in manager.learning.runs({"new": new, "old": old})] == [
        ("old", 300.0),
        ("new", 0.0),
    ]
    manager.clock.advance(500.0)
    assert [run.elapsed for run in manager.learning.runs({"new": new, "old": old})] == [500.0, 500.0]


def test_what_ended_before_the_open_runs_began_is_not_their_money(store: fakes.MemoryStore) -> None:
    manager = Manager(store)
    manager.learning.ended(70, NOW)
    manager.look()
    assert manager.learning.spent == 0, "no run is open"
    manager.look(rows=(row("r"),))
    manager.clock.advance(100.0)
    manager.learning.ended(30, manager.clock.now())
    manager.look(rows=(row("r"),))
    assert manager.learning.spent == 30
    manager.clock.advance(100.0)
    manager.look(rows=(row("next"),))
    assert manager.learning.spent == 0
