"""No-op tasks in worker processes: fan-out, chain, small workflows, submit to start, CPU a task; Restate runs beside.

Embedded service with FULL durability, decider and worker as processes of their own. The engines take turns, round by
round; figures are medians, a ratio is the median of the ratios of neighbouring rounds. Local activities run beside
Temporal's, fan-out and submit to start beside two queues also, celery and huey, which know no workflows.

    python bench/tasks.py [--rounds 5] [--quick] [--slots N] [--alone] [--check]
"""

from __future__ import annotations

import argparse
import collections
import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _driven
import _engines
import _table

#: tasks of a fan-out, steps of a chain, small workflows, idle starts of a round
FAN, CHAIN, MANY, FIRST = 1000, 200, 60, 15
#: seconds of rest before an idle start, and of an idle worker
REST, IDLE = 0.1, 10.0
#: steps a second of a chain of local activities, to reach
LOCAL_GOAL = 700
#: ratio of rates to Restate's, and of CPU a task, to reach
GOALS = {"fan-out, tasks/s": 1.3, "chain, steps/s": 3.0, "3-step workflows/s": 1.5}


class Samples:
    """What was measured of each engine: rates, CPU seconds a task by process, seconds from submit to start."""

    def __init__(self) -> None:
        self.rates: dict[tuple[str, str], list[float]] = collections.defaultdict(list)
        self.cpu: dict[str, list[dict[str, float]]] = collections.defaultdict(list)
        self.first: dict[str, list[float]] = collections.defaultdict(list)

    def take(self, name: str, engine: _engines.Engine, scale: float) -> None:
        fan, chain, many = (max(3, int(count * scale)) for count in (FAN, CHAIN, MANY))
        before = engine.cpu()
        self.rates[name, "fan-out, tasks/s"].append(fan / engine.fan(fan))
        after = engine.cpu()
        self.cpu[name].append({kind: (after[kind] - before[kind]) / fan for kind in after})
        self.rates[name, "chain, steps/s"].append(chain / engine.chain(chain))
        self.rates[name, "3-step workflows/s"].append(many / engine.many(many))
        for _ in range(max(3, int(FIRST * scale))):
            time.sleep(REST)
            self.first[name].append(engine.first())

    def rate(self, name: str, what: str) -> float | None:
        found = self.rates.get((name, what))
        return statistics.median(found) if found else None

    def total(self, name: str) -> list[float]:
        return [sum(each.values()) for each in self.cpu[name]]


def _ratios(ours: list[float], theirs: list[float]) -> float | None:
    return statistics.median(mine / its for mine, its in zip(ours, theirs, strict=True)) if theirs else None


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def show(found: Samples) -> bool:
    """Print the tables; return whether the goals are met, as far as there is a peer."""
    rows, good = [], True
    for what, goal in GOALS.items():
        ratio = _ratios(found.rates["simpleflow", what], found.rates["Restate", what])
        met = None if ratio is None else ratio >= goal
        good &= met is not False
        mine, its = found.rate("simpleflow", what), found.rate("Restate", what)
        rows.append(
            [what, _shown(mine, "{:,.0f}"), _shown(its, "{:,.0f}"), _shown(ratio, "{:.2f} x"), f">= {goal:g} x"]
        )
        rows[-1].append(_table.verdict(met))
    ratio = _ratios(found.total("simpleflow"), found.total("Restate"))
    met = None if ratio is None else ratio <= 1
    good &= met is not False
    totals = [statistics.median(found.total(name)) if found.cpu[name] else None for name in ("simpleflow", "Restate")]
    rows.append(["CPU a task", *map(_table.seconds, totals), _shown(ratio, "{:.2f} x"), "<= 1 x", _table.verdict(met)])
    for part, place, goal in (("p50", 0.5, 0.003), ("p95", 0.95, 0.006)):
        values = [_quantile(found.first[name], place) for name in ("simpleflow", "Restate")]
        met = None if values[0] is None else values[0] <= goal
        rows.append([f"idle, submit to start, {part}", *map(_table.seconds, values), "", f"<= {goal * 1e3:g} ms"])
        rows[-1].append(_table.verdict(met))
    _table.show("no-op tasks", ["", "simpleflow", "Restate", "ratio", "goal", ""], rows)
    kinds = ["service", "decider", "worker", "runners"]
    _table.show(
        "CPU a task in fan-out",
        ["", *kinds, "in all"],
        [
            [name, *(_table.seconds(_part(samples, kind)) for kind in kinds), _table.seconds(_part(samples, None))]
            for name, samples in found.cpu.items()
            if samples
        ],
    )
    return good


