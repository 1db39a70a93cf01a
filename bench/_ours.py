"""CPU seconds and bytes of our engine, measured in a process of its own.

python bench/_ours.py build chain|fanout COUNT FILE    write the history of a finished run, as our engine makes it
python bench/_ours.py full chain|fanout FILE REPEAT    decode it and make its last decision from the start
python bench/_ours.py points chain|fanout FILE         decode and make each decision, resuming (a whole run)
python bench/_ours.py first fanout COUNT REPEAT        the first decision, which schedules as many as fit
python bench/_ours.py memory TASKS EXECUTIONS          bytes per suspended execution that refers to so many tasks
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil

from simpleflow import Workflow, activity, engine, futures
from simpleflow.core import decisions, events
from simpleflow.runtime import stores
from simpleflow.testing.histories import builder as histories
from simpleflow.testing.replaying import points as replay_points


def step(number: int) -> int:
    return number + 1


STEP = activity.with_attributes(name="bench.step", version="1", task_list="bench")(step)


class Chain(Workflow):
    name, version, task_list = "bench.chain", "1", "bench"

    def run(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = self.submit(STEP, value).result
        return value


class FanOut(Workflow):
    name, version, task_list = "bench.fanout", "1", "bench"

    def run(self, count: int) -> int:
        return sum(futures.wait(*[self.submit(STEP, number) for number in range(count)]))


class Waiting(Workflow):
    """Suspended with tasks that are still open."""

    name, version, task_list = "bench.waiting", "1", "bench"

    def run(self, count: int) -> int:
        opened = [self.submit(STEP, number) for number in range(count)]
        return int(opened[0].result)


PROGRAMS: dict[str, Any] = {"chain": Chain, "fanout": FanOut, "waiting": Waiting}


def new_engine() -> engine.Engine:
    return engine.Engine(workflows=tuple(PROGRAMS.values()), payloads=stores.payloads())


def decide(running: engine.Engine, task: engine.DecisionTask) -> engine.Decided:
    decided = running.decide(task)
    if isinstance(decided, engine.Needs):
        raise RuntimeError(f"the engine asks for {decided}: this benchmark gives it everything")
    return decided


def finished(kind: str, count: int, *, each: bool) -> histories.HistoryBuilder:
    """Run a program to its end; with ``each``, every completion brings a decision of its own."""
    built = histories.HistoryBuilder(PROGRAMS[kind], {"args": [count]}, activity_limit=10**6)
    running = new_engine()
    while built.open.closed is None:
        task = built.begin_decision(whole=False)
        decided = decide(running, task)
        built.respond(decided.decisions)
        if built.open.closed is None:
            running.acknowledged(built.run_id, task.started_event_id)
        if not decided.decisions and not built.open.activities and not built.open.timers:
            raise RuntimeError("the program is blocked with nothing open")
        if built.open.timers:
            built.fire_timer(next(iter(built.open.timers)))
            continue
        for activity_id in list(built.open.activities):
            value = json.loads(built.open.activities[activity_id].input or "")["args"][0]
            built.complete_activity(activity_id, str(value + 1))
            if each:
                break
    return built


def header(path: str) -> tuple[list[bytes], list[int]]:
    """The events of a file, each as bytes, and the ids of its decisions' starts."""
    raw = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, list[msgspec.Raw]])["events"]
    decoded = events.decode(msgspec.json.encode(raw))
    return [bytes(one) for one in raw], replay_points.started(decoded)


def task_of(kind: str, found: list[events.Event], previous: int, started: int) -> engine.DecisionTask:
    return engine.DecisionTask(
        domain="bench",
        workflow_id="workflow-id",
        run_id="run-id",
        workflow_name=PROGRAMS[kind].name,
        workflow_version="1",
        previous_started_event_id=previous,
        started_event_id=started,
        events=tuple(found),
        complete=found[0].id == 1,
    )


def full(kind: str, path: str, repeat: int) -> dict[str, Any]:
    raw, points = header(path)
    started = points[-1]
    previous = points[-2] if len(points) > 1 else 0
    page = b"[" + b",".join(raw[:started]) + b"]"
    measured, last = [], ""
    for _ in range(repeat):
        running = new_engine()
        begun = time.process_time()
        decided = decide(running, task_of(kind, events.decode(page), previous, started))
        measured.append(time.process_time() - begun)
        last = type(decided.decisions[-1]).__name__ if decided.decisions else ""
    return {"cpu": measured, "events": started, "last": last}


def points(kind: str, path: str) -> dict[str, Any]:
    raw, ids = header(path)
    pages = [
        b"[" + b",".join(raw[previous:started]) + b"]" for previous, started in zip([0, *ids[:-1]], ids, strict=True)
    ]
    running = new_engine()
    each, made, previous = [], 0, 0
    decided: engine.Decided | None = None
    for page, started in zip(pages, ids, strict=True):
        begun = time.process_time_ns()
        decided = decide(running, task_of(kind, events.decode(page), previous, started))
        each.append((time.process_time_ns() - begun) / 1e9)
        made += len(decided.decisions)
        closing = any(isinstance(decision, decisions.CLOSING) for decision in decided.decisions)
        if not closing:
            begun = time.process_time_ns()
            running.acknowledged("run-id", started)
            each[-1] += (time.process_time_ns() - begun) / 1e9
        previous = started
    assert decided is not None
    return {
        "cpu": [sum(each)],
        "each": each,
        "events": ids[-1],
        "decisions": made,
        "last": type(decided.decisions[-1]).__name__,
    }


def first(kind: str, count: int, repeat: int) -> dict[str, Any]:
    measured = []
    for _ in range(repeat):
        built = histories.HistoryBuilder(PROGRAMS[kind], {"args": [count]})
        task = built.begin_decision()
        running = new_engine()
        begun = time.process_time()
        decided = decide(running, task)
        measured.append(time.process_time() - begun)
    return {"cpu": measured, "decisions": len(decided.decisions)}


def memory(tasks: int, executions: int) -> dict[str, Any]:
    """Resident bytes per suspended execution; greenlet stacks lie outside Python's own allocator."""
    running = new_engine()
    process = psutil.Process()

    def suspend(number: int) -> None:
        built = histories.HistoryBuilder(Waiting, {"args": [tasks]}, run_id=f"run-{number}")
        while True:
            task = built.begin_decision(whole=False)
            built.respond(decide(running, task).decisions)
            running.acknowledged(built.run_id, task.started_event_id)
            if not built.open.timers:
                return
            built.fire_timer(next(iter(built.open.timers)))

    for number in range(20):
        suspend(number)
    gc.collect()
    before = process.memory_info().rss
    for number in range(20, 20 + executions):
        suspend(number)
    gc.collect()
    return {"bytes": (process.memory_info().rss - before) / executions}


def main() -> None:
    match sys.argv[1:]:
        case ["build", kind, count, path, *each]:
            Path(path).write_bytes(finished(kind, int(count), each=bool(each)).to_json())
            answer: dict[str, Any] = {}
        case ["full", kind, path, repeat]:
            answer = full(kind, path, int(repeat))
        case ["points", kind, path]:
            answer = points(kind, path)
        case ["first", kind, count, repeat]:
            answer = first(kind, int(count), int(repeat))
        case ["memory", tasks, executions]:
            answer = memory(int(tasks), int(executions))
        case _:
            raise SystemExit(__doc__)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
