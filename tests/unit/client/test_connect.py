"""Which service a client talks to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from simpleflow.client import connect
from simpleflow.core import errors, retries
from simpleflow.server.process import commands
from simpleflow.swf import errors as swf_errors
from simpleflow.swf.transport import http


class Transport:
    """Notes what it is asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.closed = False
        self.error = error

    def call(self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: object = None) -> Any:
        self.calls.append((action, request))
        if self.error is not None:
            raise self.error

    def revoke(self, poll_id: str) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str, Transport]:
    """Endpoint -> the transport that was opened to it; ``aws`` for Amazon SWF."""
    found: dict[str, Transport] = {}

    def open_endpoint(url: str) -> Transport:
        return found.setdefault(url, Transport())

    monkeypatch.setattr(http, "open_endpoint", open_endpoint)
    monkeypatch.setattr(http, "open_amazon", lambda: found.setdefault("aws", Transport()))
    monkeypatch.setattr(commands, "ensure", lambda: "unix:///run/swf.sock")
    return found


@pytest.mark.parametrize(
    ("given", "endpoint", "domain", "registered"),
    [
        ({}, "unix:///run/swf.sock", "default", True),
        ({"backend": "embedded"}, "unix:///run/swf.sock", "default", True),
        ({"backend": "embedded", "domain": "d"}, "unix:///run/swf.sock", "d", True),
        ({"domain": "d"}, None, "d", False),
        ({"domain": "d", "backend": "swf"}, None, "d", False),
        ({"endpoint_url": "http://127.0.0.1:9"}, "http://127.0.0.1:9", "default", True),
        ({"endpoint_url": "http://127.0.0.1:9", "domain": "d"}, "http://127.0.0.1:9", "d", False),
        ({"endpoint_url": "unix:///a", "domain": "d"}, "unix:///a", "d", True),
        ({"endpoint_url": "https://swf.example", "domain": "d", "backend": "swf"}, "https://swf.example", "d", False),
    ],
)
def test_what_is_given_leads_to_one_service(
    opened: dict[str, Transport], given: dict[str, str], endpoint: str | None, domain: str, registered: bool
) -> None:
    with connect.connect(**given) as connection:
        assert (connection.endpoint_url, connection.domain) == (endpoint, domain)
        ((name, transport),) = opened.items()
        assert name == (endpoint or "aws")
        assert [action for action, _ in transport.calls] == ["RegisterDomain"] * registered
    assert transport.closed


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"backend": "local"}, "--local"),
        ({"backend": "swf"}, "SWF_DOMAIN"),
        ({"backend": "swf", "endpoint_url": "unix:///a"}, "exclude each other"),
    ],
)
def test_what_excludes_each_other_is_told(opened: dict[str, Transport], given: dict[str, str], words: str) -> None:
    with pytest.raises(errors.UsageError, match=words):
        connect.connect(**given)
    assert opened == {}


def test_a_service_that_does_not_answer_leaves_nothing_open(
    opened: dict[str, Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "sleep", lambda seconds: False)
    opened["unix:///a"] = Transport(swf_errors.NotSent("nobody answers"))
    with pytest.raises(swf_errors.TransportError):
        connect.connect(endpoint_url="unix:///a")
    assert opened["unix:///a"].closed


def test_a_domain_alone_means_amazon_and_says_what_to_do_without_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    with pytest.raises(swf_errors.SwfError, match="--backend embedded"):
        connect.connect(domain="prod")


def test_deciders_and_workers_wait_for_a_service_that_does_not_answer(
    opened: dict[str, Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened["unix:///a"] = service = Transport(swf_errors.NotSent("nobody answers"))
    waits: list[float] = []

    def sleep(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 500:
            service.error = None
        return False

    monkeypatch.setattr(retries, "sleep", sleep)
    with connect.connect(endpoint_url="unix:///a", patience=connect.SERVING):
        assert sum(waits) > 120
    assert len(service.calls) == 501
