"""What becomes of lists when the clock is set back, and of the values of large fields when histories are forgotten."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from service_world import DOMAIN, World, decision

from simpleflow.server.process import blobs
from simpleflow.server.store import sqlite, upkeep

ALL = {"oldestDate": 0}
DAY = 86_400.0

# -- a clock that is set back


def test_lists_keep_the_order_of_events_when_the_clock_is_set_back() -> None:
    world = World()
    runs = [world.start("before", taskList={"name": "before"})]
    world.clock._now -= 3600
    runs += [world.start(name, taskList={"name": name}) for name in ("after", "last")]
    every = {"domain": DOMAIN, "startTimeFilter": ALL}

    def listed(action: str, **more: Any) -> list[str]:
        names: list[str] = []
        request = {**every, **more, "maximumPageSize": 1}
        while True:
            page = world.call(action, **request)
            names += [each["execution"]["workflowId"] for each in page["executionInfos"]]
            if "nextPageToken" not in page:
                return names
            request["nextPageToken"] = page["nextPageToken"]

    assert listed("ListOpenWorkflowExecutions") == ["last", "after", "before"]
    assert listed("ListOpenWorkflowExecutions", reverseOrder=True) == ["before", "after", "last"]
    world.clock._now += 7200
    world.decide(decision("CompleteWorkflowExecution"), task_list="last")
    world.clock._now -= 7200
    for name in ("before", "after"):
        world.call("TerminateWorkflowExecution", domain=DOMAIN, workflowId=name)
    by_close = {"startTimeFilter": None, "closeTimeFilter": ALL}
    assert listed("ListClosedWorkflowExecutions", **by_close) == ["after", "before", "last"]
    assert listed("ListClosedWorkflowExecutions", **by_close, reverseOrder=True) == ["last", "before", "after"]
    assert listed("ListClosedWorkflowExecutions") == ["last", "after", "before"]
    # the filters are about the moments themselves
    now = world.clock.now()
    recent = {"oldestDate": now - 60, "latestDate": now + 60}
    found = world.call("ListClosedWorkflowExecutions", domain=DOMAIN, startTimeFilter=recent)["executionInfos"]
    assert [each["execution"]["workflowId"] for each in found] == ["last", "after"]
    assert world.call("CountClosedWorkflowExecutions", domain=DOMAIN, startTimeFilter=recent)["count"] == 2
    early = {"oldestDate": 0, "latestDate": now + 60}
    found = world.call("ListClosedWorkflowExecutions", domain=DOMAIN, closeTimeFilter=early)["executionInfos"]
    assert {each["execution"]["workflowId"] for each in found} == {"after"}, "the other ended behind its last event"


# -- the values of large fields


def pointer(folder: Any, content: str) -> str:
    digest = hashlib.sha256(content.encode()).hexdigest()
    folder.mkdir(exist_ok=True)
    (folder / digest).write_text(content)
    return f"simpleflow+file://{folder}/{digest} {len(content)}"


def test_values_are_deleted_with_the_last_history_that_refers_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    world = World(sqlite.open_file(tmp_path / "swf.db"))
    values = blobs.Blobs(folder, tmp_path / "databases", tmp_path / "swf.db")
    values.register()
    values.register()
    assert (tmp_path / "databases").read_text() == f'"{tmp_path}/swf.db"\n'
    nested = '{"args": [{"$simpleflow.ref": "%s"}]}'
    alone, shared, kept = (pointer(folder, text) for text in ("alone", "shared", "kept"))
    (folder / "stranger").write_text("of somebody")
    world.start("one", input=nested % alone)
    world.start("two", input=shared)
    world.start("three", input=kept, executionStartToCloseTimeout="31536000")
    world.signal({"workflowId": "one"}, input=nested % shared)
    world.call("TerminateWorkflowExecution", domain=DOMAIN, workflowId="one")

    def clean() -> set[str]:
        while world.service.clean():
            pass
        world.service.commit()
        while values.clean(world.store, world.clock.now()):
            pass
        world.service.commit()
        return {each.read_text() for each in folder.iterdir()} - {"of somebody"}

    world.clock.advance_to(time.time() + DAY + 1)
    assert clean() == {"alone", "shared", "kept"}, "a value that was stored a moment ago is not looked at"
    world.clock.advance(3600)
    assert clean() == {"shared", "kept"}
    world.call("TerminateWorkflowExecution", domain=DOMAIN, workflowId="two")
    world.clock.advance(DAY + 1)
    clean()
    world.start("four", input=shared)  # equal content is stored again
    world.clock.advance(3600)
    assert clean() == {"shared", "kept"}
    world.store.close()
    assert list(upkeep.check(tmp_path / "swf.db")) == []
    (folder / kept.split("/")[-1].split()[0]).write_text("another")
    assert "is not what was stored" in next(iter(upkeep.check(tmp_path / "swf.db")))


def test_values_that_another_database_refers_to_stay(tmp_path: Path) -> None:
    folder, databases = tmp_path / "blobs", tmp_path / "databases"
    value = pointer(folder, "both")
    worlds = {}
    for name in ("one.db", "two.db"):
        worlds[name] = World(sqlite.open_file(tmp_path / name))
        blobs.Blobs(folder, databases, tmp_path / name).register()
        worlds[name].start("run", input=value, executionStartToCloseTimeout="31536000")
    for name, world in worlds.items():
        world.call("TerminateWorkflowExecution", domain=DOMAIN, workflowId="run")
        world.clock.advance_to(time.time() + DAY + 1)
        for _ in range(2):
            while world.service.clean():
                pass
            blobs.Blobs(folder, databases, tmp_path / name).clean(world.store, world.clock.now())
            world.service.commit()
            world.clock.advance(3600)
        assert (len(list(folder.iterdir())) == 1) == (name == "one.db")
        world.store.close()


def test_an_older_database_learns_what_its_histories_refer_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = pointer(tmp_path / "blobs", "old")
    path = tmp_path / "swf.db"
    world = World(sqlite.open_file(path))
    world.start("one", input=value)
    world.store.close()
    connection = sqlite3.connect(path)
    for words in (
        "DROP TABLE blobs",
        "DROP TABLE unreferenced",
        "DROP INDEX executions_open",
        "DROP INDEX executions_started",
        "DROP INDEX executions_closed",
        "ALTER TABLE executions DROP COLUMN start_order",
        "ALTER TABLE executions DROP COLUMN close_order",
        "CREATE INDEX executions_open ON executions(domain, started) WHERE closed IS NULL",
        "CREATE INDEX executions_started ON executions(domain, started) WHERE closed IS NOT NULL",
        "CREATE INDEX executions_closed ON executions(domain, closed) WHERE closed IS NOT NULL",
        "PRAGMA user_version = 1",
    ):
        connection.execute(words)
    connection.commit()
    connection.close()
    world = World(sqlite.open_file(path), fresh=False)
    world.start("two")
    found = world.call("ListOpenWorkflowExecutions", domain=DOMAIN, startTimeFilter=ALL)["executionInfos"]
    assert [each["execution"]["workflowId"] for each in found] == ["two", "one"]
    assert upkeep.refers(path, value.split("/")[-1].split()[0])
    world.store.close()
