"""The database file: opened by one server at a time, migrated, checked after an unclean stop, backed up.

With ``synchronous=FULL`` what was answered survives a power cut. SQLite itself would wait for the disk inside COMMIT;
here its own level is NORMAL (a commit is written to the log, the log is flushed before it is copied), and ``flush``
waits for the log, so that the thread that serves calls can go on meanwhile. Without the flush, which is what NORMAL
means, a power cut or a crash of the operating system may lose the last commits; ``kill -9`` loses none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, Literal

from . import base, rows, schema

#: macOS has no fdatasync
_flush: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)
#: pages of 4 kB in the write-ahead log before they are copied into the database
_CHECKPOINT_PAGES = 4000


class File(rows.Rows):
    """``base.Store`` in a file that this process holds for itself."""

    def __init__(
        self, connection: sqlite3.Connection, *, path: Path, lock: IO[bytes], clean: bool, log: int | None
    ) -> None:
        super().__init__(connection)
        self.path = path
        #: descriptor of the write-ahead log, when commits wait for the disk
        self._log = log
        #: whether the server that had it before ended in order
        self.was_clean = clean
        self._lock = lock

    def commit(self) -> None:
        if self.dirty:
            super().commit()
            self.unflushed = self._log is not None

    def flush(self) -> None:
        if self._log is not None:
            _flush(self._log)

    def close(self, *, clean: bool = True) -> None:
        """Mark the end as orderly unless it was not, empty the write-ahead log and let others open the file."""
        try:
            self.rollback()
            # a full disk keeps the mark away: the next server will check the file, which is right
            with contextlib.suppress(sqlite3.Error):
                if clean:
                    self._execute("UPDATE meta SET value=1 WHERE name='clean'")
                self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._connection.close()
            self._lock.close()
            if self._log is not None:
                os.close(self._log)
                self._log = None


def open_file(
    path: str | os.PathLike[str], *, synchronous: Literal["FULL", "NORMAL"] = "FULL", fresh: bool = False
) -> File:
    """Open, or make, a database; ``fresh`` deletes what is there, unless another server has it.

    Raises StoreError for one that is in use, newer, damaged, or no database of ours.
    """
    place = Path(path).expanduser().resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(place)
    except OSError as error:
        raise base.StoreError(
            f"{place} cannot be used ({error.strerror or error}): name a file that this user may write with --db"
        ) from error
    connection = None
    try:
        if fresh:
            _remove(place)
        connection = sqlite3.connect(place, isolation_level=None, cached_statements=512, check_same_thread=False)
        return _prepare(connection, place, lock, synchronous)
    except BaseException as error:
        if connection is not None:
            connection.close()
        lock.close()
        if isinstance(error, sqlite3.Error):
            raise base.StoreError(
                f"{place} is no database of the embedded service, or is damaged ({error}): move it away, restore a "
                "backup, or name another with --db"
            ) from error
        raise


def _remove(place: Path) -> None:
    """Remove a database and what SQLite keeps beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{place}{suffix}").unlink(missing_ok=True)


def _lock(place: Path) -> IO[bytes]:
    """Take the lock that says which server has the database; the kernel drops it with the process, however it ends."""
    lock: IO[bytes] = open(f"{place}.lock", "ab")  # noqa: SIM115  held as long as the store is open
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise base.StoreError(
            f"{place} is open in another server: use that one (server.status), stop it (server.stop), or name another "
            "database with --db"
        ) from None
    return lock


