"""``sfnodes rehearse``: a cluster's whole life on an emulated AWS account."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click
import msgspec

from simpleflow.core import errors


@click.command()
@click.argument("cluster", default="cluster.yaml", type=click.Path(dir_okay=False))
@click.option("--workflow", required=True, help="Name of the workflow type to run, as deciders register it.")
@click.option("--version", "version", default="1", show_default=True, help="Version of the workflow type.")
@click.option(
    "--input", "given", default="[]", help="Arguments of the workflow: a JSON list, or an object of keywords."
)
@click.option("--plain", is_flag=True, help="Without a sold-out type, a failed boot and a spot notice.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def rehearse(cluster: str, workflow: str, version: str, given: str, plain: bool, as_json: bool) -> None:
    """Run a cluster's whole life here: the real template and code, machines as local processes, no AWS."""
    try:
        from simpleflow.testing.rehearsal import play as rehearsals
    except ModuleNotFoundError as error:
        raise errors.UsageError(
            f"a rehearsal needs {error.name}, which is not installed: pip install 'simpleflow[rehearse]'"
        ) from error
    sys.path.insert(0, os.getcwd())
    arguments, keywords = _input(given)
    options = rehearsals.Options(
        workflow=workflow,
        version=version,
        arguments=arguments,
        keywords=keywords,
        sold_out=not plain,
        failed_boot=not plain,
        spot_notice=not plain,
    )
    report = rehearsals.rehearse(cluster, options, say=lambda line: click.echo(line, err=as_json))
    click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2) if as_json else f"\n{report.text()}")


def _input(given: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    try:
        value = json.loads(given)
    except ValueError as error:
        raise errors.UsageError(f"--input {given!r} is not JSON ({error}); write a list or an object") from error
    if isinstance(value, list):
        return tuple(value), {}
    if isinstance(value, dict):
        return (), value
    raise errors.UsageError(f"--input {given!r} is neither a list nor an object")
