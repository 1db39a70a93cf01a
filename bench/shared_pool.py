"""Several workflows that share one pool of machines: the product's own `decide` beside other tools' rules.

The recorded workflows of the scaling referee arrive at random over four hours and run on one pool
(the referee's simulator and its other policies; `bench/scaling_adapter.py` calls `decide`). Cost is billed hours over
the referee's lower bound. Slowdown is flow time over (critical path + fastest boot), as the geometric mean over the
workflows: below 1 where a workflow finds machines that are there already.

    python bench/shared_pool.py [--referee ../shared/scaling] [--each 1] [--seeds 1,2]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import math
import multiprocessing
import os
import random
import sys
import types
from pathlib import Path
from typing import Any

import _table

HERE = Path(__file__).resolve().parent
HOURS = 4.0
SPEEDS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0)
#: (billing, most slowdown): cost to reach
GOALS = {("hour", 1.2): 3.0}


def others(peers: Any) -> dict[str, Any]:
    """Rules of other tools."""
    return {
        "karpenter 0": lambda: peers.Karpenter(after=0.0),
        "karpenter 10": lambda: peers.Karpenter(after=10.0),
        "karpenter 30": peers.Karpenter,
        "karpenter 120": lambda: peers.Karpenter(after=120.0),
        "jenkins -5": lambda: peers.Jenkins(N=-5),
        "ray idle=30": lambda: peers.Ray(idle_to=30.0),
        "target tracking": peers.AwsTT,
        "static 8": lambda: peers.Static(K=8),
    }


def policies(referee: Path) -> dict[str, Any]:
    """Every policy by name, ours last."""
    for folder in (str(referee), str(HERE)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    adapter = importlib.import_module("scaling_adapter")
    ours = {f"ours speed={speed:g}": (lambda speed=speed: adapter.Ours(None, speed=speed)) for speed in SPEEDS}
    return {**others(importlib.import_module("peers")), **ours}


def play(task: tuple[Path, str, str, int, int]) -> tuple[str, str, float, float]:
    """One policy, one billing, one seed: its cost and slowdown."""
    referee, billing, name, seed, each = task
    with contextlib.suppress(ImportError):
        importlib.import_module("numpy")
    # Without a deadline the bound uses nothing of it, and the project does not depend on it.
    sys.modules.setdefault("numpy", types.ModuleType("numpy"))
    policy = policies(referee)[name]()
    sim = importlib.import_module("sim")
    chosen, cfg = random.Random(seed), sim.Cfg()
    files = sorted((referee / "traces").glob("*.gz"))
    jobs = sorted(
        ((chosen.uniform(0.0, HOURS * 3600.0), sim.load(str(file))) for file in files for _ in range(each)),
        key=lambda job: job[0],
    )
    found = sim.Sim(jobs, policy, billing, cfg, seed).run()
    bound = sim.lb(jobs, None, billing, cfg)
    slow = [flow / (workflow.CP + cfg.bmin()) for flow, (_, workflow) in zip(found["flow"], jobs, strict=True)]
    return name, billing, found["cost"] / bound, mean(slow)


def mean(values: list[float]) -> float:
    """The geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def at(points: list[tuple[float, float]], slowdown: float) -> float:
    """Least cost among points (cost, slowdown) and the lines between neighbours of ours at that slowdown."""
    best = min((cost for cost, slow in points if slow <= slowdown), default=math.inf)
    ordered = sorted(points, key=lambda point: point[1])
    for (cost, slow), (other, later) in itertools.pairwise(ordered):
        if slow < slowdown < later:
            best = min(best, cost + (other - cost) * (slowdown - slow) / (later - slow))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--referee", type=Path, default=HERE.parents[1] / "shared" / "scaling")
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--billing", default="hour,sec")
    parser.add_argument("--each", type=int, default=1, help="how often each recorded workflow arrives")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if not (options.referee / "sim.py").exists():
        print(f"skipped: no scaling referee in {options.referee}; give its folder with --referee")
        return
    names = [name for name in policies(options.referee) if options.only in name]
    seeds = [int(seed) for seed in options.seeds.split(",")]
    tasks = [
        (options.referee, billing, name, seed, options.each)
        for billing in options.billing.split(",")
        for name in names
        for seed in seeds
    ]
    with multiprocessing.Pool(os.cpu_count()) as pool:
        played = pool.map(play, tasks, chunksize=1)
    for billing in options.billing.split(","):
        points = {}
        for name in names:
            mine = [(cost, slow) for each, how, cost, slow in played if (each, how) == (name, billing)]
            points[name] = (mean([cost for cost, _ in mine]), mean([slow for _, slow in mine]))
        rows = [[name, f"{cost:.2f}", f"{slow:.2f}"] for name, (cost, slow) in points.items()]
        title = f"billing by the {billing}, each workflow {options.each} x in {HOURS:g} h, seeds {options.seeds}"
        _table.show(title, ["policy", "cost / bound", "slowdown"], rows)
        judge(billing, points)


def judge(billing: str, points: dict[str, tuple[float, float]]) -> None:
    """Say what of the goals is met."""
    ours = [point for name, point in points.items() if name.startswith("ours")]
    if not ours:
        return
    for (how, slowdown), goal in GOALS.items():
        if how == billing:
            cost = at(ours, slowdown)
            print(f"at slowdown {slowdown:g}: {cost:.2f}, goal {goal:g}: {_table.verdict(cost <= goal)}")
    if billing == "sec":
        for name, (cost, slow) in points.items():
            if name.startswith("karpenter"):
                mine = at(ours, slow)
                said = f"at the slowdown of {name} ({slow:.2f}): {mine:.2f}, its own cost {cost:.2f}"
                print(f"{said}: {_table.verdict(mine <= cost)}")


if __name__ == "__main__":
    main()
