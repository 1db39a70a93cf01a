"""The calls behind a recorded history: each event is either what a call did, or what followed from one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.server import inprocess, service
from simpleflow.server.state import polls

Event = dict[str, Any]

#: decision -> members that its event shows and the decision had
_DECISIONS = {
    "ActivityTaskScheduled": "ScheduleActivityTask",
    "ActivityTaskCancelRequested": "RequestCancelActivityTask",
    "MarkerRecorded": "RecordMarker",
    "TimerStarted": "StartTimer",
    "TimerCanceled": "CancelTimer",
    "WorkflowExecutionCompleted": "CompleteWorkflowExecution",
    "WorkflowExecutionFailed": "FailWorkflowExecution",
    "WorkflowExecutionCanceled": "CancelWorkflowExecution",
}
#: members that the service adds to what the decider asked for
_ADDED = ("decisionTaskCompletedEventId", "startedEventId")
_TIMEOUTS = {"defaultTaskStartToCloseTimeout": "300"}


def attributes(event: Event) -> dict[str, Any]:
    """Return the attributes of an event, whatever its type."""
    kind = event["eventType"]
    found: dict[str, Any] = event[f"{kind[0].lower()}{kind[1:]}EventAttributes"]
    return found


class Replayed:
    """Calls a service as the recorded history was called, at the recorded moments."""

    def __init__(self, events: list[Event], workflow_id: str) -> None:
        self._events = events
        self.clock = clocks.VirtualClock(events[0]["eventTimestamp"])
        self.service = inprocess.open_memory(self.clock, "TestDomain")
        self.workflow_id = workflow_id
        self.run_id = ""
        #: DecisionTaskStarted or ActivityTaskScheduled -> its task token
        self._tokens: dict[int, str] = {}
        for event in events:
            self.clock.advance_to(event["eventTimestamp"])
            while self.service.fire_due():
                pass
            self._make(event)

    def call(self, action: str, **request: Any) -> dict[str, Any]:
        """Call the service, which must answer at once."""
        answer = self.service.call(action, request)
        assert not isinstance(answer, polls.Waiter), f"{action} found no task"
        return answer

    def history(self) -> list[Event]:
        """Return the events that the service wrote."""
        execution = {"workflowId": self.workflow_id, "runId": self.run_id}
        answer = self.call("GetWorkflowExecutionHistory", domain="TestDomain", execution=execution)
        found: list[Event] = msgspec.json.decode(msgspec.json.encode(answer["events"]))
        return found

    def describe(self) -> dict[str, Any]:
        execution = {"workflowId": self.workflow_id, "runId": self.run_id}
        return self.call("DescribeWorkflowExecution", domain="TestDomain", execution=execution)

    def _make(self, event: Event) -> None:
        made = attributes(event)
        match event["eventType"]:
            case "WorkflowExecutionStarted":
                self._start(made)
            case "DecisionTaskStarted":
                self._poll_decision(event, made)
            case "DecisionTaskCompleted":
                self._respond(event, made)
            case "ActivityTaskStarted":
                self._poll_activity(made)
            case "ActivityTaskCompleted" | "ActivityTaskFailed" as kind:
                kept = {name: value for name, value in made.items() if not name.endswith("EventId")}
                self.call(f"Respond{kind}", taskToken=self._tokens[made["scheduledEventId"]], **kept)
            case "WorkflowExecutionSignaled":
                kept = {name: made[name] for name in ("signalName", "input") if name in made}
                self.call("SignalWorkflowExecution", domain="TestDomain", workflowId=self.workflow_id, **kept)
            case "WorkflowExecutionCancelRequested":
                self.call("RequestCancelWorkflowExecution", domain="TestDomain", workflowId=self.workflow_id)

    def _start(self, made: Mapping[str, Any]) -> None:
        self.call("RegisterWorkflowType", domain="TestDomain", **made["workflowType"])
        kept = {name: value for name, value in made.items() if not name.startswith("parent")}
        if None in kept.get("tagList", ()):
            # recorded in 2016; today's model knows no null in a list
            del kept["tagList"]
        answer = self.call("StartWorkflowExecution", domain="TestDomain", workflowId=self.workflow_id, **kept)
        self.run_id = answer["runId"]

    def _poll_decision(self, event: Event, made: Mapping[str, Any]) -> None:
        where = attributes(self._events[made["scheduledEventId"] - 1])["taskList"]
        answer = self.call("PollForDecisionTask", domain="TestDomain", taskList=where, identity=made["identity"])
        assert answer["startedEventId"] == event["eventId"]
        self._tokens[event["eventId"]] = answer["taskToken"]

    def _poll_activity(self, made: Mapping[str, Any]) -> None:
        scheduled = attributes(self._events[made["scheduledEventId"] - 1])
        answer = self.call(
            "PollForActivityTask", domain="TestDomain", taskList=scheduled["taskList"], identity=made["identity"]
        )
        assert answer["activityId"] == scheduled["activityId"]
        self._tokens[made["scheduledEventId"]] = answer["taskToken"]

    def _respond(self, event: Event, made: Mapping[str, Any]) -> None:
        decisions = []
        for each in self._events:
            found = attributes(each)
            if found.get("decisionTaskCompletedEventId") != event["eventId"]:
                continue
            kind = _DECISIONS[each["eventType"]]
            kept = {name: value for name, value in found.items() if name not in _ADDED}
            if kind == "ScheduleActivityTask":
                self._register_activity(kept["activityType"])
            decisions.append({"decisionType": kind, f"{kind[0].lower()}{kind[1:]}DecisionAttributes": kept})
        kept = {name: made[name] for name in ("executionContext",) if name in made}
        token = self._tokens[made["startedEventId"]]
        self.call("RespondDecisionTaskCompleted", taskToken=token, decisions=decisions, **kept)

    def _register_activity(self, kind: Mapping[str, Any]) -> None:
        listed = self.call("ListActivityTypes", domain="TestDomain", registrationStatus="REGISTERED", name=kind["name"])
        if not listed["typeInfos"]:
            self.call("RegisterActivityType", domain="TestDomain", **kind, **_TIMEOUTS)


def opened() -> service.Service:
    """Return an empty service with the recorded domain."""
    return inprocess.open_memory(clocks.VirtualClock(), "TestDomain")
