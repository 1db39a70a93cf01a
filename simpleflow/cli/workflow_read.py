"""Commands that read: ``workflow.info|list|filter|history|tasks|profile``."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from simpleflow import utils
from simpleflow.client import executions
from simpleflow.core import errors, events
from simpleflow.observe import tasklog

from . import context, outcomes, output

if TYPE_CHECKING:
    from simpleflow.client import connect

CLOSE_STATUSES = ("COMPLETED", "FAILED", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW", "TIMED_OUT")
LIST_COLUMNS = ("workflow_id", "run_id", "workflow_type", "version", "status", "started", "closed", "tags")


def moment(seconds: float | None) -> str | None:
    """Return an epoch time as ISO 8601 with zone, as every timestamp of these commands is."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")


def since_option(*short: str) -> Callable[[context.F], context.F]:
    """Return the option for the days in which executions were started."""
    return click.option(
        *short,
        "--started-since",
        type=click.IntRange(0),
        default=30,
        show_default=True,
        help="Started in this number of days before now.",
    )


def days_options(function: context.F) -> context.F:
    """Add the options for the first and the last day on which executions were started."""
    last = click.option("--to-date", metavar="DATE", help="Started on this day (UTC) or earlier.")(function)
    words = "Started on this day (UTC) or later; replaces --started-since."
    return click.option("--from-date", metavar="DATE", help=words)(last)


