"""Calls of the manager to the coordinator, over any transport."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from simpleflow.core import documents, retries
from simpleflow.swf import errors as swf_errors
from simpleflow.swf import repeating
from simpleflow.swf.transport import base as transports

from . import observe

#: SWF needs a lower bound of start times; no execution is older (an execution lives at most a year)
_OLDEST = timedelta(days=366)
#: seconds that a call is repeated: a pass of the manager must not take longer than its lease
_PATIENCE = retries.Patience(unclear=10.0, unreached=3.0, refused=2.0)
_ENDS = frozenset({"ActivityTaskCompleted", "ActivityTaskFailed", "ActivityTaskTimedOut", "ActivityTaskCanceled"})


class SwfCoordinator:
    """observe.Coordinator over a Transport."""

    def __init__(self, transport: transports.Transport, domain: str) -> None:
        self._transport = transport
        self._domain = domain

    def _call(self, action: str, request: dict[str, Any]) -> Any:
        """Call an action until it is answered. Each of these actions may be carried out twice."""
        return repeating.call(self._transport, action, request, patience=_PATIENCE)

    def register_domain(self, retention_days: int = 30) -> None:
        """Register the domain, unless it exists."""
        request = {"name": self._domain, "workflowExecutionRetentionPeriodInDays": str(retention_days)}
        try:
            self._call("RegisterDomain", request)
        except swf_errors.DomainAlreadyExistsFault:
            return

    def _pages(self, action: str, request: dict[str, Any]) -> Iterator[Any]:
        while True:
            answer = self._call(action, request)
            yield answer
            if not answer.next_page_token:
                return
            request = {**request, "nextPageToken": answer.next_page_token}

    def open_runs(self) -> tuple[observe.OpenRun, ...]:
        """Every open execution of the domain."""
        oldest = datetime.fromtimestamp(time.time(), UTC) - _OLDEST
        request = {"domain": self._domain, "startTimeFilter": {"oldestDate": oldest.timestamp()}}
        return tuple(
            observe.OpenRun(
                workflow_id=info.execution.workflow_id, run_id=info.execution.run_id, workflow=info.workflow_type.name
            )
            for page in self._pages("ListOpenWorkflowExecutions", request)
            for info in page.execution_infos
        )

    def is_closed(self, workflow_id: str, run_id: str) -> bool:
        """Return whether this run is closed, or past its retention."""
        execution = {"workflowId": workflow_id, "runId": run_id}
        try:
            answer = self._call("DescribeWorkflowExecution", {"domain": self._domain, "execution": execution})
        except swf_errors.UnknownResourceFault:
            return True
        return bool(answer.execution_info.execution_status == "CLOSED")

    def scheduled(self, run: observe.OpenRun) -> documents.RunRow:
        """Read a run's history and count its open activity tasks by list and type."""
        execution = {"workflowId": run.workflow_id, "runId": run.run_id}
        request = {"domain": self._domain, "execution": execution}
        tasks: dict[int, tuple[str, str]] = {}
        decided, decisions, parent = 0, "", ""
        for page in self._pages("GetWorkflowExecutionHistory", request):
            for event in page.events:
                kind = type(event).__name__
                if kind == "ActivityTaskScheduled":
                    tasks[event.id] = (event.attributes.task_list.name, event.attributes.activity_type.name)
                elif kind in _ENDS:
                    tasks.pop(event.attributes.scheduled_event_id, None)
                elif kind == "DecisionTaskStarted":
                    decided = event.id
                elif kind == "WorkflowExecutionStarted":
                    decisions = event.attributes.task_list.name
                    above = event.attributes.parent_workflow_execution
                    parent = "" if above is None else above.run_id
        counts: dict[tuple[str, str], int] = {}
        for each in tasks.values():
            counts[each] = counts.get(each, 0) + 1
        return documents.RunRow(
            run_id=run.run_id,
            workflow_id=run.workflow_id,
            workflow=run.workflow,
            started_event_id=decided,
            changed=time.time(),
            decision_list=decisions,
            parent=parent,
            tasks=tuple(
                documents.TaskCount(task_list=task_list, activity=activity, state="scheduled", count=count)
                for (task_list, activity), count in sorted(counts.items())
            ),
        )

    def pending_activities(self, task_list: str) -> int:
        """CountPendingActivityTasks."""
        request = {"domain": self._domain, "taskList": {"name": task_list}}
        return int(self._call("CountPendingActivityTasks", request).count)

    def pending_decisions(self, task_list: str) -> int:
        """CountPendingDecisionTasks."""
        request = {"domain": self._domain, "taskList": {"name": task_list}}
        return int(self._call("CountPendingDecisionTasks", request).count)
