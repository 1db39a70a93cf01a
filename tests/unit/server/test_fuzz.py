"""Whatever arrives, the answer is 200 or 4xx with a proper code, the server lives, and nothing leaks."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import fuzz_requests
import psutil
import pytest
from conformance import process

#: codes that SWF has, and those of its protocol
_CODES = {
    "DefaultUndefinedFault",
    "DomainAlreadyExistsFault",
    "DomainDeprecatedFault",
    "LimitExceededFault",
    "OperationNotPermittedFault",
    "TooManyTagsFault",
    "TypeAlreadyExistsFault",
    "TypeDeprecatedFault",
    "TypeNotDeprecatedFault",
    "UnknownResourceFault",
    "WorkflowExecutionAlreadyStartedFault",
    "ValidationException",
    "SerializationException",
    "UnknownOperationException",
    "RequestEntityTooLargeException",
}
#: bytes that a server may have grown by: caches that fill once
_GROWTH = 40_000_000


class Wire:
    """A connection on which anything may be sent; it is opened again when the server closes it."""

    def __init__(self, server: process.ServerProcess) -> None:
        self.server = server
        self.process = psutil.Process(server.pid)
        where = urllib.parse.urlsplit(server.url)
        self._where = (where.hostname or "", where.port or 0)
        self._socket: socket.socket | None = None

    def connect(self) -> socket.socket:
        made = socket.create_connection(self._where, timeout=20)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def call(self, action: str, body: bytes, target: str = "SimpleWorkflowService") -> tuple[int, Any]:
        """Send one request, return status and body."""
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: {target}.{action}\r\n"
        head += f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
        for _ in range(2):
            if self._socket is None:
                self._socket = self.connect()
            with contextlib.suppress(OSError):
                self._socket.sendall(head.encode() + body)
            status, answer, closing = _read(self._socket)
            if closing:
                self.close()
            if status:
                return status, answer
        raise AssertionError(f"no answer to {action} {body[:300]!r}")

    def poll(self, action: str, body: bytes) -> tuple[int, Any]:
        """Send one poll and leave it soon: 200 and nothing, when it was held."""
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: SimpleWorkflowService.{action}\r\n"
        with self.connect() as made:
            made.settimeout(0.2)
            made.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            status, answer, _ = _read(made)
            return status or 200, answer

    def raw(self, sent: bytes) -> int:
        """Send bytes and no more; return the status that came, 0 for none."""
        with self.connect() as made:
            with contextlib.suppress(OSError):
                made.sendall(sent)
                made.shutdown(socket.SHUT_WR)
            return _read(made)[0]

    def status(self) -> dict[str, Any]:
        status, answer = self.call("Status", b"", target="SimpleflowEmbedded")
        assert status == 200
        found: dict[str, Any] = answer
        return found

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _read(made: socket.socket) -> tuple[int, Any, bool]:
    """Read one answer: status (0: none came), body, whether the connection ends with it."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            got = made.recv(65_536)
            if not got:
                return 0, None, True
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        length = next((int(each.split(":")[1]) for each in lines if each.startswith("content-length:")), 0)
        while len(body) < length:
            got = made.recv(65_536)
            if not got:
                break
            body += got
    except OSError:
        return 0, None, True
    with contextlib.suppress(ValueError):
        return int(lines[0].split()[1]), json.loads(body), "connection: close" in lines
    return int(lines[0].split()[1]), None, "connection: close" in lines


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with process.running() as server:
        made = Wire(server)
        days = {"workflowExecutionRetentionPeriodInDays": "1"}
        for action, request in (
            ("RegisterDomain", {"name": fuzz_requests.DOMAIN, **days}),
            ("RegisterWorkflowType", {"domain": fuzz_requests.DOMAIN, **fuzz_requests.TYPE}),
            ("RegisterActivityType", {"domain": fuzz_requests.DOMAIN, **fuzz_requests.TYPE}),
        ):
            assert made.call(action, json.dumps(request).encode())[0] == 200
        yield made
        made.close()
        assert "Traceback" not in server.log()


def _proper(status: int, answer: Any, sent: object) -> None:
    assert status == 200 or 400 <= status < 500, (status, answer, sent)
    if status != 200:
        assert isinstance(answer, dict), (status, sent)
        assert answer["__type"].rpartition("#")[2] in _CODES, (answer, sent)
        assert isinstance(answer.get("message", ""), str)


def _keep_busy(wire: Wire, requests: fuzz_requests.Requests) -> None:
    """Have an execution, tasks and tokens, that the requests may hit."""
    where = {"domain": fuzz_requests.DOMAIN}
    # Fuzzed calls deprecate and delete: make it good again.
    wire.call("UndeprecateDomain", json.dumps({"name": fuzz_requests.DOMAIN}).encode())
    for kind in ("Workflow", "Activity"):
        wire.call(f"Register{kind}Type", json.dumps({**where, **fuzz_requests.TYPE}).encode())
        again = {**where, f"{kind.lower()}Type": fuzz_requests.TYPE}
        wire.call(f"Undeprecate{kind}Type", json.dumps(again).encode())
    start = {
        **where,
        "workflowId": "w",
        "workflowType": fuzz_requests.TYPE,
        "taskList": {"name": "list"},
        "taskStartToCloseTimeout": "NONE",
        "executionStartToCloseTimeout": "3600",
        "childPolicy": "ABANDON",
    }
    wire.call("StartWorkflowExecution", json.dumps(start).encode())
    poll = {**where, "taskList": {"name": "list"}, "maximumPageSize": 2}
    count, answer = wire.call("CountPendingDecisionTasks", json.dumps({**where, "taskList": poll["taskList"]}).encode())
    if count == 200 and answer["count"]:
        _, task = wire.call("PollForDecisionTask", json.dumps(poll).encode())
        requests.tokens += [task[name] for name in ("taskToken", "nextPageToken") if task.get(name)]


