"""Logging of the commands: one line for people, or one JSON object a line; importing configures nothing."""

from __future__ import annotations

import datetime
import json as stdlib_json
import logging
import logging.config
import logging.handlers
import numbers
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from simpleflow import logging_context, settings
from simpleflow.core import errors, text

logger = logging.getLogger("simpleflow")

#: escape sequences of terminals
RED, GREEN, YELLOW, BLUE, ORANGE, END = (
    "\033[91m",
    "\033[92m",
    "\033[93m",
    "\033[94m",
    "\033[38;5;214m",
    "\033[0m",
)
_COLORS = {
    "CRITICAL": RED,
    "ERROR": RED,
    "WARNING": YELLOW,
    "INFO": GREEN,
    "DEBUG": BLUE,
    "NOTSET": END,
    "RED": RED,
    "GREEN": GREEN,
    "YELLOW": YELLOW,
    "BLUE": BLUE,
    "ORANGE": ORANGE,
}


class ColorModes:
    """When ``colorize`` colors: on a terminal, always, never."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


#: one of ColorModes
color_mode = ColorModes.AUTO


def colorize(level: str, message: str) -> str:
    """Return a text in the color of a level (``ERROR``) or of a name (``RED``), as ``color_mode`` says."""
    if color_mode == ColorModes.NEVER or (color_mode == ColorModes.AUTO and not sys.stdout.isatty()):
        return message
    return f"{_COLORS[level]}{message}{END}"


#: attributes that every record has; the others came in ``extra``
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Shown:
    """An argument of a log message as text that cannot pass for a line of the log."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        if isinstance(self._value, text.Lines):
            return _below(self._value)
        return text.visible(str(self._value))

    def __repr__(self) -> str:
        return text.visible(repr(self._value))


def _argument(value: object) -> object:
    return value if isinstance(value, numbers.Number) else _Shown(value)


def _message(record: logging.LogRecord) -> str:
    """The sentence; line feeds of its own words stay, others' texts are one line."""
    given = record.args
    if not given:  # it may hold what looks like a placeholder
        return text.visible(str(record.msg))
    words = str(record.msg)
    if isinstance(given, Mapping):
        return text.visible(words % {key: _argument(value) for key, value in given.items()}, lines=True)
    return text.visible(words % tuple(_argument(value) for value in given), lines=True)


def _below(several: str) -> str:
    """Lines below a record: indented, so that none of them looks like a record."""
    return text.visible("\n".join(f"  {line}" for line in several.split("\n")), lines=True)


class SimpleflowFormatter(logging.Formatter):
    """Time (UTC), level, process, task, sentence. What others wrote is shown, not obeyed."""

    def format(self, record: logging.LogRecord) -> str:
        context = logging_context.items()
        context |= {key: str(vars(record)[key]) for key in logging_context.ENV_KEYS if key in vars(record)}
        where = " ".join(context[key] for key in ("workflow_id", "activity_id", "event_id") if key in context)
        prefix = f"{_moment(record)} {record.levelname} [{record.process}]"
        shown = f"{prefix} {text.visible(where) + ': ' if where else ''}{_message(record)}"
        if record.exc_info:
            shown = f"{shown}\n{_below(self.formatException(record.exc_info))}"
        return shown


class SyslogFormatter(logging.Formatter):
    """Task, level, process, sentence: syslog adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        context = logging_context.items()
        where = ""
        if context.get("workflow_id"):
            task = f"{context.get('task_type', '')}#{context.get('event_id', '')}"
            where = f"{text.visible(context['workflow_id'][:64])}: {task} "
        shown = f"{where}{record.levelname} pid={record.process} {_message(record)}"
        if record.exc_info:
            shown = f"{shown}\n{_below(self.formatException(record.exc_info))}"
        return shown


class JsonFormatter(logging.Formatter):
    """One JSON object a line: the record, what ``extra`` held, and the task that the process works on.

    ``attempt`` of an activity task is the id of the event that started it, as ``event_id``.
    """

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
        if line.get("activity_id") and line.get("event_id"):
            line["attempt"] = line["event_id"]
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return text.visible_json(msgspec.json.encode(line, enc_hook=repr).decode())
        except (UnicodeEncodeError, TypeError):  # lone surrogates, keys that are not text
            return stdlib_json.dumps(line, default=repr, skipkeys=True)


def configure(*, level: str | None = None, json: bool | None = None) -> None:
    """Send simpleflow's log to stderr, and to syslog when SIMPLEFLOW_SYSLOG_TARGET names HOST:PORT.

    Warnings and errors of loggers that have no handler go to stderr in the same form.

    ``json``: one object a line (default: what SIMPLEFLOW_LOG_FORMAT says). The setting LOGGING, a dictionary for
    ``logging.config.dictConfig``, replaces all of it. Called by the commands. Raises UsageError for an unknown level,
    format or target.
    """
    if settings.LOGGING is not None:
        logging.config.dictConfig(settings.LOGGING)
        return
    name = (level or settings.LOG_LEVEL).upper()
    if name not in logging.getLevelNamesMapping():
        raise errors.UsageError(f"log level {name!r} is unknown: write DEBUG, INFO, WARNING, ERROR or CRITICAL")
    if json is None:
        chosen = str(settings.SIMPLEFLOW_LOG_FORMAT).lower()
        if chosen not in ("text", "json"):
            raise errors.UsageError(f"SIMPLEFLOW_LOG_FORMAT={chosen!r} is unknown: write text or json")
        json = chosen == "json"
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
        own = SyslogFormatter if isinstance(handler, logging.handlers.SysLogHandler) else SimpleflowFormatter
        handler.setFormatter(JsonFormatter() if json else own())
        logger.addHandler(handler)
    logger.setLevel(name)
    logger.propagate = False
    others = logging.StreamHandler(sys.stderr)
    others.setLevel(logging.WARNING)
    others.setFormatter(handlers[0].formatter)
    logging.lastResort = others  # not a handler of the root: logging.basicConfig() of authors would do nothing then


def setup_logging() -> None:
    """Configure the log as the settings say: ``configure()`` under 0.36's name."""
    configure()
