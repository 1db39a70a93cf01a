"""The product's own decision under the scaling referee: `referee.py --adapter bench/scaling_adapter.py --only ours`.

Each tick makes the snapshot that a manager would have (documents of nodes and of the decider, what was learnt) and
does what `decide` says. The referee's machines end at once, hold no polls open, and are billed from `t_run`; the times
of the cluster file say so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simpleflow.core import documents
from simpleflow.nodes import billing, config, model
from simpleflow.nodes.policy import decide, forecast
from simpleflow.nodes.policy import snapshot as snapshots

#: (speed, billing of the referee)
SPEEDS = (1.0, 2.0, 3.0, 5.0)
LIST, PROFILE, PRICE = "tasks", "machine", billing.MICRO
#: the referee's clock begins at 0: an epoch keeps dates in range
EPOCH = 1_767_225_600.0


def cluster(sim: Any, **keys: Any) -> config.ClusterConfig:
    """The cluster file that describes the referee's machines."""
    cfg = sim.cfg
    period, minimum = (3600, 3600) if sim.bill == "hour" else (1, 60)
    boot = (sum(cfg.API) + sum(cfg.PEND) + sum(cfg.INIT)) / 2
    return config.ClusterConfig(
        cluster="referee",
        provider="fake",
        profiles={
            PROFILE: config.Profile(boot=boot, billing=config.Billing(period=period, minimum=minimum, price=1.0))
        },
        task_lists={LIST: config.TaskList(profile=PROFILE, slots=cfg.S, max=cfg.NMAX)},
        preset="aws",
        times={"poll": 0.0, "loop": 10.0, "metadata": 0.0},
        **keys,
    )


class Ours:
    """A policy of the referee."""

    period = 5.0
    eager = True
    end_kill = False

    def __init__(self, prior: dict[str, float] | None, **keys: Any) -> None:
        self._keys = keys
        self._cluster: config.ClusterConfig | None = None
        self._seen: dict[str, tuple[int, float]] = {}
        self._runtimes = {
            name: documents.Runtime(count=1, mean=seconds, seen=EPOCH) for name, seconds in (prior or {}).items()
        }
        self._last = (-9.0, -1)

    def tick(self, sim: Any) -> None:
        """Decide and act; at most once a second, and not again while nothing changed."""
        if self._cluster is None:
            self._cluster = cluster(sim, **self._keys)
        at, version = self._last
        if sim.now - at < (10.0 if version == sim.version else 1.0) and (sim.nodes or not sim.ready):
            return
        self._last = (sim.now, sim.version)
        self._act(sim, decide.decide(self._snapshot(sim, self._cluster)))

    def _act(self, sim: Any, plan: decide.Plan) -> None:
        here = {str(node.id): node for node in sim.nodes}
        for each in plan.launches:
            sim.launch(each.units)
        for each in plan.drains:
            here[each.instance].drain = True
        # A drained machine powers itself off.
        sim.term([node for node in sim.idle() if node.drain])
        sim.term([here[each.instance] for each in plan.cancels])

    def _snapshot(self, sim: Any, cluster: config.ClusterConfig) -> snapshots.Snapshot:
        now = EPOCH + sim.now
        runs = tuple(run for number in range(len(sim.jobs)) if (run := self._run(sim, number)) is not None)
        self._learn(sim, now)
        return snapshots.Snapshot(
            now=now,
            cluster=cluster,
            nodes=tuple(self._node(sim, node) for node in sim.nodes),
            demand=(
                snapshots.Demand(
                    task_list=LIST,
                    scheduled=sum(each.count for run in runs for each in run.tasks if each.state == "scheduled"),
                    foreseen=sum(each.count for run in runs for each in run.tasks if each.state == "foreseen"),
                ),
            ),
            runs=runs,
            runtimes=self._runtimes,
            # As the manager learns it: of machines that ended while the open runs were going on.
            spent=sum(
                billing.cost(cluster.profiles[PROFILE].billing, PRICE, node.t_end - node.t_run)
                for node in sim.dead
                if node.t_end >= sim.now - max((run.elapsed for run in runs), default=0.0) and runs
            ),
            prices={PROFILE: PRICE},
        )

    def _learn(self, sim: Any, now: float) -> None:
        for name, (count, seconds, longest) in sim.hist.items():
            before, spent = self._seen.get(name, (0, 0.0))
            if count > before:
                self._runtimes[name] = forecast.learn(
                    self._runtimes.get(name), count=count - before, seconds=seconds - spent, longest=longest, now=now
                )
                self._seen[name] = (count, seconds)

    @staticmethod
    def _run(sim: Any, number: int) -> snapshots.Run | None:
        begun, workflow = sim.jobs[number]
        if sim.now < begun or not sim.left[number]:
            return None
        known = [task for run, task in (*sim.running, *sim.ready) if run == number]
        scheduled: dict[str, int] = {}
        waits: dict[int, dict[str, int]] = {}
        for task in known:
            kind = workflow.ty[task]
            scheduled[kind] = scheduled.get(kind, 0) + 1
            for child in workflow.chi[task]:
                after = waits.setdefault(child, {})
                after[kind] = after.get(kind, 0) + 1
        foreseen: dict[tuple[str, tuple[str, ...]], list[dict[str, int]]] = {}
        for child, after in waits.items():
            foreseen.setdefault((workflow.ty[child], tuple(sorted(after))), []).append(after)
        tasks = [
            documents.TaskCount(task_list=LIST, activity=kind, state="scheduled", count=count)
            for kind, count in scheduled.items()
        ]
        tasks += [
            documents.TaskCount(
                task_list=LIST,
                activity=kind,
                state="foreseen",
                count=len(each),
                after=tuple(
                    documents.After(task_list=LIST, activity=name, count=max(after[name] for after in each))
                    for name in names
                ),
            )
            for (kind, names), each in foreseen.items()
        ]
        return snapshots.Run(run_id=str(number), elapsed=sim.now - begun, tasks=tuple(tasks))

    @staticmethod
    def _node(sim: Any, node: Any) -> model.Node:
        now, name = EPOCH + sim.now, str(node.id)
        up = node.state == "up"
        since = EPOCH + min(node.t_run, sim.now)
        running = tuple(
            documents.RunningTask(id=f"{run}/{task}", started=EPOCH + begun, activity=sim.jobs[run][1].ty[task])
            for (run, task), begun in node.busy.items()
        )
        document = documents.NodeDocument(
            node=name,
            profile=PROFILE,
            attempt=name,
            state="working",
            booted=since,
            written=now,
            first_polled=EPOCH + node.t_up,
            idle_since=None if node.busy else EPOCH + node.idle_since,
            task_lists=(documents.ListStatus(task_list=LIST, slots=sim.cfg.S, polling=True, running=running),),
        )
        state = model.NodeState.WORKING if up else model.NodeState.BOOTING
        return model.Node(
            row=documents.Row(
                instance=name, profile=PROFILE, attempt=name, price=PRICE, since=since, until=now + billing.HOUR
            ),
            state=model.NodeState.DRAINING if node.drain else state,
            running=up or sim.now >= node.t_run,
            document=document if up else None,
            age=sim.now - node.t_req,
        )


def policies() -> dict[str, Any]:
    """The table of the referee."""
    return {
        **{f"ours speed={speed:g}": lambda prior, speed=speed: Ours(prior, speed=speed) for speed in SPEEDS},
        "ours boundary": lambda prior: Ours(prior, policy="boundary"),
    }
