"""``workflow.start``, and how an execution is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simpleflow.client import executions, inputs, resuming, starting
from simpleflow.core import errors, interceptors
from simpleflow.runtime import program_log, stores
from simpleflow.runtime import standalone as runtime
from simpleflow.utils import mounting

from . import context, outcomes, output

if TYPE_CHECKING:
    from simpleflow.client import connect


def _with(function: context.F, options: Sequence[Callable[[context.F], context.F]]) -> context.F:
    for option in reversed(options):
        function = option(function)
    return function


def given_options(function: context.F) -> context.F:
    """Add the options that say with what an execution is started; ``given`` reads them."""
    options = [
        click.option("--execution-timeout", type=click.IntRange(1), metavar="S", help="Seconds for the whole run."),
        click.option(
            "--decision-tasks-timeout", type=click.IntRange(1), metavar="S", help="Seconds for each decision."
        ),
        click.option("--tags", metavar="A,B", help="At most five, separated by commas."),
        click.option(
            "-i",
            "--input",
            "input_",
            metavar="JSON",
            help='Arguments: a list, one value, or {"args": [...], "kwargs": {...}}.',
        ),
        click.option("--input-file", type=click.Path(dir_okay=False), help="Read the input from a file; - is stdin."),
    ]
    return _with(function, options)


def start_options(function: context.F) -> context.F:
    """Add the options that say what is started."""
    options = [
        click.option("--workflow-id", metavar="ID", help="Default: the workflow's own, else its name and a number."),
        given_options,
        click.option(
            "--middleware-pre-execution",
            "pre",
            metavar="NAME",
            multiple=True,
            help="Call before each activity: package.module.function.",
        ),
        click.option(
            "--middleware-post-execution",
            "post",
            metavar="NAME",
            multiple=True,
            help="Call after each activity: package.module.function.",
        ),
    ]
    return _with(function, options)


@click.command("workflow.start")
@click.argument("workflow")
@context.domain_option
@start_options
@click.option("--task-list", metavar="NAME", help="Decision task list (default: the workflow's).")
@click.option("--local", is_flag=True, help="Run it to its end in this process, and print its result.")
@click.option("--virtual-time", is_flag=True, help="With --local: time jumps when nothing can run.")
@click.option("--cluster", metavar="CLUSTER", help="Start it on the cluster of this file, or of this name.")
@context.command_options
@click.pass_obj
def start(
    state: context.State,
    /,
    workflow: str,
    domain: str | None,
    task_list: str | None,
    local: bool,
    virtual_time: bool,
    cluster: str | None,
    pre: tuple[str, ...],
    post: tuple[str, ...],
    **given: Any,
) -> int:
    """Start WORKFLOW, the dotted name of a class, and print its workflow id and run id."""
    sys.path.insert(0, os.getcwd())
    if virtual_time and not local:
        raise errors.UsageError("--virtual-time needs --local: other backends share the real clock")
    if local and cluster is not None:
        raise errors.UsageError("--local and --cluster exclude each other: give one")
    cls = runtime.check_workflows([workflow])[0]
    asked = request(cls, workflow, **given)
    if local or state.backend == "local":
        return _local(asked, pre, post, virtual_time=virtual_time)
    mounted: tuple[interceptors.ClientInterceptor, ...] = ()
    if cluster is not None:
        from simpleflow.nodes import connect as clusters

        from . import sfnodes_common, sfnodes_connect

        joined = clusters.client(sfnodes_common.find(cluster).loaded)
        sfnodes_connect.use_region(joined.region)
        domain, mounted = domain or joined.domain, joined.interceptors
        task_list = task_list or joined.task_list
        state.endpoint_url = state.endpoint_url or joined.endpoint or None
    if task_list:
        asked["taskList"] = {"name": task_list}
    run = begin(state.connect(domain), asked, mounted=mounted)
    output.say(f"{run.workflow_id} {run.run_id}")
    return 0


def _local(asked: dict[str, Any], pre: tuple[str, ...], post: tuple[str, ...], *, virtual_time: bool) -> int:
    from simpleflow.local import inline

    patience = 0.0 if virtual_time else inline.PATIENCE
    program_log.install()
    mounted = mounting.mounted()
    with inline.Inline(virtual_time=virtual_time, pre=pre, post=post, patience=patience, mounted=mounted) as place:
        run = begin(place.connection, asked, store=place.store)
        output.say(f"{run.workflow_id} {run.run_id}", err=True)
        with output.result_alone():
            place.run_until_closed(run.workflow_id, run.run_id)
        return outcomes.report(place.connection, executions.wait(place.connection, run), load=place.store.load)


def request(cls: Any, path: str, *, workflow_id: str | None, **options: Any) -> dict[str, Any]:
    """Return the StartWorkflowExecution request, without its domain. Raises UsageError for what is wrong with it."""
    found = given(**options)
    return starting.request(
        cls,
        path,
        found["input"] or inputs.read(None, source="--input"),
        source=_source(options["input_file"]),
        workflow_id=workflow_id,
        execution_timeout=found["execution_timeout"],
        decision_tasks_timeout=found["decision_tasks_timeout"],
        tags=found["tags"],
    )


def given(
    *,
    execution_timeout: int | None,
    decision_tasks_timeout: int | None,
    tags: str | None,
    input_: str | None,
    input_file: str | None,
) -> resuming.Changes:
    """Return what the options of ``given_options`` say. Raises UsageError for what is wrong with them."""
    if input_ is not None and input_file is not None:
        raise errors.UsageError("--input and --input-file exclude each other: give one")
    text = input_ if input_file is None else _read(input_file)
    return {
        "input": None if text is None else inputs.read(text, source=_source(input_file)),
        "tags": None if tags is None else [tag.strip() for tag in tags.split(",") if tag.strip()],
        "execution_timeout": execution_timeout,
        "decision_tasks_timeout": decision_tasks_timeout,
    }


def _source(input_file: str | None) -> str:
    return "--input" if input_file is None else f"--input-file {input_file}"


def _read(path: str) -> str:
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UsageError(f"--input-file {path!r} cannot be read: {error}") from error


def begin(
    connection: connect.Connection,
    asked: dict[str, Any],
    *,
    store: inputs.Store | None = None,
    mounted: tuple[interceptors.ClientInterceptor, ...] = (),
) -> executions.Run:
    """Register the workflow's type when it is missing, and start the execution."""
    where = store or stores.open_store(stores.location(connection.endpoint_url))
    calls = mounting.mounted()
    run_id = starting.begin(
        connection.transport, connection.domain, asked, store=where, mounted=(*mounted, *calls), calls=calls
    )
    return executions.Run(domain=connection.domain, workflow_id=asked["workflowId"], run_id=run_id)