def _part(samples: list[dict[str, float]], kind: str | None) -> float | None:
    if kind is not None and kind not in samples[0]:
        return None
    return statistics.median(sum(each.values()) if kind is None else each[kind] for each in samples)


def _quantile(values: list[float], place: float) -> float | None:
    return sorted(values)[int(place * (len(values) - 1) + 0.5)] if values else None


def compare(folder: Path, rounds: int, scale: float, slots: int, alone: bool) -> bool:
    found = Samples()
    makers = _engines.makers(folder, slots)
    if alone:
        del makers["Restate"]
    with _engines.opened(makers["simpleflow"]) as ours, _engines.opened(makers.get("Restate", _nobody)) as theirs:
        engines = {"simpleflow": ours, "Restate": theirs}
        for engine in filter(None, engines.values()):
            engine.fan(100)
            engine.first()
        for _ in range(rounds):
            for name, engine in engines.items():
                if engine is not None:
                    found.take(name, engine, scale)
    return show(found)


def _nobody() -> Any:
    raise FileNotFoundError


def rest(folder: Path) -> bool:
    """What a worker costs that has nothing to do, and how much it holds."""
    ours = _engines.Ours(folder, 8)
    try:
        ours.fan(200)
        memory, before, begun = ours.worker_memory(), ours.cpu(), time.monotonic()
        time.sleep(IDLE)
        spent, passed = ours.cpu(), time.monotonic() - begun
        share = (spent["worker"] + spent["runners"] - before["worker"] - before["runners"]) / passed * 100
    finally:
        ours.stop()
    rows = [
        ["idle worker, 8 runners, of one CPU", f"{share:.2f} %", "< 0.5 %", _table.verdict(share < 0.5)],
        ["worker with 8 runners", f"{memory:.0f} MB", "< 250 MB", _table.verdict(memory < 250)],
    ]
    _table.show("at rest", ["", "measured", "goal", ""], rows)
    return share < 0.5 and memory < 250


def local(folder: Path, rounds: int, count: int, alone: bool) -> bool:
    """A chain of no-ops that run in a runner beside the decider; Temporal's run on its worker's event loop."""
    found = Samples()

    def take(name: str, engine: _engines.Ours | _driven.Temporal) -> None:
        before = engine.cpu()
        found.rates[name, "local"].append(count / engine.local(count))
        found.cpu[name].append({"": (sum(engine.cpu().values()) - sum(before.values())) / count})

    peer: Callable[[], _driven.Temporal] = functools.partial(_driven.Temporal, _below(folder, "temporal"))
    with (
        _engines.opened(functools.partial(_engines.Ours, folder, 1)) as ours,
        _engines.opened(_nobody if alone else peer) as theirs,
    ):
        assert ours is not None
        engines: dict[str, _engines.Ours | _driven.Temporal] = {"simpleflow": ours}
        if theirs is not None:
            engines["Temporal"] = theirs
        for engine in engines.values():
            engine.local(50)
        for _ in range(rounds):
            for name, engine in engines.items():
                take(name, engine)
    rates = [found.rate(name, "local") for name in ("simpleflow", "Temporal")]
    ratio = _ratios(found.rates["simpleflow", "local"], found.rates["Temporal", "local"])
    costs = [statistics.median(found.total(name)) if found.cpu[name] else None for name in ("simpleflow", "Temporal")]
    cost = _ratios(found.total("simpleflow"), found.total("Temporal"))
    met = [rates[0] is not None and rates[0] >= LOCAL_GOAL, None if ratio is None else ratio >= 1]
    shown = [_shown(rate, "{:,.0f}") for rate in rates]
    rows = [
        ["chain, steps/s", *shown, "", f">= {LOCAL_GOAL}", _table.verdict(met[0])],
        ["", "", "", _shown(ratio, "{:.2f} x"), ">= 1 x", _table.verdict(met[1])],
        ["CPU a step", *map(_table.seconds, costs), _shown(cost, "{:.2f} x"), "", ""],
    ]
    _table.show("local activities", ["", "simpleflow", "Temporal", "ratio", "goal", ""], rows)
    return False not in met


