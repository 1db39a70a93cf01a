"""Demand documents: stored before the first evaluation, one PUT for many, the newest decision holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents, interceptors
from simpleflow.core.errors import SimpleflowError
from simpleflow.nodes import config, ensure
from simpleflow.nodes.manager import demand

from . import fakes

TIMES = msgspec.structs.replace(config.PRESETS["local"], document_min=0.05, document_max=0.4)


def execution(run: str) -> interceptors.Execution:
    return interceptors.Execution(
        domain="d", workflow_id="w", run_id=run, workflow_name="jobs.Nightly", workflow_version="1"
    )


def received(run: str) -> interceptors.DecisionReceived:
    return interceptors.DecisionReceived(execution=execution(run), started_event_id=3, received=0.0)


def answered(run: str, count: int, *, event: int = 3, closed: bool = False) -> interceptors.DecisionAnswered:
    tasks = (documents.TaskCount(task_list="light", activity="a", state="scheduled", count=count),)
    return interceptors.DecisionAnswered(
        execution=execution(run), started_event_id=event, demand=tasks, closed=closed, seconds=0.1
    )


class SlowStore(fakes.MemoryStore):
    """Takes a while for each PUT, so that others gather behind it; fails on demand."""

    failing = False

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        if self.failing:
            raise SimpleflowError("the store is away")
        time.sleep(0.1)
        return super().put(key, content, if_match=if_match, if_absent=if_absent)

    def document(self) -> documents.DemandDocument:
        return msgspec.json.decode(self.objects["demand/d1.json"][0], type=documents.DemandDocument)


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def publisher(store: SlowStore) -> Iterator[demand.DemandPublisher]:
    made = demand.DemandPublisher(store, "d1", TIMES, clocks.RealClock())
    made.polling()
    yield made
    store.failing = False
    made.stopping()


def test_the_first_row_is_stored_when_received_returns(publisher: demand.DemandPublisher, store: SlowStore) -> None:
    publisher.received(received("r1"))
    (row,) = store.document().runs
    assert (row.run_id, row.started_event_id, row.tasks, row.closed) == ("r1", 0, (), False)


def test_runs_received_together_share_a_put(publisher: demand.DemandPublisher, store: SlowStore) -> None:
    threads = [threading.Thread(target=publisher.received, args=(received(f"r{number}"),)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.document().runs) == 30
    assert store.puts < 10


def test_a_known_run_waits_for_nothing(publisher: demand.DemandPublisher, store: SlowStore) -> None:
    publisher.received(received("r1"))
    store.failing = True
    publisher.received(received("r1"))


def test_a_store_that_is_away_leaves_the_task_unanswered(publisher: demand.DemandPublisher, store: SlowStore) -> None:
    store.failing = True
    with pytest.raises(SimpleflowError, match="away"):
        publisher.received(received("r1"))
    store.failing = False
    publisher.received(received("r1"))
    assert store.document().runs[0].run_id == "r1"


def test_what_was_answered_last_is_stored_at_the_latest_when_it_stops(store: SlowStore) -> None:
    made = demand.DemandPublisher(store, "d1", TIMES, clocks.RealClock())
    made.polling()
    made.received(received("r1"))
    made.answered(answered("r1", 7))
    made.answered(answered("r1", 8, event=9))
    made.stopping()
    (row,) = store.document().runs
    assert (row.started_event_id, row.tasks[0].count) == (9, 8)


def row(run: str, event: int, count: int = 1, *, closed: bool = False, state: str = "scheduled") -> documents.RunRow:
    tasks = (documents.TaskCount(task_list="light", activity="a", state=state, count=count),)  # type: ignore[arg-type]
    return documents.RunRow(
        run_id=run, workflow_id="w", workflow="x", started_event_id=event, changed=0.0, closed=closed, tasks=tasks
    )


def document(name: str, *rows: documents.RunRow) -> documents.DemandDocument:
    return documents.DemandDocument(decider=name, written=0.0, runs=rows)


def test_the_newest_decision_holds_and_a_receipt_replaces_nothing() -> None:
    old, new = document("d1", row("r", 3, 5)), document("d2", row("r", 9, 2))
    receipt = document("d3", row("r", 0, 0))
    for order in ((old, new, receipt), (receipt, new, old)):
        assert demand.merge(order)["r"].tasks[0].count == 2
    assert demand.merge((new, document("d1", row("r", 3, closed=True))))["r"].closed


def test_rows_are_added_up_by_list_and_closed_ones_are_not() -> None:
    rows = [row("a", 1, 3), row("b", 1, 4, state="foreseen"), row("c", 1, 9, closed=True)]
    (light,) = demand.by_list(rows, ["light"], {"light": 2})
    assert (light.scheduled, light.foreseen, light.pending) == (3, 4, 2)


def test_a_list_that_only_a_program_names_is_counted_too() -> None:
    found = demand.by_list([row("a", 1, 3)], ["heavy"], {})
    assert [(each.task_list, each.scheduled) for each in found] == [("heavy", 0), ("light", 3)]


class Group:
    def __init__(self) -> None:
        self.calls = 0

    def ensure_one(self) -> None:
        self.calls += 1


def test_a_client_ensures_a_decider_before_the_start_and_again_after_it() -> None:
    group = Group()
    around = ensure.EnsureDecider(group, look_again=0.05)
    call = interceptors.StartCall(domain="d", workflow_id="w", task_list=None, request={})
    around.before_start(call)
    assert group.calls == 1
    around.after_start(call, "r")
    waiting = [each for each in threading.enumerate() if each.name == "ensure-decider"]
    assert not waiting[0].daemon
    waiting[0].join()
    assert group.calls == 2


def test_a_task_taken_while_leaving_raises_the_group_again_once() -> None:
    group = Group()
    hold = ensure.HoldGroup(group)
    hold.polling()
    hold.received(received("r1"))
    assert group.calls == 1
    hold.leave()
    hold.received(received("r1"))
    hold.received(received("r2"))
    assert group.calls == 2
