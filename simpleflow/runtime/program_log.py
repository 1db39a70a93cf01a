"""What ``run()`` logs: with the workflow and run that it belongs to, and once, not again in each replay."""

from __future__ import annotations

import logging

from simpleflow.engine.program import run


class ProgramFilter(logging.Filter):
    """Drops what ``run()`` logs while it repeats what an earlier decision did; names the run in what it logs anew."""

    def filter(self, record: logging.LogRecord) -> bool:
        strand = run.current()
        if strand is None:
            return True
        evaluation: run.Run = strand.evaluation
        if evaluation.facts.read_only or not evaluation.answering():
            return False
        facts = evaluation.facts
        for name, value in (
            ("workflow_id", facts.workflow_id),
            ("run_id", facts.run_id),
            ("event_id", str(evaluation.started_as_of())),
        ):
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def install() -> None:
    """Put the filter on every handler that is configured now: of the root logger, of simpleflow's, of the user's."""
    known = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in known:
        for handler in getattr(logger, "handlers", ()):
            if not any(isinstance(each, ProgramFilter) for each in handler.filters):
                handler.addFilter(ProgramFilter())
