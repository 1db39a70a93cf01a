"""Logging of the commands: one line for people, or one JSON object a line; importing configures nothing."""

from __future__ import annotations

import datetime
import logging
import logging.config
import logging.handlers
import sys
from typing import Any

import msgspec

from simpleflow import logging_context, settings
from simpleflow.core import errors

logger = logging.getLogger("simpleflow")

#: attributes that every record has; the others came in ``extra``
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class SimpleflowFormatter(logging.Formatter):
    """Time (UTC), level, process, task, sentence."""

    def format(self, record: logging.LogRecord) -> str:
        context = logging_context.items()
        where = " ".join(context[key] for key in ("workflow_id", "activity_id", "event_id") if key in context)
        prefix = f"{_moment(record)} {record.levelname} [{record.process}]"
        text = f"{prefix} {where + ': ' if where else ''}{record.getMessage()}"
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: the record, what ``extra`` held, and the task that the process works on."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
            **logging_context.items(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=repr).decode()


def configure(*, level: str | None = None, json: bool = False) -> None:
    """Send simpleflow's log to stderr, and to syslog when SIMPLEFLOW_SYSLOG_TARGET names HOST:PORT.

    The setting LOGGING, a dictionary for ``logging.config.dictConfig``, replaces all of it. Called by the commands.
    Raises UsageError for an unknown level or target.
    """
    if settings.LOGGING is not None:
        logging.config.dictConfig(settings.LOGGING)
        return
    name = (level or settings.LOG_LEVEL).upper()
    if name not in logging.getLevelNamesMapping():
        raise errors.UsageError(f"log level {name!r} is unknown: write DEBUG, INFO, WARNING, ERROR or CRITICAL")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    target = settings.SIMPLEFLOW_SYSLOG_TARGET
    if target:
        host, colon, port = target.rpartition(":")
        if not colon or not port.isdigit():
            raise errors.UsageError(f"SIMPLEFLOW_SYSLOG_TARGET={target!r} must be HOST:PORT")
        handlers.append(logging.handlers.SysLogHandler(address=(host, int(port))))
    for old in logger.handlers[:]:
        logger.removeHandler(old)
    for handler in handlers:
        handler.setFormatter(JsonFormatter() if json else SimpleflowFormatter())
        logger.addHandler(handler)
    logger.setLevel(name)
    logger.propagate = False
