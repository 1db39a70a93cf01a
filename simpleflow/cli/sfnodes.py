"""``sfnodes``: machines for workflows. No logic here; every command calls ``simpleflow.nodes``."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import click
import msgspec

from simpleflow import _version
from simpleflow.core import errors as core_errors
from simpleflow.core import text as texts
from simpleflow.nodes import config, model
from simpleflow.nodes.cluster import cluster as clusters
from simpleflow.nodes.stack import template

from . import entry, output, sfnodes_machines, sfnodes_money, sfnodes_rehearse, sfnodes_simulate, sfnodes_watch
from . import sfnodes_show as show
from .sfnodes_common import CLUSTER, JSON, Command, find

BUNDLE = click.option(
    "--bundle", "folder", type=click.Path(file_okay=False, exists=True), help="Your own infra, provisioning and ami."
)


class Group(click.Group):
    """Turns our errors into one message and the exit code of docs/reference/formats.md."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List each command with the whole first sentence of its help: click would cut it."""
        shown = [(name, each) for name, each in sorted(self.commands.items()) if not each.hidden]
        with formatter.section("Commands"):
            formatter.write_dl([(name, " ".join((each.help or "").split()).partition(". ")[0].rstrip(".") + ".")
                                for name, each in shown])  # fmt: skip

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except core_errors.UsageError as error:
            output.say(str(error), err=True)
            ctx.exit(64)
        except core_errors.SimpleflowError as error:
            output.say(str(error), err=True)
            ctx.exit(1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version.__version__, prog_name="sfnodes")
def cli() -> None:
    """Map task lists to machines: launch them, drain them, end them.

    Each command is about one cluster file, cluster.yaml by default; `sfnodes init` writes one.
    """


@cli.command()
@CLUSTER
@click.option("--name", help="The cluster's name (default: the folder's).")
@click.option("--bundle", "folder", type=click.Path(file_okay=False), help="Write infra, provisioning and ami there.")
@JSON
def init(cluster: str, name: str | None, folder: str | None, as_json: bool) -> None:
    """Write a cluster file to start from (or a bundle of your own); what exists is left alone."""
    if folder is not None:
        written = template.write_bundle(Path(folder))
        text = f"wrote {', '.join(written)} to {folder}: use them with --bundle {folder}"
        show.message({"written": folder, "folders": list(written)}, text, as_json)
        return
    path = Path(cluster)
    if path.exists():
        raise core_errors.UsageError(f"{path} exists already; edit it, or name another file: sfnodes init FILE")
    chosen = name or _name_of(path.resolve().parent.name)
    text = template.render(chosen)
    config.loads(text, str(path))
    try:
        path.write_text(text)
    except OSError as error:
        raise core_errors.UsageError(f"{path} cannot be written: {error}") from error
    show.message({"written": str(path), "cluster": chosen}, f"wrote {path}: cluster '{chosen}'", as_json)


def _name_of(folder: str) -> str:
    """Return a cluster name made from a folder's name."""
    letters = "".join(each if each.isascii() and each.isalnum() else "-" for each in folder.lower()).strip("-")
    return letters[:31] if letters[:1].isalpha() else f"c-{letters}"[:31].rstrip("-")


@cli.command()
@CLUSTER
@click.option("--schema", is_flag=True, help="Print the JSON Schema of cluster files instead.")
@JSON
def validate(cluster: str, schema: bool, as_json: bool) -> None:
    """Check a cluster file; every problem with its line and what to write instead."""
    if schema:
        click.echo(msgspec.json.format(msgspec.json.encode(config.json_schema()), indent=2))
        return
    from simpleflow.nodes.manager import assemble

    loaded = config.load(cluster)
    found = loaded.config
    try:
        assemble.factory_of(found)  # A provider may be a plug-in, which only the machine that has it can check.
    except core_errors.UsageError as error:
        lines = Path(cluster).read_text(encoding="utf-8").splitlines()
        line = next((number for number, each in enumerate(lines, 1) if each.startswith("provider")), 1)
        raise core_errors.UsageError(f"{cluster}:{line}: {error}") from error
    config.require_reach(loaded, cluster)
    kinds = f"{texts.count(len(found.profiles), 'profile')}, {texts.count(len(found.task_lists), 'task list')}"
    text = f"{cluster}: good: {kinds}, provider {found.provider}"
    show.message({"cluster": found.cluster, "valid": True, "config": msgspec.to_builtins(found)}, text, as_json)


