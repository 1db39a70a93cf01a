"""Answers to activity tasks that bring the next tasks, as they go over HTTP."""

from __future__ import annotations

import json

import pytest
from test_http import Recorder

from simpleflow.swf import errors
from simpleflow.swf.transport import base, http

FOLLOWING = base.Following('{"domain":"d"}', "claim-1")


def test_an_exchange_asks_for_the_next_task_and_brings_it() -> None:
    task = {
        "taskToken": "t2",
        "activityId": "2",
        "startedEventId": 9,
        "workflowExecution": {"workflowId": "w", "runId": "r"},
        "activityType": {"name": "a", "version": "1"},
    }
    wire = Recorder(body=json.dumps(task).encode())
    transport = http.Http(wire)
    request = {"taskToken": "t1"}
    found = transport.exchange("RespondActivityTaskCompleted", request, FOLLOWING)
    assert (found.task_token, found.activity_id) == ("t2", "2")
    transport.exchange("RespondActivityTaskCompleted", request, FOLLOWING._replace(again=True))
    assert [headers["X-Simpleflow-Claim"] for headers, _, _ in wire.sent] == ["claim-1", "claim-1; again"]
    headers, body, _ = wire.sent[0]
    assert headers["X-Simpleflow-Next"] == FOLLOWING.poll
    assert (headers["X-Amz-Target"], json.loads(body)) == (
        "SimpleWorkflowService.RespondActivityTaskCompleted",
        request,
    )


@pytest.mark.parametrize("body", [b"", b"{}", b" {}\n"])
def test_an_exchange_with_a_service_that_only_acknowledges(body: bytes) -> None:
    assert http.Http(Recorder(body=body)).exchange("RespondActivityTaskFailed", {}, FOLLOWING) is None


@pytest.mark.parametrize("body", [b"<html>", b'{"taskToken":"","startedEventId":0}', b"[]"])
def test_an_exchange_that_is_answered_by_something_else_is_not_acknowledged(body: bytes) -> None:
    with pytest.raises(errors.TransportError):
        http.Http(Recorder(body=body)).exchange("RespondActivityTaskFailed", {}, FOLLOWING)


def test_an_exchange_that_a_middle_box_acknowledges_is_not_acknowledged() -> None:
    wire = Recorder()
    transport = http.Http(wire, identified=True)
    assert transport.exchange("RespondActivityTaskFailed", {}, FOLLOWING) is None
    wire.head = b"\r\nserver: proxy\r\n"
    with pytest.raises(errors.TransportError, match="request id"):
        transport.exchange("RespondActivityTaskFailed", {}, FOLLOWING)


def test_amazon_is_asked_for_nothing_but_its_own_protocol() -> None:
    wire = Recorder()
    transport = http.Http(wire, extended=False)
    assert transport.exchange("RespondActivityTaskCompleted", {"taskToken": "t"}, FOLLOWING) is None
    assert not any(name.startswith("X-Simpleflow") for headers, _, _ in wire.sent for name in headers)


TASK = {"taskToken": "t2", "activityId": "2", "startedEventId": 9}
ANSWERS = [
    ("RespondActivityTaskCompleted", {"taskToken": "t0"}),
    ("RespondActivityTaskFailed", {"taskToken": "t1", "reason": "r"}),
]


def known() -> tuple[Recorder, http.Http]:
    """A transport that knows that its service gives tasks with answers."""
    wire = Recorder(body=json.dumps(TASK).encode())
    transport = http.Http(wire)
    assert transport.exchange("RespondActivityTaskCompleted", {"taskToken": "t"}, FOLLOWING)
    wire.sent.clear()
    return wire, transport


def test_several_answers_go_in_one_call_to_a_service_that_gives_tasks() -> None:
    wire, transport = known()
    refused = {"__type": "com.amazonaws.swf.base.model#UnknownResourceFault", "message": "gone"}
    wire.answer = 200, json.dumps({"answers": [{}, refused], "tasks": [TASK]}).encode()
    asked = FOLLOWING._replace(most=3, quick=(("a", "1"),), again=True)
    found = transport.exchange_several(ANSWERS, asked)
    assert found is not None
    assert found.refusals[0] is None
    assert isinstance(found.refusals[1], errors.UnknownResourceFault)
    assert [each.task_token for each in found.tasks] == ["t2"]
    ((headers, body, _),) = wire.sent
    assert headers["X-Amz-Target"] == "SimpleflowEmbedded.RespondActivityTasks"
    assert json.loads(body) == {
        "answers": [{"action": action, "request": request} for action, request in ANSWERS],
        "next": {"poll": {"domain": "d"}, "claim": "claim-1", "again": True, "most": 3, "quick": [["a", "1"]]},
    }


def test_nobody_else_is_sent_several_answers() -> None:
    wire = Recorder()
    assert http.Http(wire).exchange_several(ANSWERS, FOLLOWING) is None
    assert http.Http(wire, extended=False).exchange_several(ANSWERS, FOLLOWING) is None
    assert wire.sent == []
    wire, transport = known()
    wire.answer = 400, b'{"__type":"UnknownOperationException"}'
    assert transport.exchange_several(ANSWERS, None) is None
    wire.sent.clear()
    assert transport.exchange_several(ANSWERS, None) is None
    assert wire.sent == []


def test_who_revokes_a_poll_at_the_embedded_service_knows_it() -> None:
    wire = Recorder(body=b'{"revoked":false}')
    transport = http.Http(wire)
    assert not transport.revoke("poll")
    wire.answer = 200, json.dumps({"answers": [], "tasks": [TASK]}).encode()
    found = transport.exchange_several([], FOLLOWING._replace(again=True, most=0))
    assert found is not None
    assert [each.task_token for each in found.tasks] == ["t2"]


@pytest.mark.parametrize("body", [b"{}", b"", b'{"message":"nothing"}'])
def test_who_revokes_a_poll_elsewhere_knows_nothing(body: bytes) -> None:
    wire = Recorder(body=body)
    transport = http.Http(wire)
    assert not transport.revoke("poll")
    assert transport.exchange_several(ANSWERS, None) is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"answers":[{}],"tasks":[]}', b'{"answers":[{},{}],"tasks":[{"startedEventId":0}]}']
)
def test_several_answers_are_not_acknowledged_by_something_else(body: bytes) -> None:
    wire, transport = known()
    wire.answer = 200, body
    with pytest.raises(errors.TransportError, match="RespondActivityTasks"):
        transport.exchange_several(ANSWERS, None)


def test_several_answers_that_a_middle_box_acknowledges_are_not_acknowledged() -> None:
    wire, transport = known()
    wire.answer, wire.head = (200, b'{"answers":[{},{}],"tasks":[]}'), b"\r\nserver: proxy\r\n"
    with pytest.raises(errors.TransportError, match="request id"):
        transport.exchange_several(ANSWERS, FOLLOWING)
