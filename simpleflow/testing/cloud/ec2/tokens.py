"""Client tokens of launches: the same answer for the same request, a refusal for another one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud.wire import errors


class _Kept(NamedTuple):
    digest: str
    answer: Mapping[str, Any]
    instances: list[str]
    until: float


class Tokens:
    """What was answered to which token. ``lifetime`` is in seconds."""

    def __init__(self, clock: clocks.Clock, lifetime: float) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._kept: dict[tuple[str, str], _Kept] = {}

    def forget(self) -> None:
        """Forget every token now, as AWS may do at any time: it states no window."""
        self._kept.clear()

    def find(
        self, action: str, token: str, params: Mapping[str, Any], living: Callable[[list[str]], bool]
    ) -> Mapping[str, Any] | None:
        """The answer given before, or None; raises ApiError on other parameters, or when all it launched has ended."""
        if len(token) > 64:
            raise errors.ApiError(
                "InvalidParameterValue", "Value for parameter ClientToken is longer than 64 characters"
            )
        kept = self._kept.get((action, token))
        if not token or kept is None or kept.until <= self._clock.now():
            return None
        if kept.digest != _digest(params):
            raise errors.ApiError(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )
        if kept.instances and not living(kept.instances):
            raise errors.ApiError(
                "IdempotentInstanceTerminated",
                f"The client token you provided is associated with a terminated instance: {kept.instances[0]}",
            )
        return kept.answer

    def keep(
        self, action: str, token: str, params: Mapping[str, Any], answer: Mapping[str, Any], launched: list[str]
    ) -> None:
        """Remember an answer."""
        if token:
            self._kept[action, token] = _Kept(_digest(params), answer, launched, self._clock.now() + self._lifetime)


def _digest(params: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()