@cli.command()
@CLUSTER
@BUNDLE
@JSON
def plan(cluster: str, folder: str | None, as_json: bool) -> None:
    """Show what `up` would change (ec2) and what the manager would do now, and why; change nothing."""
    from simpleflow.nodes.manager import assemble

    from . import sfnodes_connect

    loaded = config.load(cluster)
    stacks = None
    if loaded.config.provider == "ec2":
        from . import sfnodes_ec2

        stacks = sfnodes_ec2.plan(loaded, folder)
    show.plan(
        assemble.plan_now(loaded, os.environ, sfnodes_connect.transport_or_silence(loaded.config)),
        loaded.config,
        as_json,
        stacks,
    )


@cli.command(name="template")
@CLUSTER
@BUNDLE
@click.option("--base", is_flag=True, help="Print the template of the retained stack (bucket, log groups).")
def template_(cluster: str, folder: str | None, base: bool) -> None:
    """Print the CloudFormation template of a cluster (ec2); makes no call to AWS."""
    loaded = config.load(cluster)
    if loaded.config.provider != "ec2":
        raise core_errors.UsageError(
            f"{cluster}: provider '{loaded.config.provider}' has no stack; write provider: ec2 and a region"
        )
    from . import sfnodes_ec2

    click.echo(sfnodes_ec2.template(loaded, folder, base))


@cli.command()
@CLUSTER
@BUNDLE
@JSON
def up(cluster: str, folder: str | None, as_json: bool) -> None:
    """Start the cluster, or let a running one take over the present file and code.

    Locally a supervisor keeps the manager in the background; on ec2 the stacks are made or updated. Managers take up
    a changed file at their next pass; machines that it touches finish their tasks and are replaced. What cannot change
    under living machines is refused, and a stack or document that bears another owner's tag or name.
    """
    target = clusters.load(cluster)
    if target.config.provider == "ec2":
        from . import sfnodes_ec2

        sfnodes_ec2.up(target.loaded, folder, as_json)
        return
    was_up = target.is_up
    renewed = was_up and target.renew()
    resumed = target.resume()
    if not renewed and not resumed:
        if not was_up and not target.paths.embedded:
            from . import sfnodes_connect

            sfnodes_connect.require(target.config)
        target.bring_up()
    started = target.up
    text = (
        f"cluster '{started.cluster}' is up (supervisor {started.pid}); start workflows with\n"
        f"  simpleflow workflow.start --cluster {cluster} WORKFLOW --input JSON"
    )
    if renewed:
        text = (
            f"cluster '{started.cluster}' was up; it works by {cluster} as it is now: machines that the change touches "
            f"finish their tasks and are replaced (`sfnodes status {cluster}` shows them)"
        )
    elif resumed:
        text = f"cluster '{started.cluster}' was up; its boot failures are forgotten: it launches on"
    show.message(msgspec.to_builtins(started), text, as_json)


@cli.command()
@CLUSTER
@click.option("--watch", "again", is_flag=True, help="Go on showing it, as `sfnodes watch` does.")
@click.option("--all", "every", is_flag=True, help="Show machines that ended more than an hour ago too.")
@click.option("--text", "as_text", is_flag=True, help="Print the tables also where no terminal is.")
@JSON
def status(cluster: str, again: bool, every: bool, as_text: bool, as_json: bool) -> None:
    """Show nodes, tasks and money: tables on a terminal, JSON elsewhere."""
    sfnodes_watch.status(find(cluster), every=every, as_json=_json_wanted(as_text, as_json), again=again)


@cli.command()
@CLUSTER
@click.option("--all", "every", is_flag=True, help="Show machines that ended more than an hour ago too.")
@click.option("--interval", type=click.FloatRange(min=0.1), help="Seconds between two looks (default: 1; 5 on ec2).")
@JSON
def watch(cluster: str, every: bool, interval: float | None, as_json: bool) -> None:
    """Show nodes, tasks, money and the newest decisions, live until Ctrl-C; one line of JSON a look elsewhere."""
    target = find(cluster)
    sfnodes_watch.status(target, every=every, as_json=_json_wanted(False, as_json), again=True, interval=interval)


def _json_wanted(as_text: bool, as_json: bool) -> bool:
    if as_text and as_json:
        raise core_errors.UsageError("--text and --json exclude each other: give one")
    return as_json or not (as_text or sys.stdout.isatty())


