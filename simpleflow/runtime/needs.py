"""Reads for the engine, off its thread: pages of history, and the blobs and local activities that ``Needs`` names."""

from __future__ import annotations

import collections
import math
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
#: local activities of one decision that run at the same time, at most
AT_ONCE = 8
#: seconds of a local activity whose author declares none
LOCAL_LIMIT = 60.0
#: share of a decision's time after which no local activity is begun, and share that one may take
BEGUN_WITHIN, ONE_TAKES = 0.5, 0.4
#: runs one local activity of a task within its timeout, and returns how it ended
RunLocal = Callable[[engines.LocalActivity, engines.DecisionTask], engines.LocalResult]


def _nobody(activity: engines.LocalActivity, task: engines.DecisionTask) -> engines.LocalResult:
    raise errors.SimpleflowError(f"nobody runs local activities here, and {task.workflow_id} has {activity.name}")


class HistoryGap(errors.SimpleflowError):
    """The history lacks events although it was read several times."""


class Resolver:
    """Builds decision tasks, and completes them with what the engine asked for. Thread safe.

    ``load`` returns the text that a pointer of a jumbo value stands for, ``local`` runs a local activity; both may be
    slow. ``wait`` sleeps between attempts, ``pause`` before another attempt of a local activity.
    """

    def __init__(
        self,
        transport: base.Transport,
        *,
        domain: str,
        load: Callable[[str], str],
        local: RunLocal | None = None,
        wait: Callable[[float], object] = retries.sleep,
        pause: Callable[[float], object] = retries.sleep,
    ) -> None:
        self._transport = transport
        self._domain = domain
        self._load = load
        self._local = local or _nobody
        self._wait = wait
        self._pause = pause

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

    def resolve(
        self, task: engines.DecisionTask, needs: engines.Needs, *, spent: Callable[[], float] = lambda: 0.0
    ) -> engines.DecisionTask:
        """Return the task with what ``needs`` names added to it. Raises what the service or the blob store raises.

        ``spent``: seconds since the decision began. When half of its time is used up, or a response full of local
        activities has ended, no other is begun: the decision is answered with what is there.
        """
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
            last = math.inf if needs.seconds is None else needs.seconds * BEGUN_WITHIN
            if (
                spent() > last or len(task.local) >= limits.DECISIONS - 1
            ):  # Results are recorded before more activities run.
                return msgspec.structs.replace(task, hurried=True)
            ended = self._run_all(needs, task, lambda: last - spent())
            task = msgspec.structs.replace(task, local={**task.local, **ended})
        return task

    def _run_all(
        self, needs: engines.Needs, task: engines.DecisionTask, time_left: Callable[[], float]
    ) -> dict[str, engines.LocalResult]:
        """Run local activities side by side while there is time to begin one; return those that ended."""
        most = math.inf if needs.seconds is None else needs.seconds * ONE_TAKES
        waiting = collections.deque(
            msgspec.structs.replace(each, timeout=min(LOCAL_LIMIT if each.timeout is None else each.timeout, most))
            for each in needs.local
        )
        ended: dict[str, engines.LocalResult] = {}
        failed: list[BaseException] = []

        def work() -> None:
            first = not ended
            while waiting and not failed and (first or time_left() >= 0):
                first = False
                try:
                    activity = waiting.popleft()
                except IndexError:  # Another thread took it.
                    return
                try:
                    if activity.delay:
                        self._pause(max(0.0, min(activity.delay, time_left())))
                    ended[activity.key] = self._local(activity, task)
                except BaseException as error:
                    failed.append(error)

        threads = []
        for number in range(min(AT_ONCE, len(waiting)) - 1):
            thread = threading.Thread(target=work, name=f"local-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # No thread could be started: the others do it.
                break
            threads.append(thread)
        work()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
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
