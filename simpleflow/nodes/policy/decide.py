"""The decision: ``decide(snapshot) -> plan``, pure, with a reason for everything that it launches, keeps and drains.

The live loop, ``sfnodes plan`` and the tests call this same function; the same snapshot gives the same plan, byte for
byte.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import msgspec

from simpleflow.core import documents
from simpleflow.core import text as texts
from simpleflow.nodes import billing, config, model

from . import guards, lookahead, release
from .snapshot import Demand, Snapshot


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Launch a number of machines of a profile."""

    profile: str
    units: int
    #: millionths per hour of one machine, and worst cost of all of them until the end of the first commitment
    price: int
    worst: int
    reason: str


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One machine, and why."""

    instance: str
    profile: str
    reason: str


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """Commit the money for a machine to a later moment."""

    instance: str
    until: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now. ``notes`` say why something that was wanted is not done."""

    launches: tuple[Launch, ...] = ()
    keeps: tuple[Item, ...] = ()
    drains: tuple[Item, ...] = ()
    #: marks to take back: the agent has not seen them
    unmarks: tuple[Item, ...] = ()
    terminates: tuple[Item, ...] = ()
    #: machines that still boot and are not wanted any more: to end before they begin to work, where that is safe
    cancels: tuple[Item, ...] = ()
    #: subset of ``terminates``: machines that never worked, for the breaker
    boot_failures: tuple[str, ...] = ()
    extensions: tuple[Extension, ...] = ()
    notes: tuple[str, ...] = ()


