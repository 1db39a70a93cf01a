"""Output of rows as csv, tsv, tabular, human, json or prettyjson."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from simpleflow import utils
from simpleflow.core import text

from . import context

#: characters between two columns, and those that the widest column of a table on a terminal has at least
_GAP, _FOLDED = 2, 24


def text_of(value: Any) -> str:
    """Return one cell as text on one line: nothing for None, JSON for lists and mappings.

    Characters that would steer a terminal or break the row are escaped with backslashes.
    """
    if value is None:
        return ""
    if isinstance(value, dict | list | tuple):
        return utils.json_dumps(value)
    return text.visible(str(value))


def say(words: str, *, err: bool = False) -> None:
    """Print lines for people; control characters in them are escaped."""
    click.echo(text.visible(words, lines=True), err=err)


@contextlib.contextmanager
def result_alone() -> Iterator[None]:
    """Send what workflows and activities of this process print to stderr: stdout holds the command's result alone."""
    saved = None
    with contextlib.suppress(OSError, AttributeError):  # One of them is closed.
        sys.stdout.flush()
        saved = os.dup(1)
        os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


def data(value: str) -> None:
    """Print a value: JSON stays JSON, and other text is escaped where a terminal would obey it."""
    if utils.json_loads_or_raw(value) is not value:
        click.echo(text.visible_json(value))
    elif sys.stdout.isatty():
        say(value)
    else:
        click.echo(value, color=True)


def _separated(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return buffer.getvalue().rstrip("\n")


def _tabular(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def render(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, kind: str, header: bool) -> str:
    """Return a table as text. ``human`` is one ``name: value`` block a row; JSON is a list of objects."""
    if kind in ("json", "prettyjson"):
        objects = [dict(zip(columns, row, strict=True)) for row in rows]
        return utils.json_dumps(objects, pretty=kind == "prettyjson")
    cells = [[text_of(cell) for cell in row] for row in rows]
    if kind == "human":
        width = max((len(name) for name in columns), default=0)
        blocks = [
            "\n".join(f"{name:<{width}}  {cell}".rstrip() for name, cell in zip(columns, row, strict=True))
            for row in cells
        ]
        return "\n\n".join(blocks)
    shown = [list(columns), *cells] if header else cells
    if kind == "csv":
        return _separated(shown, ",")
    if kind == "tsv":
        return _separated(shown, "\t")
    return _tabular(shown)


def table(state: context.State, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, header: bool = False) -> None:
    """Print rows in the chosen format. ``header``: with one unless ``--no-header`` is given, as on a terminal."""
    kind = state.output_format
    header = header if state.header is None else state.header
    if kind == "tabular" and state.colored and rows:
        _rich(state, columns, rows)
        return
    shown = render(columns, rows, kind=kind, header=header)
    if shown:
        click.echo(shown)


def _rich(state: context.State, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table for people; a terminal that is too narrow for it gets one block a row, with whole values."""
    import rich.box
    import rich.console
    import rich.table
    import rich.text

    cells = [[text_of(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) + _GAP for column in zip(columns, *cells, strict=True)]
    widest = max(widths)
    console = rich.console.Console(highlight=False)
    if sum(widths) - widest + min(widest, _FOLDED) > console.width:
        click.echo(render(columns, rows, kind="human", header=False))
        return
    header = state.header is not False
    shown = rich.table.Table(
        box=rich.box.SIMPLE, show_header=header, header_style="bold", pad_edge=False, padding=(0, _GAP - 1, 0, 0)
    )
    for name, width in zip(columns, widths, strict=True):
        shown.add_column(name, overflow="fold", no_wrap=width < widest)
    for row in cells:
        shown.add_row(*map(rich.text.Text, row))
    console.print(shown)


def one(state: context.State, values: Mapping[str, Any]) -> None:
    """Print one object: a row, or the object itself as JSON."""
    kind = state.output_format
    if kind in ("json", "prettyjson"):
        click.echo(utils.json_dumps(dict(values), pretty=kind == "prettyjson"))
    elif kind == "tabular":
        click.echo(render(list(values), [list(values.values())], kind="human", header=False))
    else:
        table(state, list(values), [list(values.values())])
