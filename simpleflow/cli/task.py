"""``task.info``."""

from __future__ import annotations

import click

from simpleflow import utils
from simpleflow.client import executions
from simpleflow.core import errors
from simpleflow.observe import tasklog

from . import context, outcomes, output, workflow_read


@click.command("task.info")
@click.argument("words", nargs=-1, metavar="[DOMAIN] WORKFLOW_ID TASK_ID")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@click.option("--details/--no-details", default=False, help="Show input, result and details too.")
@context.command_options
@click.pass_obj
def info(state: context.State, words: tuple[str, ...], domain: str | None, run_id: str | None, details: bool) -> None:
    """Show the last attempt of one task: an activity, a child workflow or a timer, by its id."""
    if len(words) not in (2, 3):
        raise errors.UsageError(f"{len(words)} positional arguments given: write [DOMAIN] WORKFLOW_ID TASK_ID")
    *place, task_id = words
    target = context.target(place, domain_first=True, domain=domain, run_id=run_id)
    connection = state.connect(domain, named=target.domain)
    run = outcomes.find(connection, target)
    found = [task for task in tasklog.tasks(executions.history(connection, run)) if task.id == task_id]
    if not found:
        raise errors.SimpleflowError(f"{run.workflow_id} has no task {task_id!r}: see workflow.tasks {run.workflow_id}")
    task = found[-1]
    shown = {
        "id": task.id,
        "kind": task.kind,
        "type": task.name,
        "version": task.version,
        "task_list": task.task_list,
        "state": task.state,
        "attempts": len(found),
        "scheduled": workflow_read.moment(task.scheduled),
        "started": workflow_read.moment(task.started),
        "closed": workflow_read.moment(task.closed),
        "worker": task.worker,
        "reason": task.reason,
    }
    if details:
        shown["input"] = utils.json_loads_or_raw(task.input)
        shown["result"] = utils.json_loads_or_raw(task.result)
        shown["details"] = utils.json_loads_or_raw(task.details)
    output.one(state, shown)