def _prepare(connection: sqlite3.Connection, place: Path, lock: IO[bytes], synchronous: str) -> File:
    execute = connection.execute
    found = execute("PRAGMA user_version").fetchone()[0]
    mark = execute("PRAGMA application_id").fetchone()[0]
    empty = execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if not empty and mark != schema.APPLICATION_ID:
        raise base.StoreError(f"{place} is another program's database: name another with --db")
    if found > schema.VERSION:
        raise base.StoreError(
            f"{place} was written by a newer simpleflow (version {found} of its tables, this one knows "
            f"{schema.VERSION}): install that one, or name another database with --db"
        )
    execute("PRAGMA journal_mode = WAL")
    execute("PRAGMA synchronous = NORMAL")
    execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    execute("PRAGMA journal_size_limit = 67108864")
    execute("PRAGMA temp_store = MEMORY")
    execute("PRAGMA cache_size = -16000")
    execute("PRAGMA busy_timeout = 5000")
    migrate(connection, found)
    row = execute("SELECT value FROM meta WHERE name='clean'").fetchone()
    execute("INSERT OR REPLACE INTO meta VALUES('clean', 0)")
    log = None
    if synchronous == "FULL":
        log = os.open(f"{place}-wal", os.O_RDONLY)
        os.fsync(log)
        folder = os.open(place.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    return File(connection, path=place, lock=lock, clean=row is None or bool(row[0]), log=log)


def migrate(connection: sqlite3.Connection, found: int) -> None:
    """Bring the tables from version ``found`` to this one's, each step in one transaction."""
    for version in range(found, schema.VERSION):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in schema.MIGRATIONS[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _read_only(path: str | os.PathLike[str]) -> sqlite3.Connection:
    place = Path(path).expanduser().resolve()
    if not place.is_file():
        raise base.StoreError(f"there is no database {place}: name one with --db")
    connection = sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def backup(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a database, also one that a server has open, as of one moment, for its owner's eyes only.

    Raises StoreError when the copy fails.
    """
    goal = Path(target).expanduser().resolve()
    if goal.exists():
        raise base.StoreError(f"{goal} exists: a backup overwrites nothing, name another file")
    part = goal.with_name(goal.name + ".part")
    try:
        _remove(part)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with contextlib.closing(_read_only(path)) as source, contextlib.closing(sqlite3.connect(part)) as copy:
            if source.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
                raise base.StoreError(f"{path} is no database of the embedded service: name one with --db")
            source.backup(copy)
            # one file, which can be read where nothing can be written
            copy.execute("PRAGMA journal_mode = DELETE")
        os.replace(part, goal)
    except base.StoreError:
        _remove(part)
        raise
    except (sqlite3.Error, OSError) as error:
        _remove(part)
        reason = getattr(error, "strerror", None) or error
        raise base.StoreError(f"the backup to {goal} failed ({reason}): nothing was left behind") from error


def quick_check(path: str | os.PathLike[str]) -> Iterator[str]:
    """Give each problem that SQLite sees without comparing indexes with tables."""
    with contextlib.closing(_read_only(path)) as connection:
        for (line,) in connection.execute("PRAGMA quick_check"):
            if line != "ok":
                yield line


def check(path: str | os.PathLike[str]) -> Iterator[str]:
    """Give each problem of a database: what SQLite sees, and rows that contradict each other."""
    try:
        with contextlib.closing(_read_only(path)) as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if connection.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
                yield "it is no database of the embedded service"
                return
            if found != schema.VERSION:
                yield f"its tables have version {found}; this program knows {schema.VERSION}"
                return
            connection.execute("BEGIN")
            for (line,) in connection.execute("PRAGMA integrity_check"):
                if line != "ok":
                    yield line
            for words, statement in _RULES:
                for (key,) in connection.execute(statement):
                    yield f"execution {key}: {words}"
    except sqlite3.Error as error:
        yield f"it cannot be read: {error}"


#: what must not be found; each statement gives the keys of executions (16 is base.EVENT_BITS)
_RULES = (
    (
        "open, but without a state",
        "SELECT key FROM executions WHERE closed IS NULL AND key NOT IN (SELECT key FROM states)",
    ),
    (
        "closed or unknown, but with a state",
        "SELECT key FROM states WHERE key NOT IN (SELECT key FROM executions WHERE closed IS NULL)",
    ),
    (
        "closed or unknown, but with open items",
        "SELECT DISTINCT key >> 16 FROM items WHERE key >> 16 NOT IN (SELECT key FROM states)",
    ),
    (
        "its event ids have gaps",
        "SELECT key >> 16 FROM events GROUP BY 1 HAVING max(key & 65535) != count(*)",
    ),
    (
        "open twice under one workflow id",
        "SELECT max(key) FROM executions WHERE closed IS NULL GROUP BY domain, workflow_id HAVING count(*) > 1",
    ),
)
