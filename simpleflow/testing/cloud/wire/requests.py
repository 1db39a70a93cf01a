"""One call: what it was, who made it, and the record of all of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from simpleflow.testing.cloud.wire import codec

ACCOUNT_ID = "123456789012"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs a call: a user, or a role as assumed by one session."""

    arn: str
    #: name of the role whose policies count; '' for the account's own administrator
    role: str = ""
    #: name of the session: the instance's id for an instance profile
    session: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed call on its way to a handler."""

    service: str
    action: str
    params: dict[str, Any]
    principal: Principal
    region: str
    #: the service that makes this call for the principal, such as ``cloudformation``
    via: str = ""
    #: headers in lower case, and the raw body, for protocols that are not forms
    headers: Mapping[str, str] = {}
    body: bytes = b""
    #: the protocol that the caller speaks
    speaks: codec.Protocol = "json"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the record."""

    number: int
    #: epoch seconds by the cloud's clock
    moment: float
    service: str
    action: str
    principal: Principal
    via: str
    params: Mapping[str, Any]
    status: int
    #: error code, '' when the call succeeded
    error: str = ""

    @property
    def name(self) -> str:
        """The call as policies and people write it, ``ec2:CreateFleet``."""
        return f"{self.service}:{self.action}"


class Record:
    """Every call in the order of its answer. Thread safe."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    def add(self, request: Request, moment: float, status: int, error: str = "") -> None:
        """Append one call."""
        with self._lock:
            self._calls.append(
                Call(
                    number=len(self._calls) + 1,
                    moment=moment,
                    service=request.service,
                    action=request.action,
                    principal=request.principal,
                    via=request.via,
                    params=request.params,
                    status=status,
                    error=error,
                )
            )

    def clear(self) -> None:
        """Forget every call so far; the next one has number 1."""
        with self._lock:
            self._calls.clear()

    def __iter__(self) -> Iterator[Call]:
        with self._lock:
            return iter(tuple(self._calls))

    def after(self, number: int) -> list[Call]:
        """The calls that came after the one of this number; 0 for all."""
        with self._lock:
            return self._calls[number:]

    def __len__(self) -> int:
        return len(self._calls)

    def named(self, name: str) -> list[Call]:
        """Every call of this name, such as ``ec2:RunInstances``, made from outside (not by a service)."""
        return [call for call in self if call.name == name and not call.via]

    def by_principal(self) -> dict[str, Counter[str]]:
        """Count the calls of each principal (by role, or ARN for users), by name."""
        counted: dict[str, Counter[str]] = {}
        for call in self:
            counted.setdefault(call.principal.role or call.principal.arn, Counter())[call.name] += 1
        return counted


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not a form of the protocol: a document, or an empty body with its own status."""

    body: bytes = b""
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = {}


#: a handler's answer when the call is none of its business after all: moto answers
BEHIND: Mapping[str, Any] = {}
Answer = Mapping[str, Any] | Raw
Handler = Callable[[Request], Answer]
_Method = TypeVar("_Method", bound=Callable[..., Answer])


def handles(*names: str) -> Callable[[_Method], _Method]:
    """Mark a method as the handler of these calls, each ``service:Action``."""

    def mark(method: _Method) -> _Method:
        method.__dict__["cloud_calls"] = names
        return method

    return mark


def handlers_of(store: object) -> dict[str, Handler]:
    """Every marked method of a store, by the call it answers."""
    found: dict[str, Handler] = {}
    for name in dir(type(store)):
        for call in getattr(getattr(type(store), name), "__dict__", {}).get("cloud_calls", ()):
            found[call] = getattr(store, name)
    return found
