"""Endpoints, clients and domains for the conformance tests.

``SIMPLEFLOW_CONFORMANCE_ENDPOINT`` names a service that runs already (an URL, or ``aws``); without it each run starts
servers of this checkout, in memory. Tests that would fill an account's quotas take a server that can be thrown away,
and are skipped where none may be started.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.config
import pytest

from . import driver as drivers
from . import process, seen

GIVEN = os.environ.get("SIMPLEFLOW_CONFORMANCE_ENDPOINT", "")
Connect = Callable[..., Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is checked at the end comes at the end of these tests."""
    last = [item for item in items if item.path.name == "test_coverage.py" and item.path.parent.name == "conformance"]
    for item in last:
        items.remove(item)
    place = max((at for at, item in enumerate(items) if "conformance" in item.path.parts), default=len(items) - 1)
    items[place + 1 : place + 1] = last


@pytest.fixture(scope="session")
def recorded() -> seen.Seen:
    """What this session saw on the wire."""
    return seen.Seen()


@pytest.fixture(scope="session")
def connect(recorded: seen.Seen) -> Connect:
    """Make boto3 clients that are watched; ``loose`` ones leave all checks to the service."""

    def build(url: str, *, loose: bool = False) -> Any:
        keys: dict[str, str] = {}
        if url != "aws":
            keys = {"endpoint_url": url, "aws_access_key_id": "any", "aws_secret_access_key": "any"}
        client = boto3.session.Session().client(
            "swf",
            region_name=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
            config=botocore.config.Config(
                retries={"total_max_attempts": 1},
                read_timeout=75,
                max_pool_connections=64,
                parameter_validation=not loose,
            ),
            **keys,
        )
        recorded.watch(client)
        return client

    return build


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The service under test."""
    if GIVEN:
        yield GIVEN
        return
    with process.running() as server:
        yield server.url


@pytest.fixture(scope="session")
def swf(connect: Connect, endpoint: str) -> Any:
    return connect(endpoint)


@pytest.fixture(scope="session")
def loose(connect: Connect, endpoint: str) -> Any:
    """A client that sends whatever it is given."""
    return connect(endpoint, loose=True)


@pytest.fixture(scope="session")
def driver(swf: Any) -> Iterator[drivers.Driver]:
    """The domain of this run."""
    name = drivers.unique("conformance")
    swf.register_domain(name=name, workflowExecutionRetentionPeriodInDays="1")
    yield drivers.Driver(swf, name)
    swf.deprecate_domain(name=name)


@pytest.fixture
def fresh(swf: Any) -> Iterator[drivers.Driver]:
    """A domain with nothing in it."""
    name = drivers.unique("fresh")
    swf.register_domain(name=name, workflowExecutionRetentionPeriodInDays="1")
    yield drivers.Driver(swf, name)
    if swf.describe_domain(name=name)["domainInfo"]["status"] == "REGISTERED":
        swf.deprecate_domain(name=name)


def _own(connect: Connect, *options: str) -> Iterator[drivers.Driver]:
    if GIVEN:
        pytest.skip("fills the quotas of an account: only on a server of this checkout")
    with process.running(*options) as server:
        client = connect(server.url)
        client.register_domain(name="own", workflowExecutionRetentionPeriodInDays="1")
        yield drivers.Driver(client, "own")


@pytest.fixture(scope="session")
def own(connect: Connect) -> Iterator[drivers.Driver]:
    """A server whose quotas may be filled."""
    yield from _own(connect)


@pytest.fixture(scope="session")
def limited(connect: Connect) -> Iterator[drivers.Driver]:
    """A server with the request rates of AWS."""
    yield from _own(connect, "--limits", "aws")
