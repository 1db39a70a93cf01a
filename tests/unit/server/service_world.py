"""A service on a virtual clock and the calls of the little decider, worker and operator that the tests play."""

from __future__ import annotations

from typing import Any

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.server import service
from simpleflow.server.requests import errors
from simpleflow.server.state import polls
from simpleflow.server.store import Store, memory

DOMAIN = "default"
WORKFLOW = {"name": "w", "version": "1"}
ACTIVITY = {"name": "a", "version": "1"}
TIMEOUTS = {
    "defaultTaskStartToCloseTimeout": "300",
    "defaultTaskHeartbeatTimeout": "NONE",
    "defaultTaskScheduleToStartTimeout": "NONE",
    "defaultTaskScheduleToCloseTimeout": "NONE",
}


def decision(kind: str, **attributes: Any) -> dict[str, Any]:
    """One decision in wire names."""
    return {"decisionType": kind, f"{kind[0].lower()}{kind[1:]}DecisionAttributes": attributes}


class World:
    """One service, its clock, and short words for calls."""

    def __init__(self, store: Store | None = None, *, limits: Any = "data", fresh: bool = True) -> None:
        self.clock = clocks.VirtualClock()
        self.store = store or memory.open_memory()
        self.service = service.Service(self.store, self.clock, limits=limits, names="test")
        if fresh:
            self.call("RegisterDomain", name=DOMAIN, workflowExecutionRetentionPeriodInDays="1")
            self.call(
                "RegisterWorkflowType",
                domain=DOMAIN,
                **WORKFLOW,
                defaultTaskList={"name": "d"},
                defaultExecutionStartToCloseTimeout="1000",
                defaultTaskStartToCloseTimeout="100",
                defaultChildPolicy="TERMINATE",
            )
            self.call("RegisterActivityType", domain=DOMAIN, **ACTIVITY, defaultTaskList={"name": "x"}, **TIMEOUTS)

    def call(self, action: str, **request: Any) -> Any:
        answer = self.service.call(action, request)
        if isinstance(answer, polls.Waiter):
            self.service.withdraw(answer)
            return answer.empty()
        return answer

    def refused(self, action: str, **request: Any) -> str:
        """The code of the fault that a call ends with."""
        try:
            self.call(action, **request)
        except errors.Fault as fault:
            return fault.code
        raise AssertionError(f"{action} was not refused")

    def later(self, seconds: float) -> None:
        """Let time pass and everything fire at its moment."""
        end = self.clock.now() + seconds
        while True:
            due = self.service.next_deadline()
            if due is None or due > end:
                break
            self.clock.advance_to(due)
            while self.service.fire_due():
                pass
        self.clock.advance_to(end)
        self.service.fire_due()

    # -- operator

    def start(self, workflow_id: str = "one", **options: Any) -> dict[str, str]:
        """Start an execution; return it as WorkflowExecution."""
        request = {"domain": DOMAIN, "workflowId": workflow_id, "workflowType": WORKFLOW, **options}
        return {"workflowId": workflow_id, "runId": self.call("StartWorkflowExecution", **request)["runId"]}

    def signal(self, run: dict[str, str], name: str = "s", **more: Any) -> None:
        self.call("SignalWorkflowExecution", domain=DOMAIN, **run, signalName=name, **more)

    def events(self, run: dict[str, str]) -> list[dict[str, Any]]:
        request: dict[str, Any] = {"domain": DOMAIN, "execution": run}
        found: list[dict[str, Any]] = []
        while True:
            answer = self.call("GetWorkflowExecutionHistory", **request)
            found += [msgspec.json.decode(bytes(each)) for each in answer["events"]]
            if "nextPageToken" not in answer:
                return found
            request["nextPageToken"] = answer["nextPageToken"]

    def kinds(self, run: dict[str, str], first: int = 1) -> list[str]:
        """Event types from this event on."""
        return [each["eventType"] for each in self.events(run)][first - 1 :]

    def attributes(self, run: dict[str, str], kind: str) -> dict[str, Any]:
        """Attributes of the last event of this type."""
        last = [each for each in self.events(run) if each["eventType"] == kind][-1]
        found: dict[str, Any] = last[f"{kind[0].lower()}{kind[1:]}EventAttributes"]
        return found

    def describe(self, run: dict[str, str]) -> Any:
        return self.call("DescribeWorkflowExecution", domain=DOMAIN, execution=run)

    def status(self, run: dict[str, str]) -> str | None:
        info = self.describe(run)["executionInfo"]
        status: str | None = info.get("closeStatus")
        return status

    # -- decider and worker

    def poll(self, task_list: str = "d", **more: Any) -> Any:
        return self.call("PollForDecisionTask", domain=DOMAIN, taskList={"name": task_list}, **more)

    def respond(self, task: Any, *decisions: dict[str, Any], **more: Any) -> None:
        self.call("RespondDecisionTaskCompleted", taskToken=task["taskToken"], decisions=list(decisions), **more)

    def decide(self, *decisions: dict[str, Any], task_list: str = "d", **more: Any) -> Any:
        """Take the next decision task and answer it."""
        task = self.poll(task_list)
        assert task["taskToken"], f"no decision task waits on {task_list}"
        self.respond(task, *decisions, **more)
        return task

    def schedule(self, activity_id: str = "1", **more: Any) -> dict[str, Any]:
        return decision("ScheduleActivityTask", activityId=activity_id, activityType=ACTIVITY, **more)

    def work(self, task_list: str = "x", **more: Any) -> Any:
        return self.call("PollForActivityTask", domain=DOMAIN, taskList={"name": task_list}, **more)

    def complete(self, task: Any, result: str = "r") -> None:
        self.call("RespondActivityTaskCompleted", taskToken=task["taskToken"], result=result)
