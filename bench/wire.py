"""Our wire against boto3's, client CPU only: a small call, a page of 1,000 events as a call, and its decoding alone.

Both talk to one process that answers the same bytes, over TCP (ours over its unix socket as well); every round measures
all of them, one after another, and the medians of the rounds count. The goal for a page is about its decoding; the
whole call adds what the kernel and cold caches cost, which a loaded machine multiplies.

    python bench/wire.py [--rounds 9] [--calls 200] [--pages 5]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _table
import boto3
import botocore
import botocore.config
import botocore.parsers
import botocore.session
import msgspec
import uvloop

from simpleflow.swf import shapes
from simpleflow.swf.transport import http

#: how many times less CPU than boto3
SMALL_GOAL, PAGE_GOAL = 6.0, 40.0
EVENTS = 1_000
KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}
SMALL = ("CountPendingActivityTasks", {"domain": "bench", "taskList": {"name": "light"}})
PAGE = (
    "GetWorkflowExecutionHistory",
    {"domain": "bench", "execution": {"workflowId": "w", "runId": "r"}, "maximumPageSize": EVENTS},
)


def page() -> bytes:
    """A page as the embedded service sends it: a fan-out of activities, about 330 kB."""
    made: list[dict[str, Any]] = []
    for number in range(EVENTS // 4 + 1):
        first = len(made) + 1
        scheduled = {
            "activityType": {"name": "examples.basic.increment", "version": "example"},
            "activityId": f"activity-examples.basic.increment-{number}",
            "input": f'{{"args":[{number}],"kwargs":{{"limit":100}}}}',
            "control": '{"branch":"","digest":"5f0c8e1f6a0f4c4b9c55a4d6a2f7d1e0","ordinal":0,"simpleflow":1}',
            "taskList": {"name": "light"},
            "scheduleToCloseTimeout": "300",
            "scheduleToStartTimeout": "300",
            "startToCloseTimeout": "300",
            "heartbeatTimeout": "300",
            "decisionTaskCompletedEventId": 4,
        }
        identity = '{"pid":4711,"hostname":"ip-10-0-0-7","user":"simpleflow","exe":"/opt/venv/bin/python"}'
        made += [
            _event(first, "ActivityTaskScheduled", scheduled),
            _event(first + 1, "ActivityTaskStarted", {"identity": identity, "scheduledEventId": first}),
            _event(
                first + 2,
                "ActivityTaskCompleted",
                {"result": f"[{number + 1}]", "scheduledEventId": first, "startedEventId": first + 1},
            ),
            _event(
                first + 3,
                "DecisionTaskScheduled",
                {"taskList": {"name": "decisions"}, "startToCloseTimeout": "300", "taskPriority": "0"},
            ),
        ]
    return msgspec.json.encode({"events": made[:EVENTS]})


def _event(number: int, kind: str, attributes: dict[str, Any]) -> dict[str, Any]:
    member = kind[0].lower() + kind[1:] + "EventAttributes"
    return {"eventId": number, "eventTimestamp": 1767225600.123 + number, "eventType": kind, member: attributes}


# -- the other side


class Answers(asyncio.Protocol):
    """Answers each request at once with the body of its action."""

    bodies: dict[bytes, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._got = b""

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, rest = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(rest) < length:
            return
        self._got = rest[length:]
        body = next(body for action, body in self.bodies.items() if action in head)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nx-amzn-requestid: 5b0c6d0e-4711-4abc-8abc-0123456789ab\r\n"
            b"content-type: application/x-amz-json-1.0\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )


async def serve(path: str) -> None:
    Answers.bodies = {SMALL[0].encode(): b'{"count":3,"truncated":false}', PAGE[0].encode(): page()}
    loop = asyncio.get_running_loop()
    tcp = await loop.create_server(Answers, "127.0.0.1", 0)
    await loop.create_unix_server(Answers, path)
    print(tcp.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the benchmark is gone


# -- this side


def boto(url: str, *, signed: bool) -> Any:
    unsigned: dict[str, Any] = {} if signed else {"signature_version": botocore.UNSIGNED}
    config = botocore.config.Config(retries={"max_attempts": 0}, **unsigned)
    return boto3.client("swf", region_name="us-east-1", endpoint_url=url, config=config, **KEYS)


def callers(tcp: str, unix: str) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Each client's small call and page."""

    os.environ |= {name.upper(): value for name, value in KEYS.items()}
    signed = http.open_endpoint(tcp)
    for name in KEYS:
        del os.environ[name.upper()]
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.environ["AWS_CONFIG_FILE"] = os.devnull
    ours = {
        "ours, TCP": http.open_endpoint(tcp),
        "ours, TCP, signed": signed,
        "ours, unix socket": http.open_endpoint(unix),
    }
    made = {
        name: (lambda t=t: t.call(*SMALL), lambda t=t: t.call(*PAGE).events)  # type: ignore[misc]  # bound per turn
        for name, t in ours.items()
    }
    for name, client in (("boto3", boto(tcp, signed=False)), ("boto3, signed", boto(tcp, signed=True))):
        made[name] = (
            lambda c=client: c.count_pending_activity_tasks(**SMALL[1]),  # type: ignore[misc]
            lambda c=client: c.get_workflow_execution_history(**PAGE[1])["events"],  # type: ignore[misc]
        )
    return made


