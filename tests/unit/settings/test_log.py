"""The log as people and syslog read it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from simpleflow import log, logging_context


def record(**given: Any) -> logging.LogRecord:
    made = logging.makeLogRecord({"levelname": "INFO", "process": 123, "msg": "Foo %s", **given})
    made.created = 0.0
    return made


def test_a_sentence_without_arguments_may_hold_a_placeholder() -> None:
    assert log.SimpleflowFormatter().format(record()).endswith("INFO [123] Foo %s")
    assert log.SimpleflowFormatter().format(record(args=("bar",))).endswith("Foo bar")


def test_syslog_gets_task_level_process_and_sentence() -> None:
    assert log.SyslogFormatter().format(record()) == "INFO pid=123 Foo %s"
    logging_context.set("workflow_id", "w" * 70)
    logging_context.set("task_type", "activity")
    logging_context.set("event_id", 7)
    try:
        assert log.SyslogFormatter().format(record()) == f"{'w' * 64}: activity#7 INFO pid=123 Foo %s"
    finally:
        logging_context.reset()


def test_colors_are_for_terminals_unless_somebody_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert log.colorize("ERROR", "no") == "no"
    monkeypatch.setattr(log, "color_mode", log.ColorModes.ALWAYS)
    assert log.colorize("ERROR", "no") == f"{log.RED}no{log.END}"
    assert log.colorize("BLUE", "sea") == f"{log.BLUE}sea{log.END}"
    monkeypatch.setattr(log, "color_mode", log.ColorModes.NEVER)
    assert log.colorize("ERROR", "no") == "no"


def test_logging_is_configured_under_the_old_name_too() -> None:
    logger = logging.getLogger("simpleflow")
    before = logger.handlers[:], logger.level, logger.propagate
    try:
        log.setup_logging()
        assert [type(handler.formatter) for handler in logger.handlers] == [log.SimpleflowFormatter]
    finally:
        logger.handlers, logger.level, logger.propagate = before
