"""Tables of the database and the steps from one version of them to the next."""

from __future__ import annotations

from typing import Final

#: marks a file as ours ("SWFe")
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
)

VERSION: Final = len(MIGRATIONS)
