"""What a decider gets for the engine, off the engine's thread: pages of history, and what ``Needs`` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from simpleflow import engine as engines
from simpleflow.core import limits
from simpleflow.swf.transport import base


class Resolver:
    """Builds decision tasks, and completes them with what the engine asked for. Thread safe.

    ``load`` returns the text that a pointer of a jumbo value stands for; it may be slow.
    """

    def __init__(self, transport: base.Transport, *, domain: str, load: Callable[[str], str]) -> None:
        self._transport = transport
        self._domain = domain
        self._load = load

    def task_of(self, answer: Any) -> engines.DecisionTask:
        """Return the task of a poll's answer with all of its pages."""
        events = list(answer.events)
        token = answer.next_page_token
        while token:
            page = self._transport.call(
                "GetWorkflowExecutionHistory", {**self._of(answer.workflow_execution), "nextPageToken": token}
            )
            events += page.events
            token = page.next_page_token
        return engines.DecisionTask(
            domain=self._domain,
            workflow_id=answer.workflow_execution.workflow_id,
            run_id=answer.workflow_execution.run_id,
            workflow_name=answer.workflow_type.name,
            workflow_version=answer.workflow_type.version,
            previous_started_event_id=answer.previous_started_event_id or 0,
            started_event_id=answer.started_event_id,
            events=tuple(events),
        )

    def resolve(self, task: engines.DecisionTask, needs: engines.Needs) -> engines.DecisionTask:
        """Return the task with what ``needs`` names added to it. Raises what the service or the blob store raises."""
        if needs.history:
            task = msgspec.structs.replace(task, events=tuple(self._history(task)), complete=True)
        if needs.blobs:
            loaded = {pointer: self._load(pointer) for pointer in needs.blobs}
            task = msgspec.structs.replace(task, blobs={**task.blobs, **loaded})
        return task

    def _of(self, execution: Any) -> dict[str, Any]:
        return {
            "domain": self._domain,
            "execution": {"workflowId": execution.workflow_id, "runId": execution.run_id},
            "maximumPageSize": limits.PAGE_SIZE,
        }

    def _history(self, task: engines.DecisionTask) -> Iterator[Any]:
        request = self._of(task)
        while True:
            page = self._transport.call("GetWorkflowExecutionHistory", request)
            # Events that came after this decision began belong to the next one.
            yield from (event for event in page.events if event.id <= task.started_event_id)
            if not page.next_page_token:
                return
            request = {**request, "nextPageToken": page.next_page_token}
