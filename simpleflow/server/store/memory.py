"""A store that lives and dies with the process: the same rows in SQLite's own memory."""

from __future__ import annotations

import sqlite3

from . import rows, schema


def open_memory() -> rows.Rows:
    """Open an empty store in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512, check_same_thread=False)
    connection.execute("PRAGMA temp_store = MEMORY")
    for step in schema.MIGRATIONS:
        for statement in step:
            connection.execute(statement)
    return rows.Rows(connection)
