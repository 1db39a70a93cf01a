"""The database file: opened by one server at a time, migrated, its log copied into it, verified before each answer.

With ``synchronous=FULL`` what was answered survives a power cut. SQLite itself would wait for the disk inside COMMIT;
here its own level is NORMAL (a commit is written to the log, the log is flushed before it is copied), and ``flush``
waits for the log, so that the thread that serves calls can go on meanwhile. Without the flush, which is what NORMAL
means, a power cut or a crash of the operating system may lose the last commits; ``kill -9`` loses none.

The row ``log`` of the table ``meta`` says which log belongs to the file, so that SQLite never replays another one
(a backup that was copied over the file while the log of a killed server lay beside it would be destroyed):

- a number: the salt of the log that begins when the log before it is copied completely; written just before each copy
- ``begins``: a server has begun, and its log was never copied

A server that ends in order leaves a file that keeps no log, which its header says.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from simpleflow.core import folders

from . import base, files, rows, schema, wal

_LOG = logging.getLogger(__name__)
#: macOS has no fdatasync
_flush: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)
#: frames (pages of 4 kB) in the write-ahead log before they are copied into the database
_CHECKPOINT_FRAMES: Final = 4000
#: frames after which a copy that could not be completed is tried again
_TRY_AGAIN: Final = 1000
#: where the log's index holds the number of its frames
_FRAMES: Final = (struct.Struct("=I"), 16)
#: bytes of the log's head and of a frame's, and by how many bytes the log is made longer
_LOG_HEAD, _FRAME_HEAD, _ROOM = 32, 24, 1 << 18
_BEGINS: Final = "begins"
#: what a log begins with that was cut and then written on
_HOLE: Final = bytes(4)


class File(rows.Rows):
    """``base.Store`` in a file that this process holds for itself."""

    def __init__(self, connection: sqlite3.Connection, held: files.Held, *, full: bool) -> None:
        super().__init__(connection)
        self.path = held.path
        self._held = held
        self._full = full
        #: whether the server that had it before ended in order
        self.was_clean = True
        #: what a check found, until a person accepts it; empty: nothing
        self.damage = ""
        #: descriptors of the write-ahead log and of its index; they are closed after SQLite's own
        self._log = self._index = -1
        self._copy_at = _CHECKPOINT_FRAMES
        #: frames that the log has room for, and the bytes of each
        self._room = 0
        self._frame = _FRAME_HEAD + int(self._execute("PRAGMA page_size").fetchone()[0])

    def begin(self, found: int, *, log_exists: bool) -> None:
        """Bring the tables up to date, and mark the file as open before there is a log of it."""
        execute = self._execute
        if not log_exists:
            execute("PRAGMA journal_mode = DELETE")
        migrate(self._connection, found)
        was = dict(execute("SELECT name, value FROM meta WHERE name IN ('clean', 'damage')").fetchall())
        self.was_clean, self.damage = bool(was.get("clean", 1)), was.get("damage", "")
        if not log_exists:
            execute("BEGIN IMMEDIATE")
            execute("INSERT OR REPLACE INTO meta VALUES('clean', 0), ('log', ?)", (_BEGINS,))
            execute("COMMIT")
        execute("PRAGMA journal_mode = WAL")
        execute("INSERT OR REPLACE INTO meta VALUES('clean', 0)")
        names = [Path(f"{self.path}{suffix}") for suffix in ("-wal", "-shm")]
        self._log, self._index = (os.open(name, os.O_RDWR | os.O_CLOEXEC) for name in names)
        for name in names:
            self._held.watch(name)
        os.fsync(self._log)
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self._copy()

    def commit(self) -> None:
        if self.dirty:
            super().commit()
            self.unflushed = True
            frames = self._frames()
            if frames >= self._copy_at:
                self._copy()
            elif self._full and frames >= self._room:
                self._make_room(frames)

    def flush(self) -> None:
        """Wait for the disk. Raises ``files.Moved`` when the files are not where they were: nobody would find them."""
        if self._full:
            _flush(self._log)
        self.verify()

    def verify(self) -> None:
        """Raise ``files.Moved`` when the files are not where they were, or hold something else."""
        self._held.verify()
        if os.pread(self._log, 4, 0) == _HOLE:
            raise files.Moved(errno.ESTALE, f"{self.path}-wal was cut while the service had it open")

    def mark_damaged(self, found: str) -> None:
        """Remember, also for the next server, that a check found damage; empty: a person has accepted it."""
        self.damage = found
        with contextlib.suppress(sqlite3.Error):
            self._execute("INSERT OR REPLACE INTO meta VALUES('damage', ?)", (found,))

    def _make_room(self, frames: int) -> None:
        """Make the log longer, by zeros behind its end, so that not every flush has to store a new length, too.

        SQLite writes the log on this thread only, and reads no further than to the first frame that is none.
        """
        end = os.fstat(self._log).st_size
        if end < _LOG_HEAD + frames * self._frame + _ROOM // 2:
            with contextlib.suppress(OSError):  # A full disk is noticed by the next commit.
                end += os.pwrite(self._log, bytes(_ROOM), end)
        self._room = max((end - _ROOM // 4) // self._frame, frames + 1)

    def _frames(self) -> int:
        form, place = _FRAMES
        return int(form.unpack(os.pread(self._index, form.size, place))[0])

    def _copy(self) -> None:
        """Copy the log into the database. What cannot be copied now (a reader, a full disk) stays in the log."""
        self._copy_at = self._frames() + _TRY_AGAIN
        try:
            self.verify()
        except files.Moved:
            return  # flush() says so; a copy would spoil what came into the place
        salt = int.from_bytes(os.pread(self._log, 4, 16), "big")
        with contextlib.suppress(sqlite3.Error):
            self._execute("INSERT OR REPLACE INTO meta VALUES('log', ?)", (wal.following(salt),))
            _, frames, copied = self._execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if frames == copied:
                self._copy_at = _CHECKPOINT_FRAMES
        self._held.settle()

    def close(self, *, clean: bool = True) -> None:
        """Mark the end as orderly unless it was not, empty the write-ahead log and let others open the file."""
        try:
            self.rollback()
            # A full disk or a reader keeps the log where it is: the next server goes on with it.
            with contextlib.suppress(sqlite3.Error, files.Moved):
                self.verify()
                self._copy()
                self._execute("INSERT OR REPLACE INTO meta VALUES('clean', ?)", (int(clean),))
                self._execute("PRAGMA journal_mode = DELETE")
        finally:
            self.release()

    def release(self) -> None:
        """Close the files as they are, in the order that keeps SQLite's locks until it has closed its own."""
        self._connection.close()
        for descriptor in (self._log, self._index):
            if descriptor >= 0:
                os.close(descriptor)
        self._log = self._index = -1
        self._held.close()


