"""The one policy of repetition: what a failed call means, how long to wait, and when to give up.

A call that fails is one of five kinds. Only a verdict of the service about this very request ends it; everything else
is repeated with growing pauses and jitter while the answer may still count, and is said once.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
import math
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from . import text

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Kind(enum.Enum):
    """What a failure says about its call."""

    #: the service judged this request; the same request gets the same answer
    VERDICT = "verdict"
    #: nothing was sent
    UNREACHED = "unreached"
    #: the service did nothing because of credentials, signature, clock or rights, which others may mend
    REFUSED = "refused"
    #: the service did nothing and asks for fewer calls
    THROTTLED = "throttled"
    #: the call may have been carried out
    UNCLEAR = "unclear"


#: error codes that mean "fewer calls": those of botocore's retry modes, of EC2 and of S3
THROTTLING = frozenset(
    {
        "BandwidthLimitExceeded", "EC2ThrottledException", "LimitExceededException", "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled",
        "RequestThrottledException", "ResourceContention", "SlowDown", "ThrottledException", "Throttling",
        "ThrottlingException", "TooManyRequestsException", "TransactionInProgressException",
    }
)  # fmt: skip
#: error codes of a call that a service gave up half-way
TRANSIENT = frozenset(
    {"InternalError", "InternalFailure", "InternalServerError", "OperationAborted", "RequestTimeout",
     "RequestTimeoutException", "ServiceUnavailable", "Unavailable"}
)  # fmt: skip
#: error codes of credentials that ran out, and of signatures that a wrong clock made
STALE = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed", "InvalidSignatureException",
     "InvalidSignature", "SignatureDoesNotMatch", "TokenRefreshRequired", "InvalidToken"}
)  # fmt: skip
#: error codes of keys that are unknown, and of rights that are missing, here or not yet
DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthFailure", "IncompleteSignature", "IncompleteSignatureException",
     "InvalidAccessKeyId", "InvalidClientTokenId", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
     "NotAuthorized", "OptInRequired", "UnauthorizedOperation", "UnrecognizedClientException"}
)  # fmt: skip

#: seconds before the first repetition, and at most before one, by kind
FIRST = 0.1
LONGEST = {Kind.UNREACHED: 1.0, Kind.UNCLEAR: 5.0, Kind.THROTTLED: 15.0, Kind.REFUSED: 15.0, Kind.VERDICT: 15.0}


def kind_of_code(code: str, status: int) -> Kind | None:
    """Return what an error code of AWS says, None for a code that is in no list here."""
    if code in THROTTLING:
        return Kind.THROTTLED
    if code in STALE or code in DENIED:
        return Kind.REFUSED
    if code in TRANSIENT or status >= 500:
        return Kind.UNCLEAR
    return None


class Backoff:
    """Growing pauses with jitter; ``reset`` after a success."""

    def __init__(self, *, first: float = FIRST, longest: float = LONGEST[Kind.THROTTLED]) -> None:
        self._first = first
        self._longest = longest
        self._attempts = 0

    @property
    def attempts(self) -> int:
        """How many pauses were given since the last success."""
        return self._attempts

    def reset(self) -> None:
        self._attempts = 0

    def next(self, longest: float | None = None) -> float:
        """Return the seconds to wait before the next attempt: between half and all of a doubling pause."""
        limit = self._longest if longest is None else min(longest, self._longest)
        pause: float = min(limit, self._first * 2 ** min(self._attempts, 16))
        self._attempts += 1
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads callers, protects nothing


class Budget:
    """Tokens for repetitions: each takes one, each answered call gives a part of one back. Thread safe.

    Without a token the longest pause is made, so that a service in trouble gets few calls on top of the usual ones.
    """

    def __init__(self, *, size: float = 200.0, share: float = 0.5) -> None:
        self._size = self._left = size
        self._share = share
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def give(self) -> None:
        if self._left < self._size:
            with self._lock:
                self._left = min(self._size, self._left + self._share)


#: one for the calls of a process
BUDGET = Budget()


@dataclasses.dataclass(frozen=True)
class Patience:
    """Seconds that a call is repeated, counted from its first attempt."""

    #: after throttling, and after answers that say nothing about the call
    unclear: float
    #: while nothing can be sent
    unreached: float
    #: while credentials or rights are refused
    refused: float

    @classmethod
    def of(cls, seconds: float) -> Patience:
        """As long for every kind: the call must not be lost."""
        return cls(seconds, seconds, seconds)

    def until(self, kind: Kind) -> float:
        if kind is Kind.UNREACHED:
            return self.unreached
        return self.refused if kind is Kind.REFUSED else self.unclear


def sleep(seconds: float) -> bool:
    """Wait so long and never give up; another thread may leave it behind at the process's end."""
    threading.Event().wait(seconds)
    return False


class Attempts:
    """One call, made until it is answered, judged or no longer worth it."""

    def __init__(
        self,
        what: str,
        patience: Patience,
        *,
        kind: Callable[[Exception], Kind],
        wait: Callable[[float], bool] | None = None,
        budget: Budget = BUDGET,
        unreached: int | None = None,
    ) -> None:
        """``what`` names the call in messages; ``wait`` sleeps, and returns True to give the call up.

        ``unreached``: how often it is repeated while nothing can be sent, instead of the patience's seconds for that.
        """
        self._what = what
        self._patience = patience
        self._kind = kind
        self._unreached = unreached
        self._wait = wait or sleep
        self._budget = budget
        self._backoff = Backoff()
        self._begun = time.monotonic()
        self._waited = 0.0
        #: True when an attempt that failed may have been carried out
        self.doubtful = False

    @property
    def failures(self) -> int:
        return self._backoff.attempts

    @property
    def seconds(self) -> float:
        """Seconds since the first attempt began; those that ``wait`` was asked for count, whether it slept or not."""
        return max(time.monotonic() - self._begun, self._waited)

    def run(self, attempt: Callable[[], T]) -> T:
        """Return what ``attempt`` returns; raises its verdict, or its last failure when patience ends."""
        while True:
            try:
                answer = attempt()
            except Exception as error:
                if self.gives_up(error):
                    raise
                continue
            self._budget.give()
            if self._backoff.attempts:
                logger.info("%s is answered after %s.", self._what, text.count(self._backoff.attempts, "failure"))
            return answer

    def gives_up(self, error: Exception) -> bool:
        """Wait before the next attempt; True when there is none."""
        kind = self._kind(error)
        if kind is Kind.VERDICT:
            return True
        # Whoever answered "throttled" or "expired" may stand behind a service that carried the call out.
        self.doubtful = self.doubtful or kind is not Kind.UNREACHED
        if kind is Kind.UNREACHED and self._unreached is not None:
            left = math.inf if self._backoff.attempts < self._unreached else 0.0
        else:
            left = self._patience.until(kind) - self.seconds
        if left <= 0:
            return True
        if not self._backoff.attempts:
            until = "until it is answered" if math.isinf(left) else f"for up to {left:.0f} s"
            if kind is Kind.UNREACHED and self._unreached is not None:
                until = f"up to {text.count(self._unreached, 'time')}"
            logger.warning(
                "%s failed (%s); it is repeated %s.", self._what, error, until, extra={"action": "call_repeated"}
            )
        longest = LONGEST[kind]
        pause = self._backoff.next(longest)
        if kind is not Kind.UNREACHED and not self._budget.take():
            pause = max(pause, longest / 2)
        pause = min(pause, left)
        self._waited += pause
        return self._wait(pause)
