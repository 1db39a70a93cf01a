"""The fixture of these tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from place_rig import Place


@pytest.fixture
def place() -> Iterator[Place]:
    # A socket's path must be short: pytest's own folders are not.
    made = Place(Path(tempfile.mkdtemp(prefix="sf-")))
    try:
        yield made
    finally:
        made.close()
