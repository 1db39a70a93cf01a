"""Forecasts from the past: run times by activity type, boot times, costs of machines while a run was open.

They are kept in ``forecast.json`` for later managers. Without that document, or with an old one, the policy works with
worse estimates.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import config
from simpleflow.nodes.policy import forecast, snapshot

logger = logging.getLogger(__name__)

#: activity types that are remembered: the last ones seen
_MOST_TYPES = 500
_Counts = dict[tuple[str, str], documents.Finished]


class Learning:
    """Learns from rows and documents, once a pass."""

    def __init__(self, cluster: str, store: blobs.BlobStore, clock: clocks.Clock, times: config.Times) -> None:
        self._cluster = cluster
        self._store = store
        self._clock = clock
        self._times = times
        self._known: documents.Forecast | None = None
        self._stored: documents.Forecast | None = None
        #: when (monotonic) it was written last
        self._written = -float("inf")
        #: tasks that each machine had finished at the last look
        self._counted: dict[str, _Counts] = {}
        #: when (monotonic) each run was first seen
        self._begun: dict[str, float] = {}

    def read(self) -> documents.Forecast:
        """Return the forecasts; they are read from the store once."""
        if self._known is None:
            self._known = self._stored = self._read() or documents.Forecast(cluster=self._cluster, written=0.0)
        return self._known

    def _read(self) -> documents.Forecast | None:
        try:
            got = self._store.get(documents.FORECAST_KEY)
            found = None if got is None else msgspec.json.decode(got[0], type=documents.Forecast)
        except (core_errors.SimpleflowError, msgspec.DecodeError) as error:
            logger.warning(
                "%s cannot be read, run times are learnt anew: %s",
                documents.FORECAST_KEY,
                error,
                extra={"action": "forecast"},
            )
            return None
        return found if found is not None and found.cluster == self._cluster else None

    @property
    def runtimes(self) -> dict[str, documents.Runtime]:
        return self.read().runtimes

    @property
    def boots(self) -> dict[str, float]:
        return self.read().boots

    @property
    def spent(self) -> int:
        """Return the cost (millionths) of the machines that ended while the open runs were open."""
        return sum(cost for _, cost in self.read().ended)

    def runs(self, rows: Mapping[str, documents.RunRow]) -> tuple[snapshot.Run, ...]:
        """Return the open runs, oldest first."""
        found = [snapshot.Run(run_id=row.run_id, elapsed=self._elapsed(row), tasks=row.tasks) for row in rows.values()]
        return tuple(sorted(found, key=lambda run: (-run.elapsed, run.run_id)))

    def _elapsed(self, row: documents.RunRow) -> float:
        """Return the age of a run in seconds: by the decider's clock up to its first sight, by our own clock since."""
        monotonic = self._clock.monotonic()
        written = row.changed - row.begun if row.begun else 0.0
        return max(written, monotonic - self._begun.setdefault(row.run_id, monotonic))

    def ended(self, cost: int, now: float) -> None:
        """Take note that the row of a machine was closed."""
        known = self.read()
        self._known = msgspec.structs.replace(known, ended=(*known.ended, (now, cost)))

    def look(
        self,
        rows: Mapping[str, documents.RunRow],
        nodes: Mapping[str, documents.NodeDocument],
        boots: Mapping[str, float],
        now: float,
    ) -> None:
        """Learn from changes since the last look; store the forecasts when that is due."""
        known = self.read()
        # The manager before this one learnt from the tasks that ended before the first look.
        fresh = self._counted or not known.runtimes
        runtimes = dict(known.runtimes)
        counted = {name: _counts(document) for name, document in nodes.items()}
        for name, counts in sorted(counted.items()):
            if fresh:
                _learn(runtimes, self._counted.get(name, {}), counts, now)
        self._counted = {"": {}, **counted}
        self._begun = {run_id: moment for run_id, moment in self._begun.items() if run_id in rows}
        oldest = max((self._elapsed(row) for row in rows.values()), default=0.0)
        self._known = msgspec.structs.replace(
            known,
            runtimes=dict(sorted(runtimes.items(), key=lambda item: -item[1].seen)[:_MOST_TYPES]),
            boots={**known.boots, **boots},
            ended=tuple((moment, cost) for moment, cost in known.ended if moment >= now - oldest and rows),
        )
        self._write_if_due(now)

    def _write_if_due(self, now: float) -> None:
        monotonic = self._clock.monotonic()
        if self._known is None or self._known == self._stored or monotonic - self._written < self._times.document_max:
            return
        self._written = monotonic
        document = msgspec.structs.replace(self._known, written=now)
        try:
            self._store.put(documents.FORECAST_KEY, msgspec.json.encode(document))
        except core_errors.SimpleflowError as error:
            logger.warning("%s is not stored: %s", documents.FORECAST_KEY, error, extra={"action": "forecast"})
            return
        self._known = self._stored = document


def _counts(document: documents.NodeDocument) -> _Counts:
    return {(status.task_list, each.activity): each for status in document.task_lists for each in status.finished}


def _learn(runtimes: dict[str, documents.Runtime], before: _Counts, counts: _Counts, now: float) -> None:
    for key, each in counts.items():
        known = before.get(key)
        # A worker that was started again counts anew.
        if known is None or known.count > each.count:
            known = documents.Finished(activity=each.activity, count=0, seconds=0.0)
        count, seconds = each.count - known.count, each.seconds - known.seconds
        if count > 0 and seconds >= 0:
            runtimes[each.activity] = forecast.learn(
                runtimes.get(each.activity), count=count, seconds=seconds, longest=each.longest, now=now
            )
