"""No two machines' clocks are compared: node, manager and provider up to an hour apart, a laptop that slept."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import msgspec
import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents, interceptors
from simpleflow.nodes import billing
from simpleflow.nodes.agent import metadata_client, report
from simpleflow.nodes.manager import demand
from simpleflow.nodes.manager import report as reports
from simpleflow.nodes.providers.process import MetadataServer, node_folder

from . import fakes
from .test_reconcile import run_until_empty
from .world import World

HOUR = 3600.0
APART = [
    pytest.param(*apart, id="provider {:+.0f} s, nodes {:+.0f} s, manager {:+.0f} s".format(*apart))
    for apart in itertools.product((-HOUR, 0.0, HOUR), repeat=3)
    if len(set(apart)) > 1
] + [pytest.param(0.0, -25.0, 0.0, id="nodes 25 s behind")]


def apart_world(provider: float, nodes: float, manager: float) -> World:
    world = World(provider=provider, nodes=nodes)
    world.manager("m1", fakes.Skewed(world.clock, manager))
    return world


@pytest.mark.parametrize(("provider", "nodes", "manager"), APART)
def test_a_life_is_the_same_whatever_the_clocks_show(provider: float, nodes: float, manager: float) -> None:
    world = apart_world(provider, nodes, manager)
    world.add("a", "b", "c")
    for _ in range(60):
        world.tick(task_time=50.0)
    assert sorted(world.done) == ["a", "b", "c"]
    assert (world.terminated, world.lost) == ([], [])
    assert not world.document().failures
    run_until_empty(world)
    assert (world.terminated, world.lost) == ([], [])
    assert len(world.nodes) == 2
    for entry in world.ledger():
        assert 50.0 < entry.ended - entry.since < 80.0, "by the provider's clock, from launch to end"
    spent = {each.window: each.amount for each in world.document().spent}
    assert spent["day"] <= sum(entry.cost for entry in world.ledger()) + 3


@pytest.mark.parametrize(("provider", "nodes", "manager"), APART)
def test_a_drain_waits_for_its_task_whatever_the_clocks_show(provider: float, nodes: float, manager: float) -> None:
    world = apart_world(provider, nodes, manager)
    world.add("a")
    for _ in range(5):
        world.tick(task_time=100.0)
    world.managers["m1"].ending = True
    for _ in range(150):
        world.tick(task_time=100.0)
    assert (world.done, world.terminated, world.lost) == (["a"], [], [])
    assert not world.document().rows


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_holder_with_another_clock_keeps_its_lease_and_a_contender_stays_one(ahead: float) -> None:
    """The lease's moment is one of the provider's clock; when to renew it, the holder's monotonic clock says."""
    world = apart_world(0.0, 0.0, ahead)
    world.manager("m2", fakes.Skewed(world.clock, -ahead))
    world.add("a")
    for _ in range(60):
        world.tick(task_time=1e9)
    lease = world.document().lease
    assert lease is not None
    assert (lease.holder, lease.epoch) == ("m1", 1)
    assert abs(lease.renewed - world.provider_clock.now()) < 10.0


def test_a_laptop_that_slept_ends_nothing_and_counts_nothing_twice() -> None:
    """Suspended for eight hours in the midst of boots and tasks: wall clocks jump, monotonic ones do not."""
    world = World()
    laptop = fakes.Skewed(world.clock, 0.0)
    world.provider_clock = world.provider._clock = laptop  # type: ignore[assignment]
    world.manager("m1", laptop)
    world.add("a", "b", "c")
    world.tick()
    for _ in range(3):
        for _ in range(7):
            world.tick(task_time=60.0)
        laptop.ahead += 8 * HOUR
        for node in world.living():
            node.ahead = laptop.ahead
    for _ in range(100):
        world.tick(task_time=60.0)
    assert sorted(world.done) == ["a", "b", "c"]
    assert (world.terminated, world.lost) == ([], [])
    assert len(world.nodes) == 2
    assert not world.document().failures
    run_until_empty(world)
    spent = {each.window: each.amount for each in world.document().spent}
    hour = billing.cost(world.cluster.profiles["small"].billing, billing.micros(0.36), HOUR)
    assert spent["hour"] <= 2 * hour, "of two machines no more than an hour each falls into this hour"


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_of_two_deciders_rows_the_newer_decision_holds_whatever_their_clocks_show(ahead: float) -> None:
    def row(event: int, changed: float, count: int) -> documents.RunRow:
        tasks = (documents.TaskCount(task_list="light", activity="a", state="scheduled", count=count),)
        return documents.RunRow(
            run_id="r", workflow_id="w", workflow="n", started_event_id=event, changed=changed, tasks=tasks
        )

    def held(*rows: documents.RunRow) -> int:
        found = [documents.DemandDocument(decider=str(n), written=0.0, runs=(each,)) for n, each in enumerate(rows)]
        return demand.merge(found)["r"].tasks[0].count

    older, newer = row(3, ahead, 7), row(9, 0.0, 1)
    assert held(older, newer) == held(newer, older) == 1
    one, other = row(3, ahead, 7), row(3, 0.0, 1)
    assert held(one, other) == held(other, one) == 7, "of one decision the row that asks for more"


