"""Everything that a decision depends on, as values."""

from __future__ import annotations

import msgspec

from simpleflow.core import documents
from simpleflow.nodes import billing, config, model

from . import guards


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What one task list of activities asks for: one count of tasks, queued and running together."""

    task_list: str
    #: tasks that SWF has (queued or running), by the deciders' rows
    scheduled: int = 0
    #: tasks that programs wait to submit
    foreseen: int = 0
    #: CountPendingActivityTasks, a cross-check that may be wrong; None: not asked
    pending: int | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What one open run asks for, and for how long it has been going on."""

    run_id: str
    elapsed: float = 0.0
    tasks: tuple[documents.TaskCount, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a decision depends on."""

    now: float
    cluster: config.ClusterConfig
    nodes: tuple[model.Node, ...] = ()
    #: (profile, units) of open launch intents
    launching: tuple[tuple[str, int], ...] = ()
    demand: tuple[Demand, ...] = ()
    #: the same demand by run, oldest run first; what it does not name is nobody's
    runs: tuple[Run, ...] = ()
    #: what was learnt of each activity type
    runtimes: dict[str, documents.Runtime] = {}
    #: millionths that machines cost which ended while the open runs were going on
    spent: int = 0
    purses: tuple[guards.Purse, ...] = ()
    #: price of one machine of each profile, millionths per hour
    prices: dict[str, int] = {}
    #: why launches of a profile are paused
    paused: dict[str, str] = {}
    #: measured seconds from launch to first poll
    boots: dict[str, float] = {}
    #: every open run is covered by a row; until then nothing is scaled down
    covered: bool = True
    #: the cluster goes down: drain everything
    ending: bool = False
    #: of what each profile's machines are to be made (setups.version_of); none: not looked at
    versions: dict[str, str] = {}

    def boot_time(self, profile: str) -> float:
        """Measured boot time of a profile, else the configured one."""
        measured = self.boots.get(profile)
        if measured is not None:
            return measured
        known = profile in self.cluster.profiles
        return self.cluster.boot_of(profile) if known else self.cluster.settings.boot

    def paid_for(self, node: model.Node) -> float:
        """Seconds for which a machine is paid from now on."""
        terms = guards.terms_of(self.cluster, node.profile)
        return billing.paid_until(terms, node.row.since, self.now) - self.now
