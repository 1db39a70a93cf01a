"""``sfnodes cost`` and ``prices``: what workflows cost, and the prices of machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from simpleflow.core import errors as core_errors
from simpleflow.core import text
from simpleflow.nodes import config, prices
from simpleflow.nodes.cluster import cluster as clusters
from simpleflow.nodes.manager import report, spending
from simpleflow.observe import tasklog

from . import output, sfnodes_records
from . import sfnodes_show as show
from .sfnodes_common import CLUSTER, JSON, Command, find

_HOUR = 3600.0
_UNREAD = "the runs' histories cannot be read, so work is not told apart"


@click.command(cls=Command)
@CLUSTER
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    default=24.0,
    show_default=True,
    help="Hours before now that are counted.",
)
@JSON
def cost(cluster: str, hours: float, as_json: bool) -> None:
    """Show what the machines cost, by workflow and activity, and what boots and waiting cost.

    The tasks that run on a machine at a moment share its cost equally. Machines count that live now or
    ended in that time. The runs' histories say which task ran where. Open runs share the cost of deciders' machines
    (ec2) equally.
    """
    target = find(cluster)
    since = time.time() - hours * _HOUR
    found, deciders, currency, note = _nodes(target, since)
    ran: list[spending.Ran] = []
    opened: list[spending.Open] = []
    if found or deciders:
        try:
            for run in sfnodes_records.runs(target.config, min(each.launched for each in (*found, *deciders))):
                ran += _ran(run)
                opened.append(_open(run))
        except core_errors.SimpleflowError as error:
            note = "; ".join(filter(None, (note, f"{_UNREAD}: {error}")))
    spent = spending.attribute(found, ran, time.time(), deciders, opened)
    if as_json:
        value = {"cluster": target.config.cluster, "currency": currency, "hours": hours, "nodes": len(found),
                 "deciders": len(deciders), "note": note, "spending": spent,
                 "workflows": spending.by_workflow(spent)}  # fmt: skip
        click.echo(show.as_json_text(value))
        return
    if note:
        output.say(note, err=True)
    _table(spent, currency)
    amount = show.money(round(spent.total), currency)
    counted, useful = text.count(len(found), "machine"), "tasks"
    if deciders:
        counted, useful = f"{counted} and {text.count(len(deciders), 'decider')}", "tasks and decisions"
    output.say(f"{counted} in {hours:g} h, {amount}; {spent.useful:.0%} of it for {useful}")


def _nodes(
    target: clusters.Cluster, since: float
) -> tuple[tuple[report.NodeStatus, ...], tuple[report.NodeStatus, ...], str, str]:
    """Return machines of workers, machines of deciders, the currency, and what a person should know of them."""
    if target.config.provider == "ec2":
        from . import sfnodes_ec2

        of_stack = sfnodes_ec2.status(target.loaded, since=since)
        deciders, note = sfnodes_ec2.decider_machines(target.loaded, since)
        return of_stack.nodes, deciders, of_stack.currency, note
    shown = target.status(since=since)
    return shown.nodes, (), shown.currency, ""


def _ran(run: sfnodes_records.Recorded) -> Iterator[spending.Ran]:
    for task in tasklog.tasks(run.events):
        if task.kind == "activity" and task.started is not None:
            yield spending.Ran(
                node=sfnodes_records.node_of(task.worker),
                workflow=run.workflow,
                activity=task.name,
                started=task.started,
                ended=task.closed,
            )


def _open(run: sfnodes_records.Recorded) -> spending.Open:
    return spending.Open(
        workflow=run.workflow,
        started=run.events[0].timestamp,
        closed=run.events[-1].timestamp if run.closed else None,
    )


def _table(spent: spending.Spending, currency: str) -> None:
    def row(workflow: str, activity: str, tasks: str, seconds: str, amount: float) -> list[str]:
        share = f"{amount / spent.total:.0%}" if spent.total else ""
        return [workflow, activity, tasks, seconds, show.money(round(amount), currency), share]

    rows = [
        row(each.workflow, each.activity, str(each.tasks), show.span(each.seconds), each.cost) for each in spent.work
    ]
    for name, amount in (
        ("tasks without a history", spent.unknown),
        ("boots", spent.boot),
        ("waiting for work", spent.idle),
        ("deciders without an open run", spent.deciders),
        ("paid after their end", spent.unused),
    ):
        if amount:
            rows.append(row(f"({name})", "", "", "", amount))
    if rows:
        show.table(["WORKFLOW", "ACTIVITY", "TASKS", "RAN", "COST", "SHARE"], rows)


@click.command(cls=Command, name="prices")
@click.argument("cluster", required=False)
@click.option("--type", "types", multiple=True, help="Show this instance type; may be repeated.")
@click.option("--region", "regions", multiple=True, help="In this region; may be repeated (default: the cluster's).")
@click.option("--renew", is_flag=True, help="Ask AWS for today's prices of these regions, and keep them.")
@JSON
def prices_(cluster: str | None, types: tuple[str, ...], regions: tuple[str, ...], renew: bool, as_json: bool) -> None:
    """Show what machines cost per hour, from the cluster file or from the dated list of this installation.

    The list has prices of Linux on demand, in USD. A price in the cluster file takes precedence. --renew asks AWS with
    your credentials (right: pricing:GetProducts) and replaces the list of this installation.
    """
    loaded = None if cluster is None else config.load(cluster).config
    regions = regions or ((loaded.region,) if loaded is not None and loaded.region else ())
    if renew:
        _renew(regions)
    known = prices.known()
    if loaded is None and not types:
        _whole(known, regions, as_json)
        return
    rows = [] if loaded is None else list(_of_profiles(loaded, known))
    for name in types:
        if not regions:
            raise core_errors.UsageError("--type needs a --region, or a cluster file with one")
        rows += [_of_type(name, region, known) for region in regions]
    if as_json:
        click.echo(show.as_json_text({"dated": known.dated, "source": known.source, "prices": rows}))
        return
    shown = [
        [each["what"], each["region"], "unknown" if each["price"] is None else f"{each['price']:g}", each["from"]]
        for each in rows
    ]
    show.table(["WHAT", "REGION", "PER HOUR", "FROM"], shown)


def _of_profiles(cluster: config.ClusterConfig, known: prices.PriceList) -> Iterator[dict[str, Any]]:
    machines: dict[str, config.Machine] = {f"profile {name}": each for name, each in cluster.profiles.items()}
    if cluster.provider == "ec2":
        machines["deciders"] = cluster.deciders
    for name, machine in machines.items():
        price = cluster.price_of(machine)
        where = "nobody: write billing: {price: ...} in the cluster file"
        if machine.billing.price is not None:
            where = "the cluster file"
        elif price is not None:
            where = f"the list of {known.day(cluster.region)}, the dearest of its types"
        yield {"what": name, "region": cluster.region, "price": price, "currency": cluster.currency, "from": where}


def _of_type(name: str, region: str, known: prices.PriceList) -> dict[str, Any]:
    price = known.price(name, region)
    where = f"the list of {known.day(region)}"
    return {"what": name, "region": region, "price": price, "currency": known.currency,
            "from": where if price is not None else f"nobody: {where} does not have it"}  # fmt: skip


def _whole(known: prices.PriceList, regions: tuple[str, ...], as_json: bool) -> None:
    """Show the list itself, or the prices of single regions."""
    if as_json:
        click.echo(show.as_json_text(known))
        return
    output.say(f"list of {known.dated}, {known.currency} per hour: {known.source}")
    for region in regions:
        rows = [[name, f"{own[region]:g}"] for name, own in known.types.items() if region in own]
        rows = rows or [[f"{name}.large", f"{own[region]:g}"] for name, own in known.families.items() if region in own]
        output.say(f"{region}, of {known.day(region)}: {text.count(len(rows), 'price')}")
        show.table(["TYPE", "PER HOUR"], rows)
    if not regions:
        counted = f"{text.count(len(known.families), 'family', 'families')} and {text.count(len(known.types), 'type')}"
        output.say(f"{counted} in {', '.join(known.regions)}")
        output.say(
            "one price: `sfnodes prices --type m7i.large --region eu-west-1`; of a cluster: `sfnodes prices FILE`"
        )


def _renew(regions: tuple[str, ...]) -> None:
    from simpleflow.nodes.providers import ec2
    from simpleflow.nodes.providers.ec2 import clients, pricelist

    if not regions:
        raise core_errors.UsageError("--renew needs a --region (may be repeated), or a cluster file with one")
    for region in regions:
        if problem := clients.region_problem(region):
            raise core_errors.UsageError(problem)
    found = prices.known()
    for region in regions:
        asked = pricelist.fetch(ec2.BotoClients(pricelist.REGION), region)
        found = found.with_region(region, datetime.now(UTC).date().isoformat(), asked)
        output.say(f"{region}: {text.count(len(asked), 'price')}", err=True)
    prices.write(prices.PATH, found)


COMMANDS = (cost, prices_)
