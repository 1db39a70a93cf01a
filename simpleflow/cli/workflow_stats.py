"""``workflow.stats``: how long tasks take and how they fail, over many runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from simpleflow.client import executions
from simpleflow.core import errors, events
from simpleflow.observe import stats

from . import context, outcomes, output, workflow_read

if TYPE_CHECKING:
    from simpleflow.client import connect


@click.command("workflow.stats")
@click.argument("words", nargs=-1, metavar="[WORKFLOW_ID [RUN_ID]]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="With an id: default the open run of that id, else the latest.")
@click.option(
    "-s",
    "--status",
    type=click.Choice(["open", "closed"]),
    default="closed",
    show_default=True,
    help="Without an id: which executions.",
)
@click.option("--tag", help="With this tag.")
@click.option("--type", "workflow_type_name", metavar="NAME", help="Of this workflow type.")
@click.option("--workflow-type-version", metavar="VERSION", help="Of this version of it.")
@click.option(
    "-c",
    "--close-status",
    type=click.Choice(workflow_read.CLOSE_STATUSES, case_sensitive=False),
    help="Closed with this status.",
)
@workflow_read.since_option()
@workflow_read.days_options
@click.option(
    "-n",
    "--nb-tasks",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="How many of the slowest tasks are shown.",
)
@context.command_options
@click.pass_obj
def stats_(
    state: context.State,
    /,
    words: tuple[str, ...],
    domain: str | None,
    run_id: str | None,
    nb_tasks: int,
    **criteria: Any,
) -> None:
    """Show mean, median and 95th percentile of each task type, the slowest tasks, and failures by type.

    The statistics are of one execution, or of all that match. JSON is one object with types, slowest and failures.
    """
    target = context.target(words, domain_first=False, domain=domain, run_id=run_id) if words else None
    connection = state.connect(domain, named=target.domain if target else None)
    if target is not None:
        runs: Sequence[executions.Run] = [outcomes.find(connection, target)]
    else:
        runs = [
            executions.Run(domain=connection.domain, workflow_id=one.execution.workflow_id, run_id=one.execution.run_id)
            for one in workflow_read.select(connection, connection.domain, **criteria)
        ]
    if not runs:
        raise errors.SimpleflowError("no execution matches: look with workflow.filter, or name --status open")
    found = stats.over(_histories(connection, runs), slowest=nb_tasks)
    if state.output_format in ("json", "prettyjson"):
        output.one(state, msgspec.to_builtins(found))
        return
    for title, kind, rows in (
        (
            f"task types of {found.runs} {'run' if found.runs == 1 else 'runs'}, times in seconds",
            stats.OfType,
            found.types,
        ),
        ("the slowest", stats.Slow, found.slowest),
        ("failures", stats.Failure, found.failures),
    ):
        output.say(f"# {title}" if rows else f"# {title}: none")
        names = list(kind.__struct_fields__)
        if rows:
            output.table(state, names, [[getattr(row, name) for name in names] for row in rows], header=True)


def _histories(
    connection: connect.Connection, runs: Sequence[executions.Run]
) -> Iterator[tuple[str, str, Iterator[events.Base]]]:
    for run in runs:
        yield run.workflow_id, run.run_id, executions.history(connection, run)
