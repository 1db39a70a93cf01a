"""Payloads and helpers of the process tests; importable, because children import them by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path


def eventually(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until a condition holds; fails the test when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)


def record(folder: str) -> None:
    """Leave pid and start time, then sleep until a signal comes."""
    Path(folder, f"{os.getpid()}").write_text(str(time.time()))
    time.sleep(60)


def record_and_finish(folder: str) -> None:
    Path(folder, f"{os.getpid()}").write_text("")


def record_and_die(folder: str) -> None:
    Path(folder, f"{os.getpid()}").write_text("")
    os.kill(os.getpid(), signal.SIGKILL)
