"""What ``sfnodes`` prints: tables on a terminal, plain lines elsewhere, JSON on demand."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click
import msgspec

from simpleflow.core import documents, text
from simpleflow.nodes import billing, config
from simpleflow.nodes.cluster import cluster as clusters
from simpleflow.nodes.manager import report as works
from simpleflow.nodes.policy import decide, guards

from . import output

#: columns whose words are looked for, and copied: never in two lines
_WHOLE = frozenset({"NODE", "PROFILE", "STATE", "AGE", "COST", "CLUSTER", "POLICY"})


def as_json_text(value: Any) -> str:
    """Return a value as indented JSON."""
    return text.visible_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def message(value: Mapping[str, Any], sentence: str, as_json: bool) -> None:
    """Print the value as JSON, or the sentence."""
    if as_json:
        click.echo(as_json_text(value))
    elif sentence:
        output.say(sentence)


def table(columns: list[str], rows: list[list[str]]) -> None:
    """A table on a terminal that has room for it; tab-separated lines elsewhere."""
    if not sys.stdout.isatty() or shutil.get_terminal_size().columns < _NARROW:
        for row in [columns, *rows]:
            click.echo("\t".join(text.visible(cell) for cell in row))
        return
    from rich.console import Console  # Imported here: it takes 50 ms, and only terminals need it.

    Console().print(drawn(columns, rows))


def explained(columns: list[str], rows: list[list[str]]) -> None:
    """A table whose last column is a sentence, which gets lines of its own where the terminal has no room for it."""
    width = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or width >= _WIDE:
        table(columns, rows)
        return
    for *short, sentence in rows:
        head = "  ".join(text.visible(cell) for cell in short if cell)
        click.echo("\n".join(_wrapped(head, width, "", "  ")))
        click.echo("\n".join(_wrapped(text.visible(sentence), width, "    ", "    ")))


def _wrapped(words: str, width: int, first: str, following: str) -> list[str]:
    return textwrap.wrap(
        words, max(width, 20), initial_indent=first, subsequent_indent=following, break_on_hyphens=False
    )


def drawn(columns: list[str], rows: list[list[str]]) -> Any:
    """A table as rich draws it."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    for row in rows:
        made.add_row(*(Text(text.visible(cell)) for cell in row))  # Text: brackets are shown as they are
    return made


def money(amount: int, currency: str) -> str:
    """Millionths as '0.0123 USD'."""
    return f"{amount / billing.MICRO:.4f} {currency}"


def plan(
    decided: decide.Plan, cluster: config.ClusterConfig, as_json: bool, stacks: Mapping[str, Any] | None = None
) -> None:
    """The stack part (ec2), and the nodes part, each line with its reason."""
    if as_json:
        found = {"cluster": cluster.cluster, "nodes": decided}
        click.echo(as_json_text(found if stacks is None else {**found, "stack": stacks}))
        return
    if stacks is not None:
        for name, changes in stacks["changes"].items():
            output.say(f"stack '{name}': {text.count(len(changes), 'change')}")
            for change in changes:
                output.say(f"  {change}")
        for resource, price in stacks["at_rest"].items():
            output.say(f"at rest: {resource} {price} USD per hour")
        for problem in stacks["problems"]:
            output.say(f"problem: {problem}")
    rows = [["launch", f"{each.units} x {each.profile}", each.reason] for each in decided.launches]
    for name in ("unmarks", "drains", "cancels", "terminates", "keeps"):
        rows += [[name[:-1], each.instance, each.reason] for each in getattr(decided, name)]
    rows += [["note", "", note] for note in decided.notes]
    if not rows:
        click.echo("nothing to do: no node, no demand")
        return
    explained(["ACTION", "NODE", "REASON"], rows)


def heading(found: clusters.Status) -> list[str]:
    """What runs of a cluster of this machine."""
    where = f"supervisor {found.supervisor}, manager {found.manager}" if found.up else "not up"
    return [f"cluster '{found.cluster}' ({found.provider}): {where}; domain '{found.domain}'"]


