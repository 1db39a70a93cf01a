"""The node's own document: composed from what the workers say, written when it changes and now and then anyway."""

from __future__ import annotations

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import config

#: busy intervals that a document keeps
_BUSY_KEPT = 100


class Reporter:
    """Writes ``nodes/ID.json`` at most every ``document_min`` on change, else every ``document_max`` seconds."""

    def __init__(
        self, store: blobs.BlobStore, document: documents.NodeDocument, times: config.Times, clock: clocks.Clock
    ) -> None:
        self._store = store
        self._times = times
        self._clock = clock
        self.document = document
        self._stored: documents.NodeDocument | None = None
        #: when (monotonic) it was stored last: the wall clock may be set back
        self._written = -float("inf")

    def update(
        self, lists: tuple[documents.ListStatus, ...], now: float, *, health: str, idle_allowed: bool = True
    ) -> None:
        """Bring the document up to what the workers say now."""
        before = self.document
        running = any(each.running for each in lists)
        polled = before.first_polled
        if polled is None and any(each.polling or each.running for each in lists):
            polled = now
        busy = before.busy
        open_interval = bool(busy) and busy[-1][1] is None
        if running and not open_interval:
            busy = (*busy[-_BUSY_KEPT + 1 :], (now, None))
        elif not running and open_interval:
            busy = (*busy[:-1], (busy[-1][0], now))
        idle = None
        if not running and polled is not None and idle_allowed:
            idle = before.idle_since if before.idle_since is not None else now
        self.document = msgspec.structs.replace(
            before, task_lists=lists, first_polled=polled, busy=busy, idle_since=idle, health=health
        )

    def change(self, **changes: object) -> None:
        """Set other fields."""
        self.document = msgspec.structs.replace(self.document, **changes)

    def write_if_due(self, now: float) -> bool:
        """Write when something changed long enough ago, or nothing was written for long. False: the store failed."""
        age = self._clock.monotonic() - self._written
        changed = self._stored is None or self._without_clock(self.document) != self._without_clock(self._stored)
        if age >= self._times.document_max or (changed and age >= self._times.document_min):
            return self.write(now)
        return True

    def write(self, now: float) -> bool:
        """Write now; False when the store failed: the next call tries again."""
        document = msgspec.structs.replace(self.document, written=now)
        try:
            self._store.put(f"{documents.NODES_PREFIX}{document.node}.json", msgspec.json.encode(document))
        except core_errors.SimpleflowError:
            return False
        self.document = self._stored = document
        self._written = self._clock.monotonic()
        return True

    @staticmethod
    def _without_clock(document: documents.NodeDocument) -> documents.NodeDocument:
        return msgspec.structs.replace(document, written=0.0)