def _fuzz(wire: Wire, seed: int, count: int) -> None:
    requests = fuzz_requests.Requests(seed)
    seen: set[tuple[str, int]] = set()
    for number, (action, body) in enumerate(requests.calls(count)):
        if number % 25 == 0:
            _keep_busy(wire, requests)
        status, answer = (wire.poll if action.startswith("Poll") else wire.call)(action, body)
        _proper(status, answer, (action, body[:500]))
        seen.add((action, status))
    assert len([pair for pair in seen if pair[1] == 200]) >= 10, "nothing ever succeeded: these requests show little"


def test_bent_requests(wire: Wire) -> None:
    _fuzz(wire, 1, 2_500)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(100, 104))
def test_bent_requests_for_long(wire: Wire, seed: int) -> None:
    _fuzz(wire, seed, 20_000)


@pytest.mark.parametrize("number", range(len(fuzz_requests.NASTY)))
def test_nasty_bodies(wire: Wire, number: int) -> None:
    body = fuzz_requests.NASTY[number]
    for action in ("StartWorkflowExecution", "RespondDecisionTaskCompleted", "ListDomains", "NoSuchAction", ""):
        status, answer = wire.call(action, body)
        _proper(status, answer, (action, body[:100]))
        assert status != 200, "this says nothing"


def test_bodies_of_every_size(wire: Wire) -> None:
    for size in (999_999, 1_000_000, 1_000_001, 1_100_000, 3_000_000):
        request = {"domain": fuzz_requests.DOMAIN, "workflowId": "w", "signalName": "s"}
        text = json.dumps(request)[:-1] + ', "input": "' + "x" * size
        body = (text[: size - 2] + '"}').encode()
        assert len(body) == size
        status, answer = wire.call("SignalWorkflowExecution", body)
        _proper(status, answer, size)
        assert (status == 413) == (size > 1_000_000)


@pytest.mark.parametrize("number", range(len(fuzz_requests.BYTES)))
def test_bytes_that_are_no_request(wire: Wire, number: int) -> None:
    status = wire.raw(fuzz_requests.BYTES[number])
    assert status == 0 or 400 <= status < 500


def test_bytes_at_random(wire: Wire) -> None:
    requests = fuzz_requests.Requests(2)
    for _ in range(200):
        sent = requests.garbage()
        status = wire.raw(sent)
        assert status in (0, 200) or 400 <= status < 500, sent


def test_texts_come_back_as_they_were(wire: Wire) -> None:
    where = {"domain": "texts"}
    for action, request in (
        ("RegisterDomain", {"name": "texts", "workflowExecutionRetentionPeriodInDays": "1"}),
        ("RegisterWorkflowType", {**where, **fuzz_requests.TYPE}),
    ):
        assert wire.call(action, json.dumps(request).encode())[0] == 200
    start = {
        **where,
        "workflowId": "texts",
        "workflowType": fuzz_requests.TYPE,
        "taskList": {"name": "texts"},
        "taskStartToCloseTimeout": "NONE",
        "executionStartToCloseTimeout": "3600",
        "childPolicy": "ABANDON",
    }
    status, started = wire.call("StartWorkflowExecution", json.dumps(start).encode())
    assert status == 200
    texts = ["", "\u0000", "\u2028", "\U0001f600", '"\\', "</script>", "\ufffe", "e\u0301", "\u00e9", "x" * 32_768]
    for text in texts:
        signal = {**where, "workflowId": "texts", "signalName": "s", "input": text}
        assert wire.call("SignalWorkflowExecution", json.dumps(signal).encode())[0] == 200
    execution = {"workflowId": "texts", "runId": started["runId"]}
    _, answer = wire.call("GetWorkflowExecutionHistory", json.dumps({**where, "execution": execution}).encode())
    signaled = [event for event in answer["events"] if event["eventType"] == "WorkflowExecutionSignaled"]
    assert [event["workflowExecutionSignaledEventAttributes"].get("input", "") for event in signaled] == texts


def test_nothing_leaks(wire: Wire) -> None:
    poll = json.dumps({"domain": fuzz_requests.DOMAIN, "taskList": {"name": "nothing here"}}).encode()
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: SimpleWorkflowService.PollForActivityTask\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(poll)

    def disturb() -> None:
        # Polls that are left, requests cut off in their middle, connections that say nothing.
        for made in [wire.connect() for _ in range(100)]:
            made.sendall(head + poll)
            made.close()
        for made in [wire.connect() for _ in range(100)]:
            made.sendall(head + poll[:10])
            made.close()
        for made in [wire.connect() for _ in range(100)]:
            made.close()
        for body in fuzz_requests.NASTY:
            wire.call("StartWorkflowExecution", body)

    disturb()
    _settle(wire)
    files, size = wire.process.num_fds(), wire.process.memory_info().rss
    for _ in range(5):
        disturb()
    _settle(wire)
    assert wire.process.num_fds() <= files + 3
    assert wire.process.memory_info().rss <= size + _GROWTH
    assert wire.server.alive()


def _settle(wire: Wire) -> None:
    limit = time.monotonic() + 120
    while wire.status()["open_polls"]:
        assert time.monotonic() < limit, "polls of clients that are gone stay open"
        time.sleep(0.05)
