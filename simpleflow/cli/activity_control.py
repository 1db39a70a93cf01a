"""``activity.list|complete|fail|cancel|heartbeat``: activity tasks that wait for an answer by token."""

from __future__ import annotations

import click
import msgspec

from simpleflow.client import client as clients
from simpleflow.core import errors

from . import context, output, workflow_read

COLUMNS = ("token", "activity", "workflow_id", "run_id", "activity_id", "since", "cancel_requested")


def _client(state: context.State, domain: str | None) -> clients.Client:
    return clients.Client(state.connect(domain))


@click.command("activity.list")
@context.domain_option
@context.command_options
@click.pass_obj
def list_(state: context.State, domain: str | None) -> None:
    """List the activity tasks that wait for their completion, with their tokens, oldest first."""
    with _client(state, domain) as client:
        rows = [
            (
                task.token,
                task.name,
                task.workflow_id,
                task.run_id,
                task.activity_id,
                workflow_read.moment(task.since),
                task.cancel_requested,
            )
            for task in client.open_activities()
        ]
    output.table(state, COLUMNS, rows)


@click.command("activity.complete")
@click.argument("token")
@context.domain_option
@click.option("-r", "--result", metavar="JSON", help="What the activity returns (default: null).")
@context.command_options
@click.pass_obj
def complete(state: context.State, token: str, domain: str | None, result: str | None) -> None:
    """Complete the activity task of TOKEN."""
    value = None
    if result is not None:
        try:
            value = msgspec.json.decode(result)
        except msgspec.DecodeError as error:
            raise errors.UsageError(f"--result is not JSON ({error}): write text as '\"text\"'") from None
    with _client(state, domain) as client:
        client.complete_activity(token, value)


@click.command("activity.fail")
@click.argument("token")
@context.domain_option
@click.option(
    "--reason", default="failed by activity.fail", show_default=True, help="The reason that the workflow sees."
)
@click.option("--details", metavar="TEXT", help="The details that the workflow sees.")
@context.command_options
@click.pass_obj
def fail(state: context.State, token: str, domain: str | None, reason: str, details: str | None) -> None:
    """Fail the activity task of TOKEN; it is retried if its activity allows that."""
    with _client(state, domain) as client:
        client.fail_activity(token, reason, details)


@click.command("activity.cancel")
@click.argument("token")
@context.domain_option
@click.option("--details", metavar="TEXT", help="The details that the workflow sees.")
@context.command_options
@click.pass_obj
def cancel(state: context.State, token: str, domain: str | None, details: str | None) -> None:
    """Answer the cancel request of the activity task of TOKEN; the task ends as cancelled."""
    with _client(state, domain) as client:
        client.cancel_activity(token, details)


@click.command("activity.heartbeat")
@click.argument("token")
@context.domain_option
@click.option("--details", metavar="TEXT", help="Progress, which the next attempt of the task can read.")
@context.command_options
@click.pass_obj
def heartbeat(state: context.State, token: str, domain: str | None, details: str | None) -> None:
    """Keep the activity task of TOKEN alive; prints 'cancel requested' when its workflow wants it cancelled."""
    with _client(state, domain) as client:
        if client.heartbeat_activity(token, details):
            output.say("cancel requested")
