"""The database: what survives a restart, what a failed commit undoes, who may open it, backup and check."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from service_world import DOMAIN, World, decision

from simpleflow.server import service
from simpleflow.server.store import StoreError, base, memory, schema, sqlite, upkeep

COMPLETE = decision("CompleteWorkflowExecution", result="done")


def reopened(world: World, path: Path) -> World:
    """The same service after a stop, or after ``kill -9``: nothing but the file is left."""
    store = world.store
    assert isinstance(store, sqlite.File)
    store.rollback()
    store.release()
    again = World(sqlite.open_file(path), fresh=False)
    again.clock.advance_to(world.clock.now())
    return again


def test_a_run_survives_a_restart_between_any_two_calls(tmp_path: Path) -> None:
    """A story of activities, timers, children and signals, cut at every call, ends as it does uncut."""

    def story(restart: int | None) -> list[Any]:
        path = tmp_path / f"{restart}.db"
        world = World(sqlite.open_file(path))
        steps = itertools.count()

        def cut() -> None:
            nonlocal world
            if next(steps) == restart:
                world = reopened(world, path)

        run = world.start(tagList=["t"])
        cut()
        task = world.poll()
        cut()
        kid = decision(
            "StartChildWorkflowExecution",
            workflowId="kid",
            workflowType={"name": "w", "version": "1"},
            taskList={"name": "c"},
        )
        timer = decision("StartTimer", timerId="t", startToFireTimeout="5")
        world.respond(task, world.schedule(), timer, kid, taskList={"name": "s"}, taskListScheduleToStartTimeout="3")
        cut()
        activity = world.work()
        cut()
        world.call("RecordActivityTaskHeartbeat", taskToken=activity["taskToken"], details="half")
        cut()
        world.later(5)
        cut()
        world.decide(task_list="d")
        cut()
        world.signal(run)
        cut()
        task = world.poll()
        cut()
        world.complete(activity)
        cut()
        world.respond(task)
        cut()
        world.decide(COMPLETE, task_list="c")
        cut()
        world.decide(COMPLETE)
        cut()
        events = world.events(run)
        world.store.close()
        assert list(upkeep.check(path)) == []
        return events

    whole = story(None)
    assert whole[-1]["eventType"] == "WorkflowExecutionCompleted"
    for restart in range(13):
        assert story(restart) == whole


def test_what_fell_due_while_it_was_down_fires(tmp_path: Path) -> None:
    world = World(sqlite.open_file(tmp_path / "swf.db"))
    run = world.start()
    world.decide(
        decision("StartTimer", timerId="t", startToFireTimeout="5"), world.schedule(scheduleToStartTimeout="7")
    )
    world.clock.advance(60)
    world = reopened(world, tmp_path / "swf.db")
    assert world.service.soonest is not None
    assert world.service.fire_due()
    assert world.kinds(run)[-3:] == ["TimerFired", "DecisionTaskScheduled", "ActivityTaskTimedOut"]
    world.store.close()


def test_waiting_tasks_keep_their_order(tmp_path: Path) -> None:
    world = World(sqlite.open_file(tmp_path / "swf.db"))
    for name in ("a", "b", "c"):
        world.start(name)
    world = reopened(world, tmp_path / "swf.db")
    world.start("d")
    assert [world.poll()["workflowExecution"]["workflowId"] for _ in range(4)] == ["a", "b", "c", "d"]
    world.store.close()


def test_a_failed_commit_undoes_the_group_and_what_memory_had_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(sqlite.open_file(tmp_path / "swf.db"))
    run = world.start()
    call = world.service.call
    call("SignalWorkflowExecution", {"domain": DOMAIN, **run, "signalName": "lost"}, hold=True)
    call("RegisterDomain", {"name": "lost", "workflowExecutionRetentionPeriodInDays": "1"}, hold=True)
    call("RegisterActivityType", {"domain": DOMAIN, "name": "lost", "version": "1"}, hold=True)
    call(
        "StartWorkflowExecution",
        {"domain": DOMAIN, "workflowId": "lost", "workflowType": {"name": "w", "version": "1"}},
        hold=True,
    )

    def full() -> None:
        world.store.rollback()
        raise base.Lost("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "commit", full)
        with pytest.raises(base.Lost):
            world.service.commit()
    assert world.kinds(run) == ["WorkflowExecutionStarted", "DecisionTaskScheduled"]
    assert world.refused("DescribeDomain", name="lost") == "UnknownResourceFault"
    lost = {"name": "lost", "version": "1"}
    assert world.refused("DescribeActivityType", domain=DOMAIN, activityType=lost) == "UnknownResourceFault"
    assert world.service.session.count_open(DOMAIN) == 1
    world.start("lost")
    world.decide(COMPLETE)
    assert world.status(run) == "COMPLETED"
    world.store.close()


def test_a_write_that_fails_undoes_the_transaction(tmp_path: Path) -> None:
    store = sqlite.open_file(tmp_path / "swf.db")
    store.add_events([(1, b"x")])
    store.commit()
    store.put_domain("one", b"")
    with pytest.raises(base.Lost):
        store.add_events([(2, b"x"), (2, b"x")])
    for late in (store.next_due, store.commit):
        assert not store.dirty
        assert store.domains() == []
        assert store.events(1, 2) == [b"x"]
        store.put_domain("one", b"")
        store.add_events([(1, b"x")])
        with pytest.raises(base.Lost):
            late()
    assert not store.dirty
    assert store.domains() == []
    store.close()


def test_a_second_server_is_refused_and_a_killed_one_is_not_in_the_way(tmp_path: Path) -> None:
    world = World(sqlite.open_file(tmp_path / "swf.db"))
    with pytest.raises(StoreError, match="open in another server"):
        sqlite.open_file(tmp_path / "swf.db")
    with pytest.raises(StoreError, match="open in another server"):
        sqlite.open_file(tmp_path / "swf.db", fresh=True)
    world = reopened(world, tmp_path / "swf.db")
    assert isinstance(world.store, sqlite.File)
    assert not world.store.was_clean
    world.store.close()
    store = sqlite.open_file(tmp_path / "swf.db")
    assert store.was_clean
    assert [name for name, _ in store.domains()] == [DOMAIN]
    store.close()


def test_a_newer_a_foreign_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    newer, foreign, damaged = tmp_path / "newer.db", tmp_path / "foreign.db", tmp_path / "damaged.db"
    sqlite.open_file(newer).close()
    connection = sqlite3.connect(newer)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer simpleflow"):
        sqlite.open_file(newer)
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE t(x)")
    connection.close()
    with pytest.raises(StoreError, match="another program"):
        sqlite.open_file(foreign)
    damaged.write_bytes(b"this is no database, and long enough to look like one" * 40)
    with pytest.raises(StoreError, match="not a database of the embedded service"):
        sqlite.open_file(damaged)
    store = sqlite.open_file(newer, fresh=True)
    assert store.domains() == []
    store.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        sqlite.open_file(tmp_path / "file" / "swf.db")


@pytest.mark.parametrize("is_open", [True, False])
def test_a_backup_is_the_database_of_one_moment(tmp_path: Path, is_open: bool) -> None:
    path, copy = tmp_path / "swf.db", tmp_path / "copy.db"
    world = World(sqlite.open_file(path))
    run = world.start()
    world.decide(world.schedule())
    if not is_open:
        world.store.close()
    upkeep.backup(path, copy)
    assert copy.stat().st_mode & 0o777 == 0o600, "inputs and results are their owner's"
    with pytest.raises(StoreError, match="overwrites nothing"):
        upkeep.backup(path, copy)
    if is_open:
        world.signal(run)
        world.store.close()
    assert list(upkeep.check(copy)) == []
    assert [each.name for each in tmp_path.glob("copy.db*")] == ["copy.db"], "one file, also after it was read"
    again = World(sqlite.open_file(copy), fresh=False)
    assert again.kinds(run)[-1] == "ActivityTaskScheduled"
    again.complete(again.work())
    again.store.close()
    with pytest.raises(StoreError, match="no database"):
        upkeep.backup(tmp_path / "none.db", tmp_path / "x.db")
    (tmp_path / "foreign.db").touch()
    with pytest.raises(StoreError, match="not a database of the embedded service"):
        upkeep.backup(tmp_path / "foreign.db", tmp_path / "x.db")
    assert not list(tmp_path.glob("x.db*"))


def test_a_backup_for_which_there_is_no_room_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = tmp_path / "swf.db", tmp_path / "full"
    folder.mkdir()
    world = World(sqlite.open_file(path))
    run = world.start()
    for _ in range(60):
        world.signal(run, input="x" * 30_000)
    world.store.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StoreError, match="nothing was left behind"):
            upkeep.backup(path, folder / "copy.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(folder.iterdir()) == []

    def full(part: Path, goal: Path) -> None:
        Path(f"{part}-journal").touch()  # SQLite leaves one where it could not even roll back
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(StoreError, match="nothing was left behind"):
        upkeep.backup(path, folder / "copy.db")
    assert list(folder.iterdir()) == []


def test_check_names_what_contradicts(tmp_path: Path) -> None:
    path = tmp_path / "swf.db"
    world = World(sqlite.open_file(path))
    run = world.start()
    world.signal(run)
    world.store.close()
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM events WHERE key = (SELECT min(key) FROM events)")
    connection.execute("DELETE FROM states")
    connection.commit()
    connection.close()
    assert list(upkeep.check(path)) == [
        "execution 1: open, but without a state",
        "execution 1: its event ids have gaps",
    ]
    assert list(upkeep.quick_check(path)) == []


def test_memory_holds_few_executions_and_reads_the_others_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from simpleflow.server.state import session as sessions

    monkeypatch.setattr(sessions, "CACHED", 6)
    monkeypatch.setattr(sessions, "CACHED_ITEMS", 5)
    world = World()
    runs = [world.start(str(n)) for n in range(10)]
    for _ in range(10):
        world.decide(world.schedule(), decision("StartTimer", timerId="t", startToFireTimeout="5"))
    tasks = [world.work() for _ in range(10)]
    world.later(5)
    for task in tasks:
        world.complete(task)
    for _ in range(10):
        world.decide(COMPLETE)
    assert {world.status(run) for run in runs} == {"COMPLETED"}
    assert len({tuple(world.kinds(run)) for run in runs}) == 1
    assert world.service.session.items_held == 0


def test_a_call_that_breaks_in_the_middle_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(memory.open_memory())
    run = world.start()
    before = world.events(run)

    def broken(*_: Any) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr("simpleflow.server.machine.decision_tasks.settled", broken)
        with pytest.raises(RuntimeError):
            world.decide(world.schedule())
    assert world.events(run)[:2] == before
    assert world.kinds(run, 3) == ["DecisionTaskStarted"]
    assert isinstance(world.service, service.Service)


def test_an_older_database_is_brought_up_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "swf.db"
    world = World(sqlite.open_file(path))
    run = world.start()
    world.store.close()
    steps = (*schema.MIGRATIONS, ("CREATE TABLE more(x)",), ("INSERT INTO more VALUES(1)", "SELECT nonsense"))
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    monkeypatch.setattr(schema, "VERSION", len(steps))
    with pytest.raises(StoreError, match="nonsense"):
        sqlite.open_file(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == len(steps) - 1, (
        "the step that failed left nothing"
    )
    assert connection.execute("SELECT count(*) FROM more").fetchone()[0] == 0
    connection.close()
    monkeypatch.setattr(schema, "MIGRATIONS", steps[:-1])
    monkeypatch.setattr(schema, "VERSION", len(steps) - 1)
    world = World(sqlite.open_file(path), fresh=False)
    assert world.status(run) is None
    world.store.close()


def test_the_log_grows_ahead_of_what_is_written_and_is_read_to_its_end(tmp_path: Path) -> None:
    path, names = tmp_path / "swf.db", [f"domain {number:03}" for number in range(250)]
    with contextlib.closing(sqlite.open_file(path)) as store:
        lengths = set()
        for name in names:
            store.put_domain(name, bytes(3000))
            store.commit()
            store.flush()
            lengths.add((tmp_path / "swf.db-wal").stat().st_size)
        assert 2 < len(lengths) < 20, "not every commit stores a new length"
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", tmp_path / f"copy.db{suffix}")
    with contextlib.closing(sqlite.open_file(tmp_path / "copy.db")) as again:
        assert [name for name, _ in again.domains()] == names
    assert list(upkeep.quick_check(tmp_path / "copy.db")) == []
