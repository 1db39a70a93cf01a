"""The pytest plugin: fixtures ``environment`` and ``embedded_dirs``. Registered by the package; nothing to import.

At the end of each test that passed, the histories of its environments are replayed: each decision resumed and from
the start, and compared with what was decided (``Environment(replay=False)`` leaves one out).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import recording

if TYPE_CHECKING:
    from .environment import Environment

# The suite's assertions say what they compared, also in other projects.
pytest.register_assert_rewrite("simpleflow.testing.providers")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Replay what the test's environments recorded; a difference fails the test."""
    recording.watched = [] if recording.watched is None else recording.watched
    try:
        result = yield
        for environment in recording.watched:
            environment.verify()
    finally:
        recording.watched = None
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Watch from here on: fixtures make environments too."""
    recording.watched = []
    return (yield)


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