def queues(folder: Path, rounds: int, scale: float, slots: int) -> bool:
    """Idle starts in turns with celery's, fan-outs in turns with celery's and huey's."""
    fan, starts, found = max(3, int(FAN * scale)), max(3, int(FIRST * scale)), Samples()
    with (
        _engines.opened(functools.partial(_engines.Ours, folder, slots)) as ours,
        _engines.opened(functools.partial(_driven.Celery, _below(folder, "celery"), slots)) as celery,
        _engines.opened(functools.partial(_driven.Huey, _below(folder, "huey"), slots)) as huey,
    ):
        fans = [(name, e) for name, e in (("simpleflow", ours), ("celery", celery), ("huey", huey)) if e is not None]
        firsts = [(name, e) for name, e in (("simpleflow", ours), ("celery", celery)) if e is not None]
        for _, engine in fans:
            engine.fan(100)
        for _ in range(rounds):
            for name, engine in fans:
                found.rates[name, "fan"].append(fan / engine.fan(fan))
            for name, starter in firsts * starts:
                time.sleep(REST)
                found.first[name].append(starter.first())
    rows, good = [], True
    for part, place, goal in (("p50", 0.5, 3 / 2.7), ("p95", 0.95, 6 / 5)):
        mine, its = (_quantile(found.first[name], place) for name in ("simpleflow", "celery"))
        ratio = None if its is None or mine is None else mine / its
        met = None if ratio is None else ratio <= goal
        good &= met is not False
        rows.append([f"idle, submit to start, {part}", "celery", _table.seconds(mine), _table.seconds(its)])
        rows[-1] += [_shown(ratio, "{:.2f} x"), f"<= {goal:.2f} x", _table.verdict(met)]
    for name in ("celery", "huey"):
        ratio = _ratios(found.rates["simpleflow", "fan"], found.rates[name, "fan"])
        rates = [_shown(found.rate(each, "fan"), "{:,.0f}") for each in ("simpleflow", name)]
        verdict = _table.verdict(None if ratio is None else ratio >= 1)
        rows.append(["fan-out, tasks/s", name, *rates, _shown(ratio, "{:.2f} x"), ">= 1 x", verdict])
    _table.show("beside queues", ["", "queue", "simpleflow", "its", "ratio", "goal", ""], rows)
    return good


def _below(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def crash(folder: Path, count: int, slots: int) -> bool:
    """kill -9 of the service at a third of a fan-out."""
    ours = _engines.Ours(folder, slots)
    try:
        ours.fan(50)
        noted = folder / "noted"
        run = ours.begin_noted(count, noted)
        _engines.await_("a third of the fan-out", lambda: noted.exists() and _lines(noted) >= count // 3)
        ours.kill_server()
        back = time.time()
        assert ours.client.result(run, _engines.LIMIT) == count
        took = ours.client.describe(run).execution_info.close_timestamp - back
        numbers = collections.Counter(noted.read_text().split())
    finally:
        ours.stop()
    lost, twice = count - len(numbers), sum(each > 1 for each in numbers.values())
    rows = [
        ["tasks lost", str(lost), "0", _table.verdict(lost == 0)],
        ["tasks run twice", str(twice), "0", _table.verdict(twice == 0)],
        ["finished after its return", _table.seconds(took), "< 3 s", _table.verdict(took < 3)],
    ]
    _table.show(f"kill -9 of the service at a third of a fan-out of {count:,}", ["", "measured", "goal", ""], rows)
    return not lost and not twice and took < 3


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: to see that it runs")
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 1, help="task runners of our worker")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--only", choices=["rates", "local", "queues", "rest", "crash"])
    parser.add_argument("--check", action="store_true", help="exit code 1 when a goal is missed")
    given = parser.parse_args()
    scale = 0.1 if given.quick else 1.0
    parts = {
        "rates": lambda folder: compare(folder, 1 if given.quick else given.rounds, scale, given.slots, given.alone),
        "local": lambda folder: local(folder, 1 if given.quick else given.rounds, int(1000 * scale), given.alone),
        "queues": lambda folder: given.alone or queues(folder, 1 if given.quick else given.rounds, scale, given.slots),
        "rest": rest,
        "crash": lambda folder: crash(folder, int(1000 * scale), given.slots),
    }
    good = True
    for name, part in parts.items():
        if given.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="simpleflow-bench-") as folder:
                good = part(Path(folder)) and good
    return 1 if given.check and not good else 0


if __name__ == "__main__":
    sys.exit(main())
