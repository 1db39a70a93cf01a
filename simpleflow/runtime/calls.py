"""Calls that must not be lost: which errors are tried again, and how long to wait before."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

from simpleflow.core import clock
from simpleflow.swf import errors
from simpleflow.swf.transport import base

logger = logging.getLogger(__name__)

#: seconds before the first retry, and at most; at most while nobody answers: a service that restarts is soon back
FIRST, LONGEST, LONGEST_UNANSWERED = 0.1, 15.0, 1.0


class Backoff:
    """Growing delays with jitter; ``reset`` after a success."""

    def __init__(self, *, first: float = FIRST, longest: float = LONGEST) -> None:
        self._first = first
        self._longest = longest
        self._attempts = 0

    @property
    def attempts(self) -> int:
        """How many delays were given since the last success."""
        return self._attempts

    def reset(self) -> None:
        self._attempts = 0

    def next(self) -> float:
        """Return the seconds to wait before the next attempt: between half and all of a doubling delay."""
        delay: float = min(self._longest, self._first * 2 ** min(self._attempts, 16))
        self._attempts += 1
        return delay * random.uniform(0.5, 1.0)  # noqa: S311 - spreads callers, protects nothing


def pause(backoff: Backoff, error: BaseException) -> float:
    """Return the seconds to wait after this error."""
    delay = backoff.next()
    return min(delay, LONGEST_UNANSWERED) if isinstance(error, errors.TransportError) else delay


def passing(error: BaseException) -> bool:
    """Return whether trying again later may help: throttling, an error of the service, no answer at all."""
    return isinstance(error, errors.TransportError | errors.ThrottlingException | errors.ServiceFailure)


def insist(
    transport: base.Transport,
    action: str,
    request: Mapping[str, Any],
    *,
    wait: Callable[[float], bool],
    time: clock.Clock,
    patience: float,
) -> bool:
    """Send a response until it is acknowledged; return whether it was.

    A response whose answer was lost is sent again: its token is then unknown, which ends the attempts too. ``wait``
    sleeps and returns True when the process gives up waiting; ``patience`` bounds the attempts, in seconds.
    """
    backoff = Backoff()
    begun = time.monotonic()
    while True:
        try:
            transport.call(action, request)
            return True
        except errors.UnknownResourceFault as error:
            if backoff.attempts:
                logger.info("%s: the token is unknown after a lost answer (%s).", action, error)
            else:
                logger.warning("%s came too late: %s", action, error, extra={"action": "late_response"})
            return False
        except errors.SwfError as error:
            if not passing(error):
                raise
            delay = pause(backoff, error)
            if time.monotonic() - begun > patience or wait(delay):
                logger.error("%s was given up: %s", action, error, extra={"action": "response_lost"})
                return False
            logger.warning("%s failed (%s); next attempt after %.1f s.", action, error, delay)


def sleep(seconds: float) -> bool:
    """Wait so long and never give up: for ``insist`` in threads that the process may leave behind."""
    threading.Event().wait(seconds)
    return False
