"""Rows that wait for the commit, beside a plain model: every question, undone transactions, commits that fail."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from simpleflow.server.store import base, memory, unwritten

EXECUTIONS = st.integers(1, 3)
LISTS = st.sampled_from(["d/a", "d/b", None])
TABLES = st.sampled_from(["states", "items"])
DUE = st.sampled_from([None, 0.25, 0.5, 0.75])
DIGESTS = [f"{number:064x}" for number in range(3)]


class Columns(NamedTuple):
    body: bytes
    due: float | None
    list: str | None
    rank: int
    seq: int


class Rows:
    """What a store that writes at once would hold."""

    def __init__(self) -> None:
        #: when and how each execution closed, and its final state
        self.executions: dict[int, tuple[bytes | None, float | None, str | None]] = {}
        self.states: dict[int, Columns] = {}
        self.items: dict[int, Columns] = {}
        self.events: dict[int, bytes] = {}
        self.references: set[tuple[str, int]] = set()
        self.unreferenced: dict[str, float] = {}
        #: the number of the last event of each execution
        self.last: dict[int, int] = {}

    def table(self, name: str) -> dict[int, Columns]:
        found: dict[int, Columns] = getattr(self, name)
        return found

    def drop(self, key: int) -> None:
        self.states.pop(key, None)
        for item in [item for item in self.items if item >> base.EVENT_BITS == key]:
            del self.items[item]

    def forget(self, key: int, limit: int, now: float) -> int:
        gone = sorted((event for event in self.events if event >> base.EVENT_BITS == key), reverse=True)[:limit]
        for event in gone:
            del self.events[event]
        if len(gone) < limit:
            ours = {digest for digest, owner in self.references if owner == key}
            self.references = {(digest, owner) for digest, owner in self.references if owner != key}
            others = {digest for digest, _ in self.references}
            self.unreferenced = dict.fromkeys(ours - others, now) | self.unreferenced
            del self.executions[key]
        return len(gone)


class Beside(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = memory.open_memory()
        self.rows = Rows()
        self.committed = Rows()
        self.seq = 0

    def columns(self, due: float | None, task_list: str | None, rank: int) -> Columns:
        self.seq += 1
        return Columns(b"%d" % self.seq, due, task_list, rank, self.seq)

    def is_open(self, key: int) -> bool:
        return key in self.rows.states

    # -- changes

    @rule(key=EXECUTIONS, due=DUE, task_list=LISTS)
    def start(self, key: int, due: float | None, task_list: str | None) -> None:
        if key in self.rows.executions:
            return
        columns = self.columns(due, task_list, 0)
        self.store.add_execution((key, "d", f"w{key}", "r", 1.0, "t", "1", "", b"config"))
        self.store.add_state((key, *columns))
        self.rows.executions[key] = None, None, None
        self.rows.states[key] = columns

    @rule(key=EXECUTIONS, due=DUE, task_list=LISTS, rank=st.integers(-1, 0))
    def put_state(self, key: int, due: float | None, task_list: str | None, rank: int) -> None:
        if self.is_open(key):
            self.rows.states[key] = columns = self.columns(due, task_list, rank)
            self.store.put_state(key, *columns)

    @rule(key=EXECUTIONS, numbers=st.sets(st.integers(1, 5)), due=DUE, task_list=LISTS, rank=st.integers(-1, 0))
    def add_items(self, key: int, numbers: set[int], due: float | None, task_list: str | None, rank: int) -> None:
        if self.is_open(key):
            added = {key << base.EVENT_BITS | number: self.columns(due, task_list, rank) for number in numbers}
            self.rows.items |= added
            self.store.add_items([(item, *columns) for item, columns in added.items()])

    @rule(key=EXECUTIONS, numbers=st.sets(st.integers(1, 5)))
    def delete_items(self, key: int, numbers: set[int]) -> None:
        items = [key << base.EVENT_BITS | number for number in numbers]
        for item in items:
            self.rows.items.pop(item, None)
        self.store.delete_items(items)

    @rule(key=EXECUTIONS, digests=st.lists(st.sampled_from(["", *DIGESTS]), max_size=3))
    def add_events(self, key: int, digests: list[str]) -> None:
        if not self.is_open(key):
            return
        added = []
        for digest in digests:
            self.seq += 1
            number = self.rows.last[key] = self.rows.last.get(key, 0) + 1
            body = f'{self.seq} "simpleflow+file:///x/{digest} 9"' if digest else f"{self.seq}"
            added.append((key << base.EVENT_BITS | number, body.encode()))
            if digest:
                self.rows.references.add((digest, key))
                self.rows.unreferenced.pop(digest, None)
        self.rows.events.update(added)
        self.store.add_events(added)

    @rule(key=EXECUTIONS)
    def close(self, key: int) -> None:
        if self.is_open(key):
            self.store.close_execution(key, "d", 2.0, "COMPLETED", b"final")
            self.rows.executions[key] = b"final", 2.0, "COMPLETED"
            self.rows.drop(key)

    @rule(key=EXECUTIONS, limit=st.sampled_from([1, 4, 99]), now=st.sampled_from([1.0, 2.0]))
    def forget(self, key: int, limit: int, now: float) -> None:
        if key in self.rows.executions and not self.is_open(key):
            assert self.store.forget(key, limit, now) == self.rows.forget(key, limit, now)
            self.rows.last[key] = max(
                (event & (1 << base.EVENT_BITS) - 1 for event in self.rows.events if event >> base.EVENT_BITS == key),
                default=0,
            )

    # -- transactions

    @rule()
    def commit(self) -> None:
        self.store.commit()
        assert not self.store.dirty
        self.committed = copy.deepcopy(self.rows)

    @rule()
    def rollback(self) -> None:
        self.store.rollback()
        assert not self.store.dirty
        self.rows = copy.deepcopy(self.committed)

    @precondition(lambda self: self.store.dirty)
    @rule()
    def commit_fails(self) -> None:
        if self.store._unwritten:  # else all of it was written before, and nothing can fail
            self.store._connection.execute("PRAGMA query_only = ON")
            with pytest.raises(base.Lost):
                self.store.commit()
            self.store._connection.execute("PRAGMA query_only = OFF")
            assert not self.store.dirty
            self.rows = copy.deepcopy(self.committed)

    @precondition(lambda self: self.committed.events)
    @rule()
    def event_exists(self) -> None:
        """An event that the table has makes the commit fail, and two of one key fail at once."""
        key = next(iter(self.committed.events))
        self.store.rollback()
        self.store.add_events([(key, b"another")])
        with pytest.raises(base.Lost):
            self.store.commit()
        with pytest.raises(base.Lost):
            self.store.add_events([(1, b"one"), (1, b"another")])
        assert not self.store.dirty
        self.rows = copy.deepcopy(self.committed)

    # -- questions

    @rule(table=TABLES, task_list=st.sampled_from(["d/a", "d/b"]), limit=st.integers(1, 5))
    def heads(self, table: str, task_list: str, limit: int) -> None:
        rows = self.rows.table(table).items()
        waiting = sorted((row.rank, row.seq, key) for key, row in rows if row.list == task_list)
        assert self.store.heads(table, task_list, limit) == [key for _, _, key in waiting[:limit]]

    @rule(table=TABLES, task_list=st.sampled_from(["d/a", "d/b"]))
    def count_waiting(self, table: str, task_list: str) -> None:
        found = [row for row in self.rows.table(table).values() if row.list == task_list]
        assert self.store.count_waiting(table, task_list) == len(found)

    @rule(table=TABLES, now=st.sampled_from([0.25, 0.5]), limit=st.integers(1, 5))
    def due(self, table: str, now: float, limit: int) -> None:
        found = [(row.due, key) for key, row in self.rows.table(table).items() if row.due is not None]
        assert self.store.due(table, now, limit) == sorted(each for each in found if each[0] <= now)[:limit]

    @rule()
    def bounds(self) -> None:
        rows = [*self.rows.states.values(), *self.rows.items.values()]
        assert self.store.next_due() == min((row.due for row in rows if row.due is not None), default=None)
        assert self.store.last_seq() == max((row.seq for row in rows if row.list is not None), default=0)
        assert self.store.last_key() == max(self.rows.executions, default=0)
        assert self.store.count_open("d") == len(self.rows.states)

    @rule(key=EXECUTIONS)
    def load(self, key: int) -> None:
        expected: Any = None
        if key in self.rows.executions:
            final, closed, status = self.rows.executions[key]
            state = self.rows.states.get(key)
            expected = b"config", state and state.body, final, closed, status
        assert self.store.load(key) == expected
        assert self.store.open_key("d", f"w{key}") == (key if self.is_open(key) else None)

    @rule(key=EXECUTIONS)
    def items(self, key: int) -> None:
        expected = sorted((item, row.body) for item, row in self.rows.items.items() if item >> base.EVENT_BITS == key)
        assert self.store.items(key) == expected

    @rule(part=st.sampled_from([b"1", b"2"]))
    def with_part(self, part: bytes) -> None:
        for table, ask in (("states", self.store.states_with), ("items", self.store.items_with)):
            rows = self.rows.table(table).items()
            assert sorted(ask(part)) == sorted(key for key, row in rows if row.list is None and part in row.body)

    @rule(key=EXECUTIONS, low=st.integers(1, 6), more=st.integers(0, 6), limit=st.integers(1, 4), back=st.booleans())
    def events(self, key: int, low: int, more: int, limit: int, back: bool) -> None:
        first = key << base.EVENT_BITS | low
        known = sorted((event for event in self.rows.events if first <= event <= first + more), reverse=back)
        found = self.store.events(first, first + more, descending=back, limit=limit)
        assert found == [self.rows.events[event] for event in known[:limit]]
        assert [self.store.event(event) for event in known] == [self.rows.events[event] for event in known]

    @rule(before=st.sampled_from([1.0, 2.0]))
    def unreferenced(self, before: float) -> None:
        found = {digest for digest, since in self.rows.unreferenced.items() if since <= before}
        assert set(self.store.unreferenced(before, 10)) == found

    @rule(digest=st.sampled_from(DIGESTS))
    def blob_deleted(self, digest: str) -> None:
        self.store.blob_deleted(digest)
        self.rows.unreferenced.pop(digest, None)

    @invariant()
    def clean_means_committed(self) -> None:
        if not self.store.dirty:
            assert not self.store._unwritten

    def teardown(self) -> None:
        self.store.close()


@pytest.mark.parametrize("kept", [4, 256])
def test_every_question_is_answered_as_if_each_row_were_written_at_once(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwritten, "_LATEST", kept)
    monkeypatch.setattr(unwritten, "_TRIM", 2 * kept)
    run_state_machine_as_test(Beside, settings=settings(max_examples=60, stateful_step_count=60, deadline=None))
