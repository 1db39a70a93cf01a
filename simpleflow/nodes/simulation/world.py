"""The world of a simulation: machines, deciders and coordinator in virtual time, around the manager's own passes.

The code that decides and acts is the real one: ``reconcile.Reconciler`` with control.json in memory, on
``FakeProvider``, and the real drain table. The rest is simulated: machines boot, poll, work, drain and write their
documents; deciders publish demand; the service hands tasks to open polls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from simpleflow.core import documents
from simpleflow.data.blobs import memory
from simpleflow.nodes import config, control, drain
from simpleflow.nodes.manager import observe, reconcile
from simpleflow.nodes.policy import cost

from . import deciders, machines, timeline, work

#: most passes with one interval: a longer simulation doubles the interval
MOST_PASSES = 3_000
#: seconds after the last task after which the simulation ends, even if the policy keeps machines
GRACE = 2 * 3600.0
#: seconds without a machine after which open runs are given up; a new day's budget has begun by then
STUCK = 25 * 3600.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation assumes."""

    #: notices per machine of the spot market and hour
    interrupted: float = 0.05
    #: seconds between two passes; None: the cluster's own, or more so that MOST_PASSES suffice
    step: float | None = None
    seed: int = 1


class Moment(NamedTuple):
    """The cluster at one pass."""

    at: float
    booting: int
    working: int
    leaving: int
    #: tasks that run, and tasks that wait for a machine
    running: int
    queued: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a simulation."""

    #: millionths of the currency
    cost: int
    machines: int
    peak: int
    #: seconds that machines lived, and seconds that tasks ran, each added up
    lived: float
    worked: float
    #: seconds that tasks waited for a machine, on average
    waited: float
    #: seconds from each run's begin to its end, by run
    flows: dict[str, float]
    #: seconds from the first begin to the last end
    makespan: float
    #: tasks that lost their machine by a notice and ran again
    interrupted: int
    #: tasks that lost their machine because the manager ended it (a drain loses none)
    lost: int
    #: machines that were ended while they booted, because they were not wanted any more
    cancelled: int
    passes: int
    step: float
    #: runs that did not end, and why
    notes: tuple[str, ...]
    moments: tuple[Moment, ...]
    #: share of each machine's slots that was in use
    utilization: float


class _Coordinator:
    """The simulated ``observe.Coordinator``."""

    def __init__(self, runs: deciders.Deciders, played: machines.Machines) -> None:
        self._runs = runs
        self._machines = played

    def open_runs(self) -> tuple[observe.OpenRun, ...]:
        runs = self._runs
        return tuple(
            observe.OpenRun(workflow_id=run.run_id, run_id=run.run_id, workflow=run.workflow)
            for place, run in enumerate(runs.runs)
            if runs.begun[place] and runs.left[place]
        )

    def is_closed(self, workflow_id: str, run_id: str) -> bool:
        return True

    def scheduled(self, run: observe.OpenRun) -> documents.RunRow:
        return self._runs.row(self._runs.places[run.run_id])

    def pending_activities(self, task_list: str) -> int:
        return len(self._machines.queues[task_list])

    def pending_decisions(self, task_list: str) -> int:
        return 0


class World:
    """One simulation. Call ``run`` once."""

    def __init__(self, cluster: config.ClusterConfig, runs: Sequence[work.Run], options: Options) -> None:
        self._cluster = cluster
        self._options = options
        self._time = timeline.Timeline()
        self._store = memory.MemoryStore()
        self._deciders = deciders.Deciders(runs, self._time, cluster.settings)
        self._machines = machines.Machines(
            cluster, self._time, self._deciders, self._store, interrupted=options.interrupted, seed=options.seed
        )
        self._deciders.queue = self._machines.queue
        file = control.ControlFile(self._store, cluster.cluster, "simulation", self._time.clock)
        coordinator = _Coordinator(self._deciders, self._machines)
        self._reconciler = reconcile.Reconciler(
            cluster, file, self._machines.provider, self._store, coordinator, self._time.clock
        )
        self._moments: list[Moment] = []
        self._peak = 0
        self._passes = 0
        #: the last moment with a machine or a planned event
        self._moved = self._time.start

    def run(self) -> Outcome:
        """Play until every run has ended and every machine is gone, or is kept for longer than GRACE."""
        step = self._step()
        done: float | None = None
        limit = MOST_PASSES
        while True:
            self._pass()
            if not any(self._deciders.left):
                done = self._time.now if done is None else done
                if not self._machines.living or self._time.now > done + GRACE:
                    break
            if self._machines.living or self._time.following is not None:
                self._moved = self._time.now
            elif self._time.now > self._moved + STUCK:
                break
            if self._options.step is None and self._passes >= limit:
                # The simulation lasts longer than the critical path.
                step, limit = 2 * step, limit + MOST_PASSES
            self._time.until(self._next_pass(step))
        return self._outcome(step)

    def _step(self) -> float:
        if self._options.step is not None:
            return self._options.step
        longest = max((run.begin + run.critical_path() for run in self._deciders.runs), default=0.0)
        return max(self._cluster.settings.loop, longest / MOST_PASSES)

    def _next_pass(self, step: float) -> float:
        """Return the moment of the next pass; a later one when nothing can happen before the next event."""
        quiet = not self._machines.living and not any(self._deciders.known) and not self._reconciler.file.known.intents
        # Without a machine and without events, one pass a minute suffices to see when a launch is allowed.
        waits = not self._machines.living and self._time.following is None
        following = self._time.now + (max(step, 60.0) if waits else step)
        if quiet and not self._reconciler.file.known.rows and self._time.following is not None:
            return max(following, self._time.following)
        return following

    def _pass(self) -> None:
        self._deciders.publish(self._store)
        self._machines.report()
        self._reconciler.run_pass()
        self._passes += 1
        booting = sum(each.first_polled is None for each in self._machines.living.values())
        leaving = sum(each.state is not drain.DrainState.WORKING for each in self._machines.living.values())
        self._peak = max(self._peak, len(self._machines.living))
        self._moments.append(
            Moment(
                self._time.now - self._time.start,
                booting,
                len(self._machines.living) - booting - leaving,
                leaving,
                sum(len(each.running) for each in self._machines.living.values()),
                sum(map(len, self._machines.queues.values())),
            )
        )

    def _outcome(self, step: float) -> Outcome:
        now, counts = self._time.now, self._machines.counts
        bills = cost.of_cluster(self._cluster, self._reconciler.file.known, self._ledger(), now)
        lived = counts.lived + sum(now - each.launched for each in self._machines.living.values())
        flows = {
            run.run_id: ended - self._time.start - run.begin
            for run, ended in zip(self._deciders.runs, self._deciders.ended, strict=True)
            if ended is not None
        }
        last = max((ended for ended in self._deciders.ended if ended is not None), default=self._time.start)
        return Outcome(
            cost=sum(each.cost for each in bills),
            machines=counts.launches,
            peak=self._peak,
            lived=lived,
            worked=counts.worked,
            waited=counts.waited / max(counts.handed, 1),
            flows=flows,
            makespan=last - self._time.start,
            interrupted=counts.interrupted,
            lost=counts.lost,
            cancelled=counts.cancelled,
            passes=self._passes,
            step=step,
            notes=self._notes(),
            moments=tuple(self._moments),
            utilization=counts.worked / counts.capacity if counts.capacity else 0.0,
        )

    def _ledger(self) -> Iterator[documents.LedgerEntry]:
        for blob in self._store.list(documents.LEDGER_PREFIX):
            got = self._store.get(blob.key)
            assert got is not None
            yield msgspec.json.decode(got[0], type=documents.LedgerEntry)

    def _notes(self) -> tuple[str, ...]:
        open_ones = sum(map(bool, self._deciders.left))
        why = self._reconciler.plan.notes
        return (f"{open_ones} of {len(self._deciders.runs)} runs did not end", *why) if open_ones else ()
