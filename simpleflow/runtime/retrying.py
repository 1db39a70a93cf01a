"""Responses that must not be lost, and how the pollers' loops pace themselves."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from simpleflow.core import retries, text
from simpleflow.swf import errors, repeating
from simpleflow.swf.transport import base

logger = logging.getLogger(__name__)

#: seconds that a poll without a task takes at least where the service holds polls
HELD = 0.5
#: seconds between two polls of a service that answers at once, growing from the first to the last
FIRST_REST, LAST_REST = 0.05, 1.0
#: seconds that the history may be asked whether a response arrived
ASKING = retries.Patience.of(10.0)
#: polls without an answer that ask for one task
DOUBTS = 3
#: events that are read of it at a time
_LAST_EVENTS = 100


def insist(
    transport: base.Transport,
    action: str,
    request: Mapping[str, Any],
    *,
    wait: Callable[[float], bool],
    patience: float,
    arrived: Callable[[], bool | None] = lambda: None,
    send: Callable[[bool], object] | None = None,
    doubtful: bool = False,
) -> bool:
    """Send a response until it is acknowledged; return whether it was. Raises the service's verdict on it.

    A response whose acknowledgement was lost is sent again, and its token is unknown then: ``arrived`` is asked
    whether the history has it. ``wait`` sleeps and returns True when the process gives up waiting; ``patience``
    bounds the attempts, in seconds. ``send`` replaces the plain call, and is told whether an attempt may have arrived;
    ``doubtful``: one before this call may have.
    """
    tries = repeating.attempts(action, retries.Patience.of(patience), wait=wait)
    tries.doubtful = doubtful
    try:
        if send is None:
            tries.run(functools.partial(transport.call, action, request))
        else:
            tries.run(lambda: send(tries.doubtful))
        return True
    except errors.UnknownResourceFault as error:
        found = arrived() if tries.doubtful else False
        if found:
            logger.info("%s had arrived: its acknowledgement was lost.", action)
        elif found is None:
            logger.info("%s: the token is unknown after a lost acknowledgement (%s).", action, error)
        else:
            logger.warning("%s came too late: %s", action, error, extra={"action": "late_response"})
        return bool(found)
    except errors.SwfError as error:
        if error.kind is retries.Kind.VERDICT:
            raise
        logger.error("%s was given up: %s", action, error, extra={"action": "response_lost"})
        return False


def arrived(
    transport: base.Transport, domain: str, execution: Any, started_event_id: int, started: float | None = None
) -> bool | None:
    """Return whether the history has a response to the task that started with this event; None: it cannot be read.

    ``started``: the event's timestamp, if it is known. Another one says that the service lost the task in a power cut,
    and what started in its place is somebody else's.
    """
    request: dict[str, Any] = {
        "domain": domain,
        "execution": {"workflowId": execution.workflow_id, "runId": execution.run_id},
        "reverseOrder": True,
        "maximumPageSize": _LAST_EVENTS,
    }
    found = False
    try:
        while True:
            page = repeating.call(transport, "GetWorkflowExecutionHistory", request, patience=ASKING)
            for event in page.events:
                if event.id <= started_event_id:
                    return found and started in (None, event.timestamp)
                if not found and getattr(event.attributes, "started_event_id", None) == started_event_id:
                    found = not type(event).__name__.endswith("TimedOut")
            if not page.next_page_token:
                return found
            request = {**request, "nextPageToken": page.next_page_token}
    except Exception as error:  # an event of a later SWF, a right that is missing: nobody knows, then
        logger.info("Whether a response arrived cannot be read: %s", error)
        return None


class PollNames:
    """The names of polls, and of other calls that bring tasks: a name belongs to the tasks that came by it.

    A poll that brought none leaves its name to the next one. So does a poll that may have brought a task: the embedded
    service gives that task once more then (docs/reference/formats.md).
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._number = 1
        self._doubts = 0

    @property
    def name(self) -> str:
        """The name of the present poll, with which it can be revoked."""
        return f"{self._prefix}#{self._number}"

    @property
    def doubtful(self) -> bool:
        """Whether the poll before may have brought a task that did not arrive."""
        return bool(self._doubts)

    @property
    def asked(self) -> str:
        """The text that opens the present poll: its name, marked when the poll repeats one."""
        return self.name + "; again" * bool(self._doubts)

    def answered(self, *, empty: bool = False) -> None:
        """The poll has an answer: the next poll gets a new name, unless the answer is empty."""
        self._number, self._doubts = self._number + (not empty), 0

    def failed(self, error: Exception) -> None:
        """The poll has no answer; one that was not carried out changes nothing. After ``DOUBTS`` that may have been the
        next one gets a new name: the answer may be unreadable for ever.
        """
        if isinstance(error, errors.SwfError) and error.kind is not retries.Kind.UNCLEAR:
            return
        self._doubts += 1
        if self._doubts > DOUBTS or not isinstance(error, errors.SwfError):
            self.answered()


class PollPace:
    """How long a poller rests after a poll: growing while polls fail, and while they come back at once and empty."""

    def __init__(self, task_list: str) -> None:
        self._task_list = task_list
        self._failed = retries.Backoff()
        self._empty = retries.Backoff(first=FIRST_REST, longest=LAST_REST)
        self._opened = 0.0

    def opened(self) -> None:
        """A poll is about to be opened."""
        self._opened = time.monotonic()

    def failed(self, error: Exception) -> float:
        """Return the seconds to rest after a poll that failed; a series of failures is said once."""
        rest = self._failed.next(retries.LONGEST[errors.kind_of(error)])
        logger.log(
            logging.WARNING if self._failed.attempts == 1 else logging.DEBUG,
            "Polling %s failed (%s); it is repeated until it is answered.",
            self._task_list,
            error,
            extra={"action": "poll_failed", "attempt": self._failed.attempts},
        )
        return rest

    def answered(self, *, empty: bool) -> float:
        """Return the seconds to rest after a poll that was answered."""
        if self._failed.attempts:
            failures = text.count(self._failed.attempts, "failure")
            logger.info("Polling %s is answered after %s.", self._task_list, failures)
            self._failed.reset()
        if not empty or time.monotonic() - self._opened >= HELD:
            self._empty.reset()
            return 0.0
        return self._empty.next()
