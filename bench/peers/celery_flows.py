"""Runs under celery: the tasks of its worker, and as a script the client. ``celery_flows.py`` reads KIND COUNT.

``fan COUNT`` prints the seconds of so many no-ops, ``first 1`` those from a task's submit to its start. REDIS_PORT
names the broker, which keeps the results too. A task is acknowledged when it has run.
"""

from __future__ import annotations

import os
import sys
import time

import celery

URL = f"redis://127.0.0.1:{os.environ['REDIS_PORT']}/0"
app = celery.Celery("celery_flows", broker=URL, backend=URL)
app.conf.update(task_acks_late=True, broker_connection_retry_on_startup=True)


@app.task(name="noop")
def noop(number: int) -> int:
    return number


@app.task(name="now")
def now() -> float:
    return time.time()


def fan(count: int) -> float:
    begun = time.perf_counter()
    assert len(celery.group(noop.s(number) for number in range(count))().get(timeout=120)) == count
    return time.perf_counter() - begun


def first(count: int) -> float:
    begun = time.time()
    return float(now.delay().get(timeout=120)) - begun


def main() -> None:
    first(1)
    print("ready", flush=True)
    while line := sys.stdin.readline():
        kind, count = line.split()
        print({"fan": fan, "first": first}[kind](int(count)), flush=True)


if __name__ == "__main__":
    main()
