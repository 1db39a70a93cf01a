"""Short names for what every test here does: register, start, poll, decide, look."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from concurrent import futures
from typing import Any

import botocore.exceptions
import pytest

Attributes = dict[str, Any]
Event = dict[str, Any]

#: what a workflow type and an activity type get here unless a test says otherwise
WORKFLOW_DEFAULTS: Attributes = {
    "defaultTaskStartToCloseTimeout": "300",
    "defaultExecutionStartToCloseTimeout": "3600",
    "defaultChildPolicy": "TERMINATE",
}
ACTIVITY_DEFAULTS: Attributes = {
    "defaultTaskStartToCloseTimeout": "300",
    "defaultTaskHeartbeatTimeout": "NONE",
    "defaultTaskScheduleToStartTimeout": "300",
    "defaultTaskScheduleToCloseTimeout": "NONE",
}
#: what an execution is started with when its type has no defaults
EXECUTION: Attributes = {
    "taskStartToCloseTimeout": "300",
    "executionStartToCloseTimeout": "3600",
    "childPolicy": "TERMINATE",
}
_COUNT = itertools.count(1)
_SESSION = uuid.uuid4().hex[:8]


def unique(prefix: str) -> str:
    """Return a name that nobody used, in this run or another."""
    return f"{prefix}-{_SESSION}-{next(_COUNT)}"


def decision(kind: str, **attributes: Any) -> Attributes:
    """Return a decision of this type."""
    return {"decisionType": kind, f"{kind[0].lower()}{kind[1:]}DecisionAttributes": attributes}


def attributes(event: Event) -> Attributes:
    """Return the attributes of an event, whatever its type."""
    kind = event["eventType"]
    found: Attributes = event[f"{kind[0].lower()}{kind[1:]}EventAttributes"]
    return found


def fault(code: str, call: Callable[..., Any], /, **request: Any) -> str:
    """Make a call that must be refused with this code; return the message."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(caught.value.response["Error"].get("Message", ""))


class Run:
    """One execution, and the task list on which its decisions are due."""

    def __init__(self, driver: Driver, workflow_id: str, run_id: str, task_list: str) -> None:
        self.driver = driver
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.task_list = task_list

    @property
    def execution(self) -> Attributes:
        return {"workflowId": self.workflow_id, "runId": self.run_id}

    def poll(self, **more: Any) -> Attributes:
        """Take the decision task that waits."""
        return self.driver.poll_decision(more.pop("task_list", self.task_list), **more)

    def respond(self, task: Attributes, *decisions: Attributes, **more: Any) -> None:
        self.driver.swf.respond_decision_task_completed(taskToken=task["taskToken"], decisions=list(decisions), **more)

    def decide(self, *decisions: Attributes, **more: Any) -> None:
        """Take the decision task that waits, and answer it."""
        self.respond(self.poll(), *decisions, **more)

    def events(self) -> list[Event]:
        """Return the whole history."""
        return self.driver.history(self.execution)

    def types(self) -> list[str]:
        return [event["eventType"] for event in self.events()]

    def all(self, kind: str) -> list[Attributes]:
        """Return the attributes of every event of a type."""
        return [attributes(event) for event in self.events() if event["eventType"] == kind]

    def one(self, kind: str) -> Attributes:
        """Return the attributes of the only event of a type."""
        found = self.all(kind)
        assert len(found) == 1, (kind, self.types())
        return found[0]

    def describe(self) -> Attributes:
        return self.driver.swf.describe_workflow_execution(domain=self.driver.domain, execution=self.execution)

    def info(self) -> Attributes:
        found: Attributes = self.describe()["executionInfo"]
        return found

    def signal(self, name: str = "go", **more: Any) -> None:
        self.driver.swf.signal_workflow_execution(
            domain=self.driver.domain, workflowId=self.workflow_id, runId=self.run_id, signalName=name, **more
        )

    def terminate(self, **more: Any) -> None:
        self.driver.swf.terminate_workflow_execution(
            domain=self.driver.domain, workflowId=self.workflow_id, runId=self.run_id, **more
        )

    def request_cancel(self) -> None:
        self.driver.swf.request_cancel_workflow_execution(
            domain=self.driver.domain, workflowId=self.workflow_id, runId=self.run_id
        )

    def scheduled(self, kind: Attributes | None = None, **more: Any) -> Attributes:
        """Schedule one activity on a list of its own by the decision task that waits; return its decision."""
        made = self.driver.schedule(kind, **more)
        self.decide(made)
        found: Attributes = made["scheduleActivityTaskDecisionAttributes"]
        return found


