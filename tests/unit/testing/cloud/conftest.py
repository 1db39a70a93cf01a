from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
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
def short() -> Iterator[Path]:
    """A temporary folder whose path leaves room for sockets below it."""
    with tempfile.TemporaryDirectory(prefix="sf") as folder:
        yield Path(folder)


@pytest.fixture
def cloud(opened: Callable[..., emulated.Cloud]) -> emulated.Cloud:
    """A cloud whose time stands still."""
    return opened(clock=clocks.VirtualClock())


@pytest.fixture(params=["direct", "http"])
def ec2(request: pytest.FixtureRequest, cloud: emulated.Cloud) -> Any:
    """An EC2 client of either face."""
    return cloud.client("ec2") if request.param == "direct" else cloud.http_client("ec2")
