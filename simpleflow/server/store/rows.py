"""Store over one SQLite connection: every statement that the service makes."""

from __future__ import annotations

import math
import re
import secrets
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from . import base, unwritten

_R = TypeVar("_R")

_TABLES: Final = unwritten.TABLES
# The table is not a value that SQLite could bind.
_COUNT: Final = {t: f"SELECT count(*) FROM {t} WHERE list=?" for t in _TABLES}  # noqa: S608  own
_DUE: Final = {
    t: f"SELECT due, key FROM {t} WHERE due IS NOT NULL AND due<=? ORDER BY due, key LIMIT ?"  # noqa: S608  own
    for t in _TABLES
}
_COUNT_OPEN: Final = "SELECT count(*) FROM executions INDEXED BY executions_open WHERE domain=? AND closed IS NULL"
_SEQ: Final = {t: f"SELECT max(seq) FROM {t} WHERE list IS NOT NULL" for t in _TABLES}  # noqa: S608  own
_NEXT: Final = {t: f"SELECT min(due) FROM {t} WHERE due IS NOT NULL" for t in _TABLES}  # noqa: S608  own


#: a value in a folder, as docs/reference/formats.md writes it
_BLOB_MARK: Final = b"simpleflow+file://"
_BLOB: Final = re.compile(rb"simpleflow\+file://[^\s\"\\]*/([0-9a-f]{64}) [0-9]+")


def _undone(method: Callable[..., _R]) -> Callable[..., _R]:
    """Undo the transaction when a write of it fails: an error may have undone a part already."""

    def write(self: Rows, *arguments: Any) -> _R:
        try:
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            self.dirty = True
            return method(self, *arguments)
        except sqlite3.Error as error:
            self.rollback()
            raise base.Lost(str(error)) from error

    return write


