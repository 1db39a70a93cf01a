"""Tables of the database and the steps from one version of them to the next."""

from __future__ import annotations

from typing import Final

#: marks a file as a database of the embedded service ("SWFe")
APPLICATION_ID: Final = 0x53574665

#: step n leads from version n to n + 1; a step that was released is never changed
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID",
        "CREATE TABLE domains(name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
        (
            "CREATE TABLE types(domain TEXT, kind TEXT, name TEXT, version TEXT, deprecated INTEGER NOT NULL, "
            "body BLOB NOT NULL, PRIMARY KEY(domain, kind, name, version)) WITHOUT ROWID"
        ),
        (
            "CREATE TABLE executions(key INTEGER PRIMARY KEY, domain TEXT NOT NULL, workflow_id TEXT NOT NULL, "
            "run_id TEXT NOT NULL, started REAL NOT NULL, closed REAL, status TEXT, cancel INTEGER NOT NULL DEFAULT 0, "
            "type_name TEXT NOT NULL, type_version TEXT NOT NULL, tags TEXT NOT NULL, config BLOB NOT NULL, final BLOB)"
        ),
        "CREATE INDEX executions_id ON executions(domain, workflow_id, closed)",
        "CREATE INDEX executions_open ON executions(domain, started) WHERE closed IS NULL",
        "CREATE INDEX executions_started ON executions(domain, started) WHERE closed IS NOT NULL",
        "CREATE INDEX executions_closed ON executions(domain, closed) WHERE closed IS NOT NULL",
        (
            "CREATE TABLE states(key INTEGER PRIMARY KEY, body BLOB NOT NULL, due REAL, list TEXT, "
            "rank INTEGER NOT NULL, seq INTEGER NOT NULL)"
        ),
        "CREATE INDEX states_due ON states(due) WHERE due IS NOT NULL",
        "CREATE INDEX states_list ON states(list, rank, seq) WHERE list IS NOT NULL",
        (
            "CREATE TABLE items(key INTEGER PRIMARY KEY, body BLOB NOT NULL, due REAL, list TEXT, "
            "rank INTEGER NOT NULL, seq INTEGER NOT NULL)"
        ),
        "CREATE INDEX items_due ON items(due) WHERE due IS NOT NULL",
        "CREATE INDEX items_list ON items(list, rank, seq) WHERE list IS NOT NULL",
        "CREATE TABLE events(key INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    ),
    (
        # what lists are sorted by: the moments, moved behind those before them where the clock was set back
        "ALTER TABLE executions ADD COLUMN start_order REAL",
        "ALTER TABLE executions ADD COLUMN close_order REAL",
        "UPDATE executions SET start_order=started, close_order=closed",
        "DROP INDEX executions_open",
        "DROP INDEX executions_started",
        "DROP INDEX executions_closed",
        "CREATE INDEX executions_open ON executions(domain, start_order, started) WHERE closed IS NULL",
        "CREATE INDEX executions_started ON executions(domain, start_order, started) WHERE closed IS NOT NULL",
        "CREATE INDEX executions_closed ON executions(domain, close_order, closed) WHERE closed IS NOT NULL",
        # which histories refer to which blobs of the data folder, and since when nobody refers to one
        "CREATE TABLE blobs(digest TEXT, key INTEGER, PRIMARY KEY(digest, key)) WITHOUT ROWID",
        "CREATE INDEX blobs_key ON blobs(key)",
        "CREATE TABLE unreferenced(digest TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID",
    ),
)

#: the step from which on histories' references to blobs are in a table
BLOBS: Final = 1
VERSION: Final = len(MIGRATIONS)