def decoders() -> dict[str, Callable[[], Any]]:
    """The decoding of a page, ours and botocore's."""
    body = page()
    operation = botocore.session.get_session().get_service_model("swf").operation_model(PAGE[0])
    parser = botocore.parsers.create_parser("json")
    answer = {"body": body, "headers": {}, "status_code": 200}
    return {
        "ours": lambda: shapes.decode(PAGE[0], body).events,
        "boto3": lambda: parser.parse(answer, operation.output_shape)["events"],
    }


def cpu(call: Callable[[], Any], times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - begun) / times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        uvloop.run(serve(chosen.serve))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "swf.sock"))
        other = subprocess.Popen(
            [sys.executable, __file__, "--serve", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert other.stdin is not None
        try:
            tcp = f"http://127.0.0.1:{int(other.stdout.readline())}"
            clients = callers(tcp, f"unix://{path}")
            small: dict[str, list[float]] = {name: [] for name in clients}
            pages: dict[str, list[float]] = {name: [] for name in clients}
            reading = decoders()
            decoded: dict[str, list[float]] = {name: [] for name in reading}
            for turn in range(chosen.rounds + 1):  # the first one warms up
                for name, (one, many) in clients.items():
                    assert len(many()) == EVENTS
                    times = cpu(one, chosen.calls), cpu(many, chosen.pages)
                    if turn:
                        small[name].append(times[0])
                        pages[name].append(times[1])
                for name, read in reading.items():
                    assert len(read()) == EVENTS
                    took = cpu(read, chosen.pages)
                    if turn:
                        decoded[name].append(took)
        finally:
            other.stdin.close()
            other.wait(10)
            other.stdout.close()
    return report(small, pages, decoded)


def report(small: dict[str, list[float]], pages: dict[str, list[float]], decoded: dict[str, list[float]]) -> int:
    costs = {name: (statistics.median(small[name]), statistics.median(pages[name])) for name in small}
    rows = []
    for name, (one, many) in costs.items():
        peer = costs["boto3, signed" if "signed" in name else "boto3"]
        rows.append(
            [name, _table.seconds(one), _table.ratio(peer[0], one), _table.seconds(many), _table.ratio(peer[1], many)]
        )
    _table.show(
        f"client CPU, medians of {len(next(iter(small.values())))} rounds",
        ["", "small call", "than boto3", f"page of {EVENTS} events", "than boto3"],
        rows,
    )
    alone = {name: statistics.median(times) for name, times in decoded.items()}
    print(
        f"\na page's decoding alone: ours {_table.seconds(alone['ours'])}, boto3 {_table.seconds(alone['boto3'])}, "
        f"{_table.ratio(alone['boto3'], alone['ours'])}"
    )
    met = (
        costs["boto3"][0] / costs["ours, TCP"][0] >= SMALL_GOAL,
        alone["boto3"] / alone["ours"] >= PAGE_GOAL,
    )
    print(
        f"\nsmall call, unsigned, at least {SMALL_GOAL} x less: {_table.verdict(met[0])}; "
        f"page's decoding at least {PAGE_GOAL:.0f} x less: {_table.verdict(met[1])}"
    )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
