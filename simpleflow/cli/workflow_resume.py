"""``workflow.resume``."""

from __future__ import annotations

from typing import Any

import click

from simpleflow.client import resuming
from simpleflow.runtime import stores
from simpleflow.utils import mounting

from . import context, outcomes, output, workflow_start


@click.command("workflow.resume")
@click.argument("words", nargs=-1, metavar="WORKFLOW_ID [RUN_ID]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the latest run of that id.")
@click.option(
    "--from",
    "from_",
    metavar="EVENT|TASK",
    help="The number of an event: everything before it is kept, failures too. The id of a task: it runs again, and "
    "so do the tasks that were scheduled after its end.",
)
@click.option(
    "--force-activities",
    "again",
    metavar="REGEX",
    help="Activities and child executions whose id or type matches run again.",
)
@click.option("--task-list", metavar="NAME", help="The task list of its decisions (default: that of the stopped run).")
@workflow_start.given_options
@context.command_options
@click.pass_obj
def resume(
    state: context.State,
    /,
    words: tuple[str, ...],
    domain: str | None,
    run_id: str | None,
    from_: str | None,
    again: str | None,
    task_list: str | None,
    **given: Any,
) -> None:
    """Start a new run of a failed, timed out, terminated or canceled execution, and print its ids.

    It has the old input, tags and timeouts where no others are given. Completed results are taken over; tasks that
    failed or were open run again. Any decider and worker of its task lists can run it.
    """
    target = context.target(words, domain_first=False, domain=domain, run_id=run_id)
    connection = state.connect(domain, named=target.domain)
    stopped = outcomes.find(connection, target)
    store = stores.open_store(stores.location(connection.endpoint_url))
    named = mounting.mounted()
    chosen: dict[str, Any] = {"from_": place(from_), "again": again, "task_list": task_list}
    changes = workflow_start.given(**given)
    fresh = resuming.resume(connection, store, stopped, **chosen, changes=changes, mounted=named, calls=named)
    output.say(f"{fresh.workflow_id} {fresh.run_id}")


def place(given: str | None) -> int | str | None:
    """Return the event or task that ``--from`` names."""
    return int(given) if given is not None and given.isdecimal() else given
