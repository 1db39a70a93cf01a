"""What runs wait for stands in the log of their deciders: lists that nobody serves or polls, refused launches."""

from __future__ import annotations

import logging

import msgspec
import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.nodes.manager import coordinator, observe, waits
from simpleflow.server import inprocess

from .world import World


def row(name: str, *lists: str, parent: str = "", decision_list: str = "", decided: int = 3) -> documents.RunRow:
    tasks = tuple(documents.TaskCount(task_list=each, activity="a", state="scheduled", count=2) for each in lists)
    return documents.RunRow(
        run_id=name,
        workflow_id=f"w-{name}",
        workflow="films",
        started_event_id=decided,
        changed=0.0,
        tasks=tasks,
        parent=parent,
        decision_list=decision_list,
    )


def publish(world: World, *rows: documents.RunRow) -> None:
    document = documents.DemandDocument(decider="d", written=0.0, runs=rows)
    world.store.put("demand/d.json", msgspec.json.encode(document))
    for each in rows:
        run = observe.OpenRun(workflow_id=each.workflow_id, run_id=each.run_id, workflow=each.workflow)
        world.coordinator.runs[each.run_id] = run


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.name == waits.logger.name]


def test_the_parent_of_a_child_that_nobody_decides_reads_it_in_its_deciders_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    world = World()
    parent, other = row("parent"), row("other")
    publish(world, parent, other)
    world.coordinator.runs["child"] = observe.OpenRun(workflow_id="w-child", run_id="child", workflow="films")
    world.coordinator.histories["child"] = row("child", parent="parent", decision_list="nobody", decided=0)
    teller = waits.Teller(world.store, 0.0, world.clock.monotonic)
    for _ in range(45):
        world.tick()
        teller.look({each.run_id: each for each in (parent, other)})
    [line] = said(caplog)
    assert line.startswith(
        "run 'w-parent' waits: run 'w-child' of workflow 'films' waits on decision task list 'nobody'"
    )
    # Somebody polls the list after all; later nobody does, and it is said again.
    world.coordinator.histories["child"] = row("child", parent="parent", decision_list="nobody")
    for _ in range(30):
        world.tick()
        teller.look({"parent": parent})
    assert world.document().waits == ()


def test_tasks_on_a_list_that_nobody_serves_are_told_to_the_runs_that_ask(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    rows = [row(f"r{number}", "lihgt") for number in range(5)]
    publish(world, *rows, row("sound", "light"))
    world.tick()
    before = world.document().waits
    teller = waits.Teller(world.store, 0.0, world.clock.monotonic)
    mine = {each.run_id: each for each in (*rows, row("sound", "light"))}
    teller.look(mine)
    [line] = said(caplog)
    assert line.startswith("runs 'w-r0', 'w-r1', 'w-r2' and 2 more wait: 10 tasks wait on task list 'lihgt'")
    teller.look(mine)
    assert len(said(caplog)) == 1, "once"
    # Only the count differs, the reason is the same: the document and the log stay as they are.
    publish(world, *rows[:4], row("sound", "light"))
    world.tick()
    assert world.document().waits == before
    mine["r9"] = row("r9", "lihgt")
    teller.look(mine)
    assert said(caplog)[1].startswith("run 'w-r9' waits: ")


def test_a_refused_launch_is_told_with_the_providers_words(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    publish(world, row("mine", "light"), row("foreign", "heavy"))
    world.provider.faults.append("refused")
    world.tick()
    teller = waits.Teller(world.store, 0.0, world.clock.monotonic)
    teller.look({"mine": row("mine", "light"), "foreign": row("foreign", "heavy")})
    assert any(each.startswith("run 'w-mine' waits: ") and "sold out in every zone" in each for each in said(caplog))


def test_a_document_that_is_gone_or_bad_is_read_at_the_next_look(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    teller = waits.Teller(world.store, 0.0, world.clock.monotonic)
    mine = {"r": row("r", "lihgt")}
    teller.look(mine)
    world.store.put("control.json", b'{"waits": 3}')
    teller.look(mine)
    world.store.put("control.json", b'{"waits": [{"reason": "no disk", "runs": ["r"]}]}')
    teller.look(mine)
    assert said(caplog) == ["run 'w-r' waits: no disk"]


def test_the_parent_is_read_from_the_childs_history() -> None:
    service = inprocess.open_memory(clock=clocks.RealClock(), domain="demo")
    transport = inprocess.transport(service)
    for name in ("above", "below"):
        transport.call("RegisterWorkflowType", {"domain": "demo", "name": name, "version": "1"})
    times = {"executionStartToCloseTimeout": "60", "taskStartToCloseTimeout": "10", "childPolicy": "TERMINATE"}
    began = transport.call(
        "StartWorkflowExecution",
        {"domain": "demo", "workflowId": "a", "workflowType": {"name": "above", "version": "1"},
         "taskList": {"name": "demo"}, **times},
    )  # fmt: skip
    task = transport.call("PollForDecisionTask", {"domain": "demo", "taskList": {"name": "demo"}})
    start = {
        "workflowId": "b",
        "workflowType": {"name": "below", "version": "1"},
        "taskList": {"name": "films"},
        **times,
    }
    transport.call(
        "RespondDecisionTaskCompleted",
        {"taskToken": task.task_token, "decisions": [{"decisionType": "StartChildWorkflowExecution",
                                                      "startChildWorkflowExecutionDecisionAttributes": start}]},
    )  # fmt: skip
    reader = coordinator.SwfCoordinator(transport, "demo")
    found = {each.workflow: reader.scheduled(each) for each in reader.open_runs()}
    assert found["above"].parent == ""
    assert (found["below"].parent, found["below"].decision_list) == (began.run_id, "films")


def test_a_run_whose_machines_all_have_a_fault_reads_what_their_workers_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    world = World()
    world.add("a")
    teller, runs = waits.Teller(world.store, 0.0, world.clock.monotonic), {"r": row("r", "light")}
    for _ in range(6):
        world.tick(task_time=1e9)
        teller.look(runs)
    assert said(caplog) == [], "it boots"
    [node] = world.living()
    node.fault = "worker of 'light' ended 2 times; the last one exited with status 64, its last words: Error: no jobs"
    for _ in range(6):
        world.tick(task_time=1e9)
        teller.look(runs)
    [line] = said(caplog)
    assert line == f"run 'w-r' waits: no machine of profile 'small' works; {node.id}: {node.fault}"
