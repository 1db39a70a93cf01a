"""The service's memory: executions, the moment of the present call, and what the call changed.

A call changes executions in memory; at its end ``finish`` writes what changed, in one go. A call that is refused has
changed nothing, or is dropped: memory is only a copy of rows, and is read again from them.
"""

from __future__ import annotations

import base64
import collections
import hashlib
import secrets
from collections.abc import Callable
from typing import Any

from simpleflow.core import clock as clocks
from simpleflow.server.requests import errors
from simpleflow.server.store import base

from . import changes, execution, polls, quotas
from . import state as states

#: open executions that are held in memory, and open items of all of them; the others are read when they are needed
CACHED = 4096
CACHED_ITEMS = 60_000


class Session(changes.Changes[execution.Execution]):
    """Memory of one service. One thread."""

    def __init__(
        self, store: base.Store, clock: clocks.Clock, limit: quotas.Quotas, *, arn: str, names: str | None = None
    ) -> None:
        super().__init__()
        self.store = store
        self.clock = clock
        self.limit = limit
        #: what the ARN of each domain begins with
        self.arn = arn
        self.polls = polls.Polls()
        self.now = round(clock.now(), 3)
        self._names = names
        #: executions that the call began, which the store does not know yet
        self._begun: dict[tuple[str, str], execution.Execution] = {}
        #: child executions that the call will begin, by domain: they count for the limit of open executions
        self.promised: collections.Counter[str] = collections.Counter()
        self._cache: collections.OrderedDict[int, execution.Execution] = collections.OrderedDict()
        self._types: dict[tuple[str, str, str, str], states.Type] = {}
        #: no deadline is due before this moment; None: there is none
        self.soonest: float | None = None
        self._read()

    def _read(self) -> None:
        self.domains = {name: states.decode_domain(body) for name, body in self.store.domains()}
        self._open: dict[str, int] = {}
        self._last_key = self.store.last_key()
        self._seq = self.store.last_seq()
        self.soonest = self.store.next_due()

    # -- one call

    def begin(self) -> None:
        """Take the time of this call."""
        self.now = round(self.clock.now(), 3)

    def finish(self) -> None:
        """Carry out what the call left to be delivered, and write everything that changed."""
        while self.outbox:
            self.outbox.popleft()()
        if self.promised:
            self.promised.clear()
        if self.dirty:
            try:
                for changed in self.dirty.values():
                    self._write(changed)
            except base.Lost:
                raise
            except Exception as error:
                # a part of the call is written: its transaction is undone, with the other calls in it
                self.store.rollback()
                raise base.Lost(repr(error)) from error
            self.dirty.clear()
            self._begun.clear()
            while len(self._cache) > CACHED or (self.items_held > CACHED_ITEMS and len(self._cache) > 1):
                self._uncache(next(iter(self._cache)))

    def _uncache(self, key: int) -> None:
        gone = self._cache.pop(key, None)
        if gone is not None:
            self.items_held -= len(gone.items)

    def drop(self) -> None:
        """Forget what a call that failed had changed in memory; nothing of it was written."""
        if self.dirty:
            for key in self.dirty:
                self._uncache(key)
            self.dirty.clear()
            self._begun.clear()
            self._open.clear()
        self.outbox.clear()
        self.promised.clear()

    def forget(self) -> None:
        """Forget everything that memory holds of the store, after its transaction was undone."""
        self._cache.clear()
        self.items_held = 0
        self._types.clear()
        self.dirty.clear()
        self._begun.clear()
        self.outbox.clear()
        self.promised.clear()
        self.ready = dict.fromkeys(self.polls.lists())
        self.empty.clear()
        self._read()

    def _write(self, changed: execution.Execution) -> None:
        store, key, state, config = self.store, changed.key, changed.state, changed.config
        first = key << base.EVENT_BITS
        if changed.created:
            tags = base.join_tags(config.tags)
            store.add_execution(
                (
                    key,
                    config.domain,
                    config.workflow_id,
                    config.run_id,
                    config.started,
                    config.type_name,
                    config.type_version,
                    tags,
                    states.encode(config),
                )
            )
        if changed.newly_canceled:
            store.set_cancel_requested(key)
            changed.newly_canceled = False
        if changed.new_events:
            store.add_events(changed.new_events)
            changed.new_events = []
        if changed.closed is not None:
            assert changed.close_status is not None
            assert changed.final is not None
            store.close_execution(
                key, config.domain, changed.closed, changed.close_status, states.encode(changed.final)
            )
            self._uncache(key)
            changed.created = False
            return
        if changed.deleted:
            store.delete_items([first | event_id for event_id in changed.deleted])
            changed.deleted.clear()
        if changed.touched:
            store.add_items([self._item_row(first, changed, event_id) for event_id in changed.touched])
            changed.touched.clear()
        due = state.expires
        if state.decision_due is not None and state.decision_due < due:
            due = state.decision_due
        self.note_due(due)
        waits = state.scheduled and not state.started
        task_list = f"{config.domain}/{state.scheduled_list}" if waits else None
        rank = -int(config.task_priority) if config.task_priority else 0
        if changed.created:
            store.add_state((key, states.encode(state), due, task_list, rank, state.seq))
            changed.created = False
        else:
            store.put_state(key, states.encode(state), due, task_list, rank, state.seq)

    def _item_row(self, first: int, changed: execution.Execution, event_id: int) -> tuple[Any, ...]:
        item = changed.items[event_id]
        if type(item) is states.Activity:
            due = item.due
            if due is not None:
                self.note_due(due)
            task_list = None if item.started else f"{changed.config.domain}/{item.task_list}"
            return (first | event_id, states.encode(item), due, task_list, item.rank, item.seq)
        if type(item) is states.Timer:
            self.note_due(item.due)
            return (first | event_id, states.encode(item), item.due, None, 0, 0)
        return (first | event_id, states.encode(item), None, None, 0, 0)

    def note_due(self, moment: float) -> None:
        """Note that something is due at this moment."""
        if self.soonest is None or moment < self.soonest:
            self.soonest = moment

    # -- executions

    def create(self, config: Callable[[str], states.Config]) -> execution.Execution:
        """Make an execution with the next key; ``config`` gets its run id."""
        self._last_key += 1
        key = self._last_key
        made = config(self._run_id(key))
        state = states.State(
            events=0,
            last_at=self.now,
            task_list=made.task_list,
            expires=round(self.now + int(made.execution_timeout), 3),
        )
        created = execution.Execution(self, key, made, state, created=True)
        self._cache[key] = self.dirty[key] = self._begun[made.domain, made.workflow_id] = created
        self._open[made.domain] = self.count_open(made.domain) + 1
        return created

    def _run_id(self, key: int) -> str:
        if self._names is None:
            random = secrets.token_bytes(18)
        else:
            random = hashlib.sha256(f"{self._names}/{key}".encode()).digest()[:18]
        return f"22{base64.b64encode(random).decode()}={key:x}"

    def count_open(self, domain: str) -> int:
        """Open executions of a domain."""
        count = self._open.get(domain)
        if count is None:
            count = self._open[domain] = self.store.count_open(domain)
        return count

    def closed_one(self, domain: str) -> None:
        self._open[domain] = self.count_open(domain) - 1

    def by_key(self, key: int) -> execution.Execution | None:
        """The open execution with this key."""
        found = self._cache.get(key)
        if found is not None:
            self._cache.move_to_end(key)
            return None if found.ended() else found
        row = self.store.load(key)
        if row is None or row[1] is None:
            return None
        found = execution.Execution(self, key, states.decode_config(row[0]), states.decode_state(row[1]))
        mask = (1 << base.EVENT_BITS) - 1
        for item_key, body in self.store.items(key):
            found.adopt(item_key & mask, states.decode_item(body))
        self._cache[key] = found
        return found

    def by_run(self, domain: str, workflow_id: str, run_id: str) -> execution.Execution | None:
        """The open execution of this run."""
        found = self.by_key(key_of(run_id))
        return found if found is not None and _is(found.config, domain, workflow_id, run_id) else None

    def by_id(self, domain: str, workflow_id: str, run_id: str | None = None) -> execution.Execution | None:
        """The open execution of a workflow id, of one run when it is named."""
        if run_id:
            return self.by_run(domain, workflow_id, run_id)
        begun = self._begun.get((domain, workflow_id))
        if begun is not None and not begun.ended():
            return begun
        key = self.store.open_key(domain, workflow_id)
        return None if key is None else self.by_key(key)

    def kept_since(self, domain: str) -> float:
        """Return the end of the retention: executions that closed then or earlier count as deleted."""
        retention = self.domains[domain].retention
        return self.now - (0 if retention == states.NONE else int(retention) * 86_400)

    def any_run(self, domain: str, workflow_id: str, run_id: str) -> execution.Execution | None:
        """This run, open or closed; a closed one is for reading only."""
        key = key_of(run_id)
        found = self.by_key(key)
        if found is None:
            row = self.store.load(key)
            if row is None or row[2] is None or row[3] is None or row[3] <= self.kept_since(domain):
                return None
            final = states.decode_final(row[2])
            found = execution.Execution(self, key, states.decode_config(row[0]), final.state)
            found.closed, found.close_status, found.final = row[3], row[4], final
        return found if _is(found.config, domain, workflow_id, run_id) else None

    # -- domains and types

    def domain(self, name: str) -> states.Domain:
        """A registered domain, deprecated or not. Raises UnknownResourceFault."""
        found = self.domains.get(name)
        if found is None:
            raise errors.unknown_resource(f"Unknown domain: {name}")
        return found

    def put_domain(self, domain: states.Domain) -> None:
        self.store.put_domain(domain.name, states.encode(domain))
        self.domains[domain.name] = domain

    def type(self, domain: str, kind: str, name: str, version: str) -> states.Type | None:
        """A type; kinds: activity, workflow."""
        found = self._types.get((domain, kind, name, version))
        if found is None:
            body = self.store.get_type(domain, kind, name, version)
            if body is None:
                return None
            found = self._types[domain, kind, name, version] = states.decode_type(body)
        return found

    def put_type(self, domain: str, kind: str, value: states.Type) -> None:
        self.store.put_type(domain, kind, value.name, value.version, value.deprecated is not None, states.encode(value))
        self._types[domain, kind, value.name, value.version] = value

    def delete_type(self, domain: str, kind: str, name: str, version: str) -> None:
        self._types.pop((domain, kind, name, version), None)
        self.store.delete_type(domain, kind, name, version)


def key_of(run_id: str) -> int:
    """The execution's key, which is the end of its run id; 0 when the text is not a run id of ours."""
    try:
        key = int(run_id.rpartition("=")[2], 16)
    except ValueError:
        return 0
    # SQLite has no integers that are larger
    return key if 0 < key < base.KEYS else 0


def _is(config: states.Config, domain: str, workflow_id: str, run_id: str) -> bool:
    return config.run_id == run_id and config.workflow_id == workflow_id and config.domain == domain