def facts(found: clusters.Status | works.Work) -> list[str]:
    """Tasks, failures and notes, a line each."""
    lines = [
        f"task list '{name}': {counts['scheduled']} scheduled, {counts['foreseen']} foreseen"
        for name, counts in found.demand.items()
    ]
    for failure in found.failures:
        lines += [f"profile '{failure.profile}': {guards.describe(failure)}", *failure.last_log.splitlines()]
    return [*lines, *_versions(found), *(f"note: {note}" for note in found.notes)]


#: machines that a line names
_NAMED = 5
#: letters of a version's digests that tell two apart
_DIGEST = 8


def _versions(found: clusters.Status | works.Work) -> list[str]:
    """Say which living machine has which version, where a profile's machines differ: settings, a dash, code."""
    made: dict[str, dict[str, list[str]]] = {}
    for node in found.nodes:
        if node.ended is None and node.version:
            made.setdefault(node.profile, {}).setdefault(node.version, []).append(node.node)
    lines = []
    for profile, own in made.items():
        for version, names in own.items() if len(own) > 1 else ():
            short = "-".join(each[:_DIGEST] for each in version.split("-", 1))
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            lines.append(f"profile '{profile}', version {short}: {', '.join(names[:_NAMED])}{more}")
    return lines


#: columns of a terminal below which a table would cut off what stands in it
_NARROW = 72
#: columns of a terminal from which on a reason has room beside its machine
_WIDE = 120
NODES = ["NODE", "PROFILE", "STATE", "TASKS", "AGE", "PAID UNTIL", "COST", "WHY"]


def nodes(found: clusters.Status | works.Work) -> list[list[str]]:
    """A row for each machine."""
    return [
        [
            node.node,
            node.profile,
            node.state,
            str(len(node.running)),
            span(node.age),
            "" if node.paid_until is None else moment(node.paid_until, "%H:%M:%S"),
            money(node.cost, found.currency),
            node.reason or ("" if node.health == "ok" else node.health),
        ]
        for node in found.nodes
    ]


def fitted(rows: list[list[str]], width: int) -> tuple[list[str], list[list[str]], list[str]]:
    """Return columns, rows and lines for a terminal of ``width`` characters.

    A narrow terminal has no room for the last column: its values are the lines then.
    """
    if width >= _WIDE:
        return NODES, rows, []
    return NODES[:-1], [row[:-1] for row in rows], [f"{row[0]}: {row[-1]}" for row in rows if row[-1]]


def total(found: clusters.Status | works.Work) -> str:
    """The last line: how many machines, and what they cost."""
    return f"{text.count(len(found.nodes), 'node')}, {money(found.cost, found.currency)}"


def moment(seconds: float, form: str) -> str:
    """A moment (epoch seconds) by the clock of this machine; '?' for one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds).strftime(form)
    except (OSError, OverflowError, ValueError):
        return "?"


def span(seconds: float) -> str:
    """'45 s', '12 min', '3.2 h', '5.0 d'."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"


def why(found: tuple[documents.Decision, ...], as_json: bool) -> None:
    """Decisions, oldest first."""
    if as_json:
        click.echo(as_json_text({"decisions": found}))
        return
    rows = [
        [
            moment(each.at, "%Y-%m-%d %H:%M:%S"),
            each.kind if not each.units else f"{each.kind} {each.units}",
            each.profile,
            ", ".join(each.instances[:3]) + ", …" * (len(each.instances) > 3) or each.attempt,
            each.reason,
        ]
        for each in found
    ]
    if rows:
        explained(["WHEN", "WHAT", "PROFILE", "WHICH", "WHY"], rows)
    else:
        output.say("nothing was decided about it yet")


def logs(found: Mapping[str, str], as_json: bool) -> None:
    """Each log under its name."""
    if as_json:
        click.echo(as_json_text(found))
        return
    for name, lines in found.items():
        output.say(f"==> {name} <==")
        output.say(lines)
