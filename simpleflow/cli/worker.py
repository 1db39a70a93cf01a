"""``worker.start``."""

from __future__ import annotations

import base64
import binascii
import os
import sys

import click
import msgspec

from simpleflow import log, settings
from simpleflow.core import errors, interpreter
from simpleflow.process import Stop, lifeline, titles
from simpleflow.runtime import rates, standalone, starting

from . import context
from . import metrics as metrics_page


@click.command("worker.start")
@context.domain_option
@click.option("-t", "--task-list", metavar="NAME", help="Activity task list (default: ACTIVITY_DEFAULT_TASK_LIST).")
@click.option("-N", "--nb-processes", type=click.IntRange(1, 1000), help="Tasks at a time (default: one per CPU).")
@context.heartbeat_option
@click.option(
    "--modules", metavar="PREFIX,...", default="", help="Run only activities that are defined in these modules."
)
@click.option("--one-task", is_flag=True, help="End after one task.")
@click.option("--task-memory", type=click.IntRange(1), metavar="MIB", help="End a task that holds more memory.")
@click.option(
    "--stagger",
    type=click.FloatRange(0.0, 3600.0),
    default=0.05,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between the starts of two task runners.",
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(0.0),
    metavar="SECONDS",
    help="End tasks that run so long after SIGTERM, as a second one does (default: let them finish).",
)
@click.option("--rate", metavar="N/s|m|h", help="Begin at most N tasks in a second, minute or hour: 10/s, 90/m.")
@click.option("--reload", is_flag=True, help="Start anew, gracefully, when code that it runs changes on disk.")
@click.option("--poll-data", metavar="B64", help="Run this answer of PollForActivityTask (base64 of JSON), then end.")
@click.option("--middleware-pre-execution", "pre", metavar="NAME", multiple=True, help="Call before each activity.")
@click.option("--middleware-post-execution", "post", metavar="NAME", multiple=True, help="Call after each activity.")
@metrics_page.option
@click.option("-l", "--log-level", metavar="LEVEL", help="Deprecated: set LOG_LEVEL.")
@context.command_options
@click.pass_obj
def start(
    state: context.State,
    domain: str | None,
    task_list: str | None,
    nb_processes: int | None,
    heartbeat: float,
    modules: str,
    one_task: bool,
    task_memory: int | None,
    stagger: float,
    drain_timeout: float | None,
    rate: str | None,
    reload: bool,
    poll_data: str | None,
    pre: tuple[str, ...],
    post: tuple[str, ...],
    metrics: str | None,
    log_level: str | None,
) -> None:
    """Run a worker for one task list until SIGTERM, which drains; a second one ends its tasks.

    Scheduling a task runs code: without --modules everything that Python can import here may be called. With it, what
    counts is where a callable is defined: --modules films lets films.render and films.night.render run, neither
    films_old.render nor os.system, although films may import os.
    """
    titles.enabled = not settings.SIMPLEFLOW_DISABLE_SETPROCTITLE
    log.configure(level=log_level)
    sys.path.insert(0, os.getcwd())
    spec = standalone.WorkerSpec(
        task_list=task_list or settings.ACTIVITY_DEFAULT_TASK_LIST,
        slots=1 if one_task or poll_data else nb_processes or os.cpu_count() or 1,
        heartbeat=heartbeat,
        modules=context.listed(modules),
        pre=pre,
        post=post,
        one_task=one_task,
        reload=reload,
        task_mib=task_memory,
        stagger=stagger,
        drain=drain_timeout,
        rate=None if rate is None else rates.parse(rate),
    )
    standalone.check_worker(spec)
    answer = None if poll_data is None else _answer(poll_data)
    stop = Stop()
    stop.install()
    lifeline.watch(lambda: stop.request(Stop.HURRY))
    connection = starting.unless_stopped(lambda wait: state.connect(domain, serving=True, wait=wait), stop)
    if connection is None:
        return
    spec = msgspec.structs.replace(spec, place=context.place(state, connection))
    connection.close()
    at_once = f"{spec.slots} task{'s'[: spec.slots > 1]} at a time"
    context.working(f"worker of task list '{spec.task_list}', {at_once}", connection)
    with metrics_page.of_worker(metrics) as mounted:
        anew = standalone.run_worker(spec, stop=stop, poll_data=answer, mounted=mounted)
    if anew:
        lifeline.hand_on()
        os.execv(sys.executable, interpreter.command("simpleflow.__main__", *sys.argv[1:]))  # noqa: S606 - this very program


def _answer(text: str) -> object:
    from simpleflow.swf import shapes

    try:
        return msgspec.json.decode(base64.b64decode(text, validate=True), type=shapes.RESPONSES["PollForActivityTask"])
    except (binascii.Error, msgspec.DecodeError) as error:
        raise errors.UsageError(f"--poll-data is not base64 of an answer of PollForActivityTask: {error}") from None
