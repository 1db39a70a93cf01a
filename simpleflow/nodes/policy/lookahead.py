"""Looks ahead: how many machines are worth their money, and which of those that stand idle will not be used soon.

What is known is played forward: running tasks with the rest of their time, queued ones first in, first out, and those
that wait for nothing but these. Further ones are left out: to launch for them now would be too early. Of all numbers of
additional machines that one is best whose money and time, both as proportions, add up to the least: one per cent of
time is worth ``speed`` per cent of money.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from simpleflow.core import documents
from simpleflow.nodes import billing, model

from . import forecast, guards
from .snapshot import Run, Snapshot

#: tasks, and machines, that are played one by one; of more, each stands for several
MOST_TASKS, MOST_NODES = 3_000, 300
#: runs that are weighed one by one; of more, all are one
MOST_RUNS = 300
#: share of the time until the last task ends; the rest is the mean end of all tasks
LAST = 0.5
#: parts of a boot time: what is used later than so after its boot is launched later, ...
AHEAD = 0.1
#: ... what is not used for so long may go, ...
HOLD = 0.5
#: ... and what boots for longer than usual is expected this soon
SOON = 1 / 30
#: most machines of a profile while all that runs and waits is of types of which nothing is known
FIRST = 16
#: price of a machine whose price is unknown, where machines cost something: one of the currency per hour
UNKNOWN_PRICE = billing.MICRO

_Kind = tuple[int, str, str]


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """The best decision for one profile."""

    launch: int = 0
    #: number of idle machines that are not used soon
    idle: int = 0
    #: number of machines that boot and are not used at all
    unused: int = 0
    why: str = ""


class _Group:
    """Tasks of one run, task list and type that wait for the same tasks."""

    __slots__ = ("after", "count", "kind")

    def __init__(self, kind: int, count: int, after: list[tuple[int, int]]) -> None:
        self.kind = kind
        self.count = count
        #: (kind, how many of it)
        self.after = after


class _Future:
    """The predicted course of events with one number of machines."""

    __slots__ = ("complete", "first", "last", "times", "waiting")

    def __init__(self, nodes: int, runs: int) -> None:
        self.first = [math.inf] * nodes
        self.last = [0.0] * nodes
        #: per run: its last end, sum of all ends, how many
        self.times = [[0.0, 0.0, 0] for _ in range(runs)]
        #: task lists on which something waits from the first moment
        self.waiting: set[str] = set()
        self.complete = True


class Lookahead:
    """The outlook at one snapshot: read once, played forward for each number of machines that is considered."""

    def __init__(self, snapshot: Snapshot, nodes: Sequence[model.Node]) -> None:
        """``nodes``: those that take tasks, now or when they have booted."""
        self._snapshot = snapshot
        self._lists = {name: each.profile for name, each in snapshot.cluster.task_lists.items()}
        self._speed = snapshot.cluster.speed_factor
        runs = _merged(_with_nobodys(snapshot))
        self._elapsed = [run.elapsed for run in runs]
        self._scale = _scale(runs, nodes)
        self._kinds: dict[_Kind, int] = {}
        self._of: list[_Kind] = []
        self._queued: list[tuple[int, int]] = []
        self._groups: list[_Group] = []
        self._totals: list[int] = []
        self._nodes = [node for place, node in enumerate(nodes) if place % self._scale == 0]
        self._read_running(runs, nodes)
        self._read_runs(runs)
        #: what the machines of the open runs have cost up to now
        self.spent = snapshot.spent + sum(map(self._bill_so_far, snapshot.nodes))
        self._lengths = [self._estimates.whole(activity) for _, _, activity in self._of]
        self._children: list[list[int]] = [[] for _ in self._of]
        for place, group in enumerate(self._groups):
            for kind, _ in group.after:
                self._children[kind].append(place)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _kind(self, run: int, task_list: str, activity: str) -> int:
        key = (run, task_list, activity)
        found = self._kinds.get(key)
        if found is None:
            found = self._kinds[key] = len(self._of)
            self._of.append(key)
            self._totals.append(0)
        return found

    def _read_running(self, runs: Sequence[Run], nodes: Sequence[model.Node]) -> None:
        places = {run.run_id: place for place, run in enumerate(runs)}
        last = len(runs) - 1
        here = {node.instance: place for place, node in enumerate(self._nodes)}
        taking = {node.instance for node in nodes}
        tasks: list[tuple[int, int, float]] = []
        elapsed: list[tuple[str, float]] = []
        #: running tasks of each kind, sampled or not
        self._running: dict[int, int] = {}
        leaving = 0
        for node in self._snapshot.nodes:
            if node.document is None or node.state is model.NodeState.GONE:
                continue
            place = here.get(node.instance, -1)
            for status in node.document.task_lists:
                for task in status.running:
                    age = node.since(task.started)
                    elapsed.append((task.activity, age))
                    run = places.get(task.id.partition("/")[0], last)
                    kind = self._kind(run, status.task_list, task.activity)
                    self._running[kind] = self._running.get(kind, 0) + 1
                    leaving += node.instance not in taking
                    if place >= 0 or (node.instance not in taking and leaving % self._scale == 0):
                        tasks.append((place, kind, age))
        self._estimates = forecast.Estimates(self._snapshot.runtimes, elapsed)
        self._under_way = [(self._estimates.left(self._of[kind][2], age), place, kind) for place, kind, age in tasks]
        for _, _, kind in self._under_way:
            self._totals[kind] += 1

    def _read_runs(self, runs: Sequence[Run]) -> None:
        loose: dict[str, int] = {}
        for kind, count in self._running.items():
            loose[self._of[kind][1]] = loose.get(self._of[kind][1], 0) + count
        for place, run in enumerate(runs):
            for each in run.tasks:
                if each.state == "scheduled":
                    self._queue(self._kind(place, each.task_list, each.activity), each, loose)
        for place, run in enumerate(runs):
            for each in run.tasks:
                if each.state == "foreseen":
                    self._foresee(place, each)

    def _queue(self, kind: int, each: documents.TaskCount, loose: dict[str, int]) -> None:
        """Add scheduled tasks that do not run to the queue. A machine that names no type may run any of them."""
        running = min(self._running.get(kind, 0), each.count)
        if not each.activity:
            running = min(max(loose.get(each.task_list, 0), 0), each.count)
        loose[each.task_list] = loose.get(each.task_list, 0) - running
        queued = self._sampled(each.count - running)
        if queued and each.task_list in self._lists:
            self._queued.append((kind, queued))
            self._totals[kind] += queued

    def _foresee(self, run: int, each: documents.TaskCount) -> None:
        """Take what waits only for types of which some tasks are scheduled already."""
        if each.task_list not in self._lists or not each.after:
            return
        after = []
        for one in each.after:
            known = self._kinds.get((run, one.task_list, one.activity))
            if known is None or not self._totals[known]:
                return
            after.append((known, self._sampled(one.count)))
        kind = self._kind(run, each.task_list, each.activity)
        self._groups.append(_Group(kind, self._sampled(each.count), after))

    def _sampled(self, count: int) -> int:
        return math.ceil(count / self._scale)

    # --- playing forward ----------------------------------------------------------------------------------------------

    def _forward(self, profile: str, extra: int) -> _Future:
        snapshot = self._snapshot
        future = _Future(len(self._nodes) + extra, len(self._elapsed))
        nodes = [node.profile for node in self._nodes] + [profile] * extra
        served = set(nodes)
        events = list(self._under_way)
        busy: dict[tuple[int, str], int] = {}
        for left, place, kind in self._under_way:
            if place >= 0:
                at = (place, self._of[kind][1])
                busy[at] = busy.get(at, 0) + 1
                future.last[place] = max(future.last[place], left)
                future.first[place] = 0.0
        free: dict[str, list[tuple[float, int]]] = {name: [] for name in self._lists}
        slots = {name: snapshot.cluster.lists_of(name) for name in served if name in snapshot.cluster.profiles}
        for place, name in enumerate(nodes):
            ready = self._ready(place, name)
            if ready > 0:
                events.append((ready, place, -1))
                continue
            for task_list, number in slots.get(name, ()):
                free[task_list].extend([(0.0, place)] * (number - busy.get((place, task_list), 0)))
        heapq.heapify(events)
        play = _Play(self, future, events, free, nodes, slots)
        #: of other profiles without a machine nobody knows better than: after one boot, at once
        play.elsewhere = {
            name: snapshot.boot_time(each)
            for name, each in self._lists.items()
            if each not in served and each != profile
        }
        play.run()
        return future

    def _ready(self, place: int, profile: str) -> float:
        """Seconds until a machine takes tasks."""
        boot = self._snapshot.boot_time(profile)
        if place >= len(self._nodes):
            return boot
        node = self._nodes[place]
        if node.state is model.NodeState.WORKING:
            return 0.0
        return max(boot - node.age, SOON * boot)

    # --- judging ------------------------------------------------------------------------------------------------------

    def _price(self, profile: str) -> int:
        snapshot = self._snapshot
        known = snapshot.cluster.profiles.get(profile)
        if (
            known is not None
            and snapshot.cluster.price_of(known) is None
            and snapshot.cluster.provider not in {"process", "ssh"}
        ):
            return max([UNKNOWN_PRICE, *snapshot.prices.values()])
        return snapshot.prices.get(profile, 0)

    def _bill(self, profile: str, seconds: float) -> float:
        terms = guards.terms_of(self._snapshot.cluster, profile)
        return self._price(profile) * billing.billed(terms, seconds) / billing.HOUR

    def _bill_so_far(self, node: model.Node) -> float:
        """Return a machine's cost up to now: nothing while it is pending, for to cancel it is free."""
        begun = node.running or node.document is not None
        return self._bill(node.profile, self._snapshot.now - node.row.since) if begun else 0.0

    def _money(self, future: _Future, profile: str) -> float:
        """Return the cost of the machines from now until their last use."""
        total, now = 0.0, self._snapshot.now
        for place, last in enumerate(future.last):
            if place >= len(self._nodes):
                total += self._bill(profile, last)
            elif last > 0:
                node = self._nodes[place]
                total += self._bill(node.profile, now - node.row.since + last) - self._bill_so_far(node)
        return total * self._scale

    def _time(self, future: _Future, boot: float) -> float:
        """Mean of the runs' times, each as a proportion (its logarithm)."""
        total = count = 0.0
        for (end, ends, number), elapsed in zip(future.times, self._elapsed, strict=True):
            if number:
                total += math.log(max(elapsed, 0.0) + boot + LAST * end + (1 - LAST) * ends / number)
                count += 1
        return total / count if count else 0.0

    def outlook(self, profile: str, most: int) -> Outlook:
        """Return what is best for a profile of which at most ``most`` more machines may be launched."""
        boot = self._snapshot.boot_time(profile)
        lists = {name for name, each in self._lists.items() if each == profile}
        if self._price(profile) and self._all_unknown(lists):
            have = sum(node.profile == profile for node in self._nodes) * self._scale
            most = min(most, max(FIRST - have, 0))

        def judged(extra: int) -> tuple[float, float, float, _Future]:
            future = self._forward(profile, extra)
            if not future.complete:
                return math.inf, 0.0, 0.0, future
            money = math.log(self.spent + self._money(future, profile) + 1e-9)
            time = self._time(future, boot)
            return money + self._speed * time, money, time, future

        now = best = judged(0)
        extra, tried, bound = 0, 1, self._bound(lists, most)
        while tried <= bound:
            found = judged(tried)
            if found[0] < best[0] - 1e-9:
                extra, best = tried, found
            elif tried > 2 * extra + 2:
                break
            tried = tried + 1 if tried < 4 else min(int(tried * 1.3) + 1, max(bound, tried + 1))
        soon = boot * (1 + AHEAD)
        launch = sum(first <= soon for first in best[3].first[len(self._nodes) :])
        if launch:
            return Outlook(launch=min(launch * self._scale, most), why=self._worth(lists, now, best))
        return self._unused(profile, lists, now[3], boot)

    def _all_unknown(self, lists: set[str]) -> bool:
        """Whether nothing is known of how long any task lasts that runs or waits."""
        kinds = {*self._running, *(kind for kind, _ in self._queued)}
        begun = {self._of[kind][2] for kind in kinds if self._of[kind][1] in lists}
        return bool(begun) and all(map(self._estimates.unknown, begun))

    def _bound(self, lists: set[str], most: int) -> int:
        """No more machines than there are tasks."""
        waiting = sum(count for kind, count in self._queued if self._of[kind][1] in lists)
        waiting += sum(group.count for group in self._groups if self._of[group.kind][1] in lists)
        return min(math.ceil(most / self._scale), waiting)

    def _unused(self, profile: str, lists: set[str], future: _Future, boot: float) -> Outlook:
        waits = bool(future.waiting & lists)
        # What is paid for a while goes near the end of that, and by then all that comes soon is under way.
        hold = 0.0 if guards.terms_of(self._snapshot.cluster, profile).period > boot else HOLD * boot
        idle = unused = 0
        for node, first in zip(self._nodes, future.first, strict=False):
            if node.profile == profile:
                idle += not waits and node.state is model.NodeState.WORKING and first > hold
                unused += node.state in model.BEFORE_WORK and math.isinf(first)
        return Outlook(idle=idle * self._scale, unused=unused * self._scale, why=self._known(lists))

    def _known(self, lists: set[str]) -> str:
        """'tasks: 12 running, 30 queued, 4 waiting for these alone'."""
        running = sum(count for kind, count in self._running.items() if self._of[kind][1] in lists)
        queued = sum(count for kind, count in self._queued if self._of[kind][1] in lists) * self._scale
        waiting = sum(group.count for group in self._groups if self._of[group.kind][1] in lists) * self._scale
        return f"tasks: {running} running, {queued} queued, {waiting} waiting for these alone"

    def _worth(
        self, lists: set[str], now: tuple[float, float, float, _Future], best: tuple[float, float, float, _Future]
    ) -> str:
        if not now[3].complete:
            return f"{self._known(lists)}, and no machine is there"
        sooner, dearer = 1 - math.exp(best[2] - now[2]), math.exp(best[1] - now[1]) - 1
        money = f"{dearer:.0%} more money" if dearer >= 0.005 else "no more money"
        return f"{self._known(lists)}; with more machines {sooner:.0%} less time for {money}"


