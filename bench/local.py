"""No-op activities in one process, the whole protocol and serialisation included; 0.36's local executor runs beside.

0.36 has neither: it calls the functions. Runs of both take turns; figures are CPU seconds of the median run.

    python bench/local.py [--runs 10] [--tasks 1000] [--check]
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time

import _table
import peers

from simpleflow import Workflow, activity, futures
from simpleflow.local import Executor

#: CPU a task, ours to 0.36's, at most
GOAL = 1.7
#: tasks of the larger run, ours alone, as multiples of the others'; and how far above the multiple its cost may be
TIMES, SLACK = 4, 1.25


@activity.with_attributes(name="bench_local.nothing", version="1", task_list="bench")
def nothing(number: int) -> int:
    return number


class Fan(Workflow):
    name, version, task_list = "bench_local.fan", "1", "bench"

    def run(self, count: int) -> int:
        return sum(futures.wait(*[self.submit(nothing, number) for number in range(count)]))


def ours(tasks: int) -> float:
    begun = time.process_time()
    assert Executor(Fan).run({"args": [tasks]}) == tasks * (tasks - 1) // 2
    return time.process_time() - begun


def theirs(tasks: int) -> float | None:
    answer = peers.measure_peer("simpleflow-0.36", str(tasks), "2", script="simpleflow_036_local.py")
    return None if answer is None else min(answer["seconds"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    ours(given.tasks // 10)
    mine, its, large = [], [], []
    for _ in range(given.runs):
        mine.append(ours(given.tasks))
        old = theirs(given.tasks)
        if old is not None:
            its.append(old)
        large.append(ours(TIMES * given.tasks))
    one, many = statistics.median(mine), statistics.median(large)
    old = statistics.median(its) if its else None
    cheap = None if old is None else one <= GOAL * old
    straight = many <= TIMES * SLACK * one
    each = [None if value is None else value / given.tasks for value in (one, old)]
    rows = [
        ["CPU a task", *map(_table.seconds, each), _table.ratio(one, old), f"<= {GOAL:g} x", _table.verdict(cheap)],
        [
            f"CPU of {TIMES * given.tasks} tasks to that of {given.tasks}",
            _table.seconds(many),
            "-",
            _table.ratio(many, one),
            f"<= {TIMES * SLACK:g} x",
            _table.verdict(straight),
        ],
    ]
    _table.show(f"local executor, no-op activities, {given.runs} runs", ["", "ours", "0.36", "ratio", "goal", ""], rows)
    return 1 if given.check and not (straight and cheap is not False) else 0


if __name__ == "__main__":
    sys.exit(main())
