"""Commands that act on executions: ``workflow.terminate|restart|signal|cancel|result|wait``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import msgspec

from simpleflow.client import executions, resuming, starting
from simpleflow.core import errors, limits
from simpleflow.runtime import stores

from . import context, outcomes, output, workflow_read

if TYPE_CHECKING:
    from simpleflow.client import connect


def _filters(function: context.F) -> context.F:
    """Add the options that choose executions by what they are instead of by id."""
    options = [
        click.option("--tag", help="Every open execution with this tag."),
        click.option("--type", "type_name", metavar="NAME", help="Every open execution of this workflow type."),
        click.option("--dry-run", is_flag=True, help="Only print which executions are meant."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _meant(
    connection: connect.Connection,
    words: tuple[str, ...],
    domain: str | None,
    run_id: str | None,
    tag: str | None,
    type_name: str | None,
) -> Iterator[executions.Run]:
    if words:
        if tag or type_name:
            raise errors.UsageError("an id and --tag or --type exclude each other: give one of them")
        yield outcomes.find(connection, context.target(words, domain_first=True, domain=domain, run_id=run_id))
        return
    if not (tag or type_name):
        raise errors.UsageError("no execution named: give WORKFLOW_ID, --tag or --type")
    found = list(
        workflow_read.select(connection, connection.domain, tag=tag, workflow_type_name=type_name, started_since=366)
    )
    if not found:
        raise errors.SimpleflowError("no open execution matches: look with workflow.filter")
    for shown in found:
        yield executions.Run(
            domain=connection.domain, workflow_id=shown.execution.workflow_id, run_id=shown.execution.run_id
        )


def _each(
    connection: connect.Connection, runs: Iterator[executions.Run], *, dry_run: bool, action: str, **more: Any
) -> None:
    for run in list(runs):
        if not dry_run:
            executions.act(connection, action, run, **more)
        output.say(f"{run.workflow_id} {run.run_id}")


@click.command("workflow.terminate")
@click.argument("words", nargs=-1, metavar="[DOMAIN] WORKFLOW_ID [RUN_ID]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@click.option(
    "--reason", default="terminated by workflow.terminate", show_default=True, help="What the history will say."
)
@context.command_options
@click.pass_obj
def terminate(
    state: context.State, words: tuple[str, ...], domain: str | None, run_id: str | None, reason: str
) -> None:
    """Terminate an open execution and its child executions at once; none of their code runs any more."""
    target = context.target(words, domain_first=True, domain=domain, run_id=run_id)
    connection = state.connect(domain, named=target.domain)
    run = outcomes.find(connection, target)
    executions.terminate(connection, run, reason=reason)


@click.command("workflow.restart")
@click.argument("words", nargs=-1, metavar="[DOMAIN] WORKFLOW_ID [RUN_ID]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@context.command_options
@click.pass_obj
def restart(state: context.State, words: tuple[str, ...], domain: str | None, run_id: str | None) -> None:
    """Terminate an execution if it is open, and start it again with the same input, tags and settings."""
    target = context.target(words, domain_first=True, domain=domain, run_id=run_id)
    connection = state.connect(domain, named=target.domain)
    run = outcomes.find(connection, target)
    answer = executions.describe(connection, run)
    started: Any = next(iter(executions.history(connection, run)))
    old = started.attributes
    asked = {
        "domain": run.domain,
        "workflowId": run.workflow_id,
        "workflowType": {"name": old.workflow_type.name, "version": old.workflow_type.version},
        "taskList": {"name": old.task_list.name},
        "input": resuming.anew(stores.open_store(stores.location(connection.endpoint_url)), old.input),
        "tagList": [tag for tag in old.tag_list or () if tag] or None,
        "taskPriority": old.task_priority,
        "executionStartToCloseTimeout": old.execution_start_to_close_timeout,
        "taskStartToCloseTimeout": old.task_start_to_close_timeout,
        "childPolicy": old.child_policy,
    }
    if answer.execution_info.execution_status == "OPEN":
        outcomes.end(connection, run, reason="workflow.restart")
    fresh = starting.start_once(connection.transport, {key: value for key, value in asked.items() if value is not None})
    output.say(f"{run.workflow_id} {fresh}")


@click.command("workflow.cancel")
@click.argument("words", nargs=-1, metavar="[DOMAIN] WORKFLOW_ID [RUN_ID]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@_filters
@context.command_options
@click.pass_obj
def cancel(
    state: context.State,
    words: tuple[str, ...],
    domain: str | None,
    run_id: str | None,
    tag: str | None,
    type_name: str | None,
    dry_run: bool,
) -> None:
    """Request the cancellation of executions; each decides how it ends. Prints their ids."""
    connection = state.connect(domain)
    runs = _meant(connection, words, domain, run_id, tag, type_name)
    _each(connection, runs, dry_run=dry_run, action="RequestCancelWorkflowExecution")


@click.command("workflow.signal")
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[DOMAIN] WORKFLOW_ID [RUN_ID]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@click.option("-i", "--input", "input_", metavar="JSON", help="What comes with the signal: a JSON value.")
@_filters
@context.command_options
@click.pass_obj
def signal(
    state: context.State,
    name: str,
    words: tuple[str, ...],
    domain: str | None,
    run_id: str | None,
    input_: str | None,
    tag: str | None,
    type_name: str | None,
    dry_run: bool,
) -> None:
    """Send the signal NAME to executions. Prints their ids."""
    if not 0 < len(name) <= limits.NAME:
        raise errors.UsageError(f"the signal's name has {len(name)} characters: write 1 to {limits.NAME}")
    more: dict[str, Any] = {"signalName": name}
    if input_ is not None:
        try:
            msgspec.json.decode(input_)
        except msgspec.DecodeError as error:
            raise errors.UsageError(f"--input is not JSON ({error}): write text as '\"text\"'") from None
        more["input"] = input_
    connection = state.connect(domain)
    runs = _meant(connection, words, domain, run_id, tag, type_name)
    _each(connection, runs, dry_run=dry_run, action="SignalWorkflowExecution", **more)


@click.command("workflow.wait")
@click.argument("words", nargs=-1, metavar="[DOMAIN] WORKFLOW_ID [RUN_ID]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@click.option("--timeout", type=click.FloatRange(0), metavar="S", help="Give up after S seconds (exit code 1).")
@context.command_options
@click.pass_obj
def wait(
    state: context.State, words: tuple[str, ...], domain: str | None, run_id: str | None, timeout: float | None
) -> int:
    """Wait for the end of an execution and print its result. Exit code: 0 completed, 1 failed or terminated, 2 timed
    out, 3 canceled."""
    target = context.target(words, domain_first=True, domain=domain, run_id=run_id)
    connection = state.connect(domain, named=target.domain)
    return outcomes.report(connection, executions.wait(connection, outcomes.find(connection, target), timeout=timeout))


@click.command("workflow.result")
@click.argument("words", nargs=-1, metavar="[DOMAIN] WORKFLOW_ID [RUN_ID]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@context.command_options
@click.pass_obj
def result(state: context.State, words: tuple[str, ...], domain: str | None, run_id: str | None) -> int:
    """Print the result of a closed execution; exit code as for workflow.wait, 1 while it is open."""
    target = context.target(words, domain_first=True, domain=domain, run_id=run_id)
    connection = state.connect(domain, named=target.domain)
    run = outcomes.find(connection, target)
    shown = executions.describe(connection, run).execution_info
    if shown.execution_status == "OPEN":
        raise errors.SimpleflowError(f"{run.workflow_id} {run.run_id} is open: use workflow.wait")
    return outcomes.report(connection, executions.outcome(connection, run, shown.close_status))
