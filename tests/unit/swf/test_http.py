"""What goes over the wire, against boto3's own requests and against a server of this test."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.auth
import botocore.awsrequest
import pytest
import wire_requests

from simpleflow.core import errors as core_errors
from simpleflow.swf import errors, shapes
from simpleflow.swf.transport import http, signing, sockets

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "session",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class Recorder:
    """A wire that notes what it was given and answers the same each time."""

    def __init__(self, status: int = 200, body: bytes = b"") -> None:
        self.sent: list[tuple[dict[str, str], bytes, float]] = []
        self.answer = status, body
        self.head = b"\r\nx-amzn-requestid: 1\r\n"

    def post(self, headers: dict[str, str], body: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        self.sent.append((headers, body, timeout))
        return *self.answer, self.head

    def close(self) -> None:
        return


# -- against boto3

Sent = Callable[[str, dict[str, Any]], tuple[str, dict[str, str], bytes]]


@pytest.fixture(scope="module")
def boto() -> tuple[Any, list[Any]]:
    client = boto3.client(
        "swf",
        region_name="eu-west-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=KEYS["AWS_SESSION_TOKEN"],
    )
    seen: list[Any] = []

    def answer(request: Any, **more: Any) -> Any:
        seen.append(request)
        raw = SimpleNamespace(stream=lambda *a, **k: iter([b"{}"]), read=lambda *a: b"{}")
        return botocore.awsrequest.AWSResponse(request.url, 200, {}, raw)

    client.meta.events.register("before-send.swf.*", answer)
    return client, seen


@pytest.fixture(scope="module")
def signer() -> Iterator[signing.Signer]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        made = signing.Signer.of(None, local=True, required=True)
        assert made is not None
        yield made


def text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("action", sorted(shapes.RESPONSES))
def test_bodies_and_signed_headers_are_those_of_boto3(
    action: str, boto: tuple[Any, list[Any]], signer: signing.Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime.datetime(2026, 1, 1, 12, 30)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: moment)
    client, seen = boto
    request = wire_requests.of(client.meta.service_model, action)
    method = next(name for name, operation in client.meta.method_to_api_mapping.items() if operation == action)
    getattr(client, method)(**request)
    theirs = seen.pop()

    assert signer.url.rstrip("/") == theirs.url.rstrip("/")
    wire = Recorder()
    with contextlib.suppress(errors.TransportError):  # the empty answer is none of some actions
        http.Http(wire, sign=signer, extended=False).call(action, request, poll_id="p1")
    ((headers, body, _),) = wire.sent
    assert json.loads(body) == json.loads(theirs.body)
    wanted = {name.lower(): text(value) for name, value in theirs.headers.items()}
    found = {name.lower(): value for name, value in headers.items()}
    apart = {"user-agent", "amz-sdk-invocation-id", "amz-sdk-request", "content-length", "authorization"}
    assert {n: v for n, v in found.items() if n not in apart} == {n: v for n, v in wanted.items() if n not in apart}
    signature = re.compile(r"Signature=\w{64}")
    assert signature.sub("", found["authorization"]) == signature.sub("", wanted["authorization"])
    # boto3 signs its own bytes; the same bytes must give the same signature.
    again = {name: found[name.lower()] for name in ("X-Amz-Target", "Content-Type")}
    assert signer(again, theirs.body)["Authorization"] == wanted["authorization"]


def test_the_endpoint_of_the_configuration_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SWF", "http://127.0.0.1:5000")
    signer = signing.Signer.of(None, local=True, required=True)
    assert signer is not None
    assert (signer.url, signer.region) == ("http://127.0.0.1:5000", "eu-west-1")


def test_without_credentials_or_region_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(signing.NoRegion, match=r"AWS_DEFAULT_REGION.*--backend embedded"):
        http.open_amazon()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(signing.NoCredentials, match=r"AWS_ACCESS_KEY_ID.*--backend embedded"):
        http.open_amazon()
    with pytest.raises(signing.NoCredentials):
        http.open_endpoint("https://swf.eu-west-1.amazonaws.com")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(signing.NoCredentials, match="nobody"):
        http.open_amazon()


@pytest.mark.parametrize(
    "url",
    [
        "swf.sock",
        "unix://host/path",
        "ftp://host",
        "http://",
        "",
        "http://[::1",
        "http://h:x",
        "http://h:99999",
        "https://h:-1",
        "http://h:0",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(core_errors.UsageError, match=r"unix:///PATH"):
        http.open_endpoint(url)


# -- answers, errors, polls


def test_refusals_are_mapped_once() -> None:
    wire = Recorder(400, b'{"__type":"com.amazonaws.swf.base.model#UnknownResourceFault","message":"no domain"}')
    with pytest.raises(errors.UnknownResourceFault, match="DescribeDomain: no domain"):
        http.Http(wire).call("DescribeDomain", {"name": "d"})
    wire.answer = 503, b"<html>busy</html>"
    with pytest.raises(errors.ServiceFailure, match=r"503.*busy"):
        http.Http(wire).call("DescribeDomain", {"name": "d"})
    with pytest.raises(errors.ServiceFailure, match=r"\(at https://swf\.example\)$"):
        http.Http(wire, shown="https://swf.example").call("DescribeDomain", {"name": "d"})
    wire.answer = 200, b"<html>hotel wifi</html>"
    with pytest.raises(errors.TransportError, match="DescribeDomain"):
        http.Http(wire).call("DescribeDomain", {"name": "d"})


def test_long_polls_wait_longer_than_the_service_holds_them_and_carry_their_name() -> None:
    wire = Recorder(200, b'{"startedEventId":0}')
    transport = http.Http(wire)
    transport.call("PollForActivityTask", {"domain": "d", "taskList": {"name": "t"}}, poll_id="p1")
    ((headers, _, timeout),) = wire.sent
    assert timeout >= 70
    assert headers[http.POLL_HEADER] == "p1"


def test_polls_are_revoked_where_they_can_be() -> None:
    wire = Recorder(200, b'{"revoked":true}')
    transport = http.Http(wire)
    assert transport.revoke("p1") is True
    headers, body, _ = wire.sent.pop()
    assert (headers["X-Amz-Target"], json.loads(body)) == ("SimpleflowEmbedded.RevokePoll", {"pollId": "p1"})
    wire.answer = 400, b'{"__type":"com.amazon.coral.service#UnknownOperationException"}'
    assert transport.revoke("p1") is False
    wire.sent.clear()
    assert transport.revoke("p1") is False
    assert http.Http(wire, extended=False).revoke("p1") is False
    assert wire.sent == []


# -- sockets


class Server:
    """Answers requests on a unix socket, each with the next of ``answers``; None closes the connection instead."""

    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self.requests: list[bytes] = []
        self.connections = 0
        self.answers: list[bytes | None] = []
        self.piece = 40
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):  # a client that refuses an answer resets the connection
            while data := connection.recv(1 << 16):
                self.requests.append(data)
                answer = self.answers.pop(0)
                if answer is None:
                    return
                for start in range(0, len(answer), self.piece):  # in pieces, as a network may deliver it
                    connection.sendall(answer[start : start + self.piece])
                if b"close" in answer:
                    return

    def close(self) -> None:
        self._listener.close()


def ok(body: bytes, more: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "swf.sock")
    yield made
    made.close()


def count(transport: Any) -> int:
    return int(transport.call("CountPendingActivityTasks", {"domain": "d", "taskList": {"name": "t"}}).count)


def test_a_connection_is_used_again_and_replaced_when_it_was_closed(server: Server) -> None:
    transport = http.open_endpoint(server.url)
    server.answers = [
        ok(b'{"count":1}'),
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"coun\r\n5\r\nt":2}\r\n0\r\n\r\n',
        ok(b'{"count":3}', "Connection: close\r\n"),
        ok(b'{"count":4}'),
    ]
    assert [count(transport) for _ in range(4)] == [1, 2, 3, 4]
    assert server.connections == 2
    first = server.requests[0]
    assert first.startswith(b"POST / HTTP/1.1\r\nHost: localhost\r\n")
    assert b"X-Amz-Target: SimpleWorkflowService.CountPendingActivityTasks\r\n" in first
    assert b"Authorization" not in first


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(server: Server) -> None:
    transport = http.open_endpoint(server.url)
    server.answers = [ok(b'{"count":1}'), None, ok(b'{"count":2}')]
    assert count(transport) == 1
    with pytest.raises(errors.TransportError, match="before the answer"):
        count(transport)
    assert count(transport) == 2
    assert server.connections == 2


def test_nobody_there_and_no_answer_in_time(tmp_path: Path, server: Server) -> None:
    with pytest.raises(errors.TransportError, match=r"nobody answers at unix:///.*server\.status"):
        count(http.open_endpoint(f"unix://{tmp_path}/none.sock"))
    wire = sockets.Sockets(str(tmp_path / "swf.sock"), host="localhost", path="/", shown="here")
    server.answers = [b"HTTP/1.1 200 OK\r\n"]
    with pytest.raises(errors.TransportError, match="no answer from here"):
        wire.post({}, b"", 0.05)
    server.answers, server.piece = [ok(b"too long").replace(b"8", b"3")], 4096
    with pytest.raises(errors.TransportError, match="more came"):
        wire.post({}, b"", 5)
    server.answers = [b"SSH-2.0-OpenSSH\r\n\r\n"]
    with pytest.raises(errors.TransportError, match="no answer from here"):
        wire.post({}, b"", 5)


def test_threads_have_connections_of_their_own(server: Server) -> None:
    transport = http.open_endpoint(server.url)
    server.answers = [ok(b'{"count":1}')] * 80
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.extend(count(transport) for _ in range(10))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 80
    assert server.connections <= 8
    transport.close()


FLOOD = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 1000) for n in range(400)) + b"\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 2 0 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b"\x00\xff\x16\x03\x01garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999999999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\nConnection: close\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n\x1f\x8b\x08\x00\xff\xff",
        b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"[" * 60_000,
        FLOOD,
    ],
)
def test_bytes_that_are_no_answer_are_no_answer(server: Server, answer: bytes) -> None:
    transport = http.open_endpoint(server.url)
    server.answers, server.piece = [answer, ok(b'{"count":1}')], 1 << 16
    with pytest.raises(errors.TransportError):
        transport.call("ListDomains", {"registrationStatus": "REGISTERED"})
    assert count(transport) == 1


@pytest.mark.parametrize("body", [b"{}", b" \n"])
def test_an_acknowledgement_that_is_not_empty_needs_a_request_id_too(body: bytes) -> None:
    wire = Recorder()
    wire.answer, wire.head = (200, body), b"\r\ncontent-type: application/json\r\n"
    with pytest.raises(errors.TransportError, match="no request id"):
        http.Http(wire, identified=True).call("SignalWorkflowExecution", {"domain": "d"})


def test_a_cancel_request_without_a_request_id_is_not_from_the_service() -> None:
    beat = ("RecordActivityTaskHeartbeat", {"taskToken": "t"})
    wire = Recorder(200, b'{"cancelRequested":true}')
    assert http.Http(wire, identified=True).call(*beat).cancel_requested
    wire.head = b"\r\nserver: proxy\r\n"
    with pytest.raises(errors.TransportError, match="no request id"):
        http.Http(wire, identified=True).call(*beat)
    unknown = http.Http(wire)
    with pytest.raises(errors.TransportError, match="from the service or a proxy"):
        unknown.call(*beat)
    wire.head = b"\r\nx-amzn-requestid: 1\r\n"
    unknown.call(*beat)  # the odd answer taught it nothing
    wire.head = b"\r\nserver: proxy\r\n"
    with pytest.raises(errors.TransportError, match="no request id"):
        unknown.call(*beat)


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("StartWorkflowExecution", b'{"runId":"r"}'),
        ("PollForActivityTask", b'{"startedEventId":0}'),
        ("CountPendingActivityTasks", b'{"count":0,"truncated":false}'),
    ],
)
def test_no_answer_is_believed_without_a_request_id_where_others_have_one(action: str, body: bytes) -> None:
    wire = Recorder(200, body)
    http.Http(wire, identified=True).call(action, {"domain": "d"})
    wire.head = b"\r\nserver: proxy\r\n"
    with pytest.raises(errors.TransportError, match="no request id"):
        http.Http(wire, identified=True).call(action, {"domain": "d"})


@pytest.mark.parametrize("code", ["UnknownResourceFault", "SerializationException", "LimitExceededFault"])
def test_a_fault_that_others_write_is_no_verdict(code: str) -> None:
    wire = Recorder()
    wire.answer = 400, b'{"__type": "com.amazonaws.swf.base.model#%s"}' % code.encode()
    with pytest.raises(errors.SwfError) as verdict:
        http.Http(wire, identified=True).call("SignalWorkflowExecution", {"domain": "d"})
    assert verdict.value.code == code
    wire.head = b"\r\ncontent-type: application/json\r\n"
    with pytest.raises(errors.OddAnswer, match="no request id"):
        http.Http(wire, identified=True).call("SignalWorkflowExecution", {"domain": "d"})


def test_an_empty_answer_is_believed_where_it_looks_like_the_others() -> None:
    wire = Recorder()
    signal = ("SignalWorkflowExecution", {"domain": "d", "workflowId": "w", "signalName": "s"})
    http.Http(wire, identified=True).call(*signal)
    wire.head = b"\r\ncontent-length: 0\r\n"
    with pytest.raises(errors.TransportError, match="no request id"):
        http.Http(wire, identified=True).call(*signal)
    unknown = http.Http(wire)
    with pytest.raises(errors.TransportError, match="from the service or a proxy"):
        unknown.call(*signal)
    unknown.call(*signal)  # twice the same: a service that writes no ids
    wire.answer = 200, b'{"count":1}'
    plain = http.Http(wire)
    assert count(plain) == 1
    wire.answer = 200, b""
    plain.call(*signal)


def test_only_polls_have_the_time_of_a_poll() -> None:
    wire = Recorder(200, b'{"cancelRequested":false,"startedEventId":0,"count":1}')
    transport = http.Http(wire)
    transport.call("PollForActivityTask", {"domain": "d", "taskList": {"name": "t"}})
    transport.call("RecordActivityTaskHeartbeat", {"taskToken": "t"})
    transport.call("CountPendingActivityTasks", {"domain": "d", "taskList": {"name": "t"}})
    poll, beat, other = (timeout for _, _, timeout in wire.sent)
    assert beat < other <= 30 < 60 < poll


def test_credentials_are_fetched_anew_and_the_clock_corrected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = tmp_path / "credentials"
    written.write_text("[default]\naws_access_key_id = OLD\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    signer = signing.Signer.of(None, local=True, required=True)
    assert signer is not None
    wire = Recorder(400, b'{"__type":"InvalidSignatureException","message":"Signature expired"}')
    transport = http.Http(wire, sign=signer)
    ahead = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=10)
    wire.head = f"\r\ndate: {ahead:%a, %d %b %Y %H:%M:%S GMT}\r\n".lower().encode()
    written.write_text("[default]\naws_access_key_id = NEW\naws_secret_access_key = s\n")
    for _ in range(2):
        with pytest.raises(errors.CredentialsRefused):
            count(transport)
    (first, _, _), (second, _, _) = wire.sent
    assert "Credential=OLD/" in first["Authorization"]
    assert "Credential=NEW/" in second["Authorization"]
    stamps = [
        datetime.datetime.strptime(each["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
        for each in (first, second)
    ]
    assert abs((stamps[1] - ahead).total_seconds()) < 60 < (ahead - stamps[0]).total_seconds()


def test_an_idle_connection_is_not_used_when_a_network_may_have_forgotten_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = http.open_endpoint(server.url)
    server.answers = [ok(b'{"count":1}')] * 2
    assert count(transport) == 1
    monkeypatch.setattr(sockets, "IDLE_SECONDS", 0.0)
    assert count(transport) == 1
    assert server.connections == 2
