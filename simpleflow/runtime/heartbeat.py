"""Heartbeats of a task: when the next one is due, and what the last one told."""

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
#: the next beat comes after this share of the time that the task has run, where that is sooner: who schedules a task
#: may give it less than its activity declares, and the worker sees only by a beat that it was closed
SHARE = 0.5
#: seconds after a limit when the service is asked whether it closed the task; then again after growing pauses, because
#: who scheduled the task may have given it more
AFTER_LIMIT, PAUSES = 0.2, (1.0, 3.0)


class Verdict(enum.Enum):
    """The service's answer to a heartbeat of a task."""

    GO_ON = "go on"
    #: its limit has passed, and the service does not answer
    OVER = "over"
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
        self._begun = time.monotonic()
        self._due = self._begun + self._interval
        #: moments after the task's limit at which the service is asked
        self._after: list[float] = []
        self._sent = float("-inf")
        self._details: str | None = None

    def limits(self, heartbeat: float | None, start_to_close: float | None, schedule_to_close: float | None) -> None:
        """Learn the task's timeouts in seconds.

        Beats come at a third of the heartbeat timeout, or at the worker's own interval; more often at first. A worker
        does not know when its task was scheduled: with a schedule-to-close timeout, beats come at a tenth of that.
        """
        self._interval = self._every if heartbeat is None else max(0.2, min(self._every, heartbeat / 3))
        if schedule_to_close is not None:
            self._interval = min(self._interval, max(1.0, schedule_to_close / 10))
        self._due = min(self._due, self._time.monotonic() + self._interval)
        known = [each for each in (start_to_close, schedule_to_close) if each is not None]
        if known:
            first = self._begun + min(known) + AFTER_LIMIT
            self._after = [first, *(first + pause for pause in PAUSES)]

    def report(self, details: str | None) -> None:
        """Send the activity's own progress with the next beat, which is now unless the last was just sent."""
        self._details = details
        now = self._time.monotonic()
        self._due = min(self._due, max(now, self._sent + self._interval))

    @property
    def details(self) -> str | None:
        """The latest progress that the activity reported."""
        return self._details

    @property
    def interval(self) -> float:
        """Seconds between two beats."""
        return self._interval

    @property
    def wait(self) -> float:
        """Seconds until the next beat is due."""
        due = min(self._due, self._after[0]) if self._after else self._due
        return max(0.0, due - self._time.monotonic())

    def beat(self) -> Verdict:
        """Send one heartbeat now. A task whose limit has passed counts as gone when the service does not answer."""
        now = self._time.monotonic()
        over = bool(self._after) and now >= self._after[0]
        if over:
            self._after.pop(0)
        try:
            verdict = self._send(now)
        except Exception as error:  # Also for an answer that cannot be read: the task goes on.
            self._due = now + min(self._interval, self._backoff.next())
            logger.log(
                logging.WARNING if self._backoff.attempts == 1 else logging.DEBUG,
                "A heartbeat failed (%s); it is repeated until it is answered.",
                error,
                extra={"action": "heartbeat_failed"},
            )
            return Verdict.OVER if over else Verdict.GO_ON
        self._backoff.reset()
        self._due = now + min(self._interval, max(UNKNOWN_INTERVAL, (now - self._begun) * SHARE))
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
