"""The Protocol of durable rows. The state machines use it without SQL; it holds events as opaque bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from simpleflow.core import errors

#: bits of a row's key that hold the event id; the rest is the execution's key
EVENT_BITS = 16
#: keys of executions are below this: together with the event id they fit the 63 bits of an SQLite integer
KEYS = 1 << 47

#: between two tags of a row and around all of them
_TAG = "\x1f"


def join_tags(tags: Iterable[str]) -> str:
    """Return the tags of an execution as one text in which each can be found."""
    return "".join(f"{_TAG}{tag}{_TAG}" for tag in tags)


class StoreError(errors.SimpleflowError):
    """A database that cannot be used as it is; the message says what to do."""


class Lost(Exception):
    """A write or a commit failed: everything since the last commit is undone, nothing of it may be answered."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What ListOpen, ListClosed and the counts look for."""

    domain: str
    #: open executions, or closed ones
    open: bool
    #: which moment the bounds and the order are about
    by_close: bool = False
    #: what closed at this moment or before is not kept any more; None: all that is there is kept
    kept_since: float | None = None
    oldest: float = 0.0
    latest: float | None = None
    workflow_id: str | None = None
    type_name: str | None = None
    type_version: str | None = None
    tag: str | None = None
    status: str | None = None
    #: oldest first; SWF's own order is newest first
    ascending: bool = False
    #: go on behind this (order, key)
    after: tuple[float, int] | None = None
    limit: int = 1000


class Found(NamedTuple):
    """One execution as the lists show it."""

    key: int
    config: bytes
    #: its place in the list; its moment, but where the clock was set back
    order: float
    closed: float | None
    status: str | None
    cancel_requested: int


class Store(Protocol):
    """Rows of domains, types, executions, their open items and their events.

    One thread uses a store, but for ``flush``. Writes belong to one transaction that begins with the first of them;
    ``commit`` ends it, ``rollback`` undoes it. A write may be carried out later, at the latest by ``commit``; every
    question counts it. A write, question or commit that fails raises ``Lost`` after undoing the transaction. A commit
    survives the end of the process; where ``unflushed`` says so, it survives a power cut only after a ``flush`` that
    began later. Bodies are opaque bytes.
    """

    #: whether writes wait for a commit
    dirty: bool
    #: whether commits wait for a flush; whoever begins one takes the mark away
    unflushed: bool
    #: of this database alone: what signs its page tokens
    secret: bytes

    def commit(self) -> None: ...

    def flush(self) -> None:
        """Wait until the disk has every commit so far. Any thread. Raises OSError: then nothing is known of them."""

    def rollback(self) -> None: ...

    def close(self, *, clean: bool = True) -> None: ...

    # -- domains and types

    def domains(self) -> list[tuple[str, bytes]]: ...

    def put_domain(self, name: str, body: bytes) -> None: ...

    def get_type(self, domain: str, kind: str, name: str, version: str) -> bytes | None: ...

    def put_type(self, domain: str, kind: str, name: str, version: str, deprecated: bool, body: bytes) -> None: ...

    def delete_type(self, domain: str, kind: str, name: str, version: str) -> None: ...

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
        """Name, version and body, in the order of names and versions."""

    def count_types(self, domain: str, kind: str) -> int: ...

    # -- executions

    def last_key(self) -> int: ...

    def last_seq(self) -> int:
        """The highest place that a task holds in its list."""

    def open_key(self, domain: str, workflow_id: str) -> int | None:
        """The open run of a workflow id."""

    def count_open(self, domain: str) -> int: ...

    def load(self, key: int) -> tuple[bytes, bytes | None, bytes | None, float | None, str | None] | None:
        """Config, state while open, final state once closed, when and how it closed."""

    def add_execution(self, row: Sequence[object]) -> None:
        """key, domain, workflow_id, run_id, started, type_name, type_version, tags, config."""

    def close_execution(self, key: int, domain: str, closed: float, status: str, final: bytes) -> None:
        """Keep how it ended, and drop its state and its open items."""

    def set_cancel_requested(self, key: int) -> None: ...

    def add_state(self, row: Sequence[object]) -> None:
        """key, body, due, list, rank, seq."""

    def put_state(self, key: int, body: bytes, due: float | None, task_list: str | None, rank: int, seq: int) -> None:
        """Replace the state of an open execution."""

    # -- open items (activities, timers, child executions) and events; their keys are execution key and event id

    def items(self, execution: int) -> list[tuple[int, bytes]]: ...

    def add_items(self, rows: Iterable[Sequence[object]]) -> None:
        """Rows of key, body, due, list, rank, seq; one that exists is replaced."""

    def delete_items(self, keys: Iterable[int]) -> None: ...

    def states_with(self, part: bytes) -> list[int]:
        """The keys of the open executions without a waiting decision task whose state holds these bytes."""

    def items_with(self, part: bytes) -> list[int]:
        """Keys of items that wait in no list and whose body holds these bytes. Reads every row: for rare questions."""

    def add_events(self, rows: Iterable[tuple[int, bytes]]) -> None: ...

    def event(self, key: int) -> bytes: ...

    def events(self, first: int, last: int, *, descending: bool = False, limit: int = 1000) -> list[bytes]:
        """Bodies of the events with keys from first to last."""

    # -- queues and deadlines

    def heads(self, table: str, task_list: str, limit: int) -> list[int]:
        """Keys of the waiting tasks of a list, in the order in which they are handed out. Tables: states, items."""

    def count_waiting(self, table: str, task_list: str) -> int: ...

    def due(self, table: str, now: float, limit: int) -> list[tuple[float, int]]: ...

    def next_due(self) -> float | None: ...

    # -- visibility and retention

    def find(self, query: Query) -> list[Found]: ...

    def count(self, query: Query) -> int: ...

    def expired(self, domain: str, closed_before: float, limit: int) -> list[int]: ...

    def forget(self, key: int, limit: int, now: float) -> int:
        """Delete at most ``limit`` events of a closed execution, the last ones first; return how many.

        Where they were fewer than ``limit``, nothing of it is left, and the blobs that no other execution refers to are
        noted as unreferenced since ``now``.
        """

    def unreferenced(self, before: float, limit: int) -> list[str]:
        """Digests of blobs to which no kept history refers, since this moment or longer."""

    def put_off_blob(self, digest: str, now: float) -> None:
        """Look at such a blob again later."""

    def blob_deleted(self, digest: str) -> None:
        """Note that such a blob is gone."""
