"""The pytest plugin: fixtures ``environment`` and ``embedded_dirs``. Registered by the package; nothing to import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .environment import Environment


@pytest.fixture
def environment() -> Iterator[Environment]:
    """A simpleflow.testing.Environment with virtual time, closed after the test."""
    from .environment import Environment  # pytest imports this plugin in every project: it must cost nothing

    with Environment(virtual_time=True) as made:
        yield made


@pytest.fixture
def embedded_dirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the embedded service of this test keep its socket and database below tmp_path; returns that folder."""
    for variable, name in (("SIMPLEFLOW_RUNTIME_DIR", "run"), ("SIMPLEFLOW_DATA_DIR", "data")):
        (tmp_path / name).mkdir(mode=0o700)
        monkeypatch.setenv(variable, str(tmp_path / name))
    return tmp_path
