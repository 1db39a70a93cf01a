"""The files of a database: whose they are, who has them, and whether they are still where they were opened."""

from __future__ import annotations

import collections
import contextlib
import errno
import fcntl
import os
import stat
import struct
from pathlib import Path
from typing import Final

from simpleflow.core import folders

from . import base, schema, wal

#: what SQLite keeps beside a database
BESIDE: Final = ("-journal", "-wal", "-shm")
#: bytes of a log that stay when SQLite begins it anew; a longer one is cut to this
LONGEST_LOG: Final = 64 << 20
_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = 100
_APPLICATION_ID: Final = struct.Struct(">68xI")


class Moved(OSError):
    """A file that the service has open is not at its path any more, or holds something else."""


class Held:
    """The database file, locked by this process. The kernel drops the lock with the process, however it ends.

    The lock is one of ``flock``: SQLite's own locks are POSIX locks, which are independent of it on Linux. The
    descriptor must be closed after SQLite's: closing it earlier would drop SQLite's locks on the same file.
    """

    def __init__(self, path: Path, descriptor: int, *, made: bool) -> None:
        self.path = path
        self._descriptor = descriptor
        #: whether the file was made here, and nothing was written to it
        self.made = made
        #: each file that has to stay where it is: device and inode
        self._places: dict[str, tuple[int, int]] = {}
        #: bytes that each of them had at least
        self._sizes: dict[str, int] = {}
        #: what the database begins with, which only a copy of the log into it changes
        self._begins = b""
        self.watch(path)

    def watch(self, path: Path) -> None:
        """Expect this file at its path from now on."""
        found = os.stat(path)
        self._places[str(path)] = (found.st_dev, found.st_ino)
        self._sizes[str(path)] = 0

    def settle(self) -> None:
        """Expect the database to begin from now on as it does now."""
        self._begins = self.header()

    def verify(self) -> None:
        """Raise Moved when a file was deleted, renamed, replaced, cut or overwritten: nobody would find what is written
        to it."""
        for path, place in self._places.items():
            try:
                found = os.stat(path)
            except OSError as error:
                raise Moved(error.errno, f"{path} was deleted or renamed while the service had it open") from error
            if (found.st_dev, found.st_ino) != place:
                raise Moved(errno.ESTALE, f"{path} was replaced by another file while the service had it open")
            if found.st_size < self._sizes[path]:
                raise Moved(errno.ESTALE, f"{path} was cut while the service had it open")
            self._sizes[path] = min(found.st_size, LONGEST_LOG)
        if self._begins and self.header() != self._begins:
            raise Moved(errno.ESTALE, f"{self.path} was overwritten while the service had it open")

    def header(self) -> bytes:
        """The first bytes of the file, without what only the log has."""
        return os.pread(self._descriptor, _HEADER, 0)

    def make_private(self) -> None:
        """Take every right of others to a file of ours away."""
        if os.fstat(self._descriptor).st_mode & 0o077:
            os.fchmod(self._descriptor, 0o600)

    def empty(self) -> None:
        """Delete what the database and its log hold; the file itself stays, and stays locked."""
        for suffix in BESIDE:  # the log first: a log without its database must not be left behind
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def give_up(self) -> None:
        """Close it after a failure; a file that was made for nothing is deleted."""
        if self._descriptor < 0:
            return
        if self.made and not os.fstat(self._descriptor).st_size:
            self.path.unlink(missing_ok=True)
        self.close()


def hold(place: Path) -> Held:
    """Open and lock a database file; makes it when it is missing. Raises StoreError, OSError.

    Whose file it is shows later: until then nothing of it changes, its mode included.
    """
    folders.make(place.parent)
    if folders.writable_by_others(place.parent.stat()):
        raise base.StoreError(
            f"other users may replace what lies in {place.parent}: take the right away (chmod go-w), or name a file in "
            "a folder of your own with --db"
        )
    for each in (place, *(Path(f"{place}{suffix}") for suffix in BESIDE)):
        _check_one(each)
    while True:
        made = not place.exists()
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(place), os.fstat(descriptor)):
                    return Held(place, descriptor, made=made)
        except BlockingIOError:
            os.close(descriptor)
            raise base.StoreError(
                f"{place} is open in another server: use that one (simpleflow server status), stop it (simpleflow "
                "server stop), or name another database with --db"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # another process has just replaced the file


def _check_one(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise base.StoreError(f"{path} is not a file: name a file with --db, or move it away")
    if found.st_uid != os.getuid():
        raise base.StoreError(f"{path} belongs to another user (uid {found.st_uid}): name a file of your own with --db")


def header_of(path: Path) -> bytes:
    """The first bytes of a file; not for one that SQLite has open in this process, which would lose its locks.

    Raises StoreError when there is no such file.
    """
    if not path.is_file():
        raise base.StoreError(f"there is no database {path}: name one with --db")
    with path.open("rb") as file:
        return file.read(_HEADER)


def is_ours(path: Path, header: bytes) -> bool:
    """Whether a file with this header is a database of the embedded service; what its log says counts as well."""
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        return False
    if _APPLICATION_ID.unpack_from(header)[0] == schema.APPLICATION_ID:
        return True
    log = wal.read(Path(f"{path}-wal"))
    if log is None:
        return False
    last = collections.deque(log.first_pages(), maxlen=1)
    return bool(last) and _APPLICATION_ID.unpack_from(last[0])[0] == schema.APPLICATION_ID


def is_of_another_program(path: Path, header: bytes) -> bool:
    """Whether a file with this header is a SQLite database that the embedded service never wrote."""
    return header.startswith(_MAGIC) and not is_ours(path, header)


def keeps_a_log(header: bytes) -> bool:
    """Whether a database with this header has a write-ahead log."""
    return len(header) >= _HEADER and header[18:20] == b"\2\2"
