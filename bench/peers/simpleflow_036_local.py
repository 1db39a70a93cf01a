"""Runs under simpleflow 0.36's Python: CPU seconds of its local executor, which neither serialises nor speaks SWF.

python simpleflow_036_local.py TASKS RUNS
"""

from __future__ import annotations

import json
import logging
import sys
import time

logging.disable(logging.CRITICAL)

from simpleflow import Workflow, activity, futures  # noqa: E402  # its import configures logging
from simpleflow.local.executor import Executor  # noqa: E402


def nothing(number: int) -> int:
    return number


NOTHING = activity.with_attributes(name="bench.nothing", version="1", task_list="bench")(nothing)


class Fan(Workflow):
    name, version, task_list = "bench.fan", "1", "bench"

    def run(self, count: int) -> int:
        return sum(futures.wait(*[self.submit(NOTHING, number) for number in range(count)]))


def main() -> None:
    tasks, runs = int(sys.argv[1]), int(sys.argv[2])
    seconds = []
    for _ in range(runs):
        begun = time.process_time()
        Executor(Fan).run({"args": [tasks], "kwargs": {}})
        seconds.append(time.process_time() - begun)
    print(json.dumps({"seconds": seconds}))


main()