@cli.command()
@CLUSTER
@click.option("--now", is_flag=True, help="Do not wait for running tasks: they time out and are run again.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait for the end (default: no limit).")
@click.option("--purge", is_flag=True, help="Delete the data too: bucket and logs (ec2), documents and logs (else).")
@JSON
def down(cluster: str, now: bool, timeout: float | None, purge: bool, as_json: bool) -> None:
    """Drain and end every node, then manager and supervisor. Data stays.

    Repeat it to go on waiting, after --timeout or Ctrl-C: only --now ends running tasks.
    """
    target = find(cluster)
    if target.config.provider == "ec2":
        from . import sfnodes_ec2

        sfnodes_ec2.down(target.loaded, purge, as_json, now=now, timeout=timeout)
        return
    # A cluster that is down may still be purged.
    was_up = target.is_up
    if not was_up and not (purge and target.paths.folder.exists()):
        left = [each.node for each in target.status().nodes if each.state != model.NodeState.GONE]
        if left:
            raise core_errors.UsageError(
                f"cluster '{target.config.cluster}' is not up, and nobody ends what it had ({', '.join(left)}): "
                f"`sfnodes up {cluster}`, then `sfnodes down {cluster}`"
            )
        text = f"cluster '{target.config.cluster}' is not up: there is nothing to take down"
        show.message({"cluster": target.config.cluster, "down": True}, text, as_json)
        return
    gone = target.take_down(hurry=now, timeout=timeout) if was_up else True
    if gone and purge:
        target.purge()
    text = (
        f"cluster '{target.config.cluster}' is down"
        if gone
        else (
            f"cluster '{target.config.cluster}' is still draining; `sfnodes status {cluster}` shows what it waits for"
        )
    )
    show.message({"cluster": target.config.cluster, "down": gone}, text, as_json)
    if not gone:
        sys.exit(1)


@cli.command()
@CLUSTER
@click.option("--node", help="Only this node's log.")
@click.option("-n", "--lines", type=click.IntRange(1), default=50, show_default=True, help="Last lines of each log.")
@JSON
def logs(cluster: str, node: str | None, lines: int, as_json: bool) -> None:
    """Print the logs of supervisor, manager, deciders, service and nodes; on ec2 the machines' consoles."""
    target = find(cluster)
    if target.config.provider == "ec2":
        from . import sfnodes_ec2

        show.logs(sfnodes_ec2.logs(target.loaded, node, lines), as_json)
        return
    found = target.logs(node, lines)
    if not any(found.values()) and not as_json:
        output.say(f"cluster '{target.config.cluster}' has no logs here yet: `sfnodes up {cluster}` begins them")
        return
    show.logs(found, as_json)


@cli.command()
@click.argument("subject", metavar="NODE|TASK_LIST|PROFILE")
@CLUSTER
@JSON
def why(subject: str, cluster: str, as_json: bool) -> None:
    """Show what managers decided about a machine, a task list or a profile, and why; the newest 1,000 are kept."""
    target = find(cluster)
    if target.config.provider == "ec2":
        from . import sfnodes_ec2

        show.why(sfnodes_ec2.why(target.loaded, subject), as_json)
        return
    show.why(target.why(subject), as_json)


@cli.command()
@CLUSTER
@JSON
def manager(cluster: str, as_json: bool) -> None:
    """Run the manager here, in the foreground (`up` does it for you)."""
    from simpleflow.nodes.manager import assemble

    from . import sfnodes_connect

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    loaded = config.load(cluster)
    code = assemble.manager_of(loaded, os.environ, os.getcwd(), sfnodes_connect.transport(loaded.config)).run()
    show.message({"manager": "ended", "code": code}, "", as_json)
    sys.exit(code)


@cli.command(hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def agent(arguments: tuple[str, ...]) -> None:
    """Run the agent of this machine (started by its provider or its unit)."""
    from simpleflow.nodes.agent import __main__ as agent_main

    sys.exit(agent_main.main(list(arguments)))


for each in (
    sfnodes_rehearse.rehearse,
    *sfnodes_machines.COMMANDS,
    *sfnodes_money.COMMANDS,
    *sfnodes_simulate.COMMANDS,
):
    cli.add_command(each)


def main() -> None:
    """Entry point of the command."""
    entry.run(cli, "sfnodes")


if __name__ == "__main__":
    main()
