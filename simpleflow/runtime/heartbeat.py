"""When the next heartbeat of a task is due, and what the last one said."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Any

from simpleflow.core import clock, limits, retries
from simpleflow.swf import errors
from simpleflow.swf.transport import base

logger = logging.getLogger(__name__)

#: seconds until the first heartbeat of a task whose timeouts are not known yet
UNKNOWN_INTERVAL = 3.0


class Verdict(enum.Enum):
    """What a heartbeat told about its task."""

    GO_ON = "go on"
    #: its cancellation is requested
    CANCEL = "cancel"
    #: timed out, or its execution is closed: nobody waits for it
    GONE = "gone"


class Heartbeat:
    """Keeps one task alive. A heartbeat that fails is tried again sooner, with jitter; it never raises."""

    def __init__(self, transport: base.Transport, token: str, *, every: float, time: clock.Clock) -> None:
        self._transport = transport
        self._token = token
        self._every = every
        self._interval = min(every, UNKNOWN_INTERVAL)
        self._time = time
        self._backoff = retries.Backoff()
        self._due = time.monotonic() + self._interval
        self._sent = float("-inf")
        self._details: str | None = None

    def timeout(self, seconds: float | None) -> None:
        """Learn the task's heartbeat timeout: beats come at a third of it, or at the worker's own interval."""
        self._interval = self._every if seconds is None else max(0.2, min(self._every, seconds / 3))
        self._due = min(self._due, self._time.monotonic() + self._interval)

    def report(self, details: str | None) -> None:
        """Send the activity's own progress with the next beat, which is now unless the last was just sent."""
        self._details = details
        now = self._time.monotonic()
        self._due = min(self._due, max(now, self._sent + self._interval))

    @property
    def interval(self) -> float:
        """Seconds between two beats."""
        return self._interval

    @property
    def wait(self) -> float:
        """Seconds until the next beat is due."""
        return max(0.0, self._due - self._time.monotonic())

    def beat(self) -> Verdict:
        """Send one heartbeat now."""
        now = self._time.monotonic()
        try:
            verdict = self._send(now)
        except Exception as error:  # an answer that nobody understands, too: the task goes on
            self._due = now + min(self._interval, self._backoff.next())
            logger.log(
                logging.WARNING if self._backoff.attempts == 1 else logging.DEBUG,
                "A heartbeat failed (%s); it is repeated until it is answered.",
                error,
                extra={"action": "heartbeat_failed"},
            )
            return Verdict.GO_ON
        self._backoff.reset()
        self._due = now + self._interval
        return verdict

    def ask(self, wait: Callable[[float], bool]) -> Verdict:
        """Send heartbeats until the service said whose the task is; ``wait`` sleeps, and says when to give up."""
        while True:
            try:
                return self._send(self._time.monotonic())
            except Exception as error:
                delay = self._backoff.next(retries.LONGEST[errors.kind_of(error)])
                logger.log(
                    logging.WARNING if self._backoff.attempts == 1 else logging.DEBUG,
                    "Whether the task may begin is not known (%s); the question is repeated until it is answered.",
                    error,
                    extra={"action": "heartbeat_failed"},
                )
                if wait(delay):
                    return Verdict.GONE

    def _send(self, now: float) -> Verdict:
        request: dict[str, Any] = {"taskToken": self._token}
        if self._details is not None:
            request["details"] = self._details[: limits.HEARTBEAT_DETAILS]
        self._sent = now
        try:
            status = self._transport.call("RecordActivityTaskHeartbeat", request)
        except errors.UnknownResourceFault:
            return Verdict.GONE
        return Verdict.CANCEL if status.cancel_requested else Verdict.GO_ON
