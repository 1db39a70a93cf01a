"""What a decider gets for the engine, off the engine's thread: pages of history, and what ``Needs`` names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from simpleflow import engine as engines
from simpleflow.core import errors, limits, retries
from simpleflow.swf import repeating
from simpleflow.swf.transport import base

#: attempts to read a history that lags behind (ListOpen and histories are eventually consistent on AWS)
ATTEMPTS = 6
#: seconds that a page is asked for: a decision task rarely lives longer than a few minutes
PATIENCE = retries.Patience.of(120.0)
#: runs one local activity of a task, and returns how it ended
RunLocal = Callable[[engines.LocalActivity, engines.DecisionTask], engines.LocalResult]


def _nobody(activity: engines.LocalActivity, task: engines.DecisionTask) -> engines.LocalResult:
    raise errors.SimpleflowError(f"nobody runs local activities here, and {task.workflow_id} has {activity.name}")


class HistoryGap(errors.SimpleflowError):
    """The history lacks events although it was read several times."""


class Resolver:
    """Builds decision tasks, and completes them with what the engine asked for. Thread safe.

    ``load`` returns the text that a pointer of a jumbo value stands for, ``local`` runs a local activity; both may be
    slow. ``wait`` sleeps between attempts.
    """

    def __init__(
        self,
        transport: base.Transport,
        *,
        domain: str,
        load: Callable[[str], str],
        local: RunLocal | None = None,
        wait: Callable[[float], object] = retries.sleep,
    ) -> None:
        self._transport = transport
        self._domain = domain
        self._load = load
        self._local = local or _nobody
        self._wait = wait

    def whole(self, answer: Any, request: Mapping[str, Any]) -> Any:
        """Return a poll's answer with the events of all its pages. ``request`` is the poll that brought it.

        Raises SwfError when a page cannot be read after several attempts: the task is then left unanswered.
        """
        token = answer.next_page_token
        if not token:
            return answer
        found = list(answer.events)
        while token:
            # GetWorkflowExecutionHistory takes no token of a poll; the poll does, and hands out no new task.
            page = self._page("PollForDecisionTask", {**request, "nextPageToken": token})
            found += page.events
            token = page.next_page_token
        return msgspec.structs.replace(answer, events=found, next_page_token=None)

    def task_of(self, answer: Any) -> engines.DecisionTask:
        """Return the engine's task for a whole answer."""
        previous = answer.previous_started_event_id
        found = answer.events
        complete = not found or found[0].id == 1
        if not complete:
            # A sticky poll begins with what has the moment of the previous decision's start.
            found = [event for event in found if event.id > previous]
        return engines.DecisionTask(
            domain=self._domain,
            workflow_id=answer.workflow_execution.workflow_id,
            run_id=answer.workflow_execution.run_id,
            workflow_name=answer.workflow_type.name,
            workflow_version=answer.workflow_type.version,
            previous_started_event_id=previous,
            started_event_id=answer.started_event_id,
            events=tuple(found),
            complete=complete,
        )

    def resolve(self, task: engines.DecisionTask, needs: engines.Needs) -> engines.DecisionTask:
        """Return the task with what ``needs`` names added to it. Raises what the service or the blob store raises."""
        if needs.history:
            if task.complete:
                raise errors.SimpleflowError(
                    f"the engine asks for the history of {task.workflow_id} {task.run_id} although it has all of it"
                )
            task = msgspec.structs.replace(task, events=self._history(task), complete=True)
        if needs.blobs:
            loaded = {pointer: self._load(pointer) for pointer in needs.blobs}
            task = msgspec.structs.replace(task, blobs={**task.blobs, **loaded})
        if needs.local:
            ended = self._run_all(needs.local, task)
            task = msgspec.structs.replace(task, local={**task.local, **ended})
        return task

    def _run_all(
        self, local: tuple[engines.LocalActivity, ...], task: engines.DecisionTask
    ) -> dict[str, engines.LocalResult]:
        if len(local) == 1:
            return {local[0].key: self._local(local[0], task)}
        ended: dict[str, engines.LocalResult] = {}

        def run(activity: engines.LocalActivity) -> None:
            ended[activity.key] = self._local(activity, task)

        threads = []
        for each in local:
            thread = threading.Thread(target=run, args=(each,), name=f"local-{each.key}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no thread to be had: one after another, here
                run(each)
            else:
                threads.append(thread)
        for thread in threads:
            thread.join()
        if len(ended) < len(local):
            raise errors.SimpleflowError("a local activity ended without a result: the decider's log says why")
        return ended

    def _history(self, task: engines.DecisionTask) -> tuple[Any, ...]:
        """Return events 1 to this decision's start: what the service lists, and what the poll brought."""
        for attempt in range(ATTEMPTS):
            # Events that came after this decision began belong to the next one.
            found = {event.id: event for event in self._listed(task) if event.id <= task.started_event_id}
            found.update({event.id: event for event in task.events})
            if len(found) == max(found, default=0):
                return tuple(found[number] for number in sorted(found))
            self._wait(0.2 * 2**attempt)
        raise HistoryGap(
            f"the history of {task.workflow_id} {task.run_id} lacks events before {task.started_event_id}: the "
            "decision is left to a later attempt"
        )

    def _listed(self, task: engines.DecisionTask) -> Iterable[Any]:
        request: dict[str, Any] = {
            "domain": self._domain,
            "execution": {"workflowId": task.workflow_id, "runId": task.run_id},
            "maximumPageSize": limits.PAGE_SIZE,
        }
        while True:
            page = self._page("GetWorkflowExecutionHistory", request)
            yield from page.events
            if not page.next_page_token:
                return
            request = {**request, "nextPageToken": page.next_page_token}

    def _page(self, action: str, request: Mapping[str, Any]) -> Any:
        return repeating.call(
            self._transport, action, request, patience=PATIENCE, wait=lambda seconds: bool(self._wait(seconds))
        )
