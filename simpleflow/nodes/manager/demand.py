"""Demand: deciders publish what their runs ask for, the manager reads and merges it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents, interceptors
from simpleflow.core import errors as core_errors
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import config
from simpleflow.nodes.policy import snapshot as snapshots

from . import waits

logger = logging.getLogger(__name__)

#: characters of a run's trouble in its row
_MOST_TROUBLE = 500


class DemandPublisher:
    """The interceptor that writes ``demand/DECIDER.json`` (interceptors.DeciderInterceptor).

    The first row of a run is stored before its first evaluation, one PUT for all runs received meanwhile; later
    changes at most every ``document_min``, else every ``document_max`` seconds, by a thread of its own.
    """

    def __init__(self, store: blobs.BlobStore, decider: str, times: config.Times, clock: clocks.Clock) -> None:
        self._store = store
        self._decider = decider
        self._times = times
        self._clock = clock
        self._teller = waits.Teller(store, times.document_max, clock.monotonic)
        self._condition = threading.Condition()
        self._rows: dict[str, documents.RunRow] = {}
        #: number of changes so far; the number that is stored; the number that a caller waits for
        self._version = 0
        self._stored = 0
        self._urgent = 0
        self._attempts = 0
        self._error: core_errors.SimpleflowError | None = None
        #: when (monotonic) the document was written last, and each closed run closed: the wall clock may be set back
        self._written = -float("inf")
        self._closed: dict[str, float] = {}
        self._ending = False
        self._thread: threading.Thread | None = None

    def polling(self) -> None:
        """Start the thread that writes."""
        with self._condition:
            if self._thread is None:
                thread = threading.Thread(target=self._write_loop, name="demand", daemon=True)
                thread.start()
                self._thread = thread

    def received(self, task: interceptors.DecisionReceived) -> None:
        """Store the first row of a run before its first evaluation. Raises the error of the store."""
        run = task.execution
        with self._condition:
            if run.run_id in self._rows:
                return
            self._rows[run.run_id] = documents.RunRow(
                run_id=run.run_id,
                workflow_id=run.workflow_id,
                workflow=run.workflow_name,
                started_event_id=0,
                changed=self._clock.now(),
                begun=self._clock.now(),
            )
            self._version += 1
            mine = self._urgent = self._version
            attempts = self._attempts
            self._condition.notify_all()
            while self._stored < mine:
                if self._error is not None and self._attempts > attempts + 1:
                    self._rows.pop(run.run_id, None)
                    raise self._error
                self._condition.wait(1.0)

    def answered(self, outcome: interceptors.DecisionAnswered) -> None:
        """Keep the row of a decision; the thread stores it soon."""
        run = outcome.execution
        now = self._clock.now()
        with self._condition:
            known = self._rows.get(run.run_id)
            self._rows[run.run_id] = documents.RunRow(
                run_id=run.run_id,
                workflow_id=run.workflow_id,
                workflow=run.workflow_name,
                started_event_id=outcome.started_event_id,
                changed=now,
                begun=now if known is None else known.begun,
                closed=outcome.closed,
                trouble="" if outcome.closed else outcome.trouble[:_MOST_TROUBLE],
                tasks=() if outcome.closed else outcome.demand,
            )
            self._version += 1
            self._condition.notify_all()

    def stopping(self) -> None:
        """Store the last changes and end the thread."""
        with self._condition:
            self._ending = True
            self._urgent = self._version
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _due(self) -> float:
        """Return the seconds until the next write is due; 0: now."""
        age = self._clock.monotonic() - self._written
        if self._urgent > self._stored:
            return 0.0
        limit = self._times.document_min if self._version > self._stored else self._times.document_max
        return max(limit - age, 0.0)

    def _write_loop(self) -> None:
        while True:
            with self._condition:
                while not self._ending and (wait := self._due()) > 0:
                    self._condition.wait(wait)
                if self._ending and self._stored == self._version:
                    return
                version = self._version
                self._forget_closed()
                document = documents.DemandDocument(
                    decider=self._decider, written=self._clock.now(), runs=tuple(self._rows.values())
                )
            error: core_errors.SimpleflowError | None = None
            try:
                self._store.put(f"{documents.DEMAND_PREFIX}{self._decider}.json", msgspec.json.encode(document))
            except core_errors.SimpleflowError as caught:
                error = caught
                logger.warning("demand was not published: %s", caught, extra={"action": "demand"})
            with self._condition:
                self._attempts += 1
                self._error = error
                self._written = self._clock.monotonic()
                if error is None:
                    self._stored = max(self._stored, version)
                elif self._ending:
                    return
                else:
                    self._condition.wait(min(self._times.document_min, 1.0))
                self._condition.notify_all()
            self._teller.look({row.run_id: row for row in document.runs})

    def _forget_closed(self) -> None:
        """Remove old rows of closed runs. They outlive rows of other deciders, and every manager has seen them."""
        now, kept = self._clock.monotonic(), 2 * self._times.document_max + self._times.stale
        closed = {run_id for run_id, row in self._rows.items() if row.closed}
        self._closed = {run_id: self._closed.get(run_id, now) for run_id in closed}
        self._rows = {run_id: row for run_id, row in self._rows.items() if now - self._closed.get(run_id, now) <= kept}


def merge(found: Iterable[documents.DemandDocument]) -> dict[str, documents.RunRow]:
    """Return one row for each run: the row of its newest decision; the row of a close wins over all.

    The event ids of the history tell which decision is newer; clocks of deciders are not compared. Of two rows of the
    same decision, the one that asks for more tasks is taken.
    """
    rows: dict[str, documents.RunRow] = {}
    for document in found:
        for row in document.runs:
            known = rows.get(row.run_id)
            if known is None or _weight(row) > _weight(known):
                rows[row.run_id] = row
    return rows


def _weight(row: documents.RunRow) -> tuple[bool, int, int]:
    return row.closed, row.started_event_id, sum(each.count for each in row.tasks)


def by_list(
    rows: Iterable[documents.RunRow], task_lists: Iterable[str], pending: Mapping[str, int | None]
) -> tuple[snapshots.Demand, ...]:
    """Add the open runs' rows up by task list: all lists of the cluster, and lists that only programs name."""
    scheduled: dict[str, int] = {}
    foreseen: dict[str, int] = {}
    for row in rows:
        if row.closed:
            continue
        for each in row.tasks:
            target = scheduled if each.state == "scheduled" else foreseen
            target[each.task_list] = target.get(each.task_list, 0) + each.count
    return tuple(
        snapshots.Demand(
            task_list=name,
            scheduled=scheduled.get(name, 0),
            foreseen=foreseen.get(name, 0),
            pending=pending.get(name),
        )
        for name in sorted({*task_lists, *scheduled, *foreseen})
    )
