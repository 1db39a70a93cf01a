"""Log lines of ``run()``: they get the ids of their workflow and run, and a replay does not repeat them."""

from __future__ import annotations

import logging

from simpleflow.engine.program import run


class ProgramFilter(logging.Filter):
    """Drops log lines of ``run()`` that an earlier decision has logged; adds the ids of the run to new lines."""

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
    """Add the filter to every handler of every logger that exists now, and to that of loggers without any."""
    known = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [handler for logger in known for handler in getattr(logger, "handlers", ())]
    for handler in (*handlers, *filter(None, [logging.lastResort])):
        if not any(isinstance(each, ProgramFilter) for each in handler.filters):
            handler.addFilter(ProgramFilter())
