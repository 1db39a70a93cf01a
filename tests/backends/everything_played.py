"""What examples/everything.py gives and decides, on a backend of choice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from examples import everything
from simpleflow.client import Client
from tests.backends import places

RESULT = {
    "arguments_that_are_futures": 10,
    "class_activities": [6, 9],
    "coroutine_activities": "teatea",
    "idempotent_tasks": ["tea once", "tea once"],
    "options_of_one_submission": 42,
    "failures": [None, "ValueError: no tea", "ValueError: no way"],
    "retries_with_delays": "TaskFailed",
    "failure_hook": [None, None],
    "typed_values": ["Order", "5.00", "2026-01-31", ["LARGE"]],
    "large_values": 100_000,
    "local_activities": 16,
    "fan_out": [0, 2, 4, 6, 8, 2, 4],
    "composed_futures": ["8", 16],
    "arms_side_by_side": [4, 8, 100],
    "first_of_several": [1, 1, True, True],
    "waits_with_an_end": [0, 1],
    "groups": [0, 2, 4, 6],
    "chains": [2, 4, [0, 2, 4, 6]],
    "failing_canvas": [[[2, None], None], ["NoneType", "TaskFailed"]],
    "children": [{"doubled": 6, "tags": ["example", "everything"]}, [0, 2, 4]],
    "failing_children": [None, "TaskFailed"],
    "signals": ["tea", {"fast": True}, "TaskCanceled"],
    "markers": [[["step", 2]], {"details": 2, "state": "recorded"}],
    "timers": [True, {"control": {"word": "tea"}, "state": "fired"}],
    "what_is_drawn_once": [7, True, True, True],
    "patches": True,
    "cancelled_tasks": [True, "TaskCanceled"],
    "cancellation_scopes": True,
    "sagas": "RuntimeError: the hotel is full",
    "run_context": [
        ["continued_execution_run_id", "domain_name", "name", "parent_run_id", "parent_workflow_id", "run_id",
         "tag_list", "version", "workflow_id"],
        ["example", "everything"],
        True,
        False,
    ],
}  # fmt: skip
#: decisions that the service refused first (a type that is not registered yet) are made again
REFUSED = ("ScheduleActivityTaskFailed", "StartChildWorkflowExecutionFailed")
CHILDREN = [everything.Part, everything.AsyncPart, everything.FailingPart]


def decided(histories: Iterable[Iterable[Any]]) -> Counter[tuple[str, str]]:
    """Count what decisions caused, each with its input."""
    found: Counter[tuple[str, str]] = Counter()
    for history in histories:
        for event in history:
            attributes = event.attributes
            if getattr(attributes, "decision_task_completed_event_id", None) is None or type(event).__name__ in REFUSED:
                continue
            fields = ("input", "details", "control", "result", "reason", "signal_name", "timer_id")
            said = {name: getattr(attributes, name, None) for name in fields}
            if type(event).__name__ != "TimerStarted":
                said["control"] = None  # the engine's own, which may name the run
            found[type(event).__name__, json.dumps(said, sort_keys=True)] += 1
    return found


def histories(client: Client, workflow_id: str) -> list[list[Any]]:
    """Return the histories of an execution, of the run that continues it, and of their children."""
    found: list[list[Any]] = []
    wanted = [client.find(workflow_id)]
    while wanted:
        history = list(client.history(wanted.pop()))
        found.append(history)
        for event in history:
            attributes = event.attributes
            if type(event).__name__ == "ChildWorkflowExecutionStarted":
                child = attributes.workflow_execution
                wanted.append(client.find(child.workflow_id, child.run_id))
            continued = getattr(attributes, "continued_execution_run_id", None)
            if continued:
                wanted.append(client.find(workflow_id, continued))
    return found


def played(name: str, folder: Path) -> tuple[Any, Counter[tuple[str, str]]]:
    """Run it on one backend in this process; return its result, and what was decided."""
    backend = places.Backend(name, folder)
    try:
        place = backend.environment(*CHILDREN)
        run = place.start(everything.Everything, "tea")
        result = place.wait(run)
        return result, decided(histories(backend.client(place), run.workflow_id))
    finally:
        backend.close()
