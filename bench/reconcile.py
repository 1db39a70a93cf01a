"""CPU of one pass of the manager over 5,000 nodes and 100,000 queued tasks: its own code on a provider in memory.

A pass lists the machines, reads what changed of the nodes' and the deciders' documents, accounts, decides and acts.
The store is in memory too, with conditional writes: what the disk or S3 takes is not the manager's CPU.

    python bench/reconcile.py [--nodes 5000] [--tasks 100000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import _table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents, errors
from simpleflow.data.blobs import memory
from simpleflow.nodes import config, control
from simpleflow.nodes.manager import observe, reconcile
from simpleflow.nodes.providers import base as providers
from simpleflow.nodes.providers import fake

GOAL = 1.0
SLOTS, RUNS = 4, 40
TEXT = """
cluster: bench
profiles: {{machine: {{billing: {{period: 1, minimum: 60, price: 0.1}}, boot: 90}}}}
task_lists: {{work: {{profile: machine, slots: {slots}, max: {most}}}}}
preset: aws
"""


class Coordinator:
    """Every run is open (observe.Coordinator)."""

    def open_runs(self) -> tuple[observe.OpenRun, ...]:
        return tuple(
            observe.OpenRun(workflow_id=f"w{number}", run_id=f"r{number}", workflow="bench") for number in range(RUNS)
        )

    def is_closed(self, workflow_id: str, run_id: str) -> bool:
        return False

    def scheduled(self, run: observe.OpenRun) -> documents.RunRow:
        raise errors.SimpleflowError("every run has its row")

    def pending_activities(self, task_list: str) -> int:
        return 0

    def pending_decisions(self, task_list: str) -> int:
        return 0


class Bench:
    """A cluster of so many nodes that work on so many tasks, and its manager."""

    def __init__(self, nodes: int, tasks: int) -> None:
        self.nodes, self.tasks = nodes, tasks
        self.clock = clocks.VirtualClock()
        self.store = memory.MemoryStore()
        self.cluster = config.loads(TEXT.format(slots=SLOTS, most=2 * nodes))
        self.provider = fake.FakeProvider("bench", self.clock)
        file = control.ControlFile(self.store, "bench", "m", self.clock)
        self.manager = reconcile.Reconciler(
            self.cluster, file, self.provider, self.store, Coordinator(), self.clock, None
        )
        document = control.take(file.read(), "m", self.clock.now())
        for begun in range(0, nodes, 100):
            attempt, units = f"a{begun}", min(100, nodes - begun)
            intent = documents.Intent(
                id=attempt, kind="launch", creator="m", profile="machine", not_after=1e12, units=units, price=100_000
            )
            document = control.open_intent(document, intent)
            spec = providers.LaunchSpec(
                cluster="bench", profile="machine", attempt=attempt, units=units, not_after=1e12
            )
            document = control.answered(document, attempt, self.provider.launch(spec).instances, self.cluster.settings)
        file.replace(document)
        self.instances = [each.id for each in self.provider.list().instances]
        self.clock.advance(600)
        self.write_nodes(range(nodes))
        self.write_demand(tasks + SLOTS * nodes)

    def write_nodes(self, places: range, *, idle: bool = False) -> None:
        """What so many nodes say of themselves now."""
        now = self.clock.now()
        for place in places:
            name = self.instances[place]
            running = (
                ()
                if idle
                else tuple(
                    documents.RunningTask(
                        id=f"r{place % RUNS}/{place * SLOTS + slot}",
                        started=now - place % 90,
                        activity=f"kind{place % 5}",
                        start_to_close=900.0,
                    )
                    for slot in range(SLOTS)
                )
            )
            document = documents.NodeDocument(
                node=name,
                profile="machine",
                attempt=name.rpartition("-")[0],
                state="working",
                booted=now - 590,
                written=now,
                first_polled=now - 500,
                idle_since=now - 400 if idle else None,
                task_lists=(documents.ListStatus(task_list="work", slots=SLOTS, polling=True, running=running),),
            )
            self.store.put(f"nodes/{name}.json", msgspec.json.encode(document))

    def write_demand(self, scheduled: int) -> None:
        """What the runs ask for."""
        rows = tuple(
            documents.RunRow(
                run_id=f"r{number}",
                workflow_id=f"w{number}",
                workflow="bench",
                started_event_id=3,
                changed=self.clock.now(),
                tasks=tuple(
                    documents.TaskCount(
                        task_list="work", activity=f"kind{kind}", state="scheduled", count=scheduled // RUNS // 5
                    )
                    for kind in range(5)
                ),
            )
            for number in range(RUNS)
        )
        document = documents.DemandDocument(decider="d", written=self.clock.now(), runs=rows)
        self.store.put("demand/d.json", msgspec.json.encode(document))

    def run_pass(self) -> float:
        """CPU seconds of one pass."""
        begun = time.process_time()
        for _ in self.manager.steps():
            pass
        return time.process_time() - begun


def first(bench: Bench) -> float:
    return bench.run_pass()


def quiet(bench: Bench) -> float:
    bench.run_pass()
    bench.clock.advance(15)
    return bench.run_pass()


def usual(bench: Bench) -> float:
    bench.run_pass()
    bench.clock.advance(15)
    bench.write_nodes(range(0, bench.nodes, 8))
    bench.write_demand(bench.tasks)
    return bench.run_pass()


def ending(bench: Bench) -> float:
    bench.run_pass()
    bench.clock.advance(15)
    bench.write_nodes(range(bench.nodes), idle=True)
    bench.write_demand(0)
    return bench.run_pass()


def ended(bench: Bench) -> float:
    ending(bench)
    bench.clock.advance(90)
    for name in bench.instances:
        bench.provider.power_off(name)
    return bench.run_pass()


SCENES: dict[str, Callable[[Bench], float]] = {
    "a new manager's first pass, every document read": first,
    "nothing changed": quiet,
    "one node in eight changed": usual,
    "every node is idle and drains": ending,
    "every node has ended, its row closes": ended,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    rows = []
    for name, scene in SCENES.items():
        found = statistics.median(scene(Bench(options.nodes, options.tasks)) for _ in range(options.rounds))
        rows.append([name, _table.seconds(found), _table.verdict(found <= GOAL)])
    title = f"CPU of one pass over {options.nodes:,} nodes and {options.tasks:,} queued tasks (goal: {GOAL:g} s)"
    _table.show(title, ["pass", "CPU", ""], rows)


if __name__ == "__main__":
    main()
