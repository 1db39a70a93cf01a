"""File locks of the server that runs and of the command that starts one. The kernel drops them with the process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from simpleflow.core import folders

#: seconds after which a wait is told, and between two tries
_PATIENCE = 1.0
_PAUSE = 0.02


def try_hold(path: Path) -> int | None:
    """Take a lock; return a descriptor that holds it until it is closed, or None when another process has it."""
    folders.make(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def held(path: Path, say: Callable[[str], object] = lambda line: None) -> Iterator[None]:
    """Wait for a lock and hold it; ``say`` gets one line when the wait is long, which names the holder."""
    tell_at: float | None = time.monotonic() + _PATIENCE
    while (descriptor := try_hold(path)) is None:
        if tell_at is not None and time.monotonic() > tell_at:
            tell_at = None
            say(f"waiting for {holder(path) or 'another process'}, which holds {path}")
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """Return the process that holds a lock, as text for a person; None where the system does not tell."""
    try:
        found = path.stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in lines:
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == place:
            return _process(words[4])
    return None


def _process(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        words = []
    command = " ".join(word.decode(errors="replace") for word in words)[:200]
    shown = "".join(letter if letter.isprintable() else "?" for letter in command)
    return f"process {pid} ({shown})" if shown else f"process {pid}"
