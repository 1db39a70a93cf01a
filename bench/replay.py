"""One full replay of a finished run, from its first event: ours beside simpleflow 0.36 and Temporal's Replayer.

CPU of a process of its own, all three in each round, medians over the rounds. Ours includes decoding the history from
JSON bytes; the peers get theirs decoded.

    python bench/replay.py [--rounds 3] [--quick] [--check]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import _table
import peers

HERE = Path(__file__).resolve().parent
OURS = HERE / "_ours.py"
SIZES = (100, 300, 1000, 2000, 5000)
#: times that we must be faster than 0.36 (issue: deciders whose cost does not grow)
GOALS = {"fanout": 15.0, "chain": 10.0}
#: Temporal's chain grows faster than its length; beyond this it takes minutes
TEMPORAL_CHAIN = 2000
#: tasks that each process replays at least, so that the interpreter has warmed up to the small sizes as well
WARM = 20_000


def ours(*arguments: str) -> dict[str, object]:
    return peers.measure(Path(sys.executable), OURS, *arguments)


def best(answer: object) -> float | None:
    """The median of one process's repeats, its first (cold) one left out when there are several."""
    if not isinstance(answer, dict):
        return None
    cpu = answer["cpu"]
    return statistics.median(cpu[1:] or cpu)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    parser.add_argument("--quick", action="store_true", help="sizes up to 1,000 only")
    options = parser.parse_args()
    sizes = [size for size in SIZES if not options.quick or size <= 1000]
    missed = False
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, goal in GOALS.items():
            costs: list[float] = []
            for size in sizes:
                path = str(Path(folder) / f"{kind}-{size}.json")
                ours("build", kind, str(size), path)
                found: dict[str, list[float]] = {"ours": [], "simpleflow-0.36": [], "temporal": []}
                events = 0
                for _ in range(options.rounds):
                    answer = ours("full", kind, path, str(max(15, WARM // size)))
                    assert answer["last"] == "CompleteWorkflowExecution", answer
                    events = int(str(answer["events"]))
                    for peer, got in (
                        ("ours", answer),
                        (
                            "simpleflow-0.36",
                            peers.measure_peer("simpleflow-0.36", "full", kind, path, str(max(6, WARM // size))),
                        ),
                        (
                            "temporal",
                            peers.measure_peer("temporal", kind, str(size), "2")
                            if kind == "fanout" or size <= TEMPORAL_CHAIN
                            else None,
                        ),
                    ):
                        value = best(got)
                        if value is not None:
                            found[peer].append(value)
                median = {peer: statistics.median(values) if values else None for peer, values in found.items()}
                mine, old, other = median["ours"], median["simpleflow-0.36"], median["temporal"]
                assert mine is not None
                costs.append(mine)
                met = None if old is None else old / mine >= goal
                faster = None if other is None else mine <= other
                missed |= met is False or faster is False
                rows.append(
                    [
                        f"{kind} {size}",
                        f"{events:,}",
                        _table.seconds(mine),
                        f"{events / mine:,.0f}",
                        _table.seconds(old),
                        _table.ratio(old, mine),
                        f">= {goal:.0f} x",
                        _table.verdict(met),
                        _table.seconds(other),
                        _table.ratio(other, mine),
                        _table.verdict(faster),
                    ]
                )
            grows = _table.exponent(sizes, costs)
            missed |= grows > 1.05
            rows.append(
                [
                    f"{kind}: growth",
                    "",
                    f"n^{grows:.2f}",
                    "",
                    "",
                    "",
                    "<= 1.05",
                    _table.verdict(grows <= 1.05),
                    "",
                    "",
                    "",
                ]
            )
    _table.show(
        f"one full replay, CPU, medians of {options.rounds} rounds",
        ["program", "events", "ours", "events/s", "0.36", "ratio", "goal", "", "Temporal", "ratio", ">= 1 x"],
        rows,
    )
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