class Driver:
    """A client and a domain of its own."""

    def __init__(self, swf: Any, domain: str) -> None:
        self.swf = swf
        self.domain = domain
        self._types: dict[str, Attributes] = {}

    # -- types

    def workflow_type(self, **defaults: Any) -> Attributes:
        """Register a workflow type with exactly these defaults."""
        made = {"name": unique("workflow"), "version": "1"}
        self.swf.register_workflow_type(domain=self.domain, **made, **defaults)
        return made

    def activity_type(self, **defaults: Any) -> Attributes:
        """Register an activity type with exactly these defaults."""
        made = {"name": unique("activity"), "version": "1"}
        self.swf.register_activity_type(domain=self.domain, **made, **defaults)
        return made

    @property
    def workflow(self) -> Attributes:
        """A workflow type with defaults for all but its task list."""
        if "workflow" not in self._types:
            self._types["workflow"] = self.workflow_type(**WORKFLOW_DEFAULTS)
        return self._types["workflow"]

    @property
    def activity(self) -> Attributes:
        """An activity type with defaults for all but its task list."""
        if "activity" not in self._types:
            self._types["activity"] = self.activity_type(**ACTIVITY_DEFAULTS)
        return self._types["activity"]

    # -- executions

    def start(self, kind: Attributes | None = None, **more: Any) -> Run:
        """Start an execution with a task list of its own."""
        request = {
            "domain": self.domain,
            "workflowId": unique("id"),
            "workflowType": kind or self.workflow,
            "taskList": {"name": unique("decisions")},
            **more,
        }
        answer = self.swf.start_workflow_execution(**request)
        return Run(self, request["workflowId"], answer["runId"], request["taskList"]["name"])

    def run(self, execution: Attributes, task_list: str) -> Run:
        """Wrap an execution that something else started."""
        return Run(self, execution["workflowId"], execution["runId"], task_list)

    def history(self, execution: Attributes, **more: Any) -> list[Event]:
        """Return all events, over as many pages as it takes."""
        request = {"domain": self.domain, "execution": execution, **more}
        events: list[Event] = []
        while True:
            page = self.swf.get_workflow_execution_history(**request)
            events += page["events"]
            if "nextPageToken" not in page:
                return events
            request["nextPageToken"] = page["nextPageToken"]

    # -- tasks

    def poll_decision(self, task_list: str, **more: Any) -> Attributes:
        answer: Attributes = self.swf.poll_for_decision_task(domain=self.domain, taskList={"name": task_list}, **more)
        assert answer["taskToken"], f"no decision task on {task_list}"
        return answer

    def poll_activity(self, task_list: str, **more: Any) -> Attributes:
        answer: Attributes = self.swf.poll_for_activity_task(domain=self.domain, taskList={"name": task_list}, **more)
        assert answer["taskToken"], f"no activity task on {task_list}"
        return answer

    def waiting(self, task_list: str) -> int:
        """Count decision tasks that wait on a list."""
        answer = self.swf.count_pending_decision_tasks(domain=self.domain, taskList={"name": task_list})
        return int(answer["count"])

    def waiting_activities(self, task_list: str) -> int:
        answer = self.swf.count_pending_activity_tasks(domain=self.domain, taskList={"name": task_list})
        return int(answer["count"])

    def schedule(self, kind: Attributes | None = None, **more: Any) -> Attributes:
        """Return a decision that schedules an activity with an id and a task list of its own."""
        return decision(
            "ScheduleActivityTask",
            **{
                "activityType": kind or self.activity,
                "activityId": unique("a"),
                "taskList": {"name": unique("activities")},
                **more,
            },
        )

    def child(self, kind: Attributes | None = None, **more: Any) -> Attributes:
        """Return a decision that starts a child with an id and a task list of its own."""
        return decision(
            "StartChildWorkflowExecution",
            **{
                "workflowType": kind or self.workflow,
                "workflowId": unique("child"),
                "taskList": {"name": unique("decisions")},
                **more,
            },
        )

    def parent_and_child(self, **more: Any) -> tuple[Run, Run]:
        """Start an execution and, by its first decision, a child; both then have a decision task that waits."""
        parent = self.start()
        made = self.child(**more)
        parent.decide(made)
        wanted = made["startChildWorkflowExecutionDecisionAttributes"]
        started = parent.one("ChildWorkflowExecutionStarted")
        return parent, self.run(started["workflowExecution"], wanted["taskList"]["name"])


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls at the same time, each on a thread; return their results in order."""
    with futures.ThreadPoolExecutor(len(calls)) as pool:
        return [each.result() for each in [pool.submit(call) for call in calls]]
