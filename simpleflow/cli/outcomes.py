"""Executions in commands: the one that is meant, how it ended, its result."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import simpleflow
from simpleflow import settings, utils
from simpleflow.client import executions
from simpleflow.core import errors

from . import context, output

if TYPE_CHECKING:
    from simpleflow.client import connect

#: the folder of this library; frames of a library in another folder, on another worker, are shown
_OURS = f"{next(iter(simpleflow.__path__))}{os.sep}"


def find(connection: connect.Connection, target: context.Target) -> executions.Run:
    """Return the run that a command's arguments name. Raises SimpleflowError when there is none."""
    return executions.find(connection, target.workflow_id, target.run_id, target.domain)


def end(connection: connect.Connection, run: executions.Run, *, reason: str) -> None:
    """Terminate a run when its command ends. A closed run is left alone, and an error is only logged."""
    try:
        executions.terminate(connection, run, reason=reason)
    except executions.NotOpen:
        return
    except errors.SimpleflowError as error:
        output.say(f"{run.workflow_id} could not be terminated ({error}): use workflow.terminate", err=True)


def report(
    connection: connect.Connection, closed: executions.Closed, *, load: Callable[[str], str] | None = None
) -> int:
    """Print a result on stdout, or how the run ended on stderr; return the exit code.

    ``load`` gets what the pointer of a value over the limit leads to; by default from where the settings say.
    """
    if closed.status == "COMPLETED":
        if closed.result is not None:
            output.data(load(closed.result) if load else _loaded(connection, closed.result))
        return 0
    output.say(f"{closed.run.workflow_id} {closed.status.lower().replace('_', ' ')}", err=True)
    texts = [load(text) if load else _loaded(connection, text) for text in (closed.reason, closed.details) if text]
    for shown in dict.fromkeys(map(readable, texts)):
        if shown:
            output.say(shown, err=True)
    return context.EXIT_CODES[closed.status]


def _loaded(connection: connect.Connection, text: str) -> str:
    from simpleflow.runtime import stores

    return stores.open_store(stores.location(connection.endpoint_url)).load(text)


def readable(text: str) -> str:
    """Failure details as their traceback, where it leads through the author's program; other text as it is."""
    value = utils.json_loads_or_raw(text)
    if isinstance(value, dict) and value.get("traceback"):
        whole = str(value["traceback"]).rstrip()
        return whole if str(settings.LOG_LEVEL).upper() == "DEBUG" else own_frames(whole)
    return text


#: how Python joins the tracebacks of an exception and of its cause
_CHAINED = re.compile(r"\n\n(?:The above exception|During handling)[^\n]*\n\n")
#: a frame: where, the line, what of it failed, and how often it was repeated
_FRAME = re.compile(r'  File "([^"\n]+)", line \d+, in [^\n]*\n(?:    [^\n]*\n)*(?:  \[Previous line[^\n]*\n)?')


def own_frames(traceback: str) -> str:
    """Cut a traceback down to what its reader can mend: no frame of this library, no exception without another frame.

    Nothing is left of an exception that is all ours: the reason has its text. Text of another form stays as it is.
    """
    kept = []
    for part in _CHAINED.split(traceback):
        cut = _FRAME.sub(lambda frame: "" if frame[1].startswith(_OURS) else frame[0], part + "\n").rstrip("\n")
        if _FRAME.search(cut + "\n") or not _FRAME.search(part + "\n"):
            kept.append(cut)
    return "\n\n".join(kept)
