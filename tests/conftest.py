"""What every test may rely on, and what the summary says of skipped ones."""

from __future__ import annotations

import collections
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.backends.places import Backend

# A shell that starts a job in the background lets it ignore Ctrl-C, and children inherit that: tests that interrupt a
# child would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests start hundreds of Python processes, and half of their time would be compiling: compiled code is kept, also where
# the environment says otherwise.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

#: an object as its ``repr`` shows it
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
#: lines that the summary gives to skipped tests
SKIP_LINES = 5


@pytest.fixture(autouse=True)
def _filters_of_logs() -> Iterator[None]:
    """Put back the filters of the handlers of logs: pytest has one handler for all tests, and commands filter it."""
    before = [(handler, list(handler.filters)) for handler in logging.root.handlers]
    yield
    for handler, filters in before:
        handler.filters[:] = filters


@pytest.fixture(scope="session")
def _servers() -> Iterator[None]:
    yield
    from tests.backends import places

    places.join()


@pytest.fixture(params=["local", "embedded", "http"])
def backend(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _servers: None
) -> Iterator[Backend]:
    """Each of the three backends, in this process and in virtual time (tests/backends/places.py)."""
    from tests.backends import places

    for name, value in places.SIGNED.items():
        monkeypatch.setenv(name, value)
    made = places.Backend(request.param, tmp_path)
    yield made
    made.close()


def unit_of(node_id: str) -> str:
    """Return which tests stay together in one process of ``pytest -n``: those of a file.

    The conformance tests stay together whole: their last one looks at what all of them saw.
    """
    file = node_id.partition("::")[0]
    folder = file.rpartition("/")[0]
    return folder if folder.endswith("/conformance") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process of ``pytest -n`` one file after the other, in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling  # only where xdist is in use

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse names that differ between processes. With ``pytest -n``, begin with the files that start processes.

    A long file at the end would leave a core idle.
    """
    for item in items:
        if _ADDRESS.search(item.nodeid):
            raise pytest.UsageError(
                f"{item.nodeid} names an address, another one in each process: give its parameter an id"
            )
    if hasattr(config, "workerinput"):
        long = {unit_of(item.nodeid) for item in items if item.get_closest_marker("needs_processes")}
        items.sort(key=lambda item: unit_of(item.nodeid) not in long)


def told_skips(reasons: list[str], lines: int = SKIP_LINES) -> list[str]:
    """Say how many tests were skipped and why, the most frequent reason first, in so many lines."""
    counted = collections.Counter(" ".join(reason.removeprefix("Skipped: ").split())[:150] for reason in reasons)
    most = counted.most_common()
    if len(most) > lines:
        others = sum(number for _, number in most[lines - 1 :])
        most = [*most[: lines - 1], (f"other reasons ({len(counted) - lines + 1}): pytest -rs shows them", others)]
    return [f"{number} skipped: {reason}" for reason, number in most]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count what was skipped and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [r.longrepr[2] if isinstance(r.longrepr, tuple) else str(r.longrepr) for r in skipped]
    for line in told_skips(reasons):
        terminalreporter.write_line(line)
