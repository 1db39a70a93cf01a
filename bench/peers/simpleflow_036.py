"""Runs under simpleflow 0.36's Python: CPU seconds of its replays.

python simpleflow_036.py full|points KIND HISTORY.json [REPEAT]

``full``: one replay of the whole history, REPEAT times. ``points``: a replay at each decision, summed (a whole run).
The events are given as Python objects, so botocore's parser is not in the figures; nor is its fork per decision.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

logging.disable(logging.CRITICAL)

from simpleflow.swf.executor import Executor  # noqa: E402
from simpleflow.swf.mapper.models import Domain  # noqa: E402
from simpleflow.swf.mapper.models.history import History  # noqa: E402
from simpleflow.swf.mapper.responses import Response  # noqa: E402

from simpleflow import Workflow, activity, futures  # noqa: E402  # its import configures logging


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


def replay(workflow: type, events: list[dict[str, Any]]) -> Any:
    executor = Executor(Domain("bench"), workflow, "bench")
    # The schedule step asks SWF whether the type is registered; a peer without an account skips that.
    response = Response(history=History.from_event_list(events), execution=None, token="t")
    return executor.replay(response)


def main() -> None:
    mode, kind, path = sys.argv[1:4]
    repeat = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    workflow = {"chain": Chain, "fanout": FanOut}[kind]
    with open(path, encoding="utf-8") as file:
        events = json.load(file)["events"]
    completed = {
        event["decisionTaskCompletedEventAttributes"]["startedEventId"]
        for event in events
        if event["eventType"] == "DecisionTaskCompleted"
    }
    points = [e["eventId"] for e in events if e["eventId"] in completed or e is events[-1]]
    prefixes = [events] if mode == "full" else [events[:point] for point in points]
    measured = []
    decisions = 0
    for _ in range(repeat):
        begun = time.process_time()
        for prefix in prefixes:
            answer = replay(workflow, prefix)
            decisions += len(answer.decisions)
        measured.append(time.process_time() - begun)
    last = [decision["decisionType"] for decision in answer.decisions]
    print(json.dumps({"cpu": measured, "events": len(events), "decisions": decisions, "last": last[-1:]}))


if __name__ == "__main__":
    main()
