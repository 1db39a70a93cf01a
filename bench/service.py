"""The embedded service over HTTP: requests per second, growth, memory, start; beside moto and the bare HTTP server.

No-op activities: start, schedule, poll, complete, seven calls an execution, from one client process with 1, 4 and 8
connections. The servers take turns, sample by sample; figures are medians, CPU is that of the server's process, per
request. moto's cost grows with every execution it was ever given: it gets a fresh server for each number of clients,
once, and 400 executions (half a minute), where each of ours works thousands.

    python bench/service.py [--rounds 3] [--quick] [--open N] [--big GB] [--check]

``--big 5`` fills the database up to 5 GB before its start is measured (minutes).
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import _swf_client
import _swf_servers
import _table

CLIENTS = (1, 4, 8)
#: executions worked in one sample, samples of each round, executions that moto works
LIVES, SAMPLES, MOTO_LIVES = 150, 6, 400
NAMES = {
    "raw": "uvicorn alone",
    "memory": "ours, in memory",
    "full": "ours, SQLite FULL",
    "normal": "ours, SQLite NORMAL",
    "moto": "moto's server",
}
MAKE: dict[str, Callable[[Path], _swf_servers.Server]] = {
    "raw": _swf_servers.raw,
    "memory": lambda folder: _swf_servers.ours(folder, database=":memory:"),
    "full": lambda folder: _swf_servers.ours(folder, database="full.db"),
    "normal": lambda folder: _swf_servers.ours(folder, database="normal.db", synchronous="normal"),
    "moto": _swf_servers.moto,
}


class Comparison:
    """Samples of every server, taken in turn: a ratio is the median of the ratios of neighbouring samples."""

    def __init__(self, folder: Path, scale: float) -> None:
        self._folder = folder
        self._scale = scale
        self.speed: dict[tuple[str, int], list[float]] = {}
        self.cpu: dict[tuple[str, int], list[float]] = {}
        #: ours in memory against moto's of the same minute
        self.moto: dict[int, float] = {}
        self._names = itertools.count()

    def measure(self, kind: str, server: _swf_servers.Server, count: int, lives: int, keep: bool = True) -> None:
        client = _swf_client.Client(server.where, lenient=kind == "moto")

        def life(each: int, number: int) -> _swf_client.Life:
            return _swf_client.no_op(f"w-{next(self._names)}", f"l-{each}")

        before = server.cpu()
        took = client.run(count, max(int(lives * self._scale), count), life)
        if client.refused:
            print(f"{NAMES[kind]} answered {client.refused} of {client.calls} calls with an error", file=sys.stderr)
        if keep:
            self.speed.setdefault((kind, count), []).append(client.calls / took)
            self.cpu.setdefault((kind, count), []).append((server.cpu() - before) / client.calls)

    def run(self, rounds: int) -> None:
        servers = {kind: make(self._folder) for kind, make in MAKE.items() if kind != "moto"}
        try:
            for kind, server in servers.items():
                if kind != "raw":
                    _swf_client.register(_swf_client.Client(server.where))
                self.measure(kind, server, 1, LIVES, keep=False)
            for turn in range(rounds):
                for place, count in enumerate(CLIENTS):
                    for sample in range(SAMPLES):
                        for kind, server in servers.items():
                            self.measure(kind, server, count, LIVES)
                        if sample == SAMPLES // 2 and turn == place % rounds:
                            self._measure_moto(count)
                    if turn == place % rounds:
                        mine = statistics.median(self.speed["memory", count][-SAMPLES:])
                        self.moto[count] = mine / self.speed["moto", count][0]
        finally:
            for server in servers.values():
                server.stop()

    def _measure_moto(self, count: int) -> None:
        server = MAKE["moto"](self._folder)
        try:
            _swf_client.register(_swf_client.Client(server.where))
            self.measure("moto", server, count, MOTO_LIVES)
        finally:
            server.stop()

    def ratio(self, one: str, other: str, count: int) -> float:
        pairs = zip(self.speed[one, count], self.speed[other, count], strict=True)
        return statistics.median(mine / its for mine, its in pairs)


def disk(folder: Path) -> float:
    """Median seconds of one fdatasync after 8 kB, here and now: what FULL waits for."""
    taken = []
    with (folder / "disk").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(b"x" * 8192)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def rates(folder: Path, rounds: int, scale: float) -> bool:
    """Compare the servers; return whether the goals are met."""
    found = Comparison(folder, scale)
    before = disk(folder)
    found.run(rounds)
    waits = f"one fdatasync: {_table.seconds(before)} before, {_table.seconds(disk(folder))} after"
    rows = [
        [
            NAMES[kind],
            *(f"{statistics.median(found.speed[kind, count]):,.0f}" for count in CLIENTS),
            *(_table.seconds(statistics.median(found.cpu[kind, count])) for count in CLIENTS),
        ]
        for kind in MAKE
    ]
    headings = ["requests/s", *(f"{n} clients" for n in CLIENTS), *(f"CPU at {n}" for n in CLIENTS)]
    _table.show(f"start, schedule, poll, complete of no-op activities ({waits})", headings, rows)
    goals = [(f"in memory / moto, {count} clients", found.moto[count], 50.0) for count in CLIENTS]
    goals += [
        (f"in memory / uvicorn alone, {count} clients", found.ratio("memory", "raw", count), 0.3) for count in CLIENTS
    ]
    goals.append(("FULL / in memory, 8 clients", found.ratio("full", "memory", 8), 0.5))
    _table.show(
        "goals",
        ["ratio", "measured", "goal", ""],
        [
            # so few executions are an easy life for moto: no verdict on them
            [name, f"{value:.2f}", f">= {goal}", _table.verdict(value >= goal if scale == 1 else None)]
            for name, value, goal in goals
        ],
    )
    return scale < 1 or all(value >= goal for _, value, goal in goals)


class Side:
    """One of two things that are measured in turn, so that a busy moment of the machine meets both."""

    def __init__(self, server: _swf_servers.Server, make: Callable[[int, int], _swf_client.Life]) -> None:
        self._server = server
        self._client = _swf_client.Client(server.where)
        self._make = make
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def sample(self, lives: int) -> None:
        self._client.calls, before = 0, self._server.cpu()
        took = self._client.run(1, lives, self._make)
        self.wall.append(took / self._client.calls)
        self.cpu.append((self._server.cpu() - before) / self._client.calls)


def in_turn(few: Side, many: Side, lives: int) -> list[float]:
    """Medians: CPU per call of one side and of the other, then wall time of both."""
    for _ in range(7):
        few.sample(lives)
        many.sample(lives)
    return [statistics.median(values) for values in (few.cpu, many.cpu, few.wall, many.wall)]


def long_one(client: _swf_client.Client, name: str) -> Callable[[int, int], _swf_client.Life]:
    """Start an execution that is signalled again and again, and answer its first decision task."""
    client.call("StartWorkflowExecution", **_swf_client.start_request(name, name))
    poll = client.call("PollForDecisionTask", domain=_swf_client.DOMAIN, taskList={"name": name})
    client.call("RespondDecisionTaskCompleted", taskToken=_swf_client.token_of(poll), decisions=[])
    return lambda each, number: _swf_client.signalled(name, name)


def growth_of_events(folder: Path, last: int) -> list[float]:
    """What a call costs near the first events of an execution, and near its last."""
    server = _swf_servers.ours(folder, database="events.db", synchronous="normal")
    try:
        client = _swf_client.Client(server.where)
        _swf_client.register(client)
        make = long_one(client, "long")
        rounds = last // 5 - 7 * 60  # five events a round: signalled, scheduled, started, completed, marker
        client.run(1, max(rounds, 1), make)
        return in_turn(Side(server, long_one(client, "short")), Side(server, make), 60)
    finally:
        server.stop()


def growth_of_open(folder: Path, last: int) -> tuple[list[float], float]:
    """What a call costs with few and with many open executions; megabytes of the server with 10,000."""
    empty = _swf_servers.ours(folder, database="empty.db", synchronous="normal")
    full = _swf_servers.ours(folder, database="open.db", synchronous="normal")
    try:
        client = _swf_client.Client(full.where)
        for server in (empty, full):
            _swf_client.register(_swf_client.Client(server.where))

        def fill(begin: int, end: int) -> None:
            client.run(8, end - begin, lambda each, number: _swf_client.started(f"open-{begin + number}", "waiting"))

        fill(0, min(10_000, last))
        memory = full.memory()
        fill(min(10_000, last), last)
        names = itertools.count()

        def life(each: int, number: int) -> _swf_client.Life:
            return _swf_client.no_op(f"own-{next(names)}", "own")

        return in_turn(Side(empty, life), Side(full, life), 60), memory
    finally:
        empty.stop()
        full.stop()


def fill_up(folder: Path, gigabytes: float) -> None:
    """Write long signals until the database of open executions is so big."""
    server = _swf_servers.ours(folder, database="open.db", synchronous="normal")
    try:
        client = _swf_client.Client(server.where)
        text = "x" * 32_000
        number = 0

        def long_signals(each: int, index: int) -> _swf_client.Life:
            for _ in range(20):
                name = f"open-{(number + index) % 1000}"
                request = {"domain": _swf_client.DOMAIN, "workflowId": name, "signalName": "s", "input": text}
                yield "SignalWorkflowExecution", request

        while (folder / "open.db").stat().st_size < gigabytes * 1e9:
            client.run(8, 500, long_signals)
            number += 500
    finally:
        server.stop()


def start_of(folder: Path) -> tuple[float, float]:
    """Seconds until the database of open executions is served again, and a call on it answered; its gigabytes."""
    size = sum(each.stat().st_size for each in folder.glob("open.db*")) / 1e9
    began = time.perf_counter()
    server = _swf_servers.ours(folder, database="open.db")
    try:
        _swf_client.Client(server.where).call(
            "CountPendingDecisionTasks", domain=_swf_client.DOMAIN, taskList={"name": "waiting"}
        )
        return time.perf_counter() - began, size
    finally:
        server.stop()


def growth(folder: Path, events: int, opened: int, gigabytes: float) -> bool:
    event = growth_of_events(folder, events)
    many, memory = growth_of_open(folder, opened)
    if gigabytes:
        fill_up(folder, gigabytes)
    start, size = start_of(folder)
    rows = []
    for what, found in ((f"a call at event 1 / {events:,}", event), (f"a call with 0 / {opened:,} open", many)):
        for kind, (first, last) in (("server CPU", found[:2]), ("wall", found[2:])):
            shown = [_table.seconds(first), _table.seconds(last)]
            rows.append([f"{what}, {kind}", *shown, "<= 1.5 x", last / first <= 1.5])
    rows.append(["memory with 10,000 open executions", "", f"{memory:.0f} MB", "< 150 MB", memory < 150])
    rows.append([f"start with {opened:,} open, {size:.2f} GB", "", _table.seconds(start), "< 10 s", start < 10])
    _table.show(
        "growth and size (SQLite, 1 client)",
        ["", "first", "last", "goal", ""],
        [[*map(str, row[:4]), _table.verdict(bool(row[4]))] for row in rows],
    )
    return all(bool(row[4]) for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: to see that it runs")
    parser.add_argument("--open", type=int, help="open executions (default 99,990: a domain holds 100,000)")
    parser.add_argument("--big", type=float, default=0.0, metavar="GB", help="size of the database that is started")
    parser.add_argument("--only", choices=["rates", "growth"])
    parser.add_argument("--check", action="store_true", help="exit code 1 when a goal is missed")
    given = parser.parse_args()
    scale = 0.1 if given.quick else 1.0
    opened = given.open or int(99_990 * scale)  # the samples need a place or two below the limit
    good = True
    with tempfile.TemporaryDirectory(prefix="simpleflow-bench-") as name:
        if given.only != "growth":
            good = rates(Path(name), given.rounds, scale) and good
        if given.only != "rates":
            good = growth(Path(name), int(20_000 * scale), opened, given.big) and good
    return 1 if given.check and not good else 0


if __name__ == "__main__":
    sys.exit(main())
