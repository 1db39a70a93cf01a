"""Files of ours: their owner's alone whatever the umask, and on the disk before anything refers to them.

Every file that must outlive a power cut is written by ``replace``: content synced, renamed into place, the folder
synced. Every folder of ours is made by ``folder``, which syncs the entries of what it makes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from simpleflow.core.errors import UsageError

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600


def folder(path: Path) -> Path:
    """Make a folder and what misses above it, for their owner alone and durable. One that is there is checked.

    Raises UsageError for a folder that belongs to somebody else, or into which others may write.
    """
    try:
        os.mkdir(path, _PRIVATE_FOLDER)
    except FileExistsError:
        check(path)
        return path
    except FileNotFoundError:
        _above(path.parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, _PRIVATE_FOLDER)
    # A umask can take rights away from their owner, too.
    os.chmod(path, _PRIVATE_FOLDER)
    sync(path.parent)
    return path


def _above(path: Path) -> None:
    """Make the folders above one of ours; what is there belongs to others and is left as it is."""
    if not path.is_dir():
        folder(path)


def check(path: Path) -> None:
    """Hold a folder for its owner alone: one that others may only read is closed, anything else is refused."""
    found = os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{path} is a file where a folder of simpleflow is to be; move it away")
    if found.st_uid != os.geteuid():
        raise UsageError(
            f"{path} belongs to user {found.st_uid}, not to you ({os.geteuid()}): what lies there is not read or "
            "written for you. Name a folder of your own (SIMPLEFLOW_DATA_DIR, SIMPLEFLOW_RUNTIME_DIR, or `store` in "
            "the cluster file)"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        raise UsageError(
            f"others may write into {path} (mode {mode:04o}), so what lies there cannot be trusted: look at it, then "
            f"`chmod 700 {path}`"
        )
    if mode & 0o077:
        os.chmod(path, _PRIVATE_FOLDER)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[int]:
    """Hold the exclusive lock of a file, and make the file where it is missing; the value is its descriptor.

    Raises BlockingIOError when another holds the lock and ``wait`` is false. The kernel releases the lock with its
    process, however that ends.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield descriptor
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes, *, by_way_of: Path | None = None) -> os.stat_result:
    """Replace a file at once and durably: readers and a power cut see old or new. Returns what the new one is.

    The new content is written in the folder ``by_way_of`` first (default: beside the file, as ``~NAME.RANDOM``).
    """
    temporary = (by_way_of or path.parent) / f"~{path.name[:64]}.{secrets.token_hex(8)}"
    try:
        descriptor = create(temporary)
        try:
            _write(descriptor, content)
            os.fsync(descriptor)
            made = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync(path.parent)
    return made


def create(path: Path) -> int:
    """Open a new file for its owner alone; raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_FILE)
    os.fchmod(descriptor, _PRIVATE_FILE)
    return descriptor


def remove(path: Path) -> None:
    """Remove a file durably; absent is not an error."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    sync(path.parent)


def log(path: Path) -> IO[bytes]:
    """Open a log of ours to append to it, closed to others from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
        os.fchmod(descriptor, _PRIVATE_FILE)
    return os.fdopen(descriptor, "ab")


def sync(path: Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # File systems that order entries themselves refuse it for folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
