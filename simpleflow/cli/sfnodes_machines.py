"""``sfnodes drain``, ``exec``, ``ssh`` and ``reap``: single machines, and leftovers of dead clusters."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from simpleflow.core import clock as clocks
from simpleflow.core import errors as core_errors
from simpleflow.nodes import config, stores
from simpleflow.nodes.cluster import cluster as clusters
from simpleflow.nodes.cluster import leftovers
from simpleflow.nodes.manager import asked
from simpleflow.nodes.providers import base as providers

from . import output
from . import sfnodes_show as show
from .sfnodes_common import CLUSTER, JSON, NODE, Command, find, provider_of


@click.command(cls=Command)
@NODE
@CLUSTER
@JSON
def drain(node: str, cluster: str, as_json: bool) -> None:
    """Let one machine finish its tasks and end, whatever the policy decides.

    The machine's row is marked; the manager tells the machine at its next pass. If work is left, another machine is
    launched.
    """
    target = find(cluster)
    if target.config.provider == "ec2":
        from . import sfnodes_ec2

        url = sfnodes_ec2.store_url(target.loaded)
    else:
        url = target.paths.store
    row = asked.drain(stores.open_store(url), target.config.cluster, node, clocks.RealClock())
    text = f"node {node} drains (mark {row.drain}); `sfnodes status` shows when it is gone"
    if target.config.provider != "ec2" and not target.is_up:
        text = f"node {node} is to drain; no manager tells it before the cluster is up again: `sfnodes up {cluster}`"
    show.message({"cluster": target.config.cluster, "node": node, "drain": row.drain}, text, as_json)


@click.command(cls=Command, name="exec", context_settings={"allow_interspersed_args": False})
@click.option("-c", "--cluster", default="cluster.yaml", help="The cluster's file or name (default: cluster.yaml).")
@NODE
@click.argument("words", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(cluster: str, node: str, words: tuple[str, ...]) -> None:
    """Run a command on a machine, in the environment of its workers, and end with the command's exit code.

    Machines of provider ssh are reached over ssh, machines of ec2 by AWS Systems Manager (which gives no exit code).
    """
    _enter(find(cluster), node, words[1:] if words[0] == "--" else words)


@click.command(cls=Command)
@NODE
@CLUSTER
def ssh(node: str, cluster: str) -> None:
    """Open a shell on a machine: in a local node's environment, over ssh, or by AWS Systems Manager (ec2)."""
    _enter(find(cluster), node, ())


def _enter(target: clusters.Cluster, node: str, words: tuple[str, ...]) -> None:
    """Replace this process by the session's program, which gets the terminal and signals and gives the exit code."""
    provider = provider_of(target)
    if not isinstance(provider, providers.Sessions):
        raise core_errors.UsageError(
            f"machines of provider '{target.config.provider}' cannot be entered: it has no method session "
            "(simpleflow.nodes.providers.base.Sessions)"
        )
    session = provider.session(node, words)
    environment = {**os.environ, **session.environment}
    for needed in (session.command[0], *session.needs):
        if shutil.which(needed, path=environment.get("PATH")) is None:
            raise core_errors.UsageError(f"this needs the program '{needed}', which is not found here: install it")
    sys.stdout.flush()
    if session.directory:
        os.chdir(session.directory)
    os.execvpe(session.command[0], list(session.command), environment)  # noqa: S606  # an argument vector, no shell


@click.command(cls=Command)
@click.argument("cluster", required=False, metavar="[CLUSTER]")
@click.option("--region", help="Also look for machines of EC2 in this region.")
@click.option("--yes", is_flag=True, help="End everything that is found (default: only show it).")
@JSON
def reap(cluster: str | None, region: str | None, yes: bool, as_json: bool) -> None:
    """Show, and with --yes end, processes and machines that your dead clusters left.

    A cluster is dead when it came up on this machine and its supervisor is gone. With --region, or for a cluster of
    ec2, instances with the tag of a cluster that has no stack are found too. With CLUSTER, a file or a name, only this
    cluster is examined.
    """
    name, own_region = _named(cluster)
    region = region or own_region
    reaper = leftovers.Reaper(os.environ, name)
    found = list(reaper.find())
    orphans = _orphans(region, name) if region else {}
    found += [
        leftovers.Leftover(cluster=each, kind="instance", id=machine, what=f"EC2 instance in {region}, no stack")
        for each, machines in orphans.items()
        for machine in machines
    ]
    problems = list(reaper.notes)
    if yes:
        problems += reaper.end(tuple(each for each in found if each.kind != "instance"))
        if region and orphans:
            from . import sfnodes_ec2

            sfnodes_ec2.end_orphans(region, orphans)
    _tell(found, problems, yes, as_json)
    if problems:
        sys.exit(1)


def _tell(found: list[leftovers.Leftover], problems: list[str], ended: bool, as_json: bool) -> None:
    if as_json:
        click.echo(show.as_json_text({"found": found, "ended": ended, "problems": problems}))
        return
    if found:
        show.table(
            ["CLUSTER", "KIND", "WHICH", "WHAT"],
            [[each.cluster, each.kind, each.id, each.what[:200]] for each in found],
        )
    for problem in problems:
        output.say(problem, err=True)
    if not found:
        output.say("nothing is left of dead clusters")
    elif not ended:
        output.say("nothing was ended: repeat it with --yes")


def _named(given: str | None) -> tuple[str | None, str | None]:
    """Return name and region of the cluster that the user named; the name may be of an unknown cluster."""
    if given is None:
        return None, None
    if Path(given).exists():
        found = config.load(given).config
        return found.cluster, found.region or None
    try:
        known = clusters.find(given).config
    except core_errors.UsageError:
        return given, None
    return known.cluster, known.region or None


def _orphans(region: str, name: str | None) -> dict[str, tuple[str, ...]]:
    from . import sfnodes_ec2

    return sfnodes_ec2.orphans(region, name)


COMMANDS = (drain, exec_, ssh, reap)
