"""The whole server as a process, over its socket: faults on demand, clients that go, thousands of polls."""

from __future__ import annotations

import socket
import time
from typing import Any

import boto3
import botocore.config
import home_rig
import msgspec
import psutil
import pytest
import skin_rig

from simpleflow.server.process import commands

pytestmark = pytest.mark.needs_processes

KIND = {"name": "w", "version": "1"}
START = {
    "domain": "d",
    "workflowType": KIND,
    "taskList": {"name": "l"},
    "executionStartToCloseTimeout": "600",
    "taskStartToCloseTimeout": "60",
    "childPolicy": "TERMINATE",
}


def prepare(home: home_rig.Home, *words: str) -> dict[str, Any]:
    home.foreground(*words)
    status = commands.status()
    assert status is not None
    return status


def register(home: home_rig.Home) -> None:
    home.call("RegisterDomain", name="d", workflowExecutionRetentionPeriodInDays="1")
    home.call("RegisterWorkflowType", domain="d", **KIND)


def count(home: home_rig.Home) -> int:
    made = home.call("CountOpenWorkflowExecutions", domain="d", startTimeFilter={"oldestDate": 0})
    return int(msgspec.json.decode(made)["count"])


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_the_poll_of_a_shared_connection_gets_no_task(home: home_rig.Home, tcp: bool) -> None:
    status = prepare(home, "--port", "0", "--db", ":memory:")
    register(home)
    body = msgspec.json.encode({"domain": "d", "taskList": {"name": "l"}})
    request = skin_rig.head("SimpleWorkflowService.PollForDecisionTask", len(body)) + body
    with socket.socket(socket.AF_INET if tcp else socket.AF_UNIX) as made:
        made.settimeout(10)
        made.connect(("127.0.0.1", int(status["url"].rpartition(":")[2])) if tcp else str(home.places.socket))
        made.sendall(request)
        until_polls(1)
        made.sendall(request)
        assert made.recv(1) == b""
        until_polls(0)
        home.call("StartWorkflowExecution", workflowId="x", **START)
        pending = home.call("CountPendingDecisionTasks", domain="d", taskList={"name": "l"})
        assert msgspec.json.decode(pending)["count"] == 1
    with poll(home) as other:
        assert b'"workflowId":"x"' in skin_rig.receive(other)


def test_faults_on_demand_and_a_client_that_tries_again(home: home_rig.Home) -> None:
    words = ("throttle:StartWorkflowExecution:1", "lost-response:StartWorkflowExecution:1", "clock-jump:86400")
    status = prepare(home, "--port", "0", *(each for word in words for each in ("--fault", word)))
    register(home)
    client = boto3.client(
        "swf",
        endpoint_url=status["url"],
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=botocore.config.Config(retries={"total_max_attempts": 4, "mode": "standard"}),
    )
    with pytest.raises(client.exceptions.WorkflowExecutionAlreadyStartedFault):
        client.start_workflow_execution(workflowId="x", **START)  # the lost answer was carried out
    assert count(home) == 1
    listed = client.list_open_workflow_executions(domain="d", startTimeFilter={"oldestDate": 0})
    started = listed["executionInfos"][0]["startTimestamp"].timestamp()
    assert 86_000 < started - time.time() < 87_000
    client.close()


def test_with_credentials_only_signed_requests_are_answered_on_tcp(home: home_rig.Home) -> None:
    keys = home.folder / "keys"
    keys.write_text("[ci]\naws_access_key_id = AKIDCI\naws_secret_access_key = secret\n")
    status = prepare(home, "--port", "0", "--credentials", str(keys), "--db", ":memory:")
    assert status["signed"]
    register(home)  # the socket is the user's own
    for secret, refused in (("secret", False), ("wrong", True)):
        client = boto3.client(
            "swf",
            endpoint_url=status["url"],
            region_name="eu-west-1",
            aws_access_key_id="AKIDCI",
            aws_secret_access_key=secret,
        )
        if refused:
            with pytest.raises(client.exceptions.ClientError, match="InvalidSignatureException"):
                client.describe_domain(name="d")
        else:
            assert client.describe_domain(name="d")["domainInfo"]["name"] == "d"
        client.close()


