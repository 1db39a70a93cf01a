"""Rows that wait for the commit: each is written once, however often it changes before; and the last events."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from . import base

#: tables that have task lists and deadlines
TABLES: Final = ("states", "items")
# The table is not a value that SQLite could bind.
_HEADS: Final = {t: f"SELECT rank, seq, key FROM {t} WHERE list=? ORDER BY rank, seq LIMIT ?" for t in TABLES}  # noqa: S608  own
_ADD_STATE: Final = "INSERT INTO states(key, body, due, list, rank, seq) VALUES(?, ?, ?, ?, ?, ?)"
_CHANGE_STATE: Final = "UPDATE states SET body=?2, due=?3, list=?4, rank=?5, seq=?6 WHERE key=?1"
_KEEP_ITEM: Final = "INSERT OR REPLACE INTO items(key, body, due, list, rank, seq) VALUES(?, ?, ?, ?, ?, ?)"
#: where a row has its task list, its rank and its place
_LIST, _RANK, _SEQ = 3, 4, 5
#: events that stay in memory after they were written, at least and at most: the next decision task shows them
_LATEST: Final = 256
_TRIM: Final = 512
#: task lists that are known to have no row, at most
_VACANT: Final = 10_000
#: a row as the tables hold it: key, body, due, list, rank, seq
Row = Sequence[Any]


class Unwritten:
    """What a store does not have yet of events, states and open items, and how it looks together with what it has."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.events: dict[int, bytes] = {}
        #: the events that were written last
        self._latest: dict[int, bytes] = {}
        #: states of executions that the table does not know, and of those that it does
        self._new: dict[int, Row] = {}
        self._changed: dict[int, Row] = {}
        #: rows of open items by their keys; None where the row is to be deleted
        self._items: dict[int, Row | None] = {}
        #: those of all these rows that wait in a task list (table, list), by their keys
        self._waiting: dict[tuple[str, str], dict[int, Row]] = {}
        #: task lists (table, list) of which the table has no row
        self._vacant: set[tuple[str, str]] = set()

    def __bool__(self) -> bool:
        return bool(self.events or self._changed or self._items or self._new)

    def forget(self) -> None:
        """Forget the rows, and what is known of the tables, whose transaction was undone."""
        self._clear()
        self._vacant.clear()
        self._latest.clear()

    def _clear(self) -> None:
        for rows in (self.events, self._new, self._changed, self._items, self._waiting):
            rows.clear()

    # -- changes

    def add_events(self, rows: Iterable[tuple[int, bytes]]) -> bool:
        """Add events; False when two have the same key."""
        count = len(self.events)
        added = list(rows)
        self.events.update(added)
        return len(self.events) == count + len(added)

    def event(self, key: int) -> bytes | None:
        """Return an event; None when it is not in memory."""
        found = self.events.get(key)
        return self._latest.get(key) if found is None else found

    def events_between(self, first: int, last: int, *, descending: bool, limit: int) -> list[bytes] | None:
        """Return the events from first to last, at most ``limit``; None unless all of them are in memory."""
        count, found = min(last - first + 1, limit), list[bytes]()
        if count > _LATEST:
            return None
        waiting, written = self.events.get, self._latest.get
        for key in range(last, last - count, -1) if descending else range(first, first + count):
            body = waiting(key) or written(key)
            if body is None:
                return None
            found.append(body)
        return found

    def forget_events(self) -> None:
        """Forget the events that were written: some of them are deleted."""
        self._latest.clear()

    def add_state(self, row: Row) -> None:
        self._new[row[0]] = row
        self._line_up("states", None, row)

    def put_state(self, row: Row) -> None:
        rows = self._new if row[0] in self._new else self._changed
        self._line_up("states", rows.get(row[0]), row)
        rows[row[0]] = row

    def add_items(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._line_up("items", self._items.get(row[0]), row)
            self._items[row[0]] = row

    def delete_items(self, keys: Iterable[int]) -> None:
        for key in keys:
            self._line_up("items", self._items.get(key), None)
            self._items[key] = None

    def drop_open(self, execution: int) -> None:
        """Drop the state and the items of an execution, whose rows are deleted."""
        for states in (self._new, self._changed):
            self._line_up("states", states.pop(execution, None), None)
        for key in [key for key in self._items if key >> base.EVENT_BITS == execution]:
            self._line_up("items", self._items.pop(key), None)

    def _line_up(self, table: str, before: Row | None, now: Row | None) -> None:
        """Note in which task list a row waits that has changed."""
        if before is not None and before[_LIST] is not None:
            self._waiting[table, before[_LIST]].pop(before[0], None)
        if now is not None and now[_LIST] is not None:
            self._waiting.setdefault((table, now[_LIST]), {})[now[0]] = now

    # -- what waits in a task list

    def heads(self, table: str, task_list: str, limit: int) -> list[int]:
        """Keys of the waiting tasks of a list, in the order in which they are handed out."""
        place = table, task_list
        waiting = [(row[_RANK], row[_SEQ], key) for key, row in self._waiting.get(place, {}).items()]
        if place not in self._vacant:
            waiting += self._stored(place, limit)
        waiting.sort()
        return [key for _, _, key in waiting[:limit]]

    def _stored(self, place: tuple[str, str], limit: int) -> list[tuple[int, int, int]]:
        """Return rank, seq and key of the first rows of a task list that are as the table has them."""
        table, task_list = place
        changed: dict[int, Any] = self._items if table == "items" else self._changed
        found, vacant = list[tuple[int, int, int]](), True
        rows = self._connection.execute(_HEADS[table], (task_list, limit + len(changed)))
        with contextlib.closing(rows):
            for row in rows:
                vacant = False
                if row[2] not in changed:
                    found.append(row)
                    if len(found) == limit:
                        break
        if vacant:
            if len(self._vacant) >= _VACANT:
                self._vacant.clear()
            self._vacant.add(place)
        return found

    # -- the tables

    def write(self) -> None:
        """Write the rows; the caller has begun the transaction."""
        many = self._connection.executemany
        if self.events:
            many("INSERT INTO events VALUES(?, ?)", self.events.items())
            self._latest.update(self.events)
            if len(self._latest) > _TRIM:
                self._latest = dict(list(self._latest.items())[-_LATEST:])
        for statement, rows in ((_ADD_STATE, self._new), (_CHANGE_STATE, self._changed)):
            if rows:
                many(statement, rows.values())
                self._occupy("states", rows.values())
        ended = [(key,) for key, row in self._items.items() if row is None]
        if ended:
            many("DELETE FROM items WHERE key=?", ended)
        kept = [row for row in self._items.values() if row is not None]
        if kept:
            many(_KEEP_ITEM, kept)
            self._occupy("items", kept)
        self._clear()

    def _occupy(self, table: str, rows: Iterable[Row]) -> None:
        for row in rows:
            if row[_LIST] is not None:
                self._vacant.discard((table, row[_LIST]))
