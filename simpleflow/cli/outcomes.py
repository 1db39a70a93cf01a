"""Executions as the commands show them: which one is meant, how it ended, its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from simpleflow import utils
from simpleflow.client import executions
from simpleflow.core import errors

from . import context

if TYPE_CHECKING:
    from simpleflow.client import connect


def find(connection: connect.Connection, target: context.Target) -> executions.Run:
    """Return the run that a command's words mean. Raises SimpleflowError when there is none."""
    return executions.find(connection, target.workflow_id, target.run_id, target.domain)


def end(connection: connect.Connection, run: executions.Run, *, reason: str) -> None:
    """Terminate a run on the way out; one that is closed already is left alone, and a failure is only told."""
    try:
        executions.terminate(connection, run, reason=reason)
    except executions.NotOpen:
        return
    except errors.SimpleflowError as error:
        click.echo(f"{run.workflow_id} could not be terminated ({error}): use workflow.terminate", err=True)


def report(
    connection: connect.Connection, closed: executions.Closed, *, load: Callable[[str], str] | None = None
) -> int:
    """Print a result on stdout, or how the run ended on stderr; return the exit code.

    ``load`` gets what the pointer of a value over the limit leads to; by default from where the settings say.
    """
    if closed.status == "COMPLETED":
        if closed.result is not None:
            click.echo(load(closed.result) if load else _loaded(connection, closed.result))
        return 0
    click.echo(f"{closed.run.workflow_id} {closed.status.lower().replace('_', ' ')}", err=True)
    for text in (closed.reason, closed.details):
        if text:
            click.echo(_readable(load(text) if load else _loaded(connection, text)), err=True)
    return context.EXIT_CODES[closed.status]


def _loaded(connection: connect.Connection, text: str) -> str:
    from simpleflow.runtime import stores

    return stores.open_store(stores.location(connection.endpoint_url)).load(text)


def _readable(text: str) -> str:
    """Failure details as their traceback; other text as it is."""
    value = utils.json_loads_or_raw(text)
    if isinstance(value, dict) and value.get("traceback"):
        return str(value["traceback"]).rstrip()
    return text