def open_file(
    path: str | os.PathLike[str],
    *,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    fresh: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> File:
    """Open, or make, a database; ``fresh`` deletes what is there, if it is ours and no other server has it.

    ``say`` gets a line about what is deleted. Raises StoreError for a file that is in use, newer, damaged, of another
    program, or that lies beside a log which does not belong to it. Such files stay as they are.
    """
    place = folders.real(path)
    try:
        held = files.hold(place)
    except OSError as error:
        raise base.StoreError(
            f"{place} cannot be used ({error.strerror or error}): name a file that this user may write with --db"
        ) from error
    connection = None
    try:
        if fresh:
            _empty(held, say)
        log_exists = _look(held)
        held.make_private()
        connection = sqlite3.connect(place, isolation_level=None, cached_statements=512, check_same_thread=False)
        return _prepare(connection, held, log_exists=log_exists, full=synchronous == "FULL")
    except BaseException as error:
        if connection is not None:
            connection.close()
        held.give_up()
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise base.StoreError(f"another program has {place} open: end it, and start the server again") from error
        if isinstance(error, sqlite3.Error):
            raise base.StoreError(
                f"{place} is damaged ({error}): restore a backup (simpleflow server restore FILE), or name another "
                "database with --db"
            ) from error
        raise


def _empty(held: files.Held, say: Callable[[str], object]) -> None:
    """Delete a database of ours. Raises StoreError when it is not one."""
    header = held.header()
    if not header:
        return
    if not files.is_ours(held.path, header):
        raise base.StoreError(
            f"{held.path} is not a database of the embedded service, and --reset deletes nothing else: name another "
            "file with --db, or delete this one yourself"
        )
    say(f"# --reset: the executions of {folders.shown(held.path)} are deleted{_contents(held.path)}.")
    held.empty()


def _contents(path: Path) -> str:
    """How much a database holds, for a person to read; empty where it cannot be read."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(read_only(path)) as connection:
        closed, still_open = connection.execute(
            "SELECT count(closed), count(*) - count(closed) FROM executions"
        ).fetchone()
        return f" ({still_open} open, {closed} closed)"
    return ""


def _look(held: files.Held) -> bool:
    """Return whether SQLite will replay a log. Raises StoreError for a file that it should not open at all."""
    place, header = held.path, held.header()
    log = wal.read(Path(f"{place}-wal"))
    if not header:
        for suffix in files.BESIDE[:2]:
            beside = Path(f"{place}{suffix}")
            if beside.exists() and beside.stat().st_size:
                raise base.StoreError(f"{beside} lies beside an empty place: bring its database back, or move it away")
        return False
    if not files.is_ours(place, header):
        raise base.StoreError(
            f"{place} is not a database of the embedded service, but another program's file: name another with --db"
        )
    if log is None:
        if files.keeps_a_log(header):
            _look_without_log(place)
    elif not _belongs(log, place, header):
        raise base.StoreError(_foreign(log, place))
    return log is not None


def foreign_log(place: Path, header: bytes) -> str:
    """Say that the log beside a database does not belong to it; '' when it does, or none is there.

    A program that opens such a database, even only to read it, sees values that were never written to it.
    """
    log = wal.read(Path(f"{place}-wal"))
    return _foreign(log, place) if log is not None and not _belongs(log, place, header) else ""


def _foreign(log: wal.Log, place: Path) -> str:
    return (
        f"the log {log.path} does not belong to {place}: the database was replaced while the log of a server that "
        "was killed lay beside it. Bring the database back to which the log belongs; to go on with a backup: "
        f"simpleflow server restore BACKUP --db {place}"
    )


def _belongs(log: wal.Log, place: Path, header: bytes) -> bool:
    if not files.keeps_a_log(header):
        return False
    expected = _expected(place)
    return not isinstance(expected, int) or wal.steps(log.salt, expected) in (-1, 0)


def _look_without_log(place: Path) -> None:
    if not isinstance(_expected(place), int):
        return
    if place.stat().st_nlink > 1:
        raise base.StoreError(
            f"{place} has another name (a hard link), and its log lies beside that one: start the server with the "
            "other name, or delete that one when you do not need its log"
        )
    _LOG.warning(
        "The server that had %s was killed, and its log %s-wal is gone. Unless another program (the sqlite3 shell) "
        "copied it into the database, the last answers are missing",
        place,
        place,
    )


def _expected(place: Path) -> int | str | None:
    """The row ``log`` of the file itself, whatever a log says; None where there is none or it cannot be read."""
    try:
        with contextlib.closing(sqlite3.connect(f"{place.as_uri()}?immutable=1", uri=True)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE name='log'").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else row[0]


def _prepare(connection: sqlite3.Connection, held: files.Held, *, log_exists: bool, full: bool) -> File:
    execute = connection.execute
    execute("PRAGMA busy_timeout = 5000")
    found = execute("PRAGMA user_version").fetchone()[0]
    if found > schema.VERSION:
        raise base.StoreError(
            f"{held.path} was written by a newer simpleflow (version {found} of its tables, this one knows "
            f"{schema.VERSION}): install that one, or name another database with --db"
        )
    execute("PRAGMA synchronous = NORMAL")
    execute("PRAGMA wal_autocheckpoint = 0")
    execute(f"PRAGMA journal_size_limit = {files.LONGEST_LOG}")
    execute("PRAGMA temp_store = MEMORY")
    execute("PRAGMA cache_size = -16000")
    if not found:
        execute("PRAGMA journal_mode = DELETE")
        migrate(connection, found)
    opened = File(connection, held, full=full)
    try:
        opened.begin(found or schema.VERSION, log_exists=log_exists)
    except BaseException:
        opened.release()
        raise
    return opened


def migrate(connection: sqlite3.Connection, found: int) -> None:
    """Bring the tables from version ``found`` to this one's, each step in one transaction."""
    for version in range(found, schema.VERSION):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in schema.MIGRATIONS[version]:
                connection.execute(statement)
            if version == schema.BLOBS:
                rows.refer_all(connection)
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def read_only(path: str | os.PathLike[str]) -> sqlite3.Connection:
    """Open a database that a server may have open. Raises StoreError when there is none."""
    place = folders.real(path)
    if not place.is_file():
        raise base.StoreError(f"there is no database {place}: name one with --db")
    connection = sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection
