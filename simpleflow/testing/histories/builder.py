"""Histories made by hand: what Amazon SWF would have written, event by event, and the decision tasks cut from them.

    history = HistoryBuilder(Nightly, {"args": [3]})
    decided = engine.decide(history.begin_decision())
    history.respond(decided.decisions)
    history.complete_activity("activity-jobs.fetch-1", "[1,2]")
    decided = engine.decide(history.begin_decision())

The builder keeps SWF's rules: one decision task at a time, one more waiting; an event during a running decision is
written at once; a closing decision fails with UNHANDLED_DECISION when something arrived meanwhile; ids are unique
among what is open. What happens, and when, is the test's choice. ``add`` writes any event, whatever the rules say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from simpleflow.core import attributes as a
from simpleflow.core import clock, decisions, errors, events, limits
from simpleflow.engine import contract

from . import decisions as written
from . import state
from .state import Child, OpenActivity, OpenTimer, Outgoing

__all__ = ["Child", "HistoryBuilder", "NotOpen", "OpenActivity", "OpenTimer", "Outgoing"]


class NotOpen(errors.SimpleflowError):
    """The test speaks of something that is not open in this history; the message names what is."""


class HistoryBuilder:
    """One execution's history, growing.

    Args:
        workflow: the class (its name, version and task list are taken), or None for type ``workflow`` ``1``.
        input: the envelope, text or object; ``{"args":[],"kwargs":{}}`` when left out.
        domain, workflow_id, run_id, task_list, tags: of the execution.
        tick: seconds that pass with every event.
        activity_limit: open activities that this SWF allows.
    """

    def __init__(
        self,
        workflow: Any = None,
        input: str | Mapping[str, Any] | None = None,
        *,
        domain: str = "test",
        workflow_id: str = "workflow-id",
        run_id: str = "run-id",
        task_list: str = "decisions",
        tags: Iterable[str] = (),
        tick: float = 1.0,
        activity_limit: int = limits.OPEN_ACTIVITIES,
        **started: Any,
    ) -> None:
        self.domain = domain
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.task_list = task_list
        self.type = a.Type(
            name=str(getattr(workflow, "name", None) or "workflow"), version=str(getattr(workflow, "version", "1"))
        )
        #: all events so far, in order
        self.events: list[events.Event] = []
        #: epoch seconds of the last event
        self.now = clock.VirtualClock.DEFAULT_START
        self.tick = tick
        #: what is open, by its id; see ``testing.histories.state``
        self.open = state.Open(activity_limit=activity_limit)
        if not isinstance(input, str):
            envelope = {"args": [], "kwargs": {}, **(input or {})}
            input = json.dumps(envelope, sort_keys=True, separators=(",", ":"))
        tag_list = list(tags)
        self.add(
            "WorkflowExecutionStarted",
            child_policy="TERMINATE",
            task_list=a.Name(name=task_list),
            workflow_type=self.type,
            input=input,
            execution_start_to_close_timeout="3600",
            task_start_to_close_timeout="300",
            **({"tag_list": tag_list} if tag_list else {}),
            **started,
        )
        self.schedule_decision()

    # --- events -------------------------------------------------------------------------------------------------

    def add(self, kind: str, **attributes: Any) -> int:
        """Append an event of this type with these attributes (snake_case); return its id."""
        self.now += self.tick
        number = len(self.events) + 1
        self.events.append(state.event(kind, number, self.now, attributes))
        return number

    def advance(self, seconds: float) -> None:
        """Let time pass before the next event."""
        self.now += seconds

    def to_json(self) -> bytes:
        """Return the history as GetWorkflowExecutionHistory answers it."""
        return msgspec.json.encode({"events": [events.to_builtins(event) for event in self.events]})

    # --- decision tasks -----------------------------------------------------------------------------------------

    def schedule_decision(self) -> None:
        """Write a DecisionTaskScheduled unless one is waiting already, or the execution is closed."""
        if self.open.waiting_decision is None and self.open.closed is None:
            self.open.waiting_decision = self.add(
                "DecisionTaskScheduled", task_list=a.Name(name=self.task_list), start_to_close_timeout="300"
            )

    @property
    def decision_waits(self) -> bool:
        """A decision task waits, and none is running."""
        return self.open.waiting_decision is not None and self.open.running_decision is None

    def begin_decision(self, *, whole: bool = True, overlap: int = 0) -> contract.DecisionTask:
        """Hand out the waiting decision task: write DecisionTaskStarted and return the task (see ``task``)."""
        if not self.decision_waits:
            raise NotOpen("no decision task waits: nothing happened since the last one, or one is running")
        scheduled = self.open.waiting_decision
        assert scheduled is not None
        self.open.waiting_decision = None
        started = self.add("DecisionTaskStarted", scheduled_event_id=scheduled, identity="decider")
        self.open.running_decision = (scheduled, started)
        return self.task(whole=whole, overlap=overlap)

    def task(self, *, whole: bool = True, overlap: int = 0) -> contract.DecisionTask:
        """Return the running decision task, again.

        ``whole``: with all events; else with those after the last completed decision's start, and ``overlap`` more
        (AWS documents "at or after its timestamp", so some may come twice).
        """
        if self.open.running_decision is None:
            raise NotOpen("no decision task is running: begin_decision() hands one out")
        started = self.open.running_decision[1]
        previous = self.open.answered
        first = 0 if whole else max(0, previous - overlap)
        return contract.DecisionTask(
            domain=self.domain,
            workflow_id=self.workflow_id,
            run_id=self.run_id,
            workflow_name=self.type.name,
            workflow_version=self.type.version,
            previous_started_event_id=previous,
            started_event_id=started,
            events=tuple(self.events[first:started]),
            complete=whole,
        )

    def respond(self, made: Iterable[decisions.Decision], execution_context: str | None = None) -> None:
        """Answer the running decision task: write DecisionTaskCompleted and what the decisions cause."""
        if self.open.running_decision is None:
            raise NotOpen("no decision task is running: begin_decision() hands one out")
        scheduled, started = self.open.running_decision
        self.open.running_decision = None
        self.open.answered = started
        completed = self.add(
            "DecisionTaskCompleted",
            scheduled_event_id=scheduled,
            started_event_id=started,
            execution_context=execution_context,
        )
        written.apply(self, completed, made)

    def time_out_decision(self) -> None:
        """The running decision task is not answered in time; the next one waits at once."""
        if self.open.running_decision is None:
            raise NotOpen("no decision task is running: begin_decision() hands one out")
        scheduled, started = self.open.running_decision
        self.open.running_decision = None
        self.add(
            "DecisionTaskTimedOut",
            timeout_type="START_TO_CLOSE",
            scheduled_event_id=scheduled,
            started_event_id=started,
        )
        self.schedule_decision()

    def refuse(self, decision: str, cause: str, times: int = 1) -> None:
        """Let the next ``times`` decisions of this type (``ScheduleActivityTask``) fail with this cause."""
        self.open.refusals.setdefault(decision, []).extend([cause] * times)

    # --- what the world does ------------------------------------------------------------------------------------

    def start_activity(self, activity_id: str) -> int:
        """A worker takes the task; nothing when one has it already. Returns the id of ActivityTaskStarted."""
        task = self._activity(activity_id)
        if not task.started:
            task.started = self.add("ActivityTaskStarted", scheduled_event_id=task.scheduled, identity="worker")
        return task.started

    def complete_activity(self, activity_id: str, result: str | None = "null") -> None:
        """The task is done; ``result`` is its text on the wire (JSON, for workers of ours)."""
        self._end_activity(activity_id, "ActivityTaskCompleted", result=result)

    def fail_activity(self, activity_id: str, reason: str = "boom", details: str | None = None) -> None:
        """The activity failed."""
        self._end_activity(activity_id, "ActivityTaskFailed", reason=reason, details=details)

    def time_out_activity(self, activity_id: str, timeout_type: str = "START_TO_CLOSE") -> None:
        """One of its timeouts ends the task; SCHEDULE_TO_START ends it before a worker took it."""
        started = timeout_type != "SCHEDULE_TO_START"
        self._end_activity(activity_id, "ActivityTaskTimedOut", start=started, timeout_type=timeout_type)

    def cancel_activity(self, activity_id: str, details: str | None = None) -> None:
        """The worker answers the requested cancellation with RespondActivityTaskCanceled."""
        requested = self._activity(activity_id).cancel_requested
        self._end_activity(
            activity_id, "ActivityTaskCanceled", details=details, latest_cancel_requested_event_id=requested
        )

    def fire_timer(self, timer_id: str) -> None:
        """The timer is due: time jumps to its moment when that lies ahead."""
        timer = self._take("timer", self.open.timers, timer_id)
        self.now = max(self.now, timer.due - self.tick)
        self.add("TimerFired", timer_id=timer_id, started_event_id=timer.started)
        self.schedule_decision()

    def start_child(self, workflow_id: str) -> None:
        """The child's execution begins; nothing when it has begun already."""
        child = self._child(workflow_id)
        if not child.started:
            child.started = self.add(
                "ChildWorkflowExecutionStarted",
                workflow_execution=child.execution,
                workflow_type=child.type,
                initiated_event_id=child.initiated,
            )
            self.schedule_decision()

    def complete_child(self, workflow_id: str, result: str | None = "null") -> None:
        """The child workflow completed."""
        self._end_child(workflow_id, "ChildWorkflowExecutionCompleted", result=result)

    def fail_child(self, workflow_id: str, reason: str = "boom", details: str | None = None) -> None:
        """The child workflow failed."""
        self._end_child(workflow_id, "ChildWorkflowExecutionFailed", reason=reason, details=details)

    def time_out_child(self, workflow_id: str) -> None:
        """The child workflow took too long."""
        self._end_child(workflow_id, "ChildWorkflowExecutionTimedOut", timeout_type="START_TO_CLOSE")

    def cancel_child(self, workflow_id: str, details: str | None = None) -> None:
        """The child workflow closed as cancelled."""
        self._end_child(workflow_id, "ChildWorkflowExecutionCanceled", details=details)

    def terminate_child(self, workflow_id: str) -> None:
        """Somebody terminated the child workflow."""
        self._end_child(workflow_id, "ChildWorkflowExecutionTerminated")

    def signal(self, name: str, input: str | None = None) -> None:
        """A signal arrives; ``input`` is its text on the wire."""
        self.add("WorkflowExecutionSignaled", signal_name=name, input=input)
        self.schedule_decision()

    def request_cancel(self) -> None:
        """Somebody requests the cancellation of this execution."""
        self.add("WorkflowExecutionCancelRequested")
        self.schedule_decision()

    def deliver(self, outgoing: Outgoing) -> None:
        """A signal or cancel request of ours reaches the other execution."""
        self.open.outgoing.remove(outgoing)
        kind = "ExternalWorkflowExecutionSignaled" if outgoing.signal else "ExternalWorkflowExecutionCancelRequested"
        self.add(kind, workflow_execution=outgoing.execution, initiated_event_id=outgoing.initiated)
        self.schedule_decision()

    def terminate(self, reason: str | None = None) -> None:
        """Somebody terminated the execution."""
        self.close("WorkflowExecutionTerminated", child_policy="TERMINATE", reason=reason)

    def time_out(self) -> None:
        """The execution's own timeout ends it."""
        self.close("WorkflowExecutionTimedOut", child_policy="TERMINATE", timeout_type="START_TO_CLOSE")

    def close(self, kind: str, **attributes: Any) -> None:
        """Write the event that closes the execution; nothing is open afterwards."""
        self.add(kind, **attributes)
        self.open.close(kind)

    # --- inside -------------------------------------------------------------------------------------------------

    def _take(self, what: str, table: dict[str, Any], identifier: str) -> Any:
        if identifier not in table:
            raise NotOpen(f"no {what} {identifier!r} is open; open: {', '.join(sorted(table)) or 'none'}")
        return table.pop(identifier)

    def _activity(self, activity_id: str) -> OpenActivity:
        task: OpenActivity = self._take("activity", self.open.activities, activity_id)
        self.open.activities[activity_id] = task
        return task

    def _child(self, workflow_id: str) -> Child:
        child: Child = self._take("child", self.open.children, workflow_id)
        self.open.children[workflow_id] = child
        return child

    def _end_activity(self, activity_id: str, kind: str, *, start: bool = True, **attributes: Any) -> None:
        started = self.start_activity(activity_id) if start else 0
        task = self.open.activities.pop(activity_id)
        self.add(kind, scheduled_event_id=task.scheduled, started_event_id=started, **attributes)
        self.schedule_decision()

    def _end_child(self, workflow_id: str, kind: str, **attributes: Any) -> None:
        self.start_child(workflow_id)
        child = self.open.children.pop(workflow_id)
        self.add(
            kind,
            workflow_execution=child.execution,
            workflow_type=child.type,
            initiated_event_id=child.initiated,
            started_event_id=child.started,
            **attributes,
        )
        self.schedule_decision()