class _Builder:
    """The plan while it is made; money is taken from the purses in the order of the launches and extensions."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.times = snapshot.cluster.settings
        self.purses = snapshot.purses
        self.launches: list[Launch] = []
        self.keeps: list[Item] = []
        self.drains: list[Item] = []
        self.unmarks: list[Item] = []
        self.terminates: list[Item] = []
        self.cancels: list[Item] = []
        self.boot_failures: list[str] = []
        self.extensions: list[Extension] = []
        self.notes: list[str] = []

    @functools.cached_property
    def ahead(self) -> lookahead.Lookahead:
        """What comes, seen from this snapshot."""
        snapshot = self.snapshot
        taking = [
            node
            for node in sorted(snapshot.nodes, key=lambda node: node.instance)
            if node.state in model.COUNTED and not node.sick and not _outdated(snapshot, node)
        ]
        return lookahead.Lookahead(snapshot, [*taking, *_under_way(snapshot)])

    def plan(self) -> Plan:
        return Plan(**{name: tuple(getattr(self, name)) for name in Plan.__struct_fields__})


def decide(snapshot: Snapshot) -> Plan:
    """Return what to launch, keep, drain, unmark, terminate and extend, each with its reason."""
    build = _Builder(snapshot)
    nodes = sorted(snapshot.nodes, key=lambda node: (node.profile, node.instance))
    dead = _dead(build, nodes)
    alive = [node for node in nodes if node.instance not in dead and node.state is not model.NodeState.GONE]
    alive = [node for node in alive if _extend(build, node)]
    profiles = sorted({*snapshot.cluster.profiles, *(node.profile for node in alive)})
    for profile in profiles:
        _profile(build, profile, [node for node in alive if node.profile == profile])
    build.notes.extend(unserved(snapshot.cluster, {each.task_list: each.scheduled for each in snapshot.demand}))
    return build.plan()


def unserved(cluster: config.ClusterConfig, scheduled: Mapping[str, int]) -> tuple[str, ...]:
    """Say which task lists have tasks that no machine of this cluster will ever take."""
    return tuple(
        f"{texts.count(count, 'task')} {'waits' if count == 1 else 'wait'} on task list '{name}', which no profile "
        f"serves: add {name}: {{profile: {min(cluster.profiles)}, max: 1}} below task_lists of the cluster file, then "
        "`sfnodes up`"
        for name, count in sorted(scheduled.items())
        if count and name not in cluster.task_lists
    )


def never_polled_after(snapshot: Snapshot, profile: str) -> float:
    """Seconds after which a machine that runs and never polled counts as a boot failure."""
    times = snapshot.cluster.settings
    return min(max(3 * snapshot.boot_time(profile), times.never_polled_min), times.never_polled_max)


def _patience(snapshot: Snapshot, node: model.Node) -> float:
    """The same for one machine: the longest while its agent reports no fault, for then it is only slow.

    On a busy machine that compiled everything for the first time, local nodes took 12 s; three of them, taken for
    failures, opened the breaker.
    """
    times, document = snapshot.cluster.settings, node.document
    if document is None or document.health != "ok" or node.heard > times.stale:
        return never_polled_after(snapshot, node.profile)
    return times.never_polled_max


def _under_way(snapshot: Snapshot) -> list[model.Node]:
    """Machines of open launches, as if they had just begun to boot."""
    return [
        model.Node(
            row=documents.Row(
                instance=f"{profile} {number}",
                profile=profile,
                attempt="",
                price=snapshot.prices.get(profile, 0),
                since=snapshot.now,
                until=snapshot.now,
            ),
            state=model.NodeState.UNLISTED,
            running=False,
        )
        for profile, units in snapshot.launching
        for number in range(units)
    ]


def _item(node: model.Node, reason: str) -> Item:
    return Item(instance=node.instance, profile=node.profile, reason=reason)


def _dead(build: _Builder, nodes: list[model.Node]) -> set[str]:
    """Terminate what will not end by itself: silent drains, failed boots."""
    snapshot, times = build.snapshot, build.times
    dead: set[str] = set()
    for node in nodes:
        if node.state is model.NodeState.ENDING:
            dead.add(node.instance)
            continue
        if node.state is model.NodeState.BOOTING and node.running:
            limit = _patience(snapshot, node)
            if node.age > limit:
                build.terminates.append(
                    _item(node, f"up for {node.age:.0f} s, no worker ever polled (limit {limit:.0f} s)")
                )
                build.boot_failures.append(node.instance)
                dead.add(node.instance)
        elif node.state in model.LEAVING and (why := _stuck(node, snapshot.now, times)):
            build.terminates.append(_item(node, why))
            dead.add(node.instance)
    return dead


def _stuck(node: model.Node, now: float, times: config.Times) -> str:
    """Why a drain will not end by itself; '' while it may.

    It has no deadline while tasks run inside their start-to-close time.
    """
    drained = now - (node.row.draining_since or 0.0)
    silent = min(node.heard, drained)
    if silent > times.silence:
        return f"draining, no sign of life for {silent:.0f} s (limit {times.silence:.0f} s)"
    if node.document is None or node.state is model.NodeState.ACKNOWLEDGED:
        return ""
    for each in node.document.task_lists:
        for task in each.running:
            if task.start_to_close is not None and node.since(task.started) > task.start_to_close + times.silence:
                return f"draining, task {task.id} is over its start-to-close time of {task.start_to_close:g} s"
    if node.row.counted and not node.busy and drained > times.sick + times.poll:
        return f"sick, works on nothing, and has not drained for {drained:.0f} s"
    return ""


def _extend(build: _Builder, node: model.Node) -> bool:
    """Commit the money for a node before its moment comes; False when the cap forbids it and it drains instead."""
    snapshot, times = build.snapshot, build.times
    row = node.row
    # What leaves is counted to this very moment as it runs on (guards.committed): a task is never killed for money.
    if node.state in model.LEAVING or snapshot.now + 3 * times.loop < row.until:
        return True
    terms = guards.terms_of(snapshot.cluster, node.profile)
    until = row.since + billing.billed(terms, snapshot.now + times.commit - row.since)
    paid = billing.cost(terms, row.price, max(row.until - row.since, 0.0))
    more = max(billing.cost(terms, row.price, until - row.since) - paid, 0)
    if guards.affordable(build.purses, more, 1) == 1:
        build.extensions.append(Extension(instance=node.instance, until=until))
        build.purses = guards.spend(build.purses, more)
        return True
    why = "; ".join(purse.describe(snapshot.cluster.currency) for purse in snapshot.purses)
    busy = ", after the tasks that it works on" if node.busy else ""
    build.drains.append(_item(node, f"its next commitment is over the budget{busy} ({why})"))
    return False


def _profile(build: _Builder, profile: str, nodes: list[model.Node]) -> None:
    snapshot = build.snapshot
    counted = [node for node in nodes if node.state in model.COUNTED]
    for node in nodes:
        if node.state in model.LEAVING and not _may_come_back(snapshot, node):
            build.keeps.append(_item(node, f"{node.state}: {node.row.reason or 'finishing'}"))
    marked = [node for node in nodes if _may_come_back(snapshot, node)]
    if snapshot.ending or profile not in snapshot.cluster.profiles:
        why = "the cluster goes down" if snapshot.ending else f"profile '{profile}' is not in the cluster file any more"
        for node in counted:
            (build.cancels if node.state in model.BEFORE_WORK else build.drains).append(_item(node, why))
        build.keeps.extend(_item(node, f"marked: {node.row.reason or 'finishing'}") for node in marked)
        return
    counted = _sound(build, profile, _current(build, profile, counted))
    launching = sum(units for name, units in snapshot.launching if name == profile)
    wanted = _wanted(build, profile, nodes, len(counted) + launching)
    missing, why = wanted.missing, wanted.why
    for node in marked:
        if missing > 0:
            build.unmarks.append(_item(node, f"needed again: {why}"))
            missing -= 1
        else:
            build.keeps.append(_item(node, f"marked: {node.row.reason or 'finishing'}"))
    if missing > 0:
        _launch(build, profile, missing, why)
    counted = _cancel(build, profile, counted, wanted.unused, why)
    _scale_down(build, counted, surplus=wanted.surplus, why=why)


def _may_come_back(snapshot: Snapshot, node: model.Node) -> bool:
    """Whether a mark may be taken back: its agent has not seen it, and nothing is wrong with the machine."""
    return (
        node.state is model.NodeState.MARKED
        and not snapshot.ending
        and not node.row.counted
        and not node.row.asked
        and not _outdated(snapshot, node)
    )


def _outdated(snapshot: Snapshot, node: model.Node) -> str:
    """Return what `up` has changed since a machine was launched, in words; '' if nothing."""
    wanted = snapshot.versions.get(node.profile, "")
    made = "" if node.document is None else node.document.version
    return _difference(made, wanted) if wanted and made and made != wanted else ""


def _current(build: _Builder, profile: str, counted: list[model.Node]) -> list[model.Node]:
    """Drain machines that are older than the newest change of their profile or code; return the others."""
    kept = []
    for node in counted:
        if changed := _outdated(build.snapshot, node):
            build.drains.append(_item(node, f"`sfnodes up` changed {changed} since it was made"))
        else:
            kept.append(node)
    return kept


def _sound(build: _Builder, profile: str, counted: list[model.Node]) -> list[model.Node]:
    """Drain sick machines, which do not count as capacity; return the others."""
    paused = build.snapshot.paused.get(profile, "")
    kept = []
    for node in counted:
        if node.sick and not (node.partly and paused):
            build.drains.append(_item(node, node.sick))
        else:
            # No machine comes in its place while launches are paused: one that serves half of its lists is better.
            kept.append(node)
    return kept


def _difference(made: str, wanted: str) -> str:
    """Return in words the difference of two versions (setups.version_of)."""
    settings, code = (old != new for old, new in zip(made.split("-", 1), wanted.split("-", 1), strict=True))
    return " and ".join([*(["its settings"] if settings else []), *(["the code"] if code else [])])


class _Wanted(msgspec.Struct, frozen=True):
    """How many machines of a profile are missing, or too many, and the sentence that says why."""

    missing: int
    surplus: int
    why: str
    #: how many of those that boot are not used at all
    unused: int = 0


def _wanted(build: _Builder, profile: str, nodes: list[model.Node], have: int) -> _Wanted:
    """By the policy of the cluster file; ``have`` machines work, boot, or are being launched."""
    cluster = build.snapshot.cluster
    least, most = cluster.profiles[profile].min, cluster.max_of(profile)
    if cluster.policy != "look-ahead":
        need, why = _need(build.snapshot, profile, nodes)
        return _Wanted(max(need - have, 0), max(have - need, 0), why)
    ahead = build.ahead.outlook(profile, max(min(_most(build.snapshot, profile), most) - have, 0))
    missing, why = ahead.launch, ahead.why
    if least - have >= missing:
        missing, why = least - have, f"min of profile '{profile}' is {least}; {why}"
    if missing or have <= least:
        return _Wanted(missing, 0, why)
    if have > most:
        why = f"{why}; maximum of profile '{profile}' is {most}"
    unused = min(ahead.unused, have - least)
    return _Wanted(0, max(min(ahead.idle, have - least - unused), have - most), why, unused)


def _most(snapshot: Snapshot, profile: str) -> int:
    """Most machines that the task lists may call for on which there is, or soon will be, something to do."""
    lists = {name for name, _ in snapshot.cluster.lists_of(profile)}
    return max(
        (
            snapshot.cluster.task_lists[each.task_list].max
            for each in snapshot.demand
            if each.task_list in lists and (each.scheduled or each.foreseen or each.pending)
        ),
        default=0,
    )


def _need(snapshot: Snapshot, profile: str, nodes: list[model.Node]) -> tuple[int, str]:
    """How many machines of a profile are wanted now, and the sentence that says why."""
    cluster = snapshot.cluster
    demand = {each.task_list: each for each in snapshot.demand}
    need, why = cluster.profiles[profile].min, f"min of profile '{profile}' is {cluster.profiles[profile].min}"
    for task_list, slots in cluster.lists_of(profile):
        each = demand.get(task_list, Demand(task_list=task_list))
        leaving = sum(node.running_on(task_list) for node in nodes if node.state in model.LEAVING)
        running = sum(node.running_on(task_list) for node in nodes if node.state in model.COUNTED)
        tasks = max(each.scheduled - leaving, running)
        text = f"{texts.count(each.scheduled, 'task')} on '{task_list}'"
        if tasks == 0 and each.pending:
            # No row has these tasks, and the count is approximate: one machine is launched for them.
            about = texts.count(each.pending, "task")
            tasks, text = 1, f"about {about} on '{task_list}' that no decider's document shows"
        wanted = min(math.ceil(tasks / slots), cluster.task_lists[task_list].max)
        if wanted > need:
            need, why = wanted, f"{text}, {slots} at once on a machine, at most {cluster.task_lists[task_list].max}"
    limit = cluster.max_of(profile)
    if need > limit:
        need, why = limit, f"{why}; maximum of profile '{profile}' is {limit}"
    return need, why


def _launch(build: _Builder, profile: str, wanted: int, why: str) -> None:
    snapshot = build.snapshot
    pause = snapshot.paused.get(profile)
    if pause:
        build.notes.append(f"{profile}: {wanted} wanted ({why}), none launched: {pause}")
        return
    price = snapshot.prices.get(profile, 0)
    worst = billing.worst(guards.terms_of(snapshot.cluster, profile), price, build.times.commit)
    units = guards.affordable(build.purses, worst, wanted)
    if units < wanted:
        text = "; ".join(purse.describe(snapshot.cluster.currency) for purse in build.purses)
        build.notes.append(f"{profile}: {wanted} wanted ({why}), {units} launched: {text}")
    if units:
        build.purses = guards.spend(build.purses, worst * units)
        build.launches.append(Launch(profile=profile, units=units, price=price, worst=worst * units, reason=why))


def _cancel(build: _Builder, profile: str, counted: list[model.Node], unused: int, why: str) -> list[model.Node]:
    """Cancel booting machines that nothing will use, the latest first; return the others."""
    nothing = not _most(build.snapshot, profile)
    booting = [node for node in counted if release.may_cancel(build.snapshot, node, nothing=nothing)]
    gone = sorted(booting, key=lambda node: (node.running, node.age, node.instance))[:unused]
    build.cancels.extend(_item(node, f"nothing will need it ({why})") for node in gone)
    ended = {node.instance for node in gone}
    return [node for node in counted if node.instance not in ended]


def _scale_down(build: _Builder, counted: list[model.Node], *, surplus: int, why: str) -> None:
    """Drain idle machines beyond the need, those whose paid time ends first; keep the others, each with its reason."""
    snapshot = build.snapshot
    for node in sorted(counted, key=lambda node: (snapshot.paid_for(node), node.instance)):
        keep = release.why_keep(snapshot, node) if surplus > 0 else f"needed: {why}"
        if keep:
            build.keeps.append(_item(node, keep))
        else:
            idle = release.idle_seconds(node)
            build.drains.append(_item(node, f"idle for {idle:.0f} s, nothing to do ({why})"))
            surplus -= 1
