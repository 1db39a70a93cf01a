"""Signatures: boto3's are accepted, and nothing that differs from what was signed."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions
import msgspec
import pytest
import skin_rig

from simpleflow.core import clock as clocks
from simpleflow.core import errors as core_errors
from simpleflow.server.requests import auth, errors

FILE = """\
[alice]
aws_access_key_id = AKIDALICE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY

[bob]
aws_access_key_id=AKIDBOB
aws_secret_access_key=bob%secret
aws_session_token=a/token==
"""
ALICE = ("AKIDALICE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
BOB = ("AKIDBOB", "bob%secret", "a/token==")
TARGET = "SimpleWorkflowService.CountPendingActivityTasks"
BODY = b'{"domain":"d","taskList":{"name":"l"}}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(FILE)
    return path


def client(port: int, key: tuple[str, str, str | None]) -> Any:
    return boto3.client(
        "swf",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="eu-west-1",
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        aws_session_token=key[2],
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


def test_boto3_signs_and_is_let_in(serve: skin_rig.Serve, file: Path) -> None:
    served = serve(keys=auth.load(file, clocks.RealClock()))
    served.host.answers["CountPendingActivityTasks"] = {"count": 1}
    for key in (ALICE, BOB):
        answer = client(served.port, key).count_pending_activity_tasks(domain="d", taskList={"name": "l"})
        assert answer["count"] == 1
    assert served.post(TARGET, BODY)[0] == 200, "the unix socket is the user's own"


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (("AKIDALICE", "wrong", None), "InvalidSignatureException"),
        (("AKIDCAROL", "wrong", None), "UnrecognizedClientException"),
        (("AKIDALICE", ALICE[1], "a token"), "UnrecognizedClientException"),
        (("AKIDBOB", BOB[1], None), "UnrecognizedClientException"),
        (("AKIDBOB", BOB[1], "another"), "UnrecognizedClientException"),
    ],
)
def test_boto3_with_wrong_keys_is_refused(
    serve: skin_rig.Serve, file: Path, key: tuple[str, str, str | None], code: str
) -> None:
    served = serve(keys=auth.load(file, clocks.RealClock()))
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client(served.port, key).count_pending_activity_tasks(domain="d", taskList={"name": "l"})
    assert caught.value.response["Error"]["Code"] == code
    assert served.host.calls == []


def test_without_a_signature_nothing_on_tcp_is_answered(serve: skin_rig.Serve, file: Path) -> None:
    served = serve(keys=auth.load(file, clocks.RealClock()))
    for target in (TARGET, "SimpleflowEmbedded.RevokePoll", "SimpleflowEmbedded.Status", "Nothing"):
        status, answer = served.post(target, BODY, tcp=True)
        assert (status, answer["__type"].rpartition("#")[2]) == (400, "MissingAuthenticationTokenException")
    assert served.host.calls == []


Headers = list[tuple[bytes, bytes]]


class Signed:
    """One request as botocore signs it, at the clock's time."""

    def __init__(self, clock: clocks.VirtualClock, path: str = "/", query: str = "", **headers: str) -> None:
        moment = datetime.datetime.fromtimestamp(clock.now(), datetime.UTC)
        self.path, self.query = path, query
        url = f"http://127.0.0.1:8000{path}" + (f"?{query}" if query else "")
        request = botocore.awsrequest.AWSRequest("POST", url, data=BODY, headers={"X-Amz-Target": TARGET, **headers})
        signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(ALICE[0], ALICE[1]), "swf", "us-east-1")
        request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
        request.headers["X-Amz-Date"] = request.context["timestamp"]
        canonical = signer.canonical_request(request)
        text = signer.string_to_sign(request, canonical)
        signer._inject_signature_to_request(request, signer.signature(text, request))
        self.headers: Headers = [(k.lower().encode(), v.encode()) for k, v in request.headers.items()]
        self.headers.append((b"host", b"127.0.0.1:8000"))
        self.body = BODY

    def header(self, name: bytes, value: bytes | None) -> None:
        self.headers = [each for each in self.headers if each[0] != name]
        if value is not None:
            self.headers.append((name, value))

    def get(self, name: bytes) -> bytes:
        return dict(self.headers)[name]

    def verify(self, keys: auth.Keys) -> str:
        return keys.verify("POST", self.path.encode(), self.query.encode(), self.headers, self.body)


@pytest.fixture
def clock() -> clocks.VirtualClock:
    return clocks.VirtualClock()


@pytest.fixture
def keys(file: Path, clock: clocks.VirtualClock) -> auth.Keys:
    return auth.load(file, clock)


def refused(keys: auth.Keys, signed: Signed) -> errors.Fault:
    with pytest.raises(errors.Fault) as caught:
        signed.verify(keys)
    assert caught.value.status == 400
    return caught.value


