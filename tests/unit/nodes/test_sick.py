"""Capacity is what polls or works now: workers that crash, hang, poll elsewhere; half of a machine's lists sick."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from simpleflow.core import documents
from simpleflow.nodes import model
from simpleflow.nodes.agent import agent as agents
from simpleflow.nodes.manager import report, sightings
from simpleflow.nodes.policy import decide, guards
from simpleflow.process import kept

from . import fakes
from .test_agent import Node
from .test_policy import CLUSTER, node, snapshot
from .test_reconcile import run_until_empty
from .world import World

FAULT = "worker of 'light' ended 5 times; the last one exited with status 1"


def fresh(world: World, fault: str, ticks: int, *, task_time: float = 3.0, after: float = 2.0) -> None:
    """Let time pass; every machine that was not there before falls sick so many seconds after its boot."""
    before = set(world.nodes)
    for _ in range(ticks):
        for each in world.living():
            if each.id not in before and each.now(world) - each.booted > after:
                each.fault = fault
        world.tick(task_time=task_time)


def sicken(world: World) -> None:
    """Its worker dies, with what it worked on: the service times that out."""
    for each in world.living():
        each.fault = FAULT
        world.provider.write_log(each.id, "OSError: [Errno 28] No space left on device")


def test_a_sick_machine_is_replaced_counted_and_told_and_its_tasks_are_worked_elsewhere() -> None:
    world = World()
    world.add("a", "b")
    for _ in range(4):
        world.tick(task_time=1e9)
    (first,) = world.living()
    sicken(world)
    for _ in range(int(world.cluster.settings.sick) - 1):
        world.tick(task_time=1e9)
    assert len(world.nodes) == 1, "not at once: a worker may be started again"
    for _ in range(6):
        world.tick(task_time=1e9)
    assert len(world.nodes) == 2
    (failure,) = world.document().failures
    assert failure.count == 1
    assert "No space left on device" in failure.last_log
    assert FAULT in failure.last_log
    shown = report.look(world.cluster, world.store, lambda _: "running", now=world.clock.now())
    sick = next(each for each in shown.nodes if each.node == first.id)
    assert "task list 'light' is neither polled nor worked" in sick.reason
    assert shown.failures == world.document().failures
    for _ in range(10):
        world.tick()
    assert not first.alive, "it drains, having nothing, and powers itself off"
    run_until_empty(world)
    assert sorted(world.done) == ["a", "b"]
    assert (world.lost, world.terminated) == ([], [])


DYING = "import sys; print('Error: no module of yours', file=sys.stderr); sys.exit(64)"


def test_a_worker_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    """The machine's log is a file, as on process and ssh: the agent's stderr, which its workers have too."""
    log, before = tmp_path / "log", os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        child = kept.Tethered("worker of 'light'", [sys.executable, "-c", DYING], dict(os.environ))
        worker = agents._Worker("light", 1, child, SimpleNamespace(status=None))  # type: ignore[arg-type]  # never spoke
        assert worker.fault() == ""
        child.keep()
        while child.alive():
            time.sleep(0.01)
        os.write(2, b"2026-11-30 INFO simpleflow.nodes.agent.agent another line of ours\n")
        said = worker.fault()
        os.write(2, b"what came later is of the next one\n")
        again = worker.fault()
    finally:
        os.dup2(before, 2)
        os.close(before)
    assert said == "worker of 'light' exited with status 64, its last words: Error: no module of yours"
    assert again == said


def test_machines_that_poll_once_and_fall_sick_open_the_breaker() -> None:
    """Each polls at first: that alone is no proof that its launch was sound."""
    world = World()
    world.add("a")
    fresh(world, FAULT, 400, task_time=1e9)
    assert len(world.nodes) == world.cluster.breaker.pause == 3
    assert "stopped working" in world.managers["m1"].plan.notes[0]
    assert world.document().failures[0].orders == (1, 2, 3)


def test_a_worker_that_crashes_in_a_loop_is_sick_though_it_polls_for_a_moment_after_each_start() -> None:
    world = World()
    world.add("a")
    for _ in range(4):
        world.tick(task_time=1e9)
    (first,) = world.living()
    for second in range(40):
        first.fault = "" if second % 7 == 0 else FAULT
        world.tick(task_time=1e9)
    assert world.document().failures[0].count == 1


def test_a_worker_that_is_started_again_and_serves_is_not_sick() -> None:
    world = World()
    world.add("a")
    for second in range(120):
        for each in world.living():
            each.fault = FAULT if second == 10 else ""
        world.tick(task_time=1e9)
    assert len(world.nodes) == 1
    assert not world.document().failures


def test_a_sick_machine_is_counted_once_whoever_manages() -> None:
    world = World()
    world.add("a")
    for _ in range(4):
        world.tick(task_time=1e9)
    sicken(world)
    for node_ in world.nodes.values():
        node_.works = True
    for _ in range(30):
        world.tick(task_time=1e9)
    world.managers.clear()
    world.manager("m2")
    for _ in range(40):
        world.tick(task_time=1e9)
    assert [each.count for each in world.document().failures] in ([1], [])


def test_while_the_coordinator_answers_nobody_no_machine_is_sick() -> None:
    """A worker cannot poll a service that is down; that proves nothing of its machine."""
    world = World()
    world.add("a")
    for _ in range(4):
        world.tick(task_time=1e9)
    (first,) = world.living()

    def refuse(task_list: str) -> int:
        raise fakes.SimpleflowError("the service does not answer")

    answering = world.coordinator.pending_activities
    world.coordinator.pending_activities = refuse  # type: ignore[method-assign]  # down for a while
    first.fault = "polling failed"
    for _ in range(90):
        world.tick(task_time=1e9)
    assert len(world.nodes) == 1
    assert not world.document().failures
    world.coordinator.pending_activities = answering  # type: ignore[method-assign]
    first.fault = ""
    run_until_empty(world)


def test_a_machine_that_falls_silent_with_nothing_to_do_is_replaced_and_a_silent_busy_one_is_not() -> None:
    for busy in (False, True):
        world = World()
        world.add("a")
        for _ in range(6):
            world.tick(task_time=1e9)
        (first,) = world.living()
        if not busy:
            first.running.clear()
            first.turn(world)
        first.works = False
        world.queue[:] = [] if busy else ["a"]
        world.publish()
        for _ in range(60):
            world.tick(task_time=1e9)
        assert first.alive is busy
        assert (len(world.nodes) > 1) is not busy


SICK = "task list 'heavy' is neither polled nor worked for 301 s"


def sick(name: str, *, partly: bool = False, **more: object) -> model.Node:
    return msgspec.structs.replace(node(name, **more), sick=SICK, partly=partly)  # type: ignore[arg-type]


def test_a_sick_machine_is_not_capacity_and_drains() -> None:
    plan = decide.decide(snapshot(sick("n"), heavy=2))
    assert [(each.instance, each.reason) for each in plan.drains] == [("n", SICK)]
    assert sum(each.units for each in plan.launches) == 1


def test_one_that_serves_half_of_its_lists_is_replaced_unless_no_launch_is_possible() -> None:
    half = sick("n", partly=True, tasks=1)
    plan = decide.decide(snapshot(half, heavy=2))
    assert ([each.instance for each in plan.drains], len(plan.launches)) == (["n"], 1)
    assert plan.terminates == (), "what it works on is finished"
    kept = decide.decide(snapshot(half, heavy=2, paused={"big": "3 machines stopped working"}))
    assert (kept.drains, kept.launches) == ((), ())


def test_the_mark_of_a_sick_machine_is_not_taken_back() -> None:
    marked = node("n", state=model.NodeState.MARKED)
    row = msgspec.structs.replace(marked.row, counted=True, drain=1, draining_since=snapshot().now)
    marked = msgspec.structs.replace(marked, row=row)
    plan = decide.decide(snapshot(marked, heavy=2))
    assert (plan.unmarks, plan.terminates) == ((), ())
    assert sum(each.units for each in plan.launches) == 1


def test_a_sick_machine_that_hangs_in_its_drain_is_ended_and_one_that_works_is_not() -> None:
    times = CLUSTER.settings
    hung = node("n", state=model.NodeState.DRAINING)
    row = msgspec.structs.replace(hung.row, counted=True, draining_since=snapshot().now - times.sick - times.poll - 1)
    hung = msgspec.structs.replace(hung, row=row)
    assert [each.instance for each in decide.decide(snapshot(hung)).terminates] == ["n"]
    busy = msgspec.structs.replace(node("n", tasks=1, state=model.NodeState.DRAINING), row=row)
    assert decide.decide(snapshot(busy)).terminates == ()


def test_half_of_its_lists_sick_is_seen() -> None:
    clock, times = fakes.virtual(), fakes.cluster().settings
    seen = sightings.Sightings(times, clock)
    row = documents.Row(instance="n", profile="small", attempt="a", price=0, since=clock.now(), until=clock.now())
    lists = (
        documents.ListStatus(task_list="heavy", slots=1),
        documents.ListStatus(task_list="light", slots=1, polling=True),
    )
    for second in range(int(times.sick) + 2):
        document = documents.NodeDocument(
            node="n", profile="small", attempt="a", state="working", booted=0.0, written=float(second),
            first_polled=1.0, health="worker of 'heavy' ended 3 times", task_lists=lists,
        )  # fmt: skip
        seen.look([row], {"n": document}, clock.now(), answering=True)
        clock.advance(1.0)
    reason, partly = seen.sick(row)
    assert "task list 'heavy' is neither polled nor worked" in reason
    assert partly
    assert not seen.steady(row)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.agent.close()
    made.server.stop()


@pytest.mark.needs_processes
def test_a_dead_worker_is_not_shown_as_polling(agent: Node) -> None:
    agent.until(lambda: agent.document().task_lists[0].polling)
    script = agent.folder / "worker.py"
    script.write_text("raise SystemExit(1)")
    (worker,) = agent.agent._workers
    assert worker.child.pid
    os.kill(worker.child.pid, signal.SIGKILL)
    agent.until(lambda: "the last one exited with status 1" in agent.document().health)
    assert not agent.document().task_lists[0].polling


@pytest.mark.needs_processes
def test_a_worker_that_hangs_neither_polls_nor_works(agent: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lives, and its last words were that it works: without this the machine would be busy for ever."""
    monkeypatch.setattr("simpleflow.nodes.agent.agent._SILENT", 0.5)
    agent.touch("task")
    agent.until(lambda: agent.document().task_lists[0].running != ())
    (worker,) = agent.agent._workers
    assert worker.child.pid
    os.kill(worker.child.pid, signal.SIGSTOP)
    try:
        agent.until(lambda: "has not said anything" in agent.document().health)
        agent.until(lambda: not agent.document().task_lists[0].running)
        assert not agent.document().task_lists[0].polling
    finally:
        os.kill(worker.child.pid, signal.SIGCONT)
    agent.until(lambda: agent.document().task_lists[0].running != ())


@pytest.mark.needs_processes
def test_a_worker_that_polls_the_wrong_list_serves_none(agent: Node) -> None:
    script = agent.folder / "worker.py"
    script.write_text(script.read_text().replace('"task_list": "light"', '"task_list": "lihgt"'))
    agent.until(lambda: "polls 'lihgt' instead" in agent.document().health)
    assert not agent.document().task_lists[0].polling
    assert agent.document().first_polled is None


def test_the_words_of_the_breaker_fit_what_happened() -> None:
    never = guards.failed(fakes.control_of(launched=1), "small", "", "log")
    stopped = guards.failed(never, "small", "", "log", stopped=True)
    assert guards.describe(never.failures[0]) == "1 machine booted and never worked"
    assert guards.describe(stopped.failures[0]) == "2 machines stopped working, or never did"
