"""Rates: requests, decisions and pollers. On servers of this checkout only, started with ``--limits aws``."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import driver as drivers


@pytest.mark.parametrize(
    ("size", "refill", "action"),
    [
        (100, 6, "list_domains"),
        (50, 30, "list_tags_for_resource"),
        (200, 6, "describe_domain"),
        (200, 48, "list_open_workflow_executions"),
    ],
)
def test_buckets(limited: drivers.Driver, size: int, refill: int, action: str) -> None:
    swf = limited.swf
    calls: dict[str, Callable[[], Any]] = {
        "list_domains": lambda: swf.list_domains(registrationStatus="REGISTERED"),
        "list_tags_for_resource": lambda: swf.list_tags_for_resource(resourceArn=_arn()),
        "describe_domain": lambda: swf.describe_domain(name=limited.domain),
        "list_open_workflow_executions": lambda: swf.list_open_workflow_executions(
            domain=limited.domain, startTimeFilter={"oldestDate": 0}
        ),
    }

    def _arn() -> str:
        return f"arn:aws:swf:us-east-1:123456789012:/domain/{limited.domain}"

    began, made = time.monotonic(), 0

    def call_on() -> None:
        nonlocal made
        while made < 5 * size:
            calls[action]()
            made += 1

    with pytest.raises(swf.exceptions.ClientError) as caught:
        call_on()
    taken = time.monotonic() - began
    assert caught.value.response["Error"] == {"Code": "ThrottlingException", "Message": "Rate exceeded"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert size - 10 <= made <= size + refill * taken + 1
    time.sleep(2 / refill)
    calls[action]()


def _causes(run: drivers.Run, kind: str) -> set[str]:
    return {each["cause"] for each in run.all(kind)}


def test_rates_of_activities_and_timers(limited: drivers.Driver) -> None:
    runs = [limited.start() for _ in range(3)]
    for run in runs[:2]:
        run.decide(*(limited.schedule() for _ in range(900)))
    assert _causes(runs[1], "ScheduleActivityTaskFailed") == {"ACTIVITY_CREATION_RATE_EXCEEDED"}
    for number, run in enumerate(runs):
        if number < 2:
            run.terminate()
            runs[number] = run = limited.start()
        run.decide(
            *(drivers.decision("StartTimer", timerId=str(each), startToFireTimeout="900") for each in range(950))
        )
    assert _causes(runs[2], "StartTimerFailed") == {"TIMER_CREATION_RATE_EXCEEDED"}
    for run in runs:
        run.terminate()


def test_rates_of_signals_cancels_and_children(limited: drivers.Driver) -> None:
    run = limited.start()
    where = {"workflowId": "nobody"}
    signal = drivers.decision("SignalExternalWorkflowExecution", **where, signalName="s")
    cancel = drivers.decision("RequestCancelExternalWorkflowExecution", **where)
    run.decide(*[signal] * 2_000)
    assert "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED" in _causes(run, "SignalExternalWorkflowExecutionFailed")
    run.decide(*[cancel] * 2_000)
    found = _causes(run, "RequestCancelExternalWorkflowExecutionFailed")
    assert "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED" in found
    run.decide(*(limited.child(childPolicy="TERMINATE") for _ in range(600)))
    assert _causes(run, "StartChildWorkflowExecutionFailed") == {"CHILD_CREATION_RATE_EXCEEDED"}
    assert len(run.all("ChildWorkflowExecutionStarted")) >= 500
    run.terminate(childPolicy="TERMINATE")


@contextlib.contextmanager
def _pollers(url: str, action: str, request: dict[str, Any], count: int) -> Iterator[None]:
    """Hold so many long polls open: on bare sockets, for a thread each would be too many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, count + 512), hard), hard))
    where = urllib.parse.urlsplit(url)
    body = json.dumps(request).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: {where.netloc}\r\nX-Amz-Target: SimpleWorkflowService.{action}\r\n"
        f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            made = stack.enter_context(socket.create_connection((where.hostname or "", where.port or 80)))
            made.sendall(head + body)
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _open_polls(url: str) -> int:
    """Ask the server, beside SWF, how many polls wait."""
    request = urllib.request.Request(url, b"", {"X-Amz-Target": "SimpleflowEmbedded.Status"})
    with urllib.request.urlopen(request) as answer:
        return int(json.loads(answer.read())["open_polls"])


@pytest.mark.parametrize("action", ["PollForDecisionTask", "PollForActivityTask"])
def test_a_thousand_pollers_of_one_list(own: drivers.Driver, action: str) -> None:
    run = own.start()
    where = {"domain": own.domain, "taskList": {"name": drivers.unique("crowded")}}
    call = own.swf.poll_for_decision_task if "Decision" in action else own.swf.poll_for_activity_task
    with _pollers(own.swf.meta.endpoint_url, action, where, 1_000):
        limit = time.monotonic() + 120
        while _open_polls(own.swf.meta.endpoint_url) < 1_000:
            assert time.monotonic() < limit
            time.sleep(0.1)
        drivers.fault("LimitExceededFault", call, **where)
        # Other lists are not concerned.
        assert run.poll()["taskToken"]
    run.terminate()