class Rows:
    """``base.Store``. The connection is in autocommit mode: transactions begin and end here.

    Events, states and open items are written when the commit comes, or a question that needs them in their tables.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        # A store in memory may be dropped without close(), by a test say: Python 3.13 warns of an open connection.
        weakref.finalize(self, connection.close).atexit = False
        self.dirty = False
        self.unflushed = False
        self._unwritten = unwritten.Unwritten(connection)
        row = self._execute("SELECT value FROM meta WHERE name='secret'").fetchone()
        if row is None:
            row = (secrets.token_bytes(16),)
            self._execute("INSERT INTO meta VALUES('secret', ?)", row)
        self.secret: bytes = row[0]
        #: where the last start and the last close of each domain stand in their lists
        self._orders: dict[tuple[str, str], float] = {}

    # -- transactions

    def commit(self) -> None:
        if not self.dirty:
            return
        self._write_out()
        try:
            if self._connection.in_transaction:
                self._execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise base.Lost(str(error)) from error
        self.dirty = False

    def flush(self) -> None:
        """Do nothing: there is no disk, or commits do not wait for it."""

    def rollback(self) -> None:
        self._unwritten.forget()
        self._orders.clear()
        if self._connection.in_transaction:
            self._execute("ROLLBACK")
        self.dirty = False

    def _write_out(self) -> None:
        """Write what waits for the commit: before it, and before a question that the tables answer alone."""
        if self._unwritten:
            self._write()

    @_undone
    def _write(self) -> None:
        for key, body in self._unwritten.events.items():
            if _BLOB_MARK in body:
                self._refer(key >> base.EVENT_BITS, body)
        self._unwritten.write()

    def close(self, *, clean: bool = True) -> None:
        self.rollback()
        self._connection.close()

    # -- domains and types

    def domains(self) -> list[tuple[str, bytes]]:
        return self._execute("SELECT name, body FROM domains").fetchall()

    @_undone
    def put_domain(self, name: str, body: bytes) -> None:
        self._execute("INSERT OR REPLACE INTO domains VALUES(?, ?)", (name, body))

    def get_type(self, domain: str, kind: str, name: str, version: str) -> bytes | None:
        row = self._execute(
            "SELECT body FROM types WHERE domain=? AND kind=? AND name=? AND version=?", (domain, kind, name, version)
        ).fetchone()
        return None if row is None else row[0]

    @_undone
    def put_type(self, domain: str, kind: str, name: str, version: str, deprecated: bool, body: bytes) -> None:
        self._execute(
            "INSERT OR REPLACE INTO types VALUES(?, ?, ?, ?, ?, ?)", (domain, kind, name, version, deprecated, body)
        )

    @_undone
    def delete_type(self, domain: str, kind: str, name: str, version: str) -> None:
        self._execute(
            "DELETE FROM types WHERE domain=? AND kind=? AND name=? AND version=?", (domain, kind, name, version)
        )

    def types(
        self,
        domain: str,
        kind: str,
        deprecated: bool,
        *,
        name: str | None = None,
        after: tuple[str, str] | None = None,
        descending: bool = False,
        limit: int = 1000,
    ) -> list[tuple[str, str, bytes]]:
        way, sign = ("DESC", "<") if descending else ("ASC", ">")
        words = "SELECT name, version, body FROM types WHERE domain=? AND kind=? AND deprecated=?"
        values: list[Any] = [domain, kind, deprecated]
        if name is not None:
            words += " AND name=?"
            values.append(name)
        if after is not None:
            words += f" AND (name, version) {sign} (?, ?)"
            values += after
        words += f" ORDER BY name {way}, version {way} LIMIT ?"
        return self._execute(words, (*values, limit)).fetchall()

    def count_types(self, domain: str, kind: str) -> int:
        return int(self._execute("SELECT count(*) FROM types WHERE domain=? AND kind=?", (domain, kind)).fetchone()[0])

    # -- executions

    def last_key(self) -> int:
        return int(self._execute("SELECT max(key) FROM executions").fetchone()[0] or 0)

    def last_seq(self) -> int:
        self._write_out()
        return max(self._execute(_SEQ[table]).fetchone()[0] or 0 for table in _TABLES)

    def open_key(self, domain: str, workflow_id: str) -> int | None:
        row = self._execute(
            "SELECT key FROM executions WHERE domain=? AND workflow_id=? AND closed IS NULL", (domain, workflow_id)
        ).fetchone()
        return None if row is None else row[0]

    def count_open(self, domain: str) -> int:
        row = self._execute(_COUNT_OPEN, (domain,)).fetchone()
        return int(row[0])

    def load(self, key: int) -> tuple[bytes, bytes | None, bytes | None, float | None, str | None] | None:
        self._write_out()
        row: tuple[bytes, bytes | None, bytes | None, float | None, str | None] | None = self._execute(
            "SELECT config, body, final, closed, status FROM executions LEFT JOIN states USING(key) WHERE key=?", (key,)
        ).fetchone()
        return row

    @_undone
    def add_execution(self, row: Sequence[Any]) -> None:
        self._execute(
            "INSERT INTO executions(key, domain, workflow_id, run_id, started, type_name, type_version, tags, config, "
            "start_order) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, self._order("start", row[1], row[4])),
        )

    def _order(self, what: str, domain: str, moment: float) -> float:
        """Where something that happens now stands in a list: behind all before it, also when the clock was set back."""
        last = self._orders.get((what, domain))
        if last is None:
            words = f"SELECT max({what}_order) FROM executions WHERE domain=? AND closed IS "  # noqa: S608  own
            ends = ("NULL", "NOT NULL") if what == "start" else ("NOT NULL",)
            last = max(self._execute(words + end, (domain,)).fetchone()[0] or 0.0 for end in ends)
        order = moment if moment > last else math.nextafter(last, math.inf)
        self._orders[what, domain] = order
        return order

    @_undone
    def close_execution(self, key: int, domain: str, closed: float, status: str, final: bytes) -> None:
        self._execute(
            "UPDATE executions SET closed=?, status=?, final=?, close_order=? WHERE key=?",
            (closed, status, final, self._order("close", domain, closed), key),
        )
        self._unwritten.drop_open(key)
        self._execute("DELETE FROM states WHERE key=?", (key,))
        first = key << base.EVENT_BITS
        self._execute("DELETE FROM items WHERE key BETWEEN ? AND ?", (first, first | (1 << base.EVENT_BITS) - 1))

    @_undone
    def set_cancel_requested(self, key: int) -> None:
        self._execute("UPDATE executions SET cancel=1 WHERE key=?", (key,))

    def add_state(self, row: Sequence[Any]) -> None:
        self.dirty = True
        self._unwritten.add_state(row)

    def put_state(self, key: int, body: bytes, due: float | None, task_list: str | None, rank: int, seq: int) -> None:
        self.dirty = True
        self._unwritten.put_state((key, body, due, task_list, rank, seq))

    # -- open items and events

    def items(self, execution: int) -> list[tuple[int, bytes]]:
        self._write_out()
        first = execution << base.EVENT_BITS
        return self._execute(
            "SELECT key, body FROM items WHERE key BETWEEN ? AND ? ORDER BY key",
            (first, first | (1 << base.EVENT_BITS) - 1),
        ).fetchall()

    def add_items(self, rows: Iterable[Sequence[Any]]) -> None:
        self.dirty = True
        self._unwritten.add_items(rows)

    def delete_items(self, keys: Iterable[int]) -> None:
        self.dirty = True
        self._unwritten.delete_items(keys)

    def states_with(self, part: bytes) -> list[int]:
        self._write_out()
        rows = self._execute("SELECT key FROM states WHERE list IS NULL AND instr(body, ?)", (part,))
        return [key for (key,) in rows.fetchall()]

    def items_with(self, part: bytes) -> list[int]:
        self._write_out()
        rows = self._execute("SELECT key FROM items WHERE list IS NULL AND instr(body, ?)", (part,))
        return [key for (key,) in rows.fetchall()]

    def add_events(self, rows: Iterable[tuple[int, bytes]]) -> None:
        self.dirty = True
        if not self._unwritten.add_events(rows):
            self.rollback()
            raise base.Lost("two events have the same number")

    def _refer(self, key: int, body: bytes) -> None:
        """Note which blobs an event of this execution refers to."""
        for digest in {found.decode() for found in _BLOB.findall(body)}:
            self._execute("INSERT OR IGNORE INTO blobs VALUES(?, ?)", (digest, key))
            self._execute("DELETE FROM unreferenced WHERE digest=?", (digest,))

    def event(self, key: int) -> bytes:
        known = self._unwritten.event(key)
        if known is not None:
            return known
        body: bytes = self._execute("SELECT body FROM events WHERE key=?", (key,)).fetchone()[0]
        return body

    def events(self, first: int, last: int, *, descending: bool = False, limit: int = 1000) -> list[bytes]:
        known = self._unwritten.events_between(first, last, descending=descending, limit=limit)
        if known is not None:
            return known
        self._write_out()
        way = "DESC" if descending else "ASC"
        words = f"SELECT body FROM events WHERE key BETWEEN ? AND ? ORDER BY key {way} LIMIT ?"  # noqa: S608  two words
        rows = self._execute(words, (first, last, limit))
        return [body for (body,) in rows]

    # -- queues and deadlines

    def heads(self, table: str, task_list: str, limit: int) -> list[int]:
        return self._unwritten.heads(table, task_list, limit)

    def count_waiting(self, table: str, task_list: str) -> int:
        self._write_out()
        return int(self._execute(_COUNT[table], (task_list,)).fetchone()[0])

    def due(self, table: str, now: float, limit: int) -> list[tuple[float, int]]:
        self._write_out()
        return self._execute(_DUE[table], (now, limit)).fetchall()

    def next_due(self) -> float | None:
        self._write_out()
        moments = [row[0] for table in _TABLES if (row := self._execute(_NEXT[table]).fetchone())[0] is not None]
        return min(moments, default=None)

    # -- visibility and retention

    def find(self, query: base.Query) -> list[base.Found]:
        where, values = _where(query)
        order = "close_order" if query.by_close else "start_order"
        way, sign = ("ASC", ">") if query.ascending else ("DESC", "<")
        if query.after is not None:
            where += f" AND ({order}, key) {sign} (?, ?)"
            values += query.after
        words = f"SELECT key, config, {order}, closed, status, cancel FROM {_source(query)} WHERE {where}"  # noqa: S608  own
        rows = self._execute(f"{words} ORDER BY {order} {way}, key {way} LIMIT ?", (*values, query.limit))
        return [base.Found(*row) for row in rows]

    def count(self, query: base.Query) -> int:
        where, values = _where(query)
        words = f"SELECT count(*) FROM {_source(query)} WHERE {where}"  # noqa: S608  words of _where, values bound
        return int(self._execute(words, values).fetchone()[0])

    def expired(self, domain: str, closed_before: float, limit: int) -> list[int]:
        rows = self._execute(
            "SELECT key FROM executions WHERE domain=? AND closed IS NOT NULL AND close_order<=? "
            "ORDER BY close_order LIMIT ?",
            (domain, closed_before, limit),
        )
        return [key for (key,) in rows]

    @_undone
    def forget(self, key: int, limit: int, now: float) -> int:
        self._write_out()
        self._unwritten.forget_events()
        first = key << base.EVENT_BITS
        last = first | (1 << base.EVENT_BITS) - 1
        deleted: int = self._execute(
            "DELETE FROM events WHERE key IN "  # from the end: what is left of a history has no gap
            "(SELECT key FROM events WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT ?)",
            (first, last, limit),
        ).rowcount
        if deleted < limit:
            self._execute(
                "INSERT OR IGNORE INTO unreferenced SELECT digest, ? FROM blobs AS ours WHERE key=? AND NOT EXISTS "
                "(SELECT 1 FROM blobs AS others WHERE others.digest=ours.digest AND others.key!=ours.key)",
                (now, key),
            )
            self._execute("DELETE FROM blobs WHERE key=?", (key,))
            self._execute("DELETE FROM executions WHERE key=?", (key,))
        return deleted

    def unreferenced(self, before: float, limit: int) -> list[str]:
        self._write_out()  # an event may refer to one of them
        rows = self._execute("SELECT digest FROM unreferenced WHERE since<=? ORDER BY since LIMIT ?", (before, limit))
        return [digest for (digest,) in rows]

    @_undone
    def put_off_blob(self, digest: str, now: float) -> None:
        self._execute("UPDATE unreferenced SET since=? WHERE digest=?", (now, digest))

    @_undone
    def blob_deleted(self, digest: str) -> None:
        self._execute("DELETE FROM unreferenced WHERE digest=?", (digest,))


def refer_all(connection: sqlite3.Connection) -> None:
    """Note the references to blobs of a database that was written without the table for them."""
    found = connection.execute("SELECT key, body FROM events WHERE instr(body, ?)", (_BLOB_MARK,))
    for key, body in found:
        for digest in _BLOB.findall(body):
            values = (digest.decode(), key >> base.EVENT_BITS)
            connection.execute("INSERT OR IGNORE INTO blobs VALUES(?, ?)", values)


def _source(query: base.Query) -> str:
    """The table, by the index that leads to few rows: SQLite would take the one that saves it the sorting."""
    return "executions INDEXED BY executions_id" if query.workflow_id is not None else "executions"


def _where(query: base.Query) -> tuple[str, list[Any]]:
    moment = "closed" if query.by_close else "started"
    order = "close_order" if query.by_close else "start_order"
    # An order is never before its moment: the first bound leads through the index, the second one is exact.
    where = f"domain=? AND closed IS {'' if query.open else 'NOT '}NULL AND {order}>=? AND +{moment}>=?"
    values: list[Any] = [query.domain, query.oldest, query.oldest]
    if query.kept_since is not None:
        where += " AND +closed>?"  # with the sign it does not choose the index
        values.append(query.kept_since)
    if query.latest is not None:
        where += f" AND +{moment}<=?"
        values.append(query.latest)
    for column, value in (
        ("workflow_id", query.workflow_id),
        ("type_name", query.type_name),
        ("type_version", query.type_version),
        ("status", query.status),
    ):
        if value is not None:
            where += f" AND {column}=?"
            values.append(value)
    if query.tag is not None:
        where += " AND instr(tags, ?)"
        values.append(base.join_tags([query.tag]))
    return where, values