class Jumping(clocks.VirtualClock):
    """Its wall clock is set back by an hour."""

    def __init__(self) -> None:
        super().__init__()
        self.back = 0.0

    def now(self) -> float:
        return super().now() - self.back


def test_a_wall_clock_that_is_set_back_keeps_no_document_from_being_written() -> None:
    clock, store, times = Jumping(), fakes.MemoryStore(), fakes.cluster().settings
    document = documents.NodeDocument(
        node="n", profile="small", attempt="a", state="working", booted=clock.now(), written=clock.now()
    )
    reporter = report.Reporter(store, document, times, clock)
    reporter.write_if_due(clock.now())
    clock.back = HOUR
    clock.advance(times.document_max)
    before = store.puts
    reporter.write_if_due(clock.now())
    assert store.puts == before + 1


def test_a_deciders_demand_is_published_though_its_clock_was_set_back() -> None:
    class Real(clocks.RealClock):
        back = 0.0

        def now(self) -> float:
            return super().now() - self.back

    clock, store = Real(), fakes.MemoryStore()
    times = msgspec.structs.replace(fakes.cluster().settings, document_min=0.05)
    publisher = demand.DemandPublisher(store, "d", times, clock)
    publisher.polling()
    run = interceptors.Execution(domain="d", workflow_id="w", run_id="r", workflow_name="n", workflow_version="1")
    publisher.received(interceptors.DecisionReceived(execution=run, started_event_id=3, received=0.0))
    clock.back = HOUR
    publisher.answered(
        interceptors.DecisionAnswered(execution=run, started_event_id=3, closed=True, demand=(), seconds=0.0)
    )
    limit = time.monotonic() + 20
    while b'"closed":true' not in store.objects["demand/d.json"][0]:
        assert time.monotonic() < limit
        threading.Event().wait(0.01)
    publisher.stopping()


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_report_draws_a_machines_moments_beside_the_providers(ahead: float, tmp_path: Path) -> None:
    world = World(nodes=ahead)
    world.add("a")
    for _ in range(6):
        world.tick(task_time=1e9)
    (node,) = world.living()
    stored = world.store.objects[f"nodes/{node.id}.json"]

    class Dated(fakes.MemoryStore):
        def list(self, prefix: str = "") -> object:  # type: ignore[override]
            return (msgspec.structs.replace(each, modified=world.clock.now()) for each in super().list(prefix))

    store = Dated()
    store.objects = {**world.store.objects, f"nodes/{node.id}.json": stored}
    shown = reports.look(world.cluster, store, lambda _: "running", now=world.provider_clock.now())
    (status,) = shown.nodes
    assert status.first_poll is not None
    assert status.launched <= status.first_poll <= world.clock.now()
    assert 0.0 < status.age < 10.0
    assert shown.cost < 10_000


def test_a_notice_is_measured_by_the_clock_of_the_one_that_gives_it(tmp_path: Path) -> None:
    server = MetadataServer(str(tmp_path))
    server.start()
    folder = node_folder.NodeFolder(tmp_path / "nodes" / "n-1")
    folder.create(node_folder.Record(id="n-1", attempt="a", profile="p", launched=0.0, instance_type="x", tags={}))
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    node_folder.write(folder.notice, f'{{"action":"terminate","time":"{end}"}}'.encode())
    seen = metadata_client.Metadata({metadata_client.ENDPOINT_VARIABLE: f"{server.url}/n-1/"})
    assert seen.notice(90.0) == pytest.approx(60.0, abs=10.0)
    server.stop()
