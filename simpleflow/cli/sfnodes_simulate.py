"""``sfnodes simulate``: what a cluster would have done with past runs, under each policy."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import click

from simpleflow.core import errors as core_errors
from simpleflow.core import text
from simpleflow.nodes import config
from simpleflow.nodes.simulation import histories, report, scenarios, traces, work, world

from . import output, sfnodes_records
from . import sfnodes_show as show
from .sfnodes_common import CLUSTER, JSON, Command, find

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=Command)
@CLUSTER
@click.option(
    "--history", "history_files", multiple=True, type=_FILE, help="A saved history (workflow.dump); repeatable."
)
@click.option(
    "--trace", "trace_files", multiple=True, type=_FILE, help="A trace of WfFormat, .json or .json.gz; repeatable."
)
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
              help="Without files: days before now in which runs of the cluster's own domain ended.")  # fmt: skip
@click.option(
    "--task-list",
    "task_list",
    help="The task list for tasks of lists that the file does not serve (default: its first list).",
)
@click.option(
    "--copies",
    type=click.IntRange(1, 100_000),
    default=1,
    show_default=True,
    help="Play the runs this number of times.",
)
@click.option(
    "--over",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Hours within which the copies begin, at random moments.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice(list(scenarios.POLICIES)),
    help="Only this one; repeatable.",
)
@click.option("--max", "most", type=click.IntRange(1, 10_000), help="What if every maximum were this?")
@click.option(
    "--min", "least", type=click.IntRange(0, 10_000), help="What if every profile kept this number of machines?"
)
@click.option(
    "--slots", type=click.IntRange(1, 10_000), help="What if machines had this number of slots for each list?"
)
@click.option("--price", type=click.FloatRange(min=0), help="What if a machine had this price per hour?")
@click.option("--boot", type=click.FloatRange(min=0, min_open=True), help="What if a boot took this number of seconds?")
@click.option("--hourly", is_flag=True, help="What if machines were billed by the hour?")
@click.option(
    "--spot",
    type=click.FloatRange(0, 1, min_open=True),
    help="What if machines were spot, at this fraction of the price?",
)
@click.option(
    "--interrupted",
    type=click.FloatRange(min=0),
    default=0.05,
    show_default=True,
    help="Interruption notices per spot machine and hour.",
)
@click.option(
    "--step",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds between passes (default: the file's own; more for long spans).",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the random boots, notices and begins of copies."
)
@click.option(
    "--html",
    "html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the comparison as an HTML page with pictures.",
)
@JSON
def simulate(
    cluster: str,
    history_files: tuple[Path, ...],
    trace_files: tuple[Path, ...],
    days: float,
    task_list: str | None,
    copies: int,
    over: float,
    policies: tuple[str, ...],
    most: int | None,
    least: int | None,
    slots: int | None,
    price: float | None,
    boot: float | None,
    hourly: bool,
    spot: float | None,
    interrupted: float,
    step: float | None,
    seed: int,
    html: Path | None,
    as_json: bool,
) -> None:
    """Play past runs with the manager's own passes in virtual time, and compare policies and "what if" changes.

    Runs come from files (--history, --trace), or from the histories of the cluster's own domain. A trace says what
    each task waited for; for a history it is guessed. The first row is the cluster file as it is.
    """
    # A cluster file suffices: the cluster need not have come up here.
    loaded = config.load(cluster).config if Path(cluster).exists() else find(cluster).config
    runs, source = _runs(loaded, history_files, trace_files, days)
    default = task_list or next(iter(loaded.task_lists))
    if default not in loaded.task_lists:
        raise core_errors.UsageError(f"the cluster has no task list '{default}'; it has {', '.join(loaded.task_lists)}")
    runs, foreign = work.on_lists(runs, tuple(loaded.task_lists), default)
    if foreign:
        output.say(f"the cluster does not serve {', '.join(foreign)}: their tasks are played on '{default}'", err=True)
    runs = work.copies(runs, copies, over * 3600.0, seed) if copies > 1 else work.together(runs)
    what_if = scenarios.WhatIf(max=most, min=least, slots=slots, hourly=hourly, spot=spot, price=price, boot=boot)
    options = world.Options(interrupted=interrupted, step=step, seed=seed)
    begun = time.monotonic()
    before = logging.getLogger("simpleflow.nodes").level
    logging.getLogger("simpleflow.nodes").setLevel(logging.CRITICAL)  # messages of the simulated managers
    try:
        results = scenarios.play(
            scenarios.scenarios(loaded, what_if, policies or tuple(scenarios.POLICIES)),
            runs,
            options,
            lambda name: output.say(f"playing: {name}", err=True),
        )
    finally:
        logging.getLogger("simpleflow.nodes").setLevel(before)
    _show(
        results,
        loaded,
        report.Source(what=source, what_if=what_if.words, runs=runs),
        time.monotonic() - begun,
        html,
        as_json,
    )


def _show(
    results: tuple[scenarios.Result, ...],
    cluster: config.ClusterConfig,
    source: report.Source,
    took: float,
    html: Path | None,
    as_json: bool,
) -> None:
    if html is not None:
        try:
            html.write_text(report.page(results, cluster, source), encoding="utf-8")
        except OSError as error:
            raise core_errors.UsageError(f"{html} cannot be written: {error.strerror or error}") from error
    tasks = sum(len(run.tasks) for run in source.runs)
    if as_json:
        value = {"cluster": cluster.cluster, "source": source.what,
                 "what_if": source.what_if, "runs": len(source.runs), "tasks": tasks,
                 "currency": cluster.currency, "took": took, "page": None if html is None else str(html),
                 "results": results}  # fmt: skip
        click.echo(show.as_json_text(value))
        return
    counted = f"{text.count(len(source.runs), 'run')}, {text.count(tasks, 'task')}"
    output.say(f"{source.what}: {counted}; played in {took:.1f} s")
    show.table(report.columns(results), report.rows(results, cluster))
    for each in report.remarks(results, source):
        output.say(each)
    if html is not None:
        output.say(f"the page: {html}")


def _runs(
    cluster: config.ClusterConfig, history_files: tuple[Path, ...], trace_files: tuple[Path, ...], days: float
) -> tuple[tuple[work.Run, ...], str]:
    """Return the runs to play, and their source in words; raises UsageError if there are none."""
    found: list[work.Run] = [traces.read(each) for each in trace_files]
    if history_files:
        from simpleflow.testing.replaying import replay as replays

        for path in history_files:
            if traces.is_trace(traces.raw(path)):
                raise core_errors.UsageError(f"{path} is a trace of WfFormat: give it with --trace")
            saved = replays.read(path)
            run = histories.read(path.stem, path.stem, saved.events)
            found += [] if run is None else [run]
    if trace_files or history_files:
        what = ", ".join(each.name for each in (*trace_files, *history_files)[:4])
        what += (
            f" and {len(trace_files) + len(history_files) - 4} more"
            if len(trace_files) + len(history_files) > 4
            else ""
        )
    else:
        what = f"runs of domain '{cluster.swf_domain}' of {days:g} days"
        for recorded in sfnodes_records.runs(cluster, time.time() - days * 86_400):
            run = histories.read(recorded.run_id, recorded.workflow, recorded.events)
            found += [] if run is None else [run]
    found = [run for run in found if run.tasks]
    if not found:
        raise core_errors.UsageError(
            f"{what}: no task ran in them; give files with --history or --trace, or more --days"
        )
    return tuple(found), what


COMMANDS = (simulate,)
