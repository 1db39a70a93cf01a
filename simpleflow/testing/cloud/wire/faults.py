"""Faults that a test asks for, by call: each fires a stated number of times, in order, never by chance."""

from __future__ import annotations

import threading
from typing import Literal

from simpleflow.testing.cloud.wire import errors, requests

Kind = Literal["throttle", "error", "lost", "conflict", "expired"]
_THROTTLED = {"ec2": ("RequestLimitExceeded", 503), "s3": ("SlowDown", 503), "ssm": ("ThrottlingException", 400)}


class Fault:
    """One planned fault.

    Args:
        call: which call it strikes, ``ec2:CreateFleet`` or ``ec2:*``.
        kind: ``throttle`` and ``error`` refuse before anything is done; ``conflict`` is S3's 409; ``expired`` refuses
            the credentials; ``lost`` does what was asked and closes the socket instead of answering.
        times: how often it strikes.
        after: how many calls pass untouched first.
        code: error code for ``error``.
        message: its message.
        status: its HTTP status.
    """

    def __init__(
        self,
        call: str,
        kind: Kind,
        *,
        times: int = 1,
        after: int = 0,
        code: str = "InternalError",
        message: str = "An internal error has occurred",
        status: int = 500,
    ) -> None:
        self.call = call
        self.kind = kind
        self.left = times
        self.after = after
        self._error = errors.ApiError(code, message, status)

    def matches(self, name: str) -> bool:
        """Tell whether this fault is about a call of this name."""
        return self.call == name or (self.call.endswith(":*") and name.startswith(self.call[:-1]))

    def error(self, service: str) -> errors.ApiError:
        """The refusal that the caller sees."""
        if self.kind == "throttle":
            code, status = _THROTTLED.get(service, ("Throttling", 400))
            return errors.ApiError(code, "Request limit exceeded.", status)
        if self.kind == "conflict":
            return errors.ApiError(
                "ConditionalRequestConflict",
                "The conditional request cannot succeed due to a conflicting operation against this resource.",
                409,
            )
        if self.kind == "expired":
            code = {"ec2": "RequestExpired"}.get(service, "ExpiredToken")
            return errors.ApiError(code, "The security token included in the request is expired", 403)
        return self._error


class Faults:
    """The table of planned faults. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Plan a fault; returns it, so that ``left`` can be looked at."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forget what was planned and has not struck yet."""
        with self._lock:
            self._faults.clear()

    def strike(self, request: requests.Request) -> bool:
        """Raise the refusal planned for this call; returns True when its answer is to be lost."""
        if request.via:
            return False
        name = f"{request.service}:{request.action}"
        with self._lock:
            for fault in self._faults:
                if not fault.matches(name) or not fault.left:
                    continue
                if fault.after:
                    fault.after -= 1
                    continue
                fault.left -= 1
                if fault.kind == "lost":
                    return True
                raise fault.error(request.service)
        return False
