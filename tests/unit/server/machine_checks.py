"""What must hold of every history, whatever was called: references, order, what is open, what is due."""

from __future__ import annotations

from collections import Counter
from typing import Any

Event = dict[str, Any]

CLOSED = {
    "WorkflowExecutionCompleted": "COMPLETED",
    "WorkflowExecutionFailed": "FAILED",
    "WorkflowExecutionCanceled": "CANCELED",
    "WorkflowExecutionTerminated": "TERMINATED",
    "WorkflowExecutionContinuedAsNew": "CONTINUED_AS_NEW",
    "WorkflowExecutionTimedOut": "TIMED_OUT",
}
#: events that its decider need not hear of
_SILENT = {
    "WorkflowExecutionStarted",
    "DecisionTaskScheduled",
    "DecisionTaskStarted",
    "DecisionTaskCompleted",
    "ActivityTaskScheduled",
    "ActivityTaskStarted",
    "ActivityTaskCancelRequested",
    "MarkerRecorded",
    "TimerStarted",
    "TimerCanceled",
    "StartChildWorkflowExecutionInitiated",
    "SignalExternalWorkflowExecutionInitiated",
    "RequestCancelExternalWorkflowExecutionInitiated",
}
_ACTIVITY_ENDS = {f"ActivityTask{how}" for how in ("Completed", "Failed", "TimedOut", "Canceled")}
_CHILD_ENDS = {f"ChildWorkflowExecution{how}" for how in ("Completed", "Failed", "TimedOut", "Canceled", "Terminated")}
#: (prefix of event types, member) -> types of the event that the member names; the first that fits counts
_REFERENCES: list[tuple[str, str, set[str]]] = [
    ("DecisionTask", "scheduledEventId", {"DecisionTaskScheduled"}),
    ("DecisionTask", "startedEventId", {"DecisionTaskStarted"}),
    ("ActivityTask", "scheduledEventId", {"ActivityTaskScheduled"}),
    ("ActivityTask", "startedEventId", {"ActivityTaskStarted"}),
    ("ActivityTask", "latestCancelRequestedEventId", {"ActivityTaskCancelRequested"}),
    ("Timer", "startedEventId", {"TimerStarted"}),
    ("ChildWorkflow", "startedEventId", {"ChildWorkflowExecutionStarted"}),
    ("ChildWorkflow", "initiatedEventId", {"StartChildWorkflowExecutionInitiated"}),
    ("StartChild", "initiatedEventId", {"StartChildWorkflowExecutionInitiated"}),
    ("SignalExternal", "initiatedEventId", {"SignalExternalWorkflowExecutionInitiated"}),
    ("RequestCancelExternal", "initiatedEventId", {"RequestCancelExternalWorkflowExecutionInitiated"}),
    ("ExternalWorkflowExecutionSignaled", "initiatedEventId", {"SignalExternalWorkflowExecutionInitiated"}),
    (
        "ExternalWorkflowExecutionCancel",
        "initiatedEventId",
        {"RequestCancelExternalWorkflowExecutionInitiated"},
    ),
    ("", "decisionTaskCompletedEventId", {"DecisionTaskCompleted"}),
]
#: where 0 may stand for an event that never was
_MAY_BE_NOTHING = {
    ("DecisionTaskTimedOut", "startedEventId"),
    ("ActivityTaskTimedOut", "startedEventId"),
    ("ActivityTaskCanceled", "startedEventId"),
    ("StartChildWorkflowExecutionFailed", "initiatedEventId"),
}


def attributes(event: Event) -> dict[str, Any]:
    """Return the attributes of an event, whatever its type."""
    kind = event["eventType"]
    found: dict[str, Any] = event[f"{kind[0].lower()}{kind[1:]}EventAttributes"]
    return found


