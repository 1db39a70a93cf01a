"""``decider.start``."""

from __future__ import annotations

import os
import sys

import click

from simpleflow import log, settings
from simpleflow.core import errors
from simpleflow.process import Supervisor, titles
from simpleflow.runtime import standalone

from . import context
from . import metrics as metrics_page


@click.command("decider.start")
@click.argument("workflows", nargs=-1)
@context.domain_option
@click.option(
    "-t",
    "--task-list",
    metavar="NAME",
    help="Decision task list (default: the one that all WORKFLOWS have, else WORKFLOW_DEFAULT_TASK_LIST).",
)
@click.option(
    "-N", "--nb-processes", type=click.IntRange(1, 1000), default=1, show_default=True, help="Decider processes."
)
@click.option(
    "--stagger",
    type=click.FloatRange(0.0, 3600.0),
    default=0.05,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between the starts of two decider processes.",
)
@click.option(
    "--modules",
    metavar="PREFIX,...",
    default="",
    help="Load only classes that are defined in these modules, besides WORKFLOWS (default: any that can be imported).",
)
@metrics_page.option
@click.option("-l", "--log-level", metavar="LEVEL", help="Deprecated: set LOG_LEVEL.")
@click.option(
    "--watchdog",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Kill an evaluation of run() that takes longer, seconds; 0: never.",
)
@click.option("--sticky/--no-sticky", default=True, help="Keep executions suspended between their decisions.")
@context.command_options
@click.pass_obj
def start(
    state: context.State,
    workflows: tuple[str, ...],
    domain: str | None,
    task_list: str | None,
    nb_processes: int,
    stagger: float,
    modules: str,
    metrics: str | None,
    log_level: str | None,
    watchdog: float,
    sticky: bool,
) -> int:
    """Run deciders until SIGTERM, which drains; a second one hurries.

    WORKFLOWS are dotted names of classes that are loaded at start. Others are loaded when a decision task names them:
    everyone who may start a workflow chooses which class is imported, within --modules.
    """
    titles.enabled = not settings.SIMPLEFLOW_DISABLE_SETPROCTITLE
    log.configure(level=log_level)
    sys.path.insert(0, os.getcwd())
    loaded = standalone.check_workflows(workflows)
    lists = {workflow.task_list for workflow in loaded if getattr(workflow, "task_list", None)}
    if task_list is None and len(lists) > 1:
        raise errors.UsageError(
            f"the workflows have different task lists ({', '.join(sorted(lists))}), and a decider polls one: start one "
            "for each, or give -t/--task-list"
        )
    chosen = task_list or (lists.pop() if lists else settings.WORKFLOW_DEFAULT_TASK_LIST)
    connection = state.connect(domain, serving=True)
    spec = standalone.DeciderSpec(
        place=context.place(state, connection),
        task_list=chosen,
        workflows=workflows,
        modules=context.listed(modules),
        watchdog=watchdog,
        sticky=sticky,
    )
    connection.close()
    context.working(f"{nb_processes} decider{'s'[: nb_processes > 1]} of task list '{chosen}'", connection)
    with metrics_page.of_children(metrics) as env:
        supervisor = Supervisor(
            standalone.command(spec),
            nb_children=nb_processes,
            stagger=stagger,
            env=env,
            final=frozenset({context.EXIT_USAGE}),
        )
        supervisor.kind = "decider"
        supervisor.start()
    return supervisor.status
