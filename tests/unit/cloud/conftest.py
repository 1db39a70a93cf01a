from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from simpleflow.core import clock as clocks
from simpleflow.testing import cloud as emulated


@pytest.fixture
def opened() -> Iterator[Callable[..., emulated.Cloud]]:
    """Open a cloud with options; it is closed at the end."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(emulated.Cloud(**options))


@pytest.fixture
def cloud(opened: Callable[..., emulated.Cloud]) -> emulated.Cloud:
    """A cloud whose time stands still."""
    return opened(clock=clocks.VirtualClock())


@pytest.fixture(params=["direct", "http"])
def ec2(request: pytest.FixtureRequest, cloud: emulated.Cloud) -> Any:
    """An EC2 client of either face."""
    return cloud.client("ec2") if request.param == "direct" else cloud.http_client("ec2")