class Reading:
    """One history, read from its start; AssertionError where it breaks a rule."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.closed = ""
        #: DecisionTaskScheduled that wait, DecisionTaskStarted that were not answered
        self.waiting: dict[int, Event] = {}
        self.started: dict[int, Event] = {}
        #: ActivityTaskScheduled -> ActivityTaskStarted or None
        self.activities: dict[int, Event | None] = {}
        self.timers: dict[int, Event] = {}
        #: initiated and not ended
        self.children: dict[int, str] = {}
        self.outgoing: set[int] = set()
        #: the last event that its decider must hear of, and the last of which it heard
        self.news = self.heard = 0
        #: when the last decision task ended, and one behind it could be taken
        self.free: Event | None = None
        before = 0.0
        for number, event in enumerate(events, 1):
            assert event["eventId"] == number, "event ids are not dense"
            assert event["eventTimestamp"] >= before, f"time goes back at event {number}"
            before = event["eventTimestamp"]
            assert not self.closed, f"event {number} comes after the end"
            self._refer(event)
            self._follow(event)
        assert events[0]["eventType"] == "WorkflowExecutionStarted"
        if not self.closed:
            assert self.news <= self.heard or self.waiting, f"event {self.news} waits for a decision that never comes"

    def _at(self, number: int) -> Event:
        return self.events[number - 1]

    def _refer(self, event: Event) -> None:
        kind, found = event["eventType"], attributes(event)
        for prefix, member, types in _REFERENCES:
            if not kind.startswith(prefix) or member not in found:
                continue
            number = found[member]
            if number == 0 and (kind, member) in _MAY_BE_NOTHING:
                continue
            assert 0 < number < event["eventId"], f"{kind}.{member} = {number} at event {event['eventId']}"
            assert self._at(number)["eventType"] in types, f"{kind}.{member} names {self._at(number)['eventType']}"

    def _follow(self, event: Event) -> None:
        kind, number, found = event["eventType"], event["eventId"], attributes(event)
        if kind in CLOSED:
            self.closed = kind
        if kind not in _SILENT:
            self.news = number
        if kind.startswith("DecisionTask"):
            self._follow_decision(kind, number, found, event)
        elif kind == "ActivityTaskScheduled":
            ids = [attributes(self._at(each))["activityId"] for each in self.activities]
            assert found["activityId"] not in ids, "two open activities of one id"
            self.activities[number] = None
        elif kind == "ActivityTaskStarted":
            assert self.activities[found["scheduledEventId"]] is None
            self.activities[found["scheduledEventId"]] = event
        elif kind in _ACTIVITY_ENDS:
            begun = self.activities.pop(found["scheduledEventId"])
            assert found["startedEventId"] == (begun["eventId"] if begun else 0)
        elif kind == "TimerStarted":
            assert found["timerId"] not in [attributes(each)["timerId"] for each in self.timers.values()]
            self.timers[number] = event
        elif kind in ("TimerFired", "TimerCanceled"):
            assert attributes(self.timers.pop(found["startedEventId"]))["timerId"] == found["timerId"]
        elif kind == "StartChildWorkflowExecutionInitiated":
            self.children[number] = ""
        elif kind == "ChildWorkflowExecutionStarted":
            assert not self.children[found["initiatedEventId"]]
            self.children[found["initiatedEventId"]] = found["workflowExecution"]["runId"]
        elif kind in _CHILD_ENDS:
            assert self.children.pop(found["initiatedEventId"])
        elif kind == "StartChildWorkflowExecutionFailed":
            if found["initiatedEventId"]:
                assert not self.children.pop(found["initiatedEventId"])
        elif kind.endswith("Initiated"):
            self.outgoing.add(number)
        elif "initiatedEventId" in found:
            self.outgoing.remove(found["initiatedEventId"])

    def _follow_decision(self, kind: str, number: int, found: dict[str, Any], event: Event) -> None:
        if kind == "DecisionTaskScheduled":
            self.waiting[number] = event
        elif kind == "DecisionTaskStarted":
            del self.waiting[found["scheduledEventId"]]
            self.started[number] = event
            self.heard = number
        elif found["startedEventId"]:
            del self.started[found["startedEventId"]]
            self.free = event
        else:
            del self.waiting[found["scheduledEventId"]]
        assert len(self.waiting) <= 1, "two decision tasks wait"
        assert len(self.started) <= 1, "two decision tasks are started"

    # -- against what the service says now

    def counts(self) -> dict[str, int]:
        """Return what DescribeWorkflowExecution must count."""
        return {
            "openActivityTasks": len(self.activities),
            "openTimers": len(self.timers),
            "openChildWorkflowExecutions": len(self.children),
            "openDecisionTasks": 0 if self.closed else int(bool(self.waiting or self.started)),
            "openLambdaFunctions": 0,
        }

    def waiting_activities(self) -> Counter[str]:
        """Count activity tasks that a poll could get, by task list."""
        lists = (attributes(self._at(each))["taskList"]["name"] for each, begun in self.activities.items() if not begun)
        return Counter() if self.closed else Counter(lists)

    def waiting_decisions(self) -> Counter[str]:
        """Count decision tasks that wait, by task list, those behind a started one too."""
        lists = (attributes(each)["taskList"]["name"] for each in self.waiting.values())
        return Counter() if self.closed else Counter(lists)

    def overdue(self, now: float) -> list[str]:
        """Say what should have fallen due before now."""
        if self.closed:
            return []
        found = []

        def due(what: str, since: Event, seconds: str) -> None:
            if seconds not in ("", "NONE") and since["eventTimestamp"] + int(seconds) <= now - 0.001:
                found.append(f"{what} of event {since['eventId']}")

        due("execution", self._at(1), attributes(self._at(1))["executionStartToCloseTimeout"])
        for event in self.timers.values():
            due("timer", event, attributes(event)["startToFireTimeout"])
        for event in self.started.values():
            scheduled = attributes(self._at(attributes(event)["scheduledEventId"]))
            due("decision task", event, scheduled["startToCloseTimeout"])
        if not self.started:
            for event in self.waiting.values():
                # counted from when it could be taken: not while another was started
                since = self.free if self.free and self.free["eventId"] > event["eventId"] else event
                due("sticky decision task", since, attributes(event).get("scheduleToStartTimeout", "NONE"))
        for number, begun in self.activities.items():
            event = self._at(number)
            due("activity to close", event, attributes(event)["scheduleToCloseTimeout"])
            if begun:
                due("activity started", begun, attributes(event)["startToCloseTimeout"])
            else:
                due("activity to start", event, attributes(event)["scheduleToStartTimeout"])
        return found
