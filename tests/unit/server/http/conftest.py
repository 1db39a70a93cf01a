"""Servers for the tests of the HTTP skin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import home_rig
import pytest
import skin_rig

from simpleflow.server.requests import auth, faults


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[skin_rig.Serve]:
    """Make servers; they are stopped when the test ends."""
    made: list[skin_rig.Served] = []

    def build(keys: auth.Keys | None = None, provoked: faults.Faults | None = None) -> skin_rig.Served:
        made.append(skin_rig.Served(tmp_path_factory.mktemp("s"), keys, provoked))
        return made[-1]

    yield build
    for each in made:
        each.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[skin_rig.Served]:
    made = skin_rig.Served(tmp_path_factory.mktemp("s"), None, None)
    yield made
    made.stop()


@pytest.fixture
def served(shared: skin_rig.Served) -> skin_rig.Served:
    """A server without credentials and faults, as new."""
    shared.host.reset()
    return shared


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[home_rig.Home]:
    made = home_rig.Home(tmp_path)
    for name in ("SIMPLEFLOW_RUNTIME_DIR", "SIMPLEFLOW_DATA_DIR"):
        monkeypatch.setenv(name, made.environment[name])
    yield made
    made.close()
