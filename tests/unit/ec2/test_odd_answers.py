"""What proxies, wrong keys and broken networks answer in the place of AWS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import botocore.awsrequest
import botocore.exceptions
import pytest

from simpleflow.core import retries
from simpleflow.nodes import errors
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.providers.ec2 import clients

HTML = b"<html><body>Sign in</body></html>"
ZONES = (
    b'<DescribeAvailabilityZonesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><availabilityZoneInfo><item>'
    b"<zoneName>eu-west-1a</zoneName></item></availabilityZoneInfo></DescribeAvailabilityZonesResponse>"
)


def _error(code: str) -> bytes:
    return f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>".encode()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> tuple[ec2.BotoClients, list[Any], list[Any]]:
    """Clients whose requests meet prepared answers (status, body), and what they sent."""
    for name, value in (("AWS_ACCESS_KEY_ID", "OLD"), ("AWS_SECRET_ACCESS_KEY", "s")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(retries, "sleep", lambda seconds: False)
    made, prepared, sent = ec2.BotoClients("eu-west-1"), [], []

    def answer(request: Any, **_: Any) -> Any:
        sent.append(str(request.headers["Authorization"]))
        found = prepared.pop(0) if prepared else (200, ZONES)
        if isinstance(found, Exception):
            raise found
        status, body = found
        raw = SimpleNamespace(stream=lambda *a, **k: iter([body]), read=lambda *a: body)
        return botocore.awsrequest.AWSResponse(request.url, status, {}, raw)

    for again in (True, False):
        made.get("ec2", retries=again).meta.events.register("before-send.ec2", answer)
    return made, prepared, sent


@pytest.mark.parametrize(
    "fault",
    [
        *((status, HTML) for status in (200, 302, 400, 403, 404, 408, 429, 502)),
        (200, b""),
        *((400, _error(code)) for code in ("RequestLimitExceeded", "Throttling", "RequestExpired", "AuthFailure")),
        (503, _error("Unavailable")),
        botocore.exceptions.ReadTimeoutError(endpoint_url="https://x"),
        botocore.exceptions.EndpointConnectionError(endpoint_url="https://x"),
    ],
    ids=str,
)
def test_an_odd_answer_is_no_verdict(answers: tuple[ec2.BotoClients, list[Any], list[Any]], fault: Any) -> None:
    made, prepared, sent = answers
    prepared += [fault, fault]
    assert accounts.Account(made).zones() == {"eu-west-1a"}
    assert len(sent) == 3
    # what is sent once is not known to have failed, unless AWS says so
    prepared += [fault]
    with pytest.raises(errors.NodesError) as caught, clients.mapped("launching"):
        _ = made.get("ec2", retries=False).describe_availability_zones()["AvailabilityZones"]
    said = not isinstance(fault, Exception) and b"<Code>" in fault[1] and fault[0] < 500
    assert isinstance(caught.value, errors.ProviderUnclear) is not said
    assert len(sent) == 4


def test_what_aws_itself_refuses_is_not_repeated(answers: tuple[ec2.BotoClients, list[Any], list[Any]]) -> None:
    made, prepared, sent = answers
    for code in ("UnauthorizedOperation", "InvalidParameterValue", "LimitExceededException"):
        prepared.append((400, _error(code)))
        with pytest.raises(errors.ProviderRefused, match=code):
            accounts.Account(made).zones()
    assert len(sent) == 3


def test_keys_that_are_renewed_are_used(
    answers: tuple[ec2.BotoClients, list[Any], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, prepared, sent = answers
    made.get("ec2")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "NEW")
    prepared.append((400, _error("RequestExpired")))
    accounts.Account(made).zones()
    assert ["OLD/" in sent[0], "NEW/" in sent[1]] == [True, True]


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (botocore.exceptions.ReadTimeoutError(endpoint_url="https://x"), "is the network up"),
        (botocore.exceptions.ConnectTimeoutError(endpoint_url="https://x"), "is the network up"),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="https://x"), "and the network up"),
        (ValueError("no element found"), "does a proxy answer"),
        (botocore.exceptions.NoCredentialsError(), "set AWS_PROFILE"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_what_cannot_be_reached_is_said_with_what_to_do(fault: Exception, advice: str) -> None:
    with pytest.raises(errors.NodesError, match=advice), clients.mapped("listing the nodes"):
        raise fault


def test_a_look_waits_for_seconds_and_a_launch_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    made = ec2.BotoClients("eu-west-1")
    assert made.get("ec2").meta.config.read_timeout == 20
    assert made.get("ec2", retries=False).meta.config.read_timeout == 60
