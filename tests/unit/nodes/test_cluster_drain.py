"""Drains with real workers and service: what a node has is finished, what it is handed at the mark is worked."""

from __future__ import annotations

import collections
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from simpleflow.client import connect
from simpleflow.nodes.cluster import cluster
from simpleflow.nodes.providers.process import node_folder

from .rig import FROM_ZERO, ROOT, WIDE, Gate, Rig

pytestmark = [pytest.mark.needs_processes, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("drain"), FROM_ZERO)
    made.cluster.bring_up(directory=str(ROOT))
    yield made
    made.close()


@pytest.fixture
def service(rig: Rig) -> Iterator[connect.Connection]:
    with connect.connect(domain=rig.cluster.config.swf_domain, endpoint_url=rig.cluster.paths.endpoint) as connection:
        yield connection


class Run:
    """One execution of ``jobs.Held``, whose tasks wait for ``gate``; with ``seconds`` of ``jobs.Naps``."""

    def __init__(
        self, rig: Rig, service: connect.Connection, name: str, light: int, heavy: int, seconds: float | None = None
    ) -> None:
        self.gate = Gate(rig.file.with_name(f"gate-{name}"))
        last = str(self.gate.path) if seconds is None else seconds
        given = json.dumps({"args": [light, heavy, last], "kwargs": {}})
        start = ("workflow.start", "--cluster", str(rig.file), "--workflow-id", name, "--input", given)
        done = rig.command(*start, f"tests.unit.nodes.jobs.{'Held' if seconds is None else 'Naps'}")
        assert done.returncode == 0, done.stderr
        execution = {"workflowId": name, "runId": done.stdout.split()[1]}
        self._request = {"domain": service.domain, "execution": execution}
        self._service = service

    def events(self) -> list[Any]:
        return list(self._service.transport.call("GetWorkflowExecutionHistory", self._request).events)

    def counts(self) -> collections.Counter[str]:
        return collections.Counter(type(each).__name__ for each in self.events())

    def closed(self) -> bool:
        return self.counts()["WorkflowExecutionCompleted"] > 0

    def ran_on(self) -> dict[int, str]:
        """The node of each task, in the order of their starts."""
        started = [each for each in self.events() if type(each).__name__ == "ActivityTaskStarted"]
        return {
            each.attributes.scheduled_event_id: json.loads(each.attributes.identity)["node"]
            for each in sorted(started, key=lambda event: event.id)
        }


def mark(rig: Rig, node: str) -> None:
    """Mark a node and wait until its agent has seen it; a manager that needs the node would take the mark back."""

    def seen() -> bool:
        return any(each.node == node and each.state not in {"working", "marked"} for each in rig.cluster.status().nodes)

    manager = rig.cluster.up.manager
    assert manager
    with rig.paused(manager):
        node_folder.NodeFolder(rig.cluster.paths.folder / "nodes" / node).set_tag("simpleflow:drain.1", "1")
        rig.until("the agent saw the mark", seen)


def working(rig: Rig) -> list[cluster.NodeStatus]:
    return [each for each in rig.cluster.status().nodes if each.state == "working"]


def test_a_marked_node_finishes_its_task_and_the_next_one_goes_to_another(
    rig: Rig, service: connect.Connection
) -> None:
    run = Run(rig, service, "busy", 0, 2)
    rig.until("a node shows the task", lambda: any(each.running for each in working(rig)))
    (node,) = working(rig)
    mark(rig, node.node)
    run.gate.open()
    rig.until("both are done", run.closed)
    first, second = run.ran_on().values()
    assert first == node.node
    assert second != first
    assert not {"ActivityTaskTimedOut", "ActivityTaskFailed"} & set(run.counts())
    rig.until("the marked node is gone", lambda: rig.ended(node.node))


def test_whatever_is_marked_whenever_no_task_is_lost_or_run_twice(rig: Rig, service: connect.Connection) -> None:
    """Idle polls are open all the time: marks fall into them, and into what they are just handed."""
    last = Run(rig, service, "last", 1, 0)  # keeps nodes coming until enough were marked
    naps = Run(rig, service, "many", 60, 0, seconds=0.2)
    marked: set[str] = set()
    limit = time.monotonic() + WIDE
    while not (last.closed() and naps.closed()):
        assert time.monotonic() < limit, (last.counts(), naps.counts())
        fresh = [each for each in working(rig) if each.node not in marked and each.profile == "small"]
        if fresh and len(marked) < 4:
            marked.add(fresh[0].node)
            mark(rig, fresh[0].node)
        if len(marked) >= 2:
            last.gate.open()
        time.sleep(0.05)
    for each, tasks in ((last, 1), (naps, 60)):
        counts = each.counts()
        assert (counts["ActivityTaskStarted"], counts["ActivityTaskCompleted"]) == (tasks, tasks), counts
    assert len({node for each in (last, naps) for node in each.ran_on().values()}) >= 2
    rig.until("every marked node is gone", lambda: all(rig.ended(name) for name in marked))


def test_down_may_be_repeated_and_only_now_hurries(rig: Rig, service: connect.Connection) -> None:
    """After --timeout, after Ctrl-C, by a second person: the running task is finished (skypilot, ray)."""
    run = Run(rig, service, "long", 1, 0)
    rig.until("the task is started", run.ran_on)  # a document may still show a task of the test before
    (node,) = run.ran_on().values()
    rig.until(
        "its node shows it", lambda: any(each.running for each in rig.cluster.status().nodes if each.node == node)
    )
    other = cluster.load(rig.file, rig.environment)
    for each in (rig.cluster, rig.cluster, other):
        assert not each.take_down(timeout=0.0)
        time.sleep(0.3)  # two signals that are pending at once are one
    assert rig.sfnodes("down", str(rig.file), "--timeout", "0").returncode == 1
    for command in ("up", str(rig.file)), ("up", str(rig.file), "--json"):
        refused = rig.sfnodes(*command)
        assert (refused.returncode, refused.stdout) == (64, "")
        assert "is going down and finishes its running tasks" in refused.stderr
    start = rig.command(
        "workflow.start", "--cluster", str(rig.file), "tests.unit.nodes.jobs.Held", "--input", "[1, 0, 0]"
    )
    assert start.returncode == 64
    assert "is going down, and nobody would decide" in start.stderr
    opened = time.time()
    run.gate.open()
    assert other.take_down(timeout=WIDE)
    (shown,) = (each for each in rig.cluster.status().nodes if each.node == node)
    ended = shown.busy[-1][1]
    assert ended is not None
    assert ended >= opened, "the task was cut off"
