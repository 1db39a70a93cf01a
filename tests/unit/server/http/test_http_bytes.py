"""Bytes on the socket: what is not a call, what is too long, who may call, and polls that are revoked."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import msgspec
import pytest
import skin_rig

from simpleflow.core import limits
from simpleflow.server.http import connection
from simpleflow.server.requests import errors, faults

COUNT = "SimpleWorkflowService.CountPendingActivityTasks"
POLL = "SimpleWorkflowService.PollForActivityTask"
BODY = b'{"domain":"d","taskList":{"name":"l"}}'


def code(answer: Any) -> str:
    return str(answer["__type"].rpartition("#")[2])


def test_a_call_is_answered_with_the_headers_of_aws(served: skin_rig.Served) -> None:
    served.host.answers["CountPendingActivityTasks"] = {"count": 3, "truncated": False}
    status, headers, body = skin_rig.parse(served.raw(skin_rig.head(COUNT, len(BODY), "Connection: close\r\n") + BODY))
    assert status == 200
    assert headers["content-type"] == "application/x-amz-json-1.0"
    assert len(headers["x-amzn-requestid"]) == 36
    assert "server" not in headers
    assert msgspec.json.decode(body) == {"count": 3, "truncated": False}
    assert served.host.calls == [("CountPendingActivityTasks", {"domain": "d", "taskList": {"name": "l"}})]


def test_an_answer_without_a_body_is_sent_too(served: skin_rig.Served) -> None:
    answer = served.raw(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")
    one = b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert served.raw(one + skin_rig.head(COUNT, len(BODY), "Connection: close\r\n") + BODY).count(b"HTTP/1.1") == 2


def test_an_action_without_output_is_answered_with_an_empty_body(served: skin_rig.Served) -> None:
    assert served.post("SimpleWorkflowService.DeprecateDomain", b'{"name":"d"}') == (200, None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", "SerializationException"),
        (b"[]", "SerializationException"),
        (b'"text"', "SerializationException"),
        (b"\xff\xfe", "SerializationException"),
        (b'{"domain":"\xff"}', "SerializationException"),
        (b'{"domain":"d","taskList":{"name":"l"}} trailing', "SerializationException"),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "SerializationException"),
        (b'{"domain":1,"taskList":{"name":"l"}}', "SerializationException"),
        (b'{"domain":"d","taskList":"l"}', "SerializationException"),
        (b'{"domain":"d","taskList":[]}', "SerializationException"),
        (b"", "ValidationException"),
        (b"{}", "ValidationException"),
        (b'{"domain":null,"taskList":null}', "ValidationException"),
        (b'{"domain":"","taskList":{"name":"l"}}', "ValidationException"),
    ],
)
def test_bodies_that_are_no_request(served: skin_rig.Served, body: bytes, expected: str) -> None:
    status, answer = served.post(COUNT, body)
    assert (status, code(answer)) == (400, expected)


@pytest.mark.parametrize(
    "target", ["", "CountPendingActivityTasks", "SimpleWorkflowService.", "SimpleWorkflowService.Nothing", "Other.X",
               "SimpleflowEmbedded.Nothing", "simpleworkflowservice.CountPendingActivityTasks"]
)  # fmt: skip
def test_unknown_operations(served: skin_rig.Served, target: str) -> None:
    status, answer = served.post(target, BODY)
    assert (status, code(answer)) == (400, "UnknownOperationException")


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1", b"POST /other HTTP/1.1", b"OPTIONS / HTTP/1.1", b"PUT / HTTP/1.0"]
)
def test_other_methods_and_paths(served: skin_rig.Served, start: bytes) -> None:
    answer = served.raw(start + b"\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert skin_rig.parse(answer)[0] == 400
    assert b"UnknownOperationException" in answer


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00", b"nonsense\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"POST /\xff HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_is_refused_and_closed(served: skin_rig.Served, data: bytes) -> None:
    status, headers, body = skin_rig.parse(served.raw(data))
    assert (status, headers["connection"]) == (400, "close")
    assert code(msgspec.json.decode(body)) == "SerializationException"


def test_a_body_that_is_too_long_is_refused_with_an_answer(served: skin_rig.Served) -> None:
    for size in (limits.REQUEST_BYTES + 1, 3 * limits.REQUEST_BYTES):
        status, answer = served.post(COUNT, BODY + b" " * (size - len(BODY)))
        assert (status, code(answer)) == (413, "RequestEntityTooLargeException")
    assert served.host.calls == []
    exact = BODY + b" " * (limits.REQUEST_BYTES - len(BODY))
    assert served.post(COUNT, exact)[0] == 200


def test_chunked_bodies_are_read_and_limited_too(served: skin_rig.Served) -> None:
    top = f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: {COUNT}\r\nConnection: close\r\n"
    top += "Transfer-Encoding: chunked\r\n\r\n"
    small = top.encode() + b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"
    assert skin_rig.parse(served.raw(small))[0] == 200
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    assert skin_rig.parse(served.raw(top.encode() + piece * 20 + b"0\r\n\r\n"))[0] == 413


def test_what_stands_behind_a_chunked_body_is_not_a_header(served: skin_rig.Served) -> None:
    top = "POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    behind = f"Host: localhost\r\nX-Amz-Target: {COUNT}\r\n\r\n"
    chunked = b"\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n"
    data = top.encode() + chunked + behind.encode()
    assert b"UnknownOperationException" in served.raw(data)
    assert b"AccessDeniedException" in served.raw(data, tcp=True)
    assert served.host.calls == []


@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: {0}\r\nContent-Length: {0}\r\n",
        "Content-Length: {0}, {0}\r\n",
        "Content-Length : {0}\r\n",
        "Content-Length: {0}\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: {0}\r\n",
        "Transfer-Encoding: xchunked\r\n",
    ],
)
def test_a_request_whose_length_can_be_read_in_two_ways_is_refused(served: skin_rig.Served, lengths: str) -> None:
    top = f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: {COUNT}\r\n{lengths.format(len(BODY))}\r\n"
    answer = served.raw(top.encode() + b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n")
    status, headers, _ = skin_rig.parse(answer)
    assert (status, headers["connection"]) == (400, "close")
    assert served.host.calls == []


def test_a_request_of_http_1_0_gets_one_answer_and_the_connection_ends(served: skin_rig.Served) -> None:
    data = skin_rig.head(COUNT, len(BODY), "Connection: keep-alive\r\nExpect: 100-continue\r\n") + BODY
    status, headers, body = skin_rig.parse(served.raw(data.replace(b"HTTP/1.1", b"HTTP/1.0")))
    assert (status, headers["connection"], body) == (200, "close", b"{}")


def test_a_head_without_end_is_refused(served: skin_rig.Served) -> None:
    assert skin_rig.parse(served.raw(b"POST / HTTP/1.1\r\nA: " + b"x" * 100_000))[0] == 431
    assert skin_rig.parse(served.raw(b"POST / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000))[0] == 431


def test_a_long_head_that_comes_in_one_piece_is_refused_and_not_carried_out(served: skin_rig.Served) -> None:
    data = skin_rig.head(COUNT, len(BODY), f"A: {'x' * 40_000}\r\n") + BODY
    assert skin_rig.parse(served.raw(data))[0] == 431
    data = skin_rig.head(COUNT, len(BODY), "A: b\r\n" * 6_000) + BODY
    assert skin_rig.parse(served.raw(data))[0] == 431
    assert served.host.calls == []


@pytest.mark.parametrize("unit", [b"X: " + b"x" * 8_000 + b"\r\n", b"1;" + b"x" * 8_000 + b"\r\n \r\n"])
def test_what_holds_chunks_together_is_limited_too(served: skin_rig.Served, unit: bytes) -> None:
    top = f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: {COUNT}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with served.connect() as made:
        made.sendall(top + (b"0\r\n" if unit.startswith(b"X") else b""))
        with pytest.raises(OSError):  # it is closed long before
            made.sendall(unit * (20 * connection.MESSAGE_BYTES // len(unit)))
    assert served.host.calls == []


def test_another_protocol_is_refused_before_its_body_is_lost(served: skin_rig.Served) -> None:
    more = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
    status, headers, body = skin_rig.parse(served.raw(skin_rig.head(COUNT, len(BODY), more) + BODY))
    assert (status, headers["connection"]) == (400, "close")
    assert b"Upgrade" in body
    assert served.host.calls == []


def test_a_long_body_behind_another_request_is_no_long_head(served: skin_rig.Served) -> None:
    one = skin_rig.head(COUNT, len(BODY)) + BODY
    body = BODY + b" " * 200_000
    two = skin_rig.head(COUNT, len(body), "Connection: close\r\n") + body
    assert served.raw(one + two).count(b"200 OK") == 2


def test_pipelined_requests_are_answered_in_order(served: skin_rig.Served) -> None:
    served.host.answers["CountPendingActivityTasks"] = {"count": 1}
    one = skin_rig.head(COUNT, len(BODY)) + BODY
    two = skin_rig.head("SimpleWorkflowService.Nothing", 2, "Connection: close\r\n") + b"{}"
    answer = served.raw(one + one + two)
    assert answer.count(b"200 OK") == 2
    assert answer.index(b"UnknownOperation") > answer.rindex(b'"count":1')


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_loopback_names_may_call_on_tcp(served: skin_rig.Served, host: str) -> None:
    data = skin_rig.head(COUNT, len(BODY), "Connection: close\r\n", host) + BODY
    assert skin_rig.parse(served.raw(data, tcp=True))[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "10.0.0.1", "", "::"])
def test_other_hosts_may_not(served: skin_rig.Served, host: str) -> None:
    data = skin_rig.head(COUNT, len(BODY), "Connection: close\r\n", host) + BODY
    status, _, body = skin_rig.parse(served.raw(data, tcp=True))
    assert (status, code(msgspec.json.decode(body))) == (400, "AccessDeniedException")
    assert served.host.calls == []
    assert skin_rig.parse(served.raw(data))[0] == 200  # the unix socket has no other host


def test_two_hosts_are_no_host(served: skin_rig.Served) -> None:
    data = skin_rig.head(COUNT, len(BODY), "Host: localhost\r\nConnection: close\r\n", "localhost") + BODY
    assert code(msgspec.json.decode(skin_rig.parse(served.raw(data, tcp=True))[2])) == "AccessDeniedException"


def test_a_service_that_fails_says_so_without_its_insides(served: skin_rig.Served, caplog: Any) -> None:
    served.host.answers["CountPendingActivityTasks"] = RuntimeError("a secret of the inside")
    status, answer = served.post(COUNT, BODY)
    assert (status, code(answer)) == (500, "InternalFailure")
    assert "secret" not in answer["message"]
    assert "a secret of the inside" in caplog.text
    served.host.answers["CountPendingActivityTasks"] = errors.unavailable("the disk is full")
    assert served.post(COUNT, BODY) == (503, {"__type": "com.amazon.coral.availability#ServiceUnavailable",
                                              "message": "the disk is full"})  # fmt: skip


def test_a_poll_is_revoked_by_its_name(served: skin_rig.Served) -> None:
    answers: list[Any] = []
    header = "X-Simpleflow-Poll: mine\r\n"
    thread = threading.Thread(target=lambda: answers.append(served.post(POLL, BODY, headers=header)))
    thread.start()
    assert served.host.opened.wait(10)
    assert served.post("SimpleflowEmbedded.RevokePoll", b'{"pollId":"mine"}') == (200, {"revoked": True})
    thread.join(10)
    assert answers == [(200, {"taskToken": "", "startedEventId": 0})]
    assert served.post("SimpleflowEmbedded.RevokePoll", b'{"pollId":"mine"}') == (200, {"revoked": False})
    for wrong in (b"{}", b'{"pollId":1}', b'{"pollId":""}', b'{"pollId":"' + b"x" * 257 + b'"}'):
        assert served.post("SimpleflowEmbedded.RevokePoll", wrong)[0] == 400


@pytest.mark.parametrize(
    ("version", "headers", "left"),
    [("1.1", "", ["that of one/a"]), ("1.1", "Connection: close\r\n", []), ("1.0", "", [])],
)
def test_the_end_of_a_connection_for_one_poll_is_not_that_of_its_decider(
    served: skin_rig.Served, version: str, headers: str, left: list[str]
) -> None:
    target = "SimpleWorkflowService.PollForDecisionTask"
    call = skin_rig.head(target, len(BODY), "X-Simpleflow-Poll: one/a; again\r\n" + headers) + BODY
    with served.connect() as made:
        made.sendall(call.replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        assert b"that of one/a" in made.recv(65_536)
    limit = time.monotonic() + 60
    while served.connections:
        assert time.monotonic() < limit
        time.sleep(0.01)
    assert served.host.left == left


def test_a_second_poll_of_one_name_ends_the_first(served: skin_rig.Served) -> None:
    answers: list[Any] = []
    header = "X-Simpleflow-Poll: again\r\n"
    threads = [
        threading.Thread(target=lambda: answers.append(served.post(POLL, BODY, headers=header))) for _ in range(2)
    ]
    threads[0].start()
    assert served.host.opened.wait(10)
    threads[1].start()
    threads[0].join(10)
    assert answers == [(200, {"taskToken": "", "startedEventId": 0})]
    assert served.post("SimpleflowEmbedded.RevokePoll", b'{"pollId":"again"}') == (200, {"revoked": True})
    threads[1].join(10)
    assert len(answers) == 2


def test_status_is_told(served: skin_rig.Served) -> None:
    assert served.post("SimpleflowEmbedded.Status", b"") == (200, {"pid": 1})


def test_throttled_and_lost_on_demand(serve: skin_rig.Serve) -> None:
    served = serve(provoked=faults.Faults(["throttle:CountPendingActivityTasks:2", "lost-response:*:1"]))
    for _ in range(2):
        status, answer = served.post(COUNT, BODY)
        assert (status, code(answer), answer["message"]) == (400, "ThrottlingException", "Rate exceeded")
    assert served.host.calls == []
    assert served.raw(skin_rig.head(COUNT, len(BODY)) + BODY) == b"", "carried out, but never answered"
    assert len(served.host.calls) == 1
    assert served.post(COUNT, BODY)[0] == 200


def test_random_bytes_get_a_4xx_or_nothing(served: skin_rig.Served) -> None:
    chance = random.Random(7)
    good = skin_rig.head(COUNT, len(BODY), "Connection: close\r\n") + BODY
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 8)):
            match chance.randrange(3):
                case 0:
                    data[chance.randrange(len(data))] = chance.randrange(256)
                case 1:
                    del data[chance.randrange(len(data)) :]
                case _:
                    where = chance.randrange(len(data) + 1)
                    data[where:where] = chance.randbytes(chance.randrange(1, 20))
            if not data:
                break
        with served.connect() as made:
            made.sendall(bytes(data))
            made.shutdown(1)
            answer = skin_rig.receive(made)
        if answer:
            assert answer.split(b" ")[1] in (b"200", b"400", b"413", b"431"), (bytes(data), answer)
    assert served.post(COUNT, BODY)[0] == 200


def test_the_end_answers_open_polls_empty(serve: skin_rig.Serve) -> None:
    served = serve()
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(served.post(POLL, BODY)))
    thread.start()
    assert served.host.opened.wait(10)
    served.stop()
    thread.join(10)
    assert answers == [(200, {"taskToken": "", "startedEventId": 0})]
    assert not served.host.cancelled


def test_a_poll_that_comes_while_it_ends_is_empty_at_once(serve: skin_rig.Serve) -> None:
    served = serve()
    served.loop.call_soon_threadsafe(served.app.stop)
    assert served.post(POLL, BODY) == (200, {"taskToken": "", "startedEventId": 0})


def test_a_poll_that_is_opened_again_brings_the_task_of_the_first(served: skin_rig.Served) -> None:
    answer = served.post(POLL, BODY, headers="X-Simpleflow-Poll: mine; again\r\n")
    assert answer == (200, {"taskToken": "that of mine"})
    assert served.host.first == []
    answer = served.post(POLL, BODY, headers="X-Simpleflow-Poll: mine; again; first\r\n")
    assert answer == (200, {"taskToken": "that of mine"})
    assert served.host.first == ["mine"]


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ("X-Simpleflow-Next: {}\r\n", "X-Simpleflow-Claim"),
        (f"X-Simpleflow-Next: {{}}\r\nX-Simpleflow-Claim: {'x' * 129}\r\n", "X-Simpleflow-Claim"),
        ("X-Simpleflow-Next: [\r\nX-Simpleflow-Claim: c\r\n", "X-Simpleflow-Next"),
        ("X-Simpleflow-Next: []\r\nX-Simpleflow-Claim: c\r\n", "X-Simpleflow-Next"),
        ("X-Simpleflow-Next: {}\r\nX-Simpleflow-Claim: c\r\n", "domain"),
    ],
)
def test_a_next_task_that_is_not_asked_for_in_order_is_refused(
    served: skin_rig.Served, headers: str, named: str
) -> None:
    target = "SimpleWorkflowService.RespondActivityTaskCompleted"
    status, answer = served.post(target, b'{"taskToken":"t"}', headers=headers)
    assert status == 400
    assert named in answer["message"]
    assert served.host.calls == []


SEVERAL = "SimpleflowEmbedded.RespondActivityTasks"


def _answers(*tokens: str, **asked: Any) -> bytes:
    answers = [{"action": "RespondActivityTaskCompleted", "request": {"taskToken": each}} for each in tokens]
    poll = {"domain": "default", "taskList": {"name": "x"}}
    return msgspec.json.encode({"answers": answers, **({"next": {"poll": poll, **asked}} if asked else {})})


def test_several_answers_come_in_one_call_and_bring_tasks(served: skin_rig.Served) -> None:
    status, answer = served.post(SEVERAL, _answers("t1", "gone", claim="c", most=2, quick=[["a", "1"]]))
    assert status == 200
    assert answer["answers"][0] == {}
    assert answer["answers"][1]["__type"].endswith("#UnknownResourceFault")
    assert answer["tasks"] == [{"taskToken": "c"}] * 2
    assert [request["taskToken"] for _, request in served.host.calls] == ["t1", "gone"]
    assert served.post(SEVERAL, _answers("t1")) == (200, {"answers": [{}], "tasks": []})


def test_a_service_that_ends_takes_several_answers_and_gives_no_task(serve: skin_rig.Serve) -> None:
    served = serve()
    served.loop.call_soon_threadsafe(served.app.stop)
    assert served.post(SEVERAL, _answers("t1", claim="c")) == (200, {"answers": [{}], "tasks": []})


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "JSON"),
        (b"[]", "RespondActivityTasks"),
        (_answers(), "answers"),
        (b'{"answers":[{"action":"RespondDecisionTaskCompleted","request":{}}]}', "action"),
        (_answers("t", claim=""), "claim"),
        (_answers("t", claim="c", most=65), "most"),
        (_answers("t", claim="c", quick=["a"]), "quick"),
        (_answers("t", claim="c", poll={}), "domain"),
    ],
)
def test_several_answers_that_are_not_in_order_are_refused(served: skin_rig.Served, body: bytes, named: str) -> None:
    status, answer = served.post(SEVERAL, body)
    assert status == 400
    assert named in answer["message"]
    assert served.host.calls == []
