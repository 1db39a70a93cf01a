"""A workflow that interceptors look at."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from simpleflow import Workflow, activity
from simpleflow.core import interceptors
from simpleflow.testing.environment import Run

#: runs the workflow to its end with an interceptor
Observe = Callable[..., Run]
logger = logging.getLogger("observed_flows")


@activity.with_attributes(version="1", task_list="work")
def add(a: int, b: int) -> int:
    return a + b


@activity.with_attributes(version="1", task_list="work")
def fail() -> None:
    raise ValueError("odd")


class Observed(Workflow):
    """Decided again from its start at each decision, as it has a hook."""

    name, version, task_list = "observed", "1", "decisions"

    def before_replay(self, history: Any) -> None: ...

    def run(self) -> Any:
        logger.info("begins")
        found = self.submit(add, 1, 2).result
        logger.info("added")
        self.submit(fail).exception
        self.submit(self.wait_signal("go")).result
        logger.info("ends")
        return found

    def status(self) -> str:
        return "waits"


seen: list[Any] = []


class Sees(interceptors.Interceptor):
    def call(self, call: interceptors.ClientCall, proceed: Any) -> Any:
        seen.append((call.what, call.name))
        return proceed()

    def answered(self, outcome: interceptors.DecisionAnswered) -> None:
        seen.append(("answered", outcome.decisions, outcome.closed, outcome.started is not None))

    def task_received(self, task: interceptors.TaskReceived) -> None:
        seen.append(("received", task.name))

    def task_answered(self, outcome: interceptors.TaskAnswered) -> None:
        seen.append(("task", outcome.outcome, outcome.reason))

    def execute(self, call: interceptors.ActivityCall, proceed: Any) -> Any:
        seen.append(("execute", call.name, call.started_event_id > 0))
        return proceed()


def broken() -> None: ...
