"""What a person does with a database besides serving it: back it up, restore a backup, check it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from simpleflow.core import folders

from . import base, files, schema, sqlite

#: a value in a folder, as docs/reference/formats.md writes it: folder, digest, size
_BLOB: Final = re.compile(rb"simpleflow\+file://([^\s\"\\]*)/([0-9a-f]{64}) ([0-9]+)")


def backup(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a database, also one that a server has open, as of one moment, for its owner's eyes only.

    Raises StoreError when the copy fails.
    """
    goal = Path(os.path.abspath(folders.expanded(target)))
    if os.path.lexists(goal):
        raise base.StoreError(f"{goal} exists: a backup overwrites nothing, name another file")
    part = goal.with_name(f"{goal.name}.{os.getpid()}.part")
    try:
        _copy(folders.real(path), part)
        _name(part, goal)
        _remove(part)
        _sync_folder(goal.parent)
    except base.StoreError:
        _remove(part)
        raise
    except FileExistsError as error:
        _remove(part)
        raise base.StoreError(f"{goal} exists: a backup overwrites nothing, name another file") from error
    except (sqlite3.Error, OSError) as error:
        _remove(part)
        reason = getattr(error, "strerror", None) or error
        raise base.StoreError(f"the backup to {goal} failed ({reason}): nothing was left behind") from error


def restore(backup_file: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path | None:
    """Put a backup in a database's place; return where the old database lies now, None when there was none.

    Nothing is deleted: the old files get other names beside it. Raises StoreError, with everything as it was, for a
    backup that is damaged or not one of ours, and while a server has the database.
    """
    place, source = folders.real(path), folders.real(backup_file)
    if source == place:
        raise base.StoreError(f"{source} is the database itself: name the backup to restore")
    wrong = list(check(source, blobs=False))
    if wrong:
        raise base.StoreError(f"{source} is not restored: {wrong[0]}")
    try:
        held = files.hold(place)
    except OSError as error:
        raise base.StoreError(f"{place} cannot be replaced ({error.strerror or error})") from error
    part = place.with_name(f"{place.name}.{os.getpid()}.part")
    try:
        if files.is_of_another_program(place, held.header()):
            raise base.StoreError(f"{place} is another program's database: name where the backup goes with --db")
        _copy(source, part)
        aside = None if held.made else _put_aside(place)
        os.replace(part, place)
        held.made = False  # what lies there now is the backup
        _sync_folder(place.parent)
    except (sqlite3.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise base.StoreError(f"{source} could not be restored to {place} ({reason})") from error
    finally:
        _remove(part)
        held.give_up()
    return aside


def _copy(source_path: Path, part: Path) -> None:
    """Write a copy of a database of ours to a new file, and have the disk keep it."""
    header = files.header_of(source_path)
    if not files.is_ours(source_path, header):
        raise base.StoreError(f"{source_path} is not a database of the embedded service: name one with --db")
    if foreign := sqlite.foreign_log(source_path, header):
        raise base.StoreError(foreign)
    _remove(part)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(sqlite.read_only(source_path)) as source, contextlib.closing(sqlite3.connect(part)) as copy:
        source.backup(copy)
        # one file, which can be read where nothing can be written
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("DELETE FROM meta WHERE name IN ('log', 'damage')")
        copy.commit()
    with part.open("rb") as file:
        os.fsync(file.fileno())


def _put_aside(place: Path) -> Path | None:
    """Give a database and its log other names beside it. The log goes first: it must not meet another database."""
    aside = place.with_name(f"{place.name}.before-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
    empty = not place.stat().st_size
    for suffix in files.BESIDE:
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{place}{suffix}", f"{aside}{suffix}")
    if empty:
        return None
    _name(place, aside)  # where it can have two names, the backup takes the old one in one step
    return aside


def _name(path: Path, name: Path) -> None:
    """Give a file a new name, which nobody may have; where a file can have one name only, it loses the old one."""
    try:
        os.link(path, name)
    except PermissionError:  # FAT, say
        if os.path.lexists(name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(name)) from None
        os.rename(path, name)


def _remove(place: Path) -> None:
    """Remove a file of our own, and what SQLite keeps beside it."""
    for suffix in ("", *files.BESIDE):
        Path(f"{place}{suffix}").unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def quick_check(path: str | os.PathLike[str]) -> Iterator[str]:
    """Give each problem that SQLite sees without comparing indexes with tables."""
    with contextlib.closing(sqlite.read_only(path)) as connection:
        for (line,) in connection.execute("PRAGMA quick_check"):
            if line != "ok":
                yield line


def check(path: str | os.PathLike[str], *, blobs: bool = True) -> Iterator[str]:
    """Give each problem of a database: what SQLite sees, rows that contradict each other, values that are gone.

    ``blobs``: read the values that histories refer to in folders as well.
    """
    place = folders.real(path)
    header = files.header_of(place)
    if not files.is_ours(place, header):
        yield "it is not a database of the embedded service"
        return
    if foreign := sqlite.foreign_log(place, header):
        yield foreign
        return
    try:
        with contextlib.closing(sqlite.read_only(place)) as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > schema.VERSION:
                yield f"its tables have version {found}; this program knows {schema.VERSION}"
                return
            connection.execute("BEGIN")
            for (line,) in connection.execute("PRAGMA integrity_check"):
                if line != "ok":
                    yield line
            for words, statement in _RULES:
                for (key,) in connection.execute(statement):
                    yield f"execution {key}: {words}"
            if blobs:
                yield from _check_blobs(connection)
    except sqlite3.Error as error:
        yield f"it cannot be read: {error}"


def _check_blobs(connection: sqlite3.Connection) -> Iterator[str]:
    """Give each value in a folder that a history refers to and that is gone, or is not what was stored."""
    seen: set[bytes] = set()
    words = "SELECT key >> 16, body FROM events WHERE instr(body, ?)"
    for key, body in connection.execute(words, (b"simpleflow+file://",)):
        for match in _BLOB.finditer(body):
            if match[0] in seen:
                continue
            seen.add(match[0])
            folder, digest = urllib.parse.unquote(match[1].decode()), match[2].decode()
            try:
                with (Path(folder) / digest).open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                yield f"execution {key}: the value {folder}/{digest} cannot be read ({error.strerror})"
                continue
            if content != digest:
                yield f"execution {key}: the value {folder}/{digest} is not what was stored"


def refers(path: Path, digest: str) -> bool:
    """Whether a history of a database refers to a value. Raises sqlite3.Error and StoreError when it cannot be told."""
    with contextlib.closing(sqlite.read_only(path)) as connection:
        return connection.execute("SELECT 1 FROM blobs WHERE digest=?", (digest,)).fetchone() is not None


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
