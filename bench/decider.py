"""What deciders cost over a whole run, per decision, from cold, and in memory; simpleflow 0.36 runs beside.

    python bench/decider.py [--rounds 3] [--quick] [--check]

A whole run is the sum over its decisions: ours resumes, 0.36 replays at each. Growth is measured on ours alone.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import _table
import peers

OURS = Path(__file__).resolve().parent / "_ours.py"
#: steps of a chain of six events each whose history nears SWF's 25,000 events
COLD_CHAIN = 4160


def ours(*arguments: str) -> dict[str, Any]:
    return peers.measure(Path(sys.executable), OURS, *arguments)


class Rows:
    """The table as it grows."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []
        self.missed = False

    def add(self, what: str, mine: str, peer: str, ratio: str, goal: str, met: bool | None) -> None:
        self.missed |= met is False
        self.lines.append([what, mine, peer, ratio, goal, _table.verdict(met)])


def whole_runs(rows: Rows, folder: Path, rounds: int, sizes: tuple[tuple[str, int, float | None], ...]) -> None:
    """Sums over all decisions of a run, beside 0.36's; ``sizes`` hold the ratio to reach, where there is one."""
    for kind, size, goal in sizes:
        path = history(folder, kind, size)
        mine, theirs = [], []
        for _ in range(rounds):
            mine.append(ours("points", kind, path)["cpu"][0])
            answer = peers.measure_peer("simpleflow-0.36", "points", kind, path)
            if answer is not None:
                theirs.append(answer["cpu"][0])
        me = statistics.median(mine)
        peer = statistics.median(theirs) if theirs else None
        met = None if peer is None or goal is None else peer / me >= goal
        rows.add(
            f"whole run, {kind} of {size}, all decisions",
            _table.seconds(me),
            _table.seconds(peer),
            _table.ratio(peer, me),
            "" if goal is None else f">= {goal:.0f} x",
            met,
        )


def history(folder: Path, kind: str, size: int) -> str:
    """Write the history of a run in which every completion brings a decision of its own; return its path."""
    path = folder / f"{kind}-{size}-each.json"
    if not path.exists():
        ours("build", kind, str(size), str(path), "each")
    return str(path)


def growth(rows: Rows, folder: Path, rounds: int, kind: str, sizes: tuple[int, ...]) -> None:
    """How a whole run's cost grows, and what a decision costs at its end against its beginning."""
    paths = [history(folder, kind, size) for size in sizes]
    # Round by round, so that a busy minute of the machine falls on all sizes.
    answers = [[ours("points", kind, path) for path in paths] for _ in range(rounds)]
    costs = [statistics.median(answer[place]["cpu"][0] for answer in answers) for place in range(len(sizes))]
    longest = [answer[-1]["each"] for answer in answers]
    grows = _table.exponent(sizes, costs)
    named = "/".join(str(size) for size in sizes)
    rows.add(f"{kind} of {named}: growth", f"n^{grows:.2f}", "", "", "<= 1.1", grows <= 1.1)
    per = statistics.median(statistics.median(each) for each in longest)
    last = statistics.median(tail(each) for each in longest)
    rows.add(f"{kind} of {sizes[-1]}: a decision, median", _table.seconds(per), "", "", "", None)
    rows.add(f"{kind} of {sizes[-1]}: last tenth / first tenth", f"{last:.2f} x", "", "", "<= 1.3", last <= 1.3)


def tail(each: list[float]) -> float:
    """Median cost of a decision in the last tenth over that in the first; the very first and last are special."""
    inner = each[1:-1]
    tenth = len(inner) // 10
    return statistics.median(inner[-tenth:]) / statistics.median(inner[:tenth])


def single(rows: Rows, folder: Path) -> None:
    """A first decision, and a cold one with a history near SWF's limit."""
    first = statistics.median(ours("first", "fanout", "100", "7")["cpu"][1:])
    rows.add("first decision that schedules 100", _table.seconds(first), "", "", "<= 2 ms", first <= 0.002)
    path = history(folder, "chain", COLD_CHAIN)
    answer = ours("full", "chain", path, "1")
    cold = answer["cpu"][0]
    events = f"{answer['events']:,}"
    rows.add(
        f"first decision of a cold history of {events} events", _table.seconds(cold), "", "", "< 0.5 s", cold < 0.5
    )


def memory(rows: Rows, executions: int) -> None:
    """Bytes per suspended execution, as a fixed part and a part per task."""
    few, many = (ours("memory", str(tasks), str(executions))["bytes"] for tasks in (1, 101))
    per_task = (many - few) / 100
    rows.add("bytes per suspended execution with one task", f"{few:,.0f}", "", "", "< 21,024", few < 20 * 1024 + 1024)
    rows.add("bytes per further task that it refers to", f"{per_task:,.0f}", "", "", "< 1,024", per_task < 1024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    parser.add_argument("--quick", action="store_true", help="no peer at the sizes where it takes half a minute")
    options = parser.parse_args()
    sizes: tuple[tuple[str, int, float | None], ...] = (("chain", 100, None), ("chain", 250, None))
    if not options.quick:
        sizes += (("chain", 500, 500.0), ("fanout", 500, None))
    rows = Rows()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        whole_runs(rows, folder, options.rounds, sizes)
        for kind in ("chain", "fanout"):
            growth(rows, folder, 5, kind, (500, 1000, 2000, 4000))
        single(rows, folder)
        memory(rows, 500)
    _table.show(
        f"deciders, CPU, medians of {options.rounds} rounds (growth: 5)",
        ["what", "ours", "0.36", "ratio", "goal", ""],
        rows.lines,
    )
    return 1 if options.check and rows.missed else 0


if __name__ == "__main__":
    sys.exit(main())
