"""A client that costs little: keep-alive sockets on uvloop, and lives of executions written as generators.

One process drives any number of connections; each works one execution after another, on task lists of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Generator
from typing import Any, cast

import httptools
import msgspec
import uvloop

DOMAIN = "bench"
TYPE = {"name": "bench", "version": "1"}
#: what one step of a life sends, and gets: (action, request) and the answer's body
Life = Generator[tuple[str, dict[str, Any]], bytes, None]
_encode = msgspec.json.encode


class _Token(msgspec.Struct):
    taskToken: str = ""  # the wire's name


_decode = msgspec.json.Decoder(_Token).decode


def token_of(body: bytes) -> str:
    """The task token of a poll's answer."""
    return _decode(body).taskToken


class Refused(Exception):
    """The server answered with another status than 200."""


class Connection(asyncio.Protocol):
    """One connection; ``request`` sends a call and returns a future of the answer's body."""

    def __init__(self, host: str) -> None:
        self._top = f"POST / HTTP/1.1\r\nHost: {host}\r\nX-Amz-Target: SimpleWorkflowService."
        self._rest = (
            "\r\nContent-Type: application/x-amz-json-1.0\r\nAuthorization: AWS4-HMAC-SHA256 "
            "Credential=any/20260101/us-east-1/swf/aws4_request\r\nContent-Length: "
        )
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._body = b""
        self._waiting: asyncio.Future[bytes] | None = None
        self.closed = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        self.closed = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("closed"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        waiting, self._waiting = self._waiting, None
        keeps = self._parser.should_keep_alive()
        status = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        if not keeps:
            self.closed = True
        if waiting is not None and not waiting.done():
            if status == 200:
                waiting.set_result(body)
            else:
                waiting.set_exception(Refused(f"{status} {body.decode(errors='replace')[:300]}"))

    def request(self, action: str, request: dict[str, Any]) -> asyncio.Future[bytes]:
        assert self._transport is not None
        body = _encode(request)
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(f"{self._top}{action}{self._rest}{len(body)}\r\n\r\n".encode() + body)
        return self._waiting


class Client:
    """Calls to one server, at a host and port or a unix socket's path. ``lenient``: go on after an error."""

    def __init__(self, where: tuple[str, int] | str, *, lenient: bool = False) -> None:
        self._where = where
        self._lenient = lenient
        self.calls = 0
        #: calls that were answered with an error; the life that made it was left
        self.refused = 0

    async def connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        if isinstance(self._where, str):
            _, made = await loop.create_unix_connection(lambda: Connection("localhost"), self._where)
        else:
            host, port = self._where
            _, made = await loop.create_connection(lambda: Connection(f"{host}:{port}"), host, port)
        return made

    async def live(self, lives: Callable[[], Life | None]) -> None:
        """Work lives on one connection until there is no more."""
        connection = await self.connect()
        while (life := lives()) is not None:
            step = next(life)
            while True:
                if connection.closed:
                    connection = await self.connect()
                self.calls += 1
                try:
                    body = await connection.request(*step)
                    step = life.send(body)
                except StopIteration:
                    break
                except Refused:
                    self.refused += 1
                    if not self._lenient:
                        raise
                    break

    def run(self, clients: int, count: int, make: Callable[[int, int], Life]) -> float:
        """Work ``count`` lives on so many connections; return the seconds that it took.

        ``make(client, number)`` makes one life.
        """
        numbers = iter(range(count))

        def lives(client: int) -> Life | None:
            number = next(numbers, None)
            return None if number is None else make(client, number)

        async def all_of_them() -> float:
            began = time.perf_counter()
            await asyncio.gather(*(self.live(lambda client=client: lives(client)) for client in range(clients)))
            return time.perf_counter() - began

        return uvloop.run(all_of_them())

    def call(self, action: str, **request: Any) -> bytes:
        """Make one call on a connection of its own."""
        answers: list[bytes] = []

        def life() -> Life:
            answers.append((yield action, request))

        once = itertools.chain([life()], itertools.repeat(None))
        uvloop.run(self.live(lambda: next(once)))
        return answers[0]


def register(client: Client) -> None:
    """Register the domain and the types of the benchmark."""
    client.call("RegisterDomain", name=DOMAIN, workflowExecutionRetentionPeriodInDays="1")
    client.call("RegisterWorkflowType", domain=DOMAIN, **TYPE)
    client.call("RegisterActivityType", domain=DOMAIN, **TYPE)


def start_request(name: str, task_list: str) -> dict[str, Any]:
    return {
        "domain": DOMAIN,
        "workflowId": name,
        "workflowType": TYPE,
        "taskList": {"name": task_list},
        "input": '{"args":[1,"two"],"kwargs":{}}',
        "executionStartToCloseTimeout": "3600",
        "taskStartToCloseTimeout": "300",
        "childPolicy": "TERMINATE",
    }


def no_op(name: str, task_list: str) -> Life:
    """Start, decide, schedule one activity, work it, decide, complete: seven calls."""
    yield "StartWorkflowExecution", start_request(name, task_list)
    poll = {"domain": DOMAIN, "taskList": {"name": task_list}, "identity": "bench"}
    token = token_of((yield "PollForDecisionTask", poll))
    schedule = {
        "decisionType": "ScheduleActivityTask",
        "scheduleActivityTaskDecisionAttributes": {
            "activityType": TYPE,
            "activityId": "activity-bench-1",
            "input": '{"args":[1],"kwargs":{}}',
            "taskList": {"name": task_list},
            "scheduleToCloseTimeout": "NONE",
            "scheduleToStartTimeout": "NONE",
            "startToCloseTimeout": "300",
            "heartbeatTimeout": "NONE",
        },
    }
    yield "RespondDecisionTaskCompleted", {"taskToken": token, "decisions": [schedule]}
    token = token_of((yield "PollForActivityTask", poll))
    yield "RespondActivityTaskCompleted", {"taskToken": token, "result": "2"}
    token = token_of((yield "PollForDecisionTask", poll))
    done = {"decisionType": "CompleteWorkflowExecution", "completeWorkflowExecutionDecisionAttributes": {"result": "2"}}
    yield "RespondDecisionTaskCompleted", {"taskToken": token, "decisions": [done]}


def signalled(name: str, task_list: str) -> Life:
    """Signal an execution and answer the decision task, reading its newest event only: five events, three calls."""
    yield "SignalWorkflowExecution", {"domain": DOMAIN, "workflowId": name, "signalName": "s", "input": "1"}
    poll = {"domain": DOMAIN, "taskList": {"name": task_list}, "maximumPageSize": 10, "reverseOrder": True}
    token = token_of((yield "PollForDecisionTask", poll))
    marker = {"decisionType": "RecordMarker", "recordMarkerDecisionAttributes": {"markerName": "m"}}
    yield "RespondDecisionTaskCompleted", {"taskToken": token, "decisions": [marker]}


def started(name: str, task_list: str) -> Life:
    """Start an execution and leave it open."""
    yield "StartWorkflowExecution", start_request(name, task_list)