class _Play:
    """One way forward, event by event."""

    def __init__(
        self,
        ahead: Lookahead,
        future: _Future,
        events: list[tuple[float, int, int]],
        free: dict[str, list[tuple[float, int]]],
        nodes: list[str],
        slots: Mapping[str, tuple[tuple[str, int], ...]],
    ) -> None:
        self._ahead = ahead
        self._future = future
        self._events = events
        self._free = free
        self._nodes = nodes
        self._slots = slots
        self.elsewhere: dict[str, float] = {}
        self._queues: dict[str, deque[list[int]]] = {name: deque() for name in ahead._lists}
        for kind, count in ahead._queued:
            self._queues[ahead._of[kind][1]].append([kind, count])
        self._done = [0] * len(ahead._of)
        self._totals = list(ahead._totals)
        for group in ahead._groups:
            self._totals[group.kind] += group.count
        self._released = [0] * len(ahead._groups)

    def run(self) -> None:
        """Play until nothing happens any more."""
        events, future, of = self._events, self._future, self._ahead._of
        for name in self._queues:
            self._assign(name, 0.0)
            if self._queues[name]:
                future.waiting.add(name)
        while events:
            time, place, kind = heapq.heappop(events)
            if kind < 0:
                for name, number in self._slots.get(self._nodes[place], ()):
                    for _ in range(number):
                        heapq.heappush(self._free[name], (time, place))
                    self._assign(name, time)
                continue
            run, task_list, _ = of[kind]
            times = future.times[run]
            times[0] = time
            times[1] += time
            times[2] += 1
            if place >= 0:
                heapq.heappush(self._free[task_list], (time, place))
            self._done[kind] += 1
            touched = {task_list, *self._release(kind)}
            for name in touched:
                if name in self._queues:
                    self._assign(name, time)
        future.complete = not any(self._queues.values())

    def _release(self, kind: int) -> Iterator[str]:
        """Queue what waited for this one: of tasks that wait for few of many, evenly as these end."""
        ahead = self._ahead
        for place in ahead._children[kind]:
            group = ahead._groups[place]
            before = self._released[place]
            ready = group.count
            for other, number in group.after:
                total, done = self._totals[other], self._done[other]
                if done < min(number, total):
                    ready = 0
                elif other == group.kind:
                    # One after the other, as in a chain.
                    ready = min(ready, done // max(number, 1))
                elif done < total:
                    ready = min(ready, max(done * group.count // total, 1))
            if ready > before:
                self._released[place] = ready
                name = ahead._of[group.kind][1]
                self._queues[name].append([group.kind, ready - before])
                yield name

    def _assign(self, name: str, now: float) -> None:
        queue, free = self._queues[name], self._free[name]
        lengths, future = self._ahead._lengths, self._future
        boot = self.elsewhere.get(name)
        while queue and (free or boot is not None):
            entry = queue[0]
            entry[1] -= 1
            if not entry[1]:
                queue.popleft()
            kind = entry[0]
            if boot is not None:
                heapq.heappush(self._events, (max(now, boot) + lengths[kind], -1, kind))
                continue
            place = heapq.heappop(free)[1]
            end = now + lengths[kind]
            if now < future.first[place]:
                future.first[place] = now
            if end > future.last[place]:
                future.last[place] = end
            heapq.heappush(self._events, (end, place, kind))


def _with_nobodys(snapshot: Snapshot) -> list[Run]:
    """The runs, and as the last one what is asked for beside them."""
    named: dict[str, int] = {}
    for run in snapshot.runs:
        for each in run.tasks:
            if each.state == "scheduled":
                named[each.task_list] = named.get(each.task_list, 0) + each.count
    left = []
    for demand in snapshot.demand:
        count = demand.scheduled - named.get(demand.task_list, 0)
        if demand.scheduled == 0 and demand.pending:
            # No row has these tasks, and the count is approximate: one machine is launched for them.
            count = 1
        if count > 0:
            left.append(documents.TaskCount(task_list=demand.task_list, activity="", state="scheduled", count=count))
    return [*snapshot.runs, Run(run_id="", tasks=tuple(left))]


def _merged(runs: list[Run]) -> list[Run]:
    """The runs; of too many, one that stands for all."""
    if len(runs) <= MOST_RUNS:
        return runs
    counts: dict[tuple[str, str, str, tuple[documents.After, ...]], int] = {}
    for run in runs:
        for each in run.tasks:
            key = (each.task_list, each.activity, each.state, each.after)
            counts[key] = counts.get(key, 0) + each.count
    tasks = tuple(
        documents.TaskCount(task_list=name, activity=activity, state=state, count=count, after=after)  # type: ignore[arg-type]
        for (name, activity, state, after), count in counts.items()
    )
    busy = [run.elapsed for run in runs if run.tasks]
    return [Run(run_id="", elapsed=sum(busy) / len(busy) if busy else 0.0, tasks=tasks)]


def _scale(runs: Sequence[Run], nodes: Sequence[model.Node]) -> int:
    tasks = sum(each.count for run in runs for each in run.tasks)
    return max(1, math.ceil(tasks / MOST_TASKS), math.ceil(len(nodes) / MOST_NODES))