@click.command("workflow.info")
@click.argument("words", nargs=-1, metavar="[DOMAIN] WORKFLOW_ID [RUN_ID]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@context.command_options
@click.pass_obj
def info(state: context.State, words: tuple[str, ...], domain: str | None, run_id: str | None) -> None:
    """Show an execution."""
    target = context.target(words, domain_first=True, domain=domain, run_id=run_id)
    connection = state.connect(domain, named=target.domain)
    run = outcomes.find(connection, target)
    answer = executions.describe(connection, run)
    shown = answer.execution_info
    started = next(iter(executions.history(connection, run))).attributes  # type: ignore[attr-defined]  # all have it
    output.one(
        state,
        {
            "domain": run.domain,
            "workflow_type.name": shown.workflow_type.name,
            "workflow_type.version": shown.workflow_type.version,
            "task_list": answer.execution_configuration.task_list.name,
            "workflow_id": run.workflow_id,
            "run_id": run.run_id,
            "status": shown.close_status or shown.execution_status,
            "tag_list": ",".join(tag for tag in shown.tag_list or () if tag),
            "started": moment(shown.start_timestamp),
            "execution_time": round((shown.close_timestamp or time.time()) - shown.start_timestamp, 3),
            "input": utils.json_loads_or_raw(started.input),
            **_said(answer.latest_execution_context),
            **_ending(connection, run, shown),
        },
    )


def _said(text: str | None) -> dict[str, Any]:
    """Return what the last decision left for people: what the run waits for, why it does not go on."""
    left = utils.json_loads_or_raw(text or None)
    return left if isinstance(left, dict) else {"execution_context": left} if left else {}


def _ending(connection: connect.Connection, run: executions.Run, shown: Any) -> dict[str, Any]:
    """Return why a run ended without a result."""
    if shown.close_status in (None, "COMPLETED", "CONTINUED_AS_NEW"):
        return {}
    reason = executions.outcome(connection, run, shown.close_status).reason
    return {"reason": reason} if reason else {}


def row(shown: Any) -> tuple[Any, ...]:
    """One execution of a list."""
    return (
        shown.execution.workflow_id,
        shown.execution.run_id,
        shown.workflow_type.name,
        shown.workflow_type.version,
        shown.close_status or shown.execution_status,
        moment(shown.start_timestamp),
        moment(shown.close_timestamp),
        ",".join(tag for tag in shown.tag_list or () if tag),
    )


@click.command("workflow.list")
@click.argument("name", metavar="[DOMAIN]", required=False)
@click.option(
    "-s", "--status", type=click.Choice(["open", "closed"]), default="open", show_default=True, help="Which executions."
)
@since_option("-d")
@click.option("--domain", metavar="NAME", help=context.DOMAIN_HELP)
@context.command_options
@click.pass_obj
def list_(state: context.State, name: str | None, status: str, started_since: int, domain: str | None) -> None:
    """List executions, the newest first."""
    connection = state.connect(domain, named=name)
    request = {
        "domain": name or connection.domain,
        "startTimeFilter": {"oldestDate": int(time.time()) - started_since * 86_400},
    }
    action = "ListOpenWorkflowExecutions" if status == "open" else "ListClosedWorkflowExecutions"
    output.table(state, LIST_COLUMNS, [row(shown) for shown in executions.listed(connection, action, request)])


def _day(text: str, option: str, *, end: bool) -> int:
    try:
        day = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise errors.UsageError(
            f"{option} {text!r} is not a date: write YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SS+00:00"
        ) from None
    if day.tzinfo is None:
        day = day.replace(tzinfo=datetime.UTC)
    whole = end and len(text) == 10
    return int((day + datetime.timedelta(days=1) if whole else day).timestamp())


def _times(started_since: int, from_date: str | None, to_date: str | None) -> dict[str, int]:
    """Return the startTimeFilter of these options. Raises UsageError for what is not a date, or matches nothing."""
    oldest = int(time.time()) - started_since * 86_400
    times = {"oldestDate": oldest if from_date is None else _day(from_date, "--from-date", end=False)}
    if to_date is not None:
        times["latestDate"] = _day(to_date, "--to-date", end=True)
        if from_date is not None and times["latestDate"] <= times["oldestDate"] and to_date != from_date:
            raise errors.UsageError(f"--to-date {to_date} lies before --from-date {from_date}: nothing can match")
    return times


@click.command("workflow.filter")
@click.argument("name", metavar="[DOMAIN]", required=False)
@click.option(
    "-s", "--status", type=click.Choice(["open", "closed"]), default="open", show_default=True, help="Which executions."
)
@click.option("--tag", metavar="TAG", help="Has this tag.")
@click.option("--workflow-id", metavar="ID", help="Has this workflow id.")
@click.option("--workflow-type-name", metavar="NAME", help="Is of the type of this name.")
@click.option("--workflow-type-version", metavar="VERSION", help="Is of this version of its type.")
@click.option(
    "-c",
    "--close-status",
    type=click.Choice(CLOSE_STATUSES, case_sensitive=False),
    help="Implies --status closed.",
)
@since_option("-d")
@days_options
@click.option("--domain", metavar="NAME", help=context.DOMAIN_HELP)
@context.command_options
@click.pass_obj
def filter_(state: context.State, /, name: str | None, domain: str | None, **criteria: Any) -> None:
    """List the executions that match every criterion."""
    _times(criteria["started_since"], criteria["from_date"], criteria["to_date"])  # before a service is started for it
    connection = state.connect(domain, named=name)
    found = list(select(connection, name or connection.domain, **criteria))
    output.table(state, LIST_COLUMNS, [row(shown) for shown in found])


def select(
    connection: connect.Connection,
    domain: str,
    *,
    status: str = "open",
    tag: str | None = None,
    workflow_id: str | None = None,
    workflow_type_name: str | None = None,
    workflow_type_version: str | None = None,
    close_status: str | None = None,
    started_since: int = 30,
    from_date: str | None = None,
    to_date: str | None = None,
) -> Iterator[Any]:
    """Give the executions that match every criterion. SWF takes one filter a call: the others are applied here."""
    request: dict[str, Any] = {"domain": domain, "startTimeFilter": _times(started_since, from_date, to_date)}
    if workflow_id is not None:
        request["executionFilter"] = {"workflowId": workflow_id}
    elif workflow_type_name is not None:
        kind = {"name": workflow_type_name}
        if workflow_type_version is not None:
            kind["version"] = workflow_type_version
        request["typeFilter"] = kind
    elif tag is not None:
        request["tagFilter"] = {"tag": tag}
    elif close_status is not None:
        request["closeStatusFilter"] = {"status": close_status}
    closed = status == "closed" or close_status is not None
    action = "ListClosedWorkflowExecutions" if closed else "ListOpenWorkflowExecutions"
    for shown in executions.listed(connection, action, request):
        kind_matches = workflow_type_name in (None, shown.workflow_type.name) and workflow_type_version in (
            None,
            shown.workflow_type.version,
        )
        if (
            kind_matches
            and workflow_id in (None, shown.execution.workflow_id)
            and (tag is None or tag in (shown.tag_list or ()))
            and close_status in (None, shown.close_status)
        ):
            yield shown


@click.command("workflow.history")
@click.argument("words", nargs=-1, metavar="WORKFLOW_ID [RUN_ID]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@click.option(
    "-o",
    "--of",
    "--output-format",
    "kind",
    type=click.Choice(["events", "raw", "cooked"]),
    default="raw",
    show_default=True,
    help="raw: as SWF gives them; events: one line each; cooked: by task.",
)
@click.option("--reverse-order", type=bool, default=False, metavar="BOOL", help="true: the newest event first.")
@context.command_options
@click.pass_obj
def history(
    state: context.State, words: tuple[str, ...], domain: str | None, run_id: str | None, kind: str, reverse_order: bool
) -> None:
    """Show every event of an execution."""
    target = context.target(words, domain_first=False, domain=domain, run_id=run_id)
    connection = state.connect(domain, named=target.domain)
    run = outcomes.find(connection, target)
    found = list(executions.history(connection, run, reverse=reverse_order))
    if kind == "cooked":
        _tasks(state, found, None)
    elif kind == "events":
        output.table(
            state,
            ("event_id", "time", "type", "attributes"),
            [(e.id, moment(e.timestamp), events.type_name(e), tasklog.attributes(e)) for e in found],
        )
    elif state.output_format in ("tabular", "json", "prettyjson"):
        whole = {"events": [{**events.to_builtins(e), "eventTimestamp": moment(e.timestamp)} for e in found]}
        click.echo(utils.json_dumps(whole, pretty=state.output_format != "json"))
    else:
        columns = ("eventId", "eventTimestamp", "eventType", "attributes")
        rows = [(e.id, moment(e.timestamp), events.type_name(e), tasklog.attributes(e)) for e in found]
        output.table(state, columns, rows)


def _moments(task: tasklog.Task) -> list[str | None]:
    return [moment(task.scheduled), moment(task.started), moment(task.closed)]


def _tasks(state: context.State, found: list[events.Base], last: int | None) -> None:
    rows = tasklog.tasks(found)
    if last is not None:
        rows = rows[-last:]
    columns = ("id", "kind", "type", "version", "task_list", "state", "scheduled", "started", "closed", "reason")
    output.table(
        state,
        columns,
        [
            (
                t.id,
                t.kind,
                t.name,
                t.version,
                t.task_list,
                t.state,
                *map(moment, (t.scheduled, t.started, t.closed)),
                t.reason,
            )
            for t in rows
        ],
    )


@click.command("workflow.tasks")
@click.argument("words", nargs=-1, metavar="[DOMAIN] WORKFLOW_ID [RUN_ID]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@click.option("-n", "--nb-tasks", type=click.IntRange(1), help="Show only this number of the last ones.")
@context.command_options
@click.pass_obj
def tasks(
    state: context.State, words: tuple[str, ...], domain: str | None, run_id: str | None, nb_tasks: int | None
) -> None:
    """List the tasks of an execution, in the order in which they were scheduled."""
    target = context.target(words, domain_first=True, domain=domain, run_id=run_id)
    connection = state.connect(domain, named=target.domain)
    _tasks(state, list(executions.history(connection, outcomes.find(connection, target))), nb_tasks)


@click.command("workflow.profile")
@click.argument("words", nargs=-1, metavar="[DOMAIN] WORKFLOW_ID [RUN_ID]")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@click.option("-n", "--nb-tasks", type=click.IntRange(1), help="Show only this number of the longest ones.")
@context.command_options
@click.pass_obj
def profile(
    state: context.State, words: tuple[str, ...], domain: str | None, run_id: str | None, nb_tasks: int | None
) -> None:
    """Show how long each task waited and ran, the longest first, and its share of the execution's time."""
    target = context.target(words, domain_first=True, domain=domain, run_id=run_id)
    connection = state.connect(domain, named=target.domain)
    found = list(executions.history(connection, outcomes.find(connection, target)))
    total = max(found[-1].timestamp - found[0].timestamp, 1e-9)
    rows = []
    for task in tasklog.tasks(found):
        if task.started is None:
            continue
        end = task.closed if task.closed is not None else found[-1].timestamp
        waited, ran = task.started - task.scheduled, end - task.started
        rows.append((task.id, task.name, round(waited, 3), round(ran, 3), round(100 * ran / total, 2)))
    rows.sort(key=lambda r: -r[3])
    output.table(state, ("id", "type", "waited_s", "ran_s", "percent"), rows[:nb_tasks])
