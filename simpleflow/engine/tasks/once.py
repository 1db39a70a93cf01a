"""What is sent once, and ends when the history says so: markers, and signals to other executions."""

from __future__ import annotations

from typing import Any

from simpleflow.engine.history import records
from simpleflow.engine.program import futures

from . import items


class Once(items.Sent):
    """Such an item, and how the flags of its future are read."""

    __slots__ = ("evaluation", "record", "watched")

    def __init__(self, evaluation: Any) -> None:
        super().__init__(evaluation.next_seq())
        self.evaluation = evaluation
        #: whole-history reads that depend on it
        self.watched = records.NOT
        self.record: records.Record | None = None

    def state(self, future: futures.Future[Any]) -> str:
        evaluation, record = self.evaluation, self.record
        if evaluation.facts.asynchronous:
            over = record is not None and 0 < record.closed_id <= evaluation.started_as_of()
            return futures.FINISHED if over else futures.PENDING
        evaluation.reads.observed = True
        self.watched = records.FINAL
        if record is None:
            return futures.PENDING
        record.watched = records.FINAL
        if record.outcome is None:
            return futures.PENDING
        evaluation.raise_floor(record.closed_id)
        return futures.FINISHED
