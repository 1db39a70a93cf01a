"""How a cluster's bill divides into workflows and activities, boots and waiting machines. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from .report import NodeStatus

#: stands for an activity where the money went to deciders
DECISIONS = "(decisions)"


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """One activity task that a machine worked on, from the run's history. Times are epoch seconds."""

    node: str
    workflow: str
    activity: str
    started: float
    #: None while it runs
    ended: float | None


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of one activity of one workflow, or of its decisions (DECISIONS)."""

    workflow: str
    activity: str
    #: number of tasks; of decisions, of runs (one that several machines of deciders saw counts for each)
    tasks: int
    #: seconds that its tasks ran, or its runs were open, added up
    seconds: float
    #: millionths of the currency
    cost: float


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """Where each part of the bill went; all amounts are millionths, and add up to ``total``."""

    total: float = 0.0
    #: the dearest first
    work: tuple[Share, ...] = ()
    #: tasks without a history (it may be deleted)
    unknown: float = 0.0
    #: from launch to the first poll
    boot: float = 0.0
    #: after the first poll, without a task
    idle: float = 0.0
    #: machines of deciders (ec2) while no run was open
    deciders: float = 0.0
    #: paid time after the machine's end: the rest of the billing period or of the minimum
    unused: float = 0.0

    @property
    def useful(self) -> float:
        """The share of the bill that tasks and open runs took, from 0 to 1."""
        return (sum(each.cost for each in self.work) + self.unknown) / self.total if self.total else 0.0


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """One run, from its start to its close. Times are epoch seconds."""

    workflow: str
    started: float
    #: None while it is open
    closed: float | None


def attribute(
    nodes: Iterable[NodeStatus],
    tasks: Iterable[Ran],
    now: float,
    deciders: Iterable[NodeStatus] = (),
    runs: Sequence[Open] = (),
) -> Spending:
    """Divide each machine's bill by time: the tasks that run at a moment share its cost equally.

    A moment without a task counts as boot before the first poll, and as idle later. Time that is billed beyond the
    machine's end counts as unused. The cost of a decider's machine is shared by the runs that are open at a moment.
    """
    by_node: dict[str, list[Ran]] = {}
    for task in tasks:
        by_node.setdefault(task.node, []).append(task)
    work: dict[tuple[str, str], list[float]] = {}
    rest = dict.fromkeys(("unknown", "boot", "idle", "unused"), 0.0)
    total = 0.0
    for node in nodes:
        total += node.cost
        _share_out(node, by_node.get(node.node, []), now, work, rest)
    without = dict.fromkeys(rest, 0.0)
    for node in deciders:
        total += node.cost
        end = node.launched + node.age
        decided = [
            Ran(node=node.node, workflow=each.workflow, activity=DECISIONS, started=each.started, ended=each.closed)
            for each in runs
            if each.started < end and (each.closed or now) > node.launched
        ]
        _share_out(node, decided, now, work, without)
    rest["unused"] += without.pop("unused")
    shares = [
        Share(workflow=workflow, activity=activity, tasks=int(count), seconds=seconds, cost=cost)
        for (workflow, activity), (count, seconds, cost) in work.items()
    ]
    return Spending(
        total=total,
        work=tuple(sorted(shares, key=lambda each: (-each.cost, each.workflow, each.activity))),
        deciders=sum(without.values()),
        **rest,
    )


def _share_out(
    node: NodeStatus,
    tasks: Sequence[Ran],
    now: float,
    work: dict[tuple[str, str], list[float]],
    rest: dict[str, float],
) -> None:
    begun, end = node.launched, node.launched + node.age
    whole = max(node.billed, node.age, 1e-9)
    rate = node.cost / whole
    seconds: dict[tuple[str, str], float] = {}
    edges: list[tuple[float, int, tuple[str, str]]] = []
    for task in tasks:
        key = task.workflow, task.activity
        first, last = (min(max(moment, begun), end) for moment in (task.started, task.ended or now))
        known = work.setdefault(key, [0, 0.0, 0.0])
        known[0] += 1
        known[1] += last - first
        edges += [(first, 1, key), (last, -1, key)]
    polled = end if node.first_poll is None else min(max(node.first_poll, begun), end)
    marks = {begun, polled, end, *(min(max(m, begun), end) for pair in node.busy for m in (pair[0], pair[1] or now))}
    running: dict[tuple[str, str], int] = {}
    changes = sorted([*edges, *((mark, 0, ("", "")) for mark in marks)])
    for place, (moment, change, key) in enumerate(changes):
        if change:
            running[key] = running.get(key, 0) + change
        following = changes[place + 1][0] if place + 1 < len(changes) else end
        lasts = following - moment
        if lasts <= 0:
            continue
        count = sum(running.values())
        if count:
            for each, number in running.items():
                seconds[each] = seconds.get(each, 0.0) + lasts * number / count
        elif any(first <= moment < (last or now) for first, last in node.busy):
            rest["unknown"] += lasts * rate
        else:
            rest["boot" if moment < polled else "idle"] += lasts * rate
    for key, lasted in seconds.items():
        work[key][2] += lasted * rate
    rest["unused"] += (whole - node.age) * rate


def by_workflow(spending: Spending) -> Mapping[str, float]:
    """Return the millionths that each workflow cost, the dearest first."""
    found: dict[str, float] = {}
    for each in spending.work:
        found[each.workflow] = found.get(each.workflow, 0.0) + each.cost
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