def test_what_botocore_signs_is_verified(keys: auth.Keys, clock: clocks.VirtualClock) -> None:
    assert Signed(clock).verify(keys) == "AKIDALICE"
    assert Signed(clock, **{"X-Other": "  two   blanks "}).verify(keys) == "AKIDALICE"
    assert Signed(clock, path="/a/b", query="b=2&a=1&a=0&c=").verify(keys) == "AKIDALICE"
    lower = Signed(clock)
    lower.headers.reverse()
    assert lower.verify(keys) == "AKIDALICE"


@pytest.mark.parametrize("seconds", [-299, 299])
def test_clocks_may_differ_by_five_minutes(keys: auth.Keys, clock: clocks.VirtualClock, seconds: int) -> None:
    assert Signed(clocks.VirtualClock(clock.now() + seconds)).verify(keys)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400, -86_400])
def test_but_not_by_more(keys: auth.Keys, clock: clocks.VirtualClock, seconds: int) -> None:
    fault = refused(keys, Signed(clocks.VirtualClock(clock.now() + seconds)))
    assert fault.code == "InvalidSignatureException"
    assert ("expired" if seconds < 0 else "not yet current") in fault.message


def replaced(old: bytes, new: bytes) -> Callable[[Signed], None]:
    return lambda signed: signed.header(b"authorization", signed.get(b"authorization").replace(old, new))


def changed(name: bytes, value: bytes | None) -> Callable[[Signed], None]:
    return lambda signed: signed.header(name, value)


def other_body(signed: Signed) -> None:
    signed.body += b" "


def doubled(signed: Signed) -> None:
    signed.headers.append((b"authorization", signed.get(b"authorization")))


def other_path(signed: Signed) -> None:
    signed.path = "/other"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (other_body, "InvalidSignatureException"),
        (other_path, "InvalidSignatureException"),
        (changed(b"host", b"127.0.0.1:8001"), "InvalidSignatureException"),
        (changed(b"host", None), "InvalidSignatureException"),
        (changed(b"x-amz-target", b"SimpleWorkflowService.TerminateWorkflowExecution"), "InvalidSignatureException"),
        (changed(b"x-amz-target", None), "InvalidSignatureException"),
        (changed(b"x-amz-security-token", b"x"), "InvalidSignatureException"),
        (changed(b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD"), "InvalidSignatureException"),
        (replaced(b"x-amz-target", b""), "InvalidSignatureException"),
        (replaced(b"host;", b""), "InvalidSignatureException"),
        (replaced(b"us-east-1", b"us-east-2"), "InvalidSignatureException"),
        (replaced(b"/swf/", b"/s3/"), "InvalidSignatureException"),
        (replaced(b"aws4_request", b"aws4"), "InvalidSignatureException"),
        (replaced(b"20260101", b"20260102"), "InvalidSignatureException"),
        (replaced(b"AKIDALICE", b"AKIDBOB"), "UnrecognizedClientException"),
        (replaced(b"AKIDALICE", "AKÏD".encode()), "UnrecognizedClientException"),
        (replaced(b"Signature=", b"Signature=0"), "InvalidSignatureException"),
        (replaced(b"Signature=", b"Signature=\xff"), "InvalidSignatureException"),
        (replaced(b"AWS4-HMAC-SHA256", b"AWS4-HMAC-SHA1"), "IncompleteSignatureException"),
        (replaced(b"Signature=", b"Sig="), "IncompleteSignatureException"),
        (changed(b"authorization", b""), "IncompleteSignatureException"),
        (changed(b"authorization", b"Basic YTpi"), "IncompleteSignatureException"),
        (changed(b"authorization", None), "MissingAuthenticationTokenException"),
        (changed(b"x-amz-date", None), "IncompleteSignatureException"),
        (changed(b"x-amz-date", b"yesterday"), "IncompleteSignatureException"),
        (doubled, "IncompleteSignatureException"),
    ],
)
def test_what_differs_from_what_was_signed_is_refused(
    keys: auth.Keys, clock: clocks.VirtualClock, change: Callable[[Signed], None], code: str
) -> None:
    signed = Signed(clock)
    change(signed)
    fault = refused(keys, signed)
    assert fault.code == code
    assert fault.type.startswith("com.amazon.coral.service#")
    assert ALICE[1] not in fault.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no key"),
        ("AKID secret", "has no such form"),
        ("[a]\naws_access_key_id = x\n", "lacks a key"),
        ("[a]\naws_secret_access_key = x\n", "lacks a key"),
        ("[a]\n[a]\n", "has no such form"),
    ],
)
def test_a_credentials_file_of_another_form_is_explained(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(core_errors.UsageError, match=words) as caught:
        auth.load(path, clocks.RealClock())
    assert "aws_secret_access_key = ..." in str(caught.value)
    with pytest.raises(core_errors.UsageError, match="cannot be read"):
        auth.load(tmp_path / "absent", clocks.RealClock())


def test_the_refusal_is_json(keys: auth.Keys, clock: clocks.VirtualClock) -> None:
    signed = Signed(clock)
    signed.body = b"{}"
    assert msgspec.json.decode(refused(keys, signed).body())["__type"].endswith("#InvalidSignatureException")
