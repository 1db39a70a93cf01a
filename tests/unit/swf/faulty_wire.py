"""A wire to a service in memory that gives chosen calls the answers of proxies, portals and broken networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from simpleflow.server import inprocess, service
from simpleflow.server.requests import errors as faults
from simpleflow.swf import errors
from simpleflow.swf.transport import http

HEAD = b"\r\nx-amzn-requestid: 0\r\ncontent-type: application/x-amz-json-1.0\r\n"
HTML = b"<html><body><h1>Sign in</h1></body></html>"
Answer = tuple[int, bytes, bytes]


def _proxy(status: int, body: bytes = HTML) -> Callable[[], Answer]:
    return lambda: (status, body, b"\r\ncontent-type: text/html\r\n")


def _said(code: str, status: int = 400) -> Callable[[], Answer]:
    return lambda: (status, b'{"__type":"com.amazon.coral.service#%b","message":"later"}' % code.encode(), HEAD)


def _broken(kind: type[Exception], text: str) -> Callable[[], Answer]:
    def raise_it() -> Answer:
        raise kind(text)

    return raise_it


#: name -> what comes instead of the service's answer
FAULTS: dict[str, Callable[[], Answer]] = {
    **{f"{status} of a proxy": _proxy(status) for status in (302, 400, 403, 404, 408, 413, 429, 500, 502, 504)},
    "200 of a portal": _proxy(200),
    "200 and empty": _proxy(200, b""),
    "200 and another shape": _proxy(200, b'{"status":"ok"}'),
    "200 and no run": _proxy(200, b'{"runId":""}'),
    "200 and half of it": _proxy(200, b'{"executionInfos":[{"execution":{"workf'),
    "200 and no JSON": _proxy(200, b"\x1f\x8b\x08\x00"),
    "no answer": _broken(errors.TransportError, "the connection was closed before the answer"),
    **{
        code: _said(code)
        for code in (
            "ExpiredTokenException",
            "InvalidSignatureException",
            "UnrecognizedClientException",
            "AccessDeniedException",
            "Throttling",
            "ThrottlingException",
            "RequestLimitExceeded",
            "SomethingNew",
        )
    },
    "InternalFailure": _said("InternalFailure", 500),
    "a fault's name on a 502": _said("UnknownResourceFault", 502),
}


class FaultyWire:
    """An ``http.Wire``. ``strike`` makes the next call of an action meet a fault, before or after it is carried out."""

    def __init__(self, owned: service.Service) -> None:
        self._call = local_call(owned)
        self._planned: dict[str, tuple[str, str]] = {}
        self.calls: list[str] = []

    def strike(self, action: str, fault: str, when: str) -> None:
        self._planned[action] = (fault, when)

    @property
    def struck(self) -> bool:
        """Whether every fault that was planned was met."""
        return not self._planned

    def post(self, headers: dict[str, str], body: bytes, timeout: float) -> Answer:
        action = headers["X-Amz-Target"].rpartition(".")[2]
        self.calls.append(action)
        fault, when = self._planned.pop(action, ("", ""))
        if when != "before":
            answer = self._call(action, msgspec.json.decode(body))
        return FAULTS[fault]() if fault else answer

    def close(self) -> None: ...


def local_call(owned: service.Service) -> Callable[[str, Mapping[str, Any]], Answer]:
    def call(action: str, request: Mapping[str, Any]) -> Answer:
        try:
            answer = owned.call(action, request)
        except faults.Fault as fault:
            return fault.status, fault.body(), HEAD
        if not isinstance(answer, Mapping):
            owned.withdraw(answer)
            answer = answer.empty()
        return 200, msgspec.json.encode(answer) if answer else b"", HEAD

    return call


def opened(domain: str = "d") -> tuple[http.Http, FaultyWire]:
    """Return a transport to a fresh service, and its wire."""
    wire = FaultyWire(inprocess.open_memory(domain=domain))
    transport = http.Http(wire)
    transport.call("ListDomains", {"registrationStatus": "REGISTERED"})  # it knows now how the service answers
    return transport, wire
