"""``sfnodes status`` and ``watch``: tables on a terminal, once or live, and JSON elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click
import msgspec

from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.core import text as texts
from simpleflow.nodes.cluster import cluster as clusters

from . import output
from . import sfnodes_show as show

#: seconds for which ended machines are shown
RECENT = 3600.0
#: seconds between two updates; at ec2 an update needs a dozen calls
EVERY, EVERY_EC2 = 1.0, 5.0
#: number of decisions below the live table
NEWEST = 8


class _Look:
    """Reads the state of one cluster."""

    def __init__(self, target: clusters.Cluster, every: bool) -> None:
        self._target = target
        self._every = every
        self.ec2 = target.config.provider == "ec2"

    def status(self) -> Any:
        since = None if self._every else time.time() - RECENT
        if self.ec2:
            from . import sfnodes_ec2

            return sfnodes_ec2.status(self._target.loaded, since=since)
        return self._target.status(since=since)

    def lines(self, found: Any) -> list[str]:
        """Return the lines above the table."""
        if self.ec2:
            from . import sfnodes_ec2

            return [*sfnodes_ec2.heading(found), *show.facts(found)]
        return [*show.heading(found), *show.facts(found)]

    def newest(self, found: Any) -> Sequence[documents.Decision]:
        if self.ec2:
            from . import sfnodes_ec2

            return sfnodes_ec2.newest(self._target.loaded, found)
        return self._target.newest()


def status(target: clusters.Cluster, *, every: bool, as_json: bool, again: bool, interval: float | None = None) -> None:
    """Show a cluster once, or with ``again`` every ``interval`` seconds until Ctrl-C."""
    look = _Look(target, every)
    if not again:
        found = look.status()
        if as_json:
            click.echo(show.as_json_text(found))
        else:
            _print(look, found)
        return
    seconds = interval or (EVERY_EC2 if look.ec2 else EVERY)
    if as_json:
        while True:
            click.echo(texts.visible_json(msgspec.json.encode(look.status()).decode()))
            time.sleep(seconds)
    _live(lambda: _screen(look), seconds)


def _print(look: _Look, found: Any) -> None:
    for line in look.lines(found):
        output.say(line)
    rows = show.nodes(found)
    if rows and sys.stdout.isatty():
        columns, rows, reasons = show.fitted(rows, shutil.get_terminal_size().columns)
        show.table(columns, rows)
        for reason in reasons:
            output.say(reason)
    elif rows:
        show.table(show.NODES, rows)
    output.say(show.total(found))


def _live(screen: Callable[[], Any], seconds: float) -> None:
    from rich.live import Live

    with Live(screen(), auto_refresh=False, screen=True, vertical_overflow="ellipsis") as live:
        while True:
            time.sleep(seconds)
            live.update(screen(), refresh=True)


def _screen(look: _Look) -> Any:
    """Return the live screen: facts, machines, the newest decisions. If the cluster cannot be read, it says why."""
    from rich.console import Group
    from rich.text import Text

    now = datetime.now().strftime("%H:%M:%S")
    try:
        found = look.status()
        newest = look.newest(found)
    except (core_errors.SimpleflowError, OSError) as error:
        return Text(texts.visible(f"{now}  it cannot be looked at now: {error}", lines=True))
    parts: list[Any] = [Text(f"{now}  Ctrl-C ends this", style="dim")]
    parts += [Text(texts.visible(line, lines=True)) for line in look.lines(found)]
    rows = show.nodes(found)
    if rows:
        columns, rows, reasons = show.fitted(rows, shutil.get_terminal_size().columns)
        parts += [Text(), show.drawn(columns, rows), *(Text(texts.visible(each)) for each in reasons)]
    parts.append(Text(show.total(found)))
    if newest:
        parts.append(Text("\nnewest decisions", style="bold"))
        parts += [Text(texts.visible(_decided(each))) for each in reversed(newest[-NEWEST:])]
    return Group(*parts)


def _decided(each: documents.Decision) -> str:
    when = show.moment(each.at, "%H:%M:%S")
    units = f" {each.units}" if each.units else ""
    which = f" {each.profile}" if each.profile else ""
    return f"{when}  {each.kind}{units}{which}: {each.reason}"
