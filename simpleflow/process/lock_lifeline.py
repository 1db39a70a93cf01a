"""Ends this process and all below it when the supervisor of its cluster is gone.

The supervisor holds an exclusive file lock for as long as it lives; the kernel releases it whatever kills it. A
process that depends on it waits for the lock in a thread of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from pathlib import Path

import psutil

#: seconds between TERM and KILL
_PATIENCE = 1.0


class Lifeline:
    """The supervisor's side: hold the lock. Raises BlockingIOError when a supervisor lives already."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise

    def lost(self) -> bool:
        """Return whether its file was removed or replaced, so that nothing finds this supervisor by it."""
        try:
            return not os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False

    def release(self) -> None:
        """Let go: everything that watches ends."""
        os.close(self._descriptor)


def held(path: str | Path) -> bool:
    """Tell whether a living process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def watch(path: str | Path) -> None:
    """End this process and its child processes as soon as nobody holds the lock (at once when nobody does)."""
    threading.Thread(target=_wait, args=(str(path),), name="lifeline", daemon=True).start()


def _wait(path: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    end_with_children()


def end_with_children() -> None:
    """TERM, then KILL every process below this one; then this one."""
    below = psutil.Process().children(recursive=True)
    for process in below:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(below, timeout=_PATIENCE)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    os._exit(3)
