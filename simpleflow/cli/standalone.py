"""``standalone``."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from typing import Any

import click

from simpleflow import log, settings
from simpleflow.client import executions, resuming
from simpleflow.core import errors
from simpleflow.process import pausing, tell_status, titles
from simpleflow.runtime import standalone as runtime
from simpleflow.runtime import stores
from simpleflow.utils import mounting

from . import context, outcomes, output, workflow_start
from . import metrics as metrics_page

#: goes to the start of the line and empties it
_CLEAR = "\r\x1b[K"


@click.command("standalone")
@click.argument("workflow")
@context.domain_option
@workflow_start.start_options
@click.option(
    "-W", "--nb-workers", type=click.IntRange(1, 1000), help="Activity tasks at a time (default: one per CPU)."
)
@click.option(
    "-D", "--nb-deciders", type=click.IntRange(1, 100), default=1, show_default=True, help="Decider processes."
)
@context.heartbeat_option
@click.option(
    "--display-status", type=bool, default=None, metavar="BOOL", help="Show progress (default: on a terminal)."
)
@click.option(
    "--repair",
    metavar='"ID [RUN]"',
    help="Resume this stopped execution instead of starting one, with its input, tags and timeouts where no others are "
    "given; see workflow.resume.",
)
@click.option(
    "--force-activities",
    "again",
    metavar="REGEX",
    help="With --repair: activities and child executions whose id or type matches run again.",
)
@metrics_page.option
@context.command_options
@click.pass_obj
def standalone(
    state: context.State,
    /,
    workflow: str,
    domain: str | None,
    nb_workers: int | None,
    nb_deciders: int,
    heartbeat: float,
    display_status: bool | None,
    repair: str | None,
    again: str | None,
    metrics: str | None,
    pre: tuple[str, ...],
    post: tuple[str, ...],
    **given: Any,
) -> int:
    """Run WORKFLOW with deciders and workers of its own, and exit when it is closed.

    One task list that nobody else knows serves its decisions and all of its activities. Exit code: 0 completed,
    1 failed or terminated, 2 timed out, 3 canceled. Ctrl-C terminates the execution.
    """
    titles.enabled = not settings.SIMPLEFLOW_DISABLE_SETPROCTITLE
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM ends it as Ctrl-C does
    log.configure()
    sys.path.insert(0, os.getcwd())
    cls = runtime.check_workflows([workflow])[0]
    if again is not None and repair is None:
        raise errors.UsageError("--force-activities needs --repair: it says what runs again of a stopped execution")
    start, changes = None, resuming.Changes()
    if repair is None:
        start = workflow_start.request(cls, workflow, **given)
    elif len(repair.split()) not in (1, 2):
        raise errors.UsageError(f'--repair {repair!r} names no execution: write "ID", or "ID RUN"')
    elif given.pop("workflow_id") is not None:
        raise errors.UsageError("--repair keeps the workflow id of the stopped execution: leave out --workflow-id")
    else:
        changes = workflow_start.given(**given)
    worker: dict[str, Any] = {
        "slots": nb_workers or os.cpu_count() or 1,
        "heartbeat": heartbeat,
        "pre": pre,
        "post": post,
    }
    runtime.check_worker(runtime.WorkerSpec(task_list="checked", **worker))
    connection = state.connect(domain)
    with metrics_page.of_children(metrics) as env:
        task_list = f"standalone-{uuid.uuid4().hex}"
        if start is not None:
            execution = workflow_start.begin(connection, {**start, "taskList": {"name": task_list}})
        else:
            target = context.target((repair or "").split(), domain_first=False, domain=domain)
            stopped = outcomes.find(connection, target)
            store = stores.open_store(stores.location(connection.endpoint_url))
            named = mounting.mounted()
            execution = resuming.resume(
                connection,
                store,
                stopped,
                again=again,
                task_list=task_list,
                changes=changes,
                mounted=named,
                calls=named,
            )
        shown = _terminal() if display_status is None else display_status
        with runtime.Group(context.place(state, connection), env=env) as group:
            pausing.install()
            tell_status(group.status_text)
            try:
                output.say(f"{execution.workflow_id} {execution.run_id}", err=True)
                group.decider(
                    task_list=task_list, override_list=task_list, workflows=(workflow,), processes=nb_deciders
                )
                group.worker(task_list=task_list, **worker)
                progress = _progress if shown else None
                try:
                    closed = executions.wait(connection, execution, progress=progress, check=group.check)
                finally:
                    if shown and _terminal():
                        click.echo(_CLEAR, err=True, nl=False)
            except BaseException:
                outcomes.end(connection, execution, reason="standalone was interrupted")
                raise
    return outcomes.report(connection, closed)


def _progress(counts: Any, begun: float) -> None:
    text = (
        f"{time.monotonic() - begun:6.1f} s  activities open {counts.open_activity_tasks}, timers {counts.open_timers}"
    )
    text += f", children {counts.open_child_workflow_executions}"
    if _terminal():  # What is logged next begins at the start of this line.
        click.echo(f"{_CLEAR}{text}\r", err=True, nl=False)
    else:
        click.echo(text, err=True)


def _terminal() -> bool:
    """Whether people read stderr; it may be closed."""
    return sys.stderr is not None and sys.stderr.isatty()
