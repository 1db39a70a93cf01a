"""``activity.rerun``: run one task of a history again, in this process."""

from __future__ import annotations

import os
import sys

import click

from simpleflow import dispatch, log
from simpleflow.client import executions, inputs
from simpleflow.core import errors, events
from simpleflow.runtime import execute, stores, values

from . import context, outcomes, output


@click.command("activity.rerun")
@context.domain_option
@click.option("--workflow-id", metavar="ID", required=True, help="The execution that scheduled the task.")
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@click.option("--scheduled-id", type=click.IntRange(1), metavar="N", help="The event that scheduled it.")
@click.option("--activity-id", metavar="ID", help="The id of the task; its last attempt runs again.")
@click.option("-i", "--input", "input_", metavar="JSON", help="Arguments instead of the recorded ones.")
@context.command_options
@click.pass_obj
def rerun(
    state: context.State,
    domain: str | None,
    workflow_id: str,
    run_id: str | None,
    scheduled_id: int | None,
    activity_id: str | None,
    input_: str | None,
) -> int:
    """Run an activity task of an execution again, in this process, and print its result.

    The execution is not changed. Exit code 1 when the activity fails.
    """
    if (scheduled_id is None) == (activity_id is None):
        raise errors.UsageError("give one of --scheduled-id and --activity-id: which task to run again")
    given = None if input_ is None else inputs.read(input_, source="--input")
    sys.path.insert(0, os.getcwd())
    log.configure()
    target = context.target([workflow_id], domain_first=False, domain=domain, run_id=run_id)
    connection = state.connect(domain)
    run = outcomes.find(connection, target)
    event = _scheduled(executions.history(connection, run), run, scheduled_id, activity_id)
    fields = event.attributes
    store, payloads = stores.open_store(stores.location(connection.endpoint_url)), stores.payloads()
    task = values.Task(
        activity_id=fields.activity_id,
        name=fields.activity_type.name,
        version=fields.activity_type.version,
        workflow_id=run.workflow_id,
        run_id=run.run_id,
        domain=run.domain,
        task_list=fields.task_list.name,
        input=fields.input if given is None else payloads.encode(given),
    )
    with output.result_alone():
        answer = execute.Executor(dispatcher=dispatch.Dispatcher(), payloads=payloads, store=store).handle(task)
    if isinstance(answer, values.Failed):
        output.say(f"{task.activity_id} failed: {answer.reason}", err=True)
        output.say(outcomes.readable(answer.details), err=True)
        return 1
    result = answer.result if isinstance(answer, values.Completed) else None
    output.data(store.load(result) if result is not None else "null")
    return 0


def _scheduled(
    found: object, run: executions.Run, scheduled_id: int | None, activity_id: str | None
) -> events.ActivityTaskScheduled:
    """Return the event that scheduled the task. Raises SimpleflowError when there is none."""
    last = None
    for event in found:  # type: ignore[attr-defined]  # an iterator of events
        if isinstance(event, events.ActivityTaskScheduled) and (
            event.id == scheduled_id or event.attributes.activity_id == activity_id
        ):
            last = event
    if last is None:
        what = f"event {scheduled_id}" if activity_id is None else repr(activity_id)
        raise errors.SimpleflowError(
            f"{run.workflow_id} has no activity task {what}: see workflow.tasks {run.workflow_id}, or workflow.history"
        )
    return last