def test_a_full_disk_refuses_what_it_could_not_keep(home: home_rig.Home) -> None:
    prepare(home, "--fault", "full-disk:1", "--fault", "slow-disk:0.02")
    body = msgspec.json.encode({"name": "d", "workflowExecutionRetentionPeriodInDays": "1"})
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(str(home.places.socket))
        made.sendall(skin_rig.head("SimpleWorkflowService.RegisterDomain", len(body)) + body)
        status, _, answer = skin_rig.parse(skin_rig.receive(made))
    assert status == 503
    assert b"#ServiceUnavailable" in answer
    register(home)  # nothing of the first was kept
    began = time.monotonic()
    home.call("StartWorkflowExecution", workflowId="x", **START)
    assert time.monotonic() - began >= 0.02


def poll(home: home_rig.Home, action: str = "PollForDecisionTask") -> socket.socket:
    body = msgspec.json.encode({"domain": "d", "taskList": {"name": "l"}})
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(10)
    made.connect(str(home.places.socket))
    made.sendall(skin_rig.head(f"SimpleWorkflowService.{action}", len(body), "Connection: close\r\n") + body)
    return made


def until_polls(number: int) -> None:
    limit = time.monotonic() + 120
    while True:
        status = commands.status()
        assert status is not None
        if status["open_polls"] == number:
            return
        assert time.monotonic() < limit, status
        time.sleep(0.01)


def test_a_poller_that_has_gone_gets_no_task_and_the_next_one_does(home: home_rig.Home) -> None:
    prepare(home)
    register(home)
    gone, there = poll(home), poll(home)
    until_polls(2)
    gone.close()
    until_polls(1)
    home.call("StartWorkflowExecution", workflowId="x", **START)
    status, _, answer = skin_rig.parse(skin_rig.receive(there))
    assert status == 200
    assert msgspec.json.decode(answer)["taskToken"]
    there.close()


def test_a_thousand_polls_cost_next_to_nothing(home: home_rig.Home) -> None:
    status = prepare(home)
    register(home)
    process = psutil.Process(status["pid"])
    before = process.memory_info().rss
    made = [poll(home, "PollForActivityTask") for _ in range(1000)]
    until_polls(1000)
    assert process.memory_info().rss - before < 60_000_000
    used = sum(process.cpu_times()[:2])
    time.sleep(1.0)
    assert sum(process.cpu_times()[:2]) - used < 0.1
    beyond = poll(home, "PollForActivityTask")
    assert b"LimitExceededFault" in skin_rig.receive(beyond)
    beyond.close()
    assert commands.stop()
    answers = [skin_rig.parse(skin_rig.receive(each)) for each in made]
    for each in made:
        each.close()
    assert {status for status, _, _ in answers} == {200}
    assert {msgspec.json.decode(body).get("taskToken", "") for _, _, body in answers} == {""}


def test_limits_of_aws(home: home_rig.Home) -> None:
    prepare(home, "--limits", "aws", "--db", ":memory:")
    home.call("RegisterDomain", name="d", workflowExecutionRetentionPeriodInDays="1")
    body = b'{"domain":"d","taskList":{"name":"l"}}'
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(str(home.places.socket))
        head = skin_rig.head("SimpleWorkflowService.CountPendingDecisionTasks", len(body))
        last = skin_rig.head("SimpleWorkflowService.CountPendingDecisionTasks", len(body), "Connection: close\r\n")
        made.sendall((head + body) * 249 + last + body)
        answer = skin_rig.receive(made)
    assert 200 <= answer.count(b"200 OK") < 215
    assert b"com.amazon.coral.availability#ThrottlingException" in answer
    assert b"Rate exceeded" in answer
