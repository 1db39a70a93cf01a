"""Runs under huey: the tasks of its worker, and the client, whose ``main`` reads numbers.

It prints the seconds of so many no-ops. HUEY_FILE names the SQLite database, which is synced for each write. huey knows
tasks by the name of their module: this one is imported, never run as a script.
"""

from __future__ import annotations

import os
import sys
import time

import huey

queue = huey.SqliteHuey(filename=os.environ["HUEY_FILE"], fsync=True, timeout=60)


@queue.task()
def noop(number: int) -> int:
    return number


def fan(count: int) -> float:
    begun = time.perf_counter()
    for number in range(count):
        noop(number)
    while queue.result_count() < count:
        time.sleep(0.002)
    took = time.perf_counter() - begun
    queue.storage.flush_results()
    return took


def main() -> None:
    print("ready", flush=True)
    while line := sys.stdin.readline():
        print(fan(int(line)), flush=True)
