"""What the commands of ``sfnodes`` share: the argument CLUSTER, and how the cluster that it names is found."""

from __future__ import annotations

import os
from pathlib import Path

import click

from simpleflow.core import errors as core_errors
from simpleflow.nodes.cluster import cluster as clusters
from simpleflow.nodes.manager import assemble
from simpleflow.nodes.providers import base as providers

from . import output

CLUSTER = click.argument("cluster", default="cluster.yaml", type=click.Path(dir_okay=False))
NODE = click.argument("node", metavar="NODE")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
#: commands that need the cluster file itself
_BY_FILE = frozenset({"init", "validate", "plan", "template", "up", "manager", "rehearse", "prices"})


class Command(click.Command):
    """Adds the argument to the help text, which click leaves out."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not any(each.name == "cluster" for each in self.params):
            return
        more = "" if self.name in _BY_FILE else ", or the name of a cluster that came up here"
        formatter.write_paragraph()
        formatter.write_text(f"CLUSTER is the path of the cluster file (default: cluster.yaml){more}.")


def find(given: str) -> clusters.Cluster:
    """Return the cluster of a file, or of a name whose file is gone, and show its notes to the user."""
    try:
        found = clusters.find(given)
    except core_errors.UsageError:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if Path(given).exists() or not region or not given.replace("-", "").isalnum():
            raise
        from . import sfnodes_ec2

        found = clusters.Cluster(sfnodes_ec2.by_name(given, region))
    for note in found.notes:
        output.say(note, err=True)
    return found


def provider_of(target: clusters.Cluster) -> providers.NodeProvider:
    """Return the provider of a cluster's machines, as its manager has it."""
    if target.config.provider == "ec2":
        from . import sfnodes_connect

        sfnodes_connect.use_region(target.config.region)
    return assemble.provider_of(target.config, target.paths, os.getcwd())
