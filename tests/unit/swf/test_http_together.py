"""An answer and the next poll in one message, over a socket of this test."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_http import Recorder

from simpleflow.swf import errors
from simpleflow.swf.transport import base, http

POLL = base.Poll("PollForActivityTask", {"domain": "d", "taskList": {"name": "l"}}, "mine#2; first")
TASK = json.dumps(
    {
        "taskToken": "t2",
        "activityId": "2",
        "startedEventId": 9,
        "workflowExecution": {"workflowId": "w", "runId": "r"},
        "activityType": {"name": "a", "version": "1"},
        "input": "x" * 200_000,
    }
).encode()


def whole(body: bytes, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nx-amzn-requestid: 1\r\ncontent-length: %d\r\n%b\r\n%b" % (status, len(body), more, body)


class Other:
    """The other side: what came on each connection, and what is sent there."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(30)

    def take(self) -> socket.socket:
        taken, _ = self._listener.accept()
        taken.settimeout(30)
        return taken

    def close(self) -> None:
        self._listener.close()


def requests(taken: socket.socket, count: int) -> list[tuple[bytes, bytes]]:
    """Read so many requests: their heads and bodies."""
    came, found = b"", []
    while len(found) < count:
        head, end, rest = came.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if end and len(rest) >= length:
            found.append((head, rest[:length]))
            came = rest[length:]
            continue
        part = taken.recv(65_536)
        assert part
        came += part
    assert not came
    return found


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Other]:
    made = Other(tmp_path / "s")
    yield made
    made.close()


@pytest.fixture
def transport(tmp_path: Path, other: Other) -> Iterator[base.Transport]:
    made = http.open_endpoint(f"unix://{tmp_path}/s")
    yield made
    made.close()


def aside(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("together", [False, True], ids=["two messages", "one message"])
def test_the_acknowledgement_does_not_wait_for_the_task(
    transport: base.Transport, other: Other, together: bool
) -> None:
    acknowledged, came = threading.Event(), []

    def serve() -> None:
        with other.take() as taken:
            for _ in range(2):  # the connection is used again
                came.extend(requests(taken, 2))
                if together:
                    taken.sendall(whole(b"") + whole(TASK))
                else:
                    taken.sendall(whole(b""))
                    assert acknowledged.wait(30)
                    taken.sendall(whole(TASK))

    thread = aside(serve)
    for _ in range(2):
        receive = transport.answer_and_poll("RespondActivityTaskCompleted", {"taskToken": "t1"}, POLL)
        assert receive is not None
        acknowledged.set()
        task = receive()
        assert (task.task_token, len(task.input)) == ("t2", 200_000)
    thread.join(30)
    (answer, said), (poll, asked) = came[:2]
    assert b"X-Amz-Target: SimpleWorkflowService.RespondActivityTaskCompleted" in answer
    assert b"X-Simpleflow-Poll" not in answer
    assert json.loads(said) == {"taskToken": "t1"}
    assert b"X-Amz-Target: SimpleWorkflowService.PollForActivityTask" in poll
    assert b"X-Simpleflow-Poll: mine#2; first" in poll
    assert json.loads(asked) == POLL.request


def test_a_refused_answer_takes_its_poll_along(transport: base.Transport, other: Other) -> None:
    gone = threading.Event()

    def serve() -> None:
        with other.take() as taken:
            requests(taken, 2)
            fault = b'{"__type":"com.amazonaws.swf.base.model#UnknownResourceFault","message":"Unknown token"}'
            taken.sendall(whole(fault, b"400 Bad Request"))
            if not taken.recv(1):
                gone.set()

    thread = aside(serve)
    with pytest.raises(errors.UnknownResourceFault):
        transport.answer_and_poll("RespondActivityTaskCompleted", {"taskToken": "t1"}, POLL)
    thread.join(30)
    assert gone.is_set()  # the service withdraws the poll


@pytest.mark.parametrize(
    ("said", "acknowledged"),
    [
        (whole(b""), True),
        (whole(b"", more=b"connection: close\r\n"), True),
        (whole(b"") + whole(TASK)[:50], True),
        (whole(b"") + b"SSH-2.0-OpenSSH\r\n\r\n", True),
        (b"", False),
        (whole(b"")[:30], False),
        (b"HTTP/1.1 200 OK\r\nx-amzn-requestid: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", False),
    ],
)
def test_a_connection_that_is_cut(transport: base.Transport, other: Other, said: bytes, acknowledged: bool) -> None:
    def serve() -> None:
        with other.take() as taken:
            requests(taken, 2)
            taken.sendall(said)

    thread = aside(serve)
    if acknowledged:
        receive = transport.answer_and_poll("RespondActivityTaskCompleted", {"taskToken": "t1"}, POLL)
        assert receive is not None
        with pytest.raises(errors.TransportError):
            receive()
    else:
        with pytest.raises(errors.TransportError):
            transport.answer_and_poll("RespondActivityTaskCompleted", {"taskToken": "t1"}, POLL)
    thread.join(30)


def test_no_poll_goes_with_an_answer_where_the_other_side_may_be_another_service() -> None:
    wire = Recorder()
    assert http.Http(wire).answer_and_poll("RespondActivityTaskCompleted", {"taskToken": "t1"}, POLL) is None
    assert [headers["X-Amz-Target"].rpartition(".")[2] for headers, _, _ in wire.sent] == [
        "RespondActivityTaskCompleted"
    ]
