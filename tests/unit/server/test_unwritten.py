"""Rows that wait for the commit: whoever asks sees what they would see if each had been written at once."""

from __future__ import annotations

import random
from typing import Any

import pytest

from simpleflow.server.store import base, memory, unwritten

KEYS, LISTS = (1, 2, 3), ("d/a", "d/b", None)


class Twins:
    """Two stores to which the same happens: one writes late, the other at once."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.stores = self.late, self.early = memory.open_memory(), memory.open_memory()
        #: events of each execution so far; the executions that are open
        self.events = dict.fromkeys(KEYS, 0)
        self.open: set[int] = set()
        self.committed: tuple[dict[int, int], set[int]] = (dict(self.events), set())
        self._seq = 0

    def both(self, name: str, *arguments: Any) -> Any:
        found = [getattr(store, name)(*arguments) for store in (self.late, self.early)]
        assert found[0] == found[1], (name, arguments)
        self.early.count_waiting("states", "")  # writes what waits
        self.early._unwritten._latest.clear()
        return found[0]

    def columns(self) -> tuple[bytes, float | None, str | None, int, int]:
        """Body, due, list, rank and seq."""
        self._seq += 1
        due = self.chance.choice([None, self.chance.random()])
        seq = self._seq if self.chance.random() < 0.7 else self.chance.randrange(1, self._seq + 1)
        return b"%d" % self._seq, due, self.chance.choice(LISTS), self.chance.choice([-1, 0, 0]), seq

    def change(self) -> None:
        key = self.chance.choice(KEYS)
        if key not in self.open:
            if self.events[key] == 0:
                self.both("add_execution", (key, "d", f"w{key}", "r", 1.0, "t", "1", "", b"config"))
                self.both("add_state", (key, *self.columns()))
                self.events[key] = 1
                self.both("add_events", [(key << base.EVENT_BITS | 1, b"first")])
                self.open.add(key)
            return
        item = key << base.EVENT_BITS | self.chance.randrange(1, 9)
        match self.chance.randrange(8):
            case 0 | 1:
                self.both("put_state", key, *self.columns())
            case 2 | 3:
                self.both("add_items", [(item, *self.columns()), (item ^ 1, *self.columns())])
            case 4:
                self.both("delete_items", [item])
            case 5 | 6:
                self.events[key] += 1
                number = self.events[key]
                self._seq += 1
                blob = b"simpleflow+file:///x/%064x 9" % (number % 3)
                body = self.chance.choice([b"event %d" % self._seq, blob])
                self.both("add_events", [(key << base.EVENT_BITS | number, body)])
            case _ if self.chance.random() < 0.2:
                self.both("close_execution", key, "d", 2.0, "COMPLETED", b"final")
                self.open.discard(key)

    def end(self) -> None:
        if self.chance.random() < 0.7:
            self.both("commit")
            self.committed = dict(self.events), set(self.open)
        else:
            self.both("rollback")
            self.events, self.open = dict(self.committed[0]), set(self.committed[1])

    def ask(self) -> None:
        key, limit = self.chance.choice(KEYS), self.chance.randrange(1, 6)
        first, last = key << base.EVENT_BITS, key << base.EVENT_BITS | (1 << base.EVENT_BITS) - 1
        if self.events[key]:
            self.both("event", first | self.chance.randrange(1, self.events[key] + 1))
            low = self.chance.randrange(max(1, self.events[key] - 4), self.events[key] + 1)
            high = self.chance.randrange(low, self.events[key] + 3)  # there may be fewer
            for descending in (False, True):
                bodies = [s.events(first | low, first | high, descending=descending, limit=limit) for s in self.stores]
                assert bodies[0] == bodies[1]
                assert len(bodies[0]) == min(limit, min(high, self.events[key]) - low + 1)
        for table in ("states", "items"):
            self.both("heads", table, self.chance.choice(LISTS[:2]), limit)
        name, *arguments = self.chance.choice(
            [
                ("load", key),
                ("items", key),
                ("due", "states", 0.5, limit),
                ("due", "items", 0.5, limit),
                ("next_due",),
                ("last_seq",),
                ("count_waiting", "states", "d/a"),
                ("count_waiting", "items", "d/b"),
                ("states_with", b"1"),
                ("items_with", b"1"),
                ("events", first, last),
                ("unreferenced", 9.0, limit),
            ]
        )
        self.both(name, *arguments)


@pytest.mark.parametrize("seed", range(30))
def test_whoever_asks_sees_what_was_to_be_written(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:
        monkeypatch.setattr(unwritten, "_LATEST", 4)
        monkeypatch.setattr(unwritten, "_TRIM", 8)
    chance = random.Random(seed)
    twins = Twins(chance)
    for _ in range(400):
        what = chance.random()
        if what < 0.6:
            twins.change()
        elif what < 0.93:
            twins.ask()
        else:
            twins.end()
    twins.both("commit")
    for key in KEYS:
        twins.both("load", key)
        twins.both("items", key)
        first, last = key << base.EVENT_BITS | 1, key << base.EVENT_BITS | twins.events[key]
        twins.both("forget", key, 3, 3.0)
        twins.both("events", first, last)
        twins.both("events", first, first)
        twins.both("events", last - 1, last)


def test_a_blob_to_which_a_waiting_event_refers_is_not_unreferenced() -> None:
    store, event = memory.open_memory(), b"simpleflow+file:///x/%064x 9" % 7
    for key in (1, 2):
        store.add_execution((key, "d", f"w{key}", "r", 1.0, "t", "1", "", b""))
        store.add_state((key, b"", None, None, 0, 0))
    store.add_events([(1 << base.EVENT_BITS | 1, event)])
    store.close_execution(1, "d", 2.0, "COMPLETED", b"")
    store.forget(1, 100, 3.0)
    store.commit()
    assert store.unreferenced(9.0, 10) == [f"{7:064x}"]
    store.add_events([(2 << base.EVENT_BITS | 1, event)])
    assert store.unreferenced(9.0, 10) == []


def test_a_row_that_changes_often_is_written_once() -> None:
    store = memory.open_memory()
    item, statements = 1 << base.EVENT_BITS | 5, list[str]()
    store.add_state((1, b"", None, None, 0, 0))
    store.commit()
    store._connection.set_trace_callback(statements.append)
    store.add_items([(item, b"waits", 1.0, "d/a", 0, 1)])
    assert store.heads("items", "d/a", 2) == [item]
    store.add_items([(item, b"taken", 2.0, None, 0, 1)])
    assert store.heads("items", "d/a", 2) == []
    for number in range(5):
        store.put_state(1, b"%d" % number, None, None, 0, number)
    store.commit()
    assert [line.split()[0] for line in statements if not line.startswith("SELECT")] == [
        "BEGIN",
        "UPDATE",
        "INSERT",
        "COMMIT",
    ]
    assert store.items(1) == [(item, b"taken")]
