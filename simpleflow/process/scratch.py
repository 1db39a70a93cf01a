"""Folders with short names, for sockets. The next process removes the folder of a killed one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

PREFIX = "sfn-"
_LOCK = ".lock"


class Scratch:
    """A folder of this process, for as long as it holds the lock in it."""

    def __init__(self) -> None:
        sweep()
        made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
        self._descriptor = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Nobody sees it under the name that is swept before it is locked.
        self.path = made.with_name(made.name.removeprefix("."))
        made.rename(self.path)

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def sweep() -> None:
    """Remove folders of this user whose process is gone. Other folders, and unreadable ones, stay."""
    for each in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = each.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and _left(each / _LOCK):
                shutil.rmtree(each, ignore_errors=True)


def _left(lock: Path) -> bool:
    """Return whether no process holds the lock. Raises FileNotFoundError for a folder of another program."""
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
