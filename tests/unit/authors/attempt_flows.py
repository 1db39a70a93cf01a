"""Activities that report progress, and that leave their tasks open."""

from __future__ import annotations

from typing import Any

from simpleflow import Workflow, activity
from simpleflow.testing import environment

tokens: list[str] = []
seen: list[Any] = []


@activity.with_attributes(version="1", task_list="work", retry=2, heartbeat_timeout=5, raises_on_failure=True)
def counts_on(reports: Any, how: str) -> Any:
    """Report progress and fail, until a later attempt sees it."""
    context = counts_on.context
    seen.append((activity.last_heartbeat(), context.last_heartbeat, context.get("last_heartbeat")))
    if activity.last_heartbeat() is not None:
        return activity.last_heartbeat()
    activity.heartbeat("the one before")
    activity.heartbeat(reports)
    activity.heartbeat()
    if how == "hang":
        environment.hang(heartbeats=False)
    if how == "die":
        environment.dies()
    raise ValueError(how)


class CountsOn(Workflow):
    name, version, task_list = "counts_on", "1", "decisions"

    def run(self, reports: Any, how: str) -> Any:
        return self.submit(counts_on, reports, how).result


@activity.with_attributes(
    version="1",
    task_list="work",
    start_to_close_timeout="NONE",
    heartbeat_timeout="NONE",
    raises_on_failure=True,
    retry=1,
)
def approve(what: str) -> Any:
    tokens.append(activity.task_token())
    activity.complete_later()


@activity.with_attributes(version="1", task_list="work", start_to_close_timeout=3600, heartbeat_timeout="NONE")
async def approve_in_an_hour(what: str) -> Any:
    tokens.append(activity.task_token())
    try:
        activity.complete_later()
    except Exception:
        return "swallowed"


class Approved(Workflow):
    name, version, task_list = "approved", "1", "decisions"

    def run(self, what: str) -> Any:
        return self.submit(approve, what).result


class ApprovedInTime(Workflow):
    name, version, task_list = "approved_in_time", "1", "decisions"

    def run(self, what: str) -> Any:
        return type(self.submit(approve_in_an_hour, what).exception).__name__


class ApprovedLocally(Workflow):
    name, version, task_list = "approved_locally", "1", "decisions"

    def run(self, what: str) -> Any:
        return self.submit_local(approve, what).result


class Withdrawn(Workflow):
    name, version, task_list = "withdrawn", "1", "decisions"

    def run(self) -> str:
        future = self.submit(approve, "x")
        self.submit(self.wait_signal("enough")).result
        future.cancel()
        self.submit(self.wait_signal("answered")).result
        return str(future.cancelled)
