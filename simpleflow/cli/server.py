"""``server.start|status|stop|backup|restore|check``: the embedded service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from simpleflow import log
from simpleflow.core import errors, folders

from . import context, output


@click.command("server.start")
@click.option("--port", type=click.IntRange(0, 65_535), metavar="N", help="Listen on TCP too (0: a free port).")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another address needs --credentials.")
@click.option(
    "--credentials",
    type=click.Path(exists=True, dir_okay=False),
    help="Verify SigV4 with the keys of this file, written as ~/.aws/credentials: a [section] per key.",
)
@click.option("--db", metavar="PATH|:memory:", help="Default: swf.db in the user's data directory.")
@click.option(
    "--limits",
    type=click.Choice(["data", "aws", "none"]),
    default="data",
    show_default=True,
    help="data: how much may be open; aws: the request rates of Amazon SWF too; none: neither. Lengths always.",
)
@click.option(
    "--synchronous",
    type=click.Choice(["full", "normal"]),
    default="full",
    show_default=True,
    help="normal is faster; a power cut or a crash of the system may then lose the last commits.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="FAULT",
    help="For tests: throttle:ACTION:N, lost-response:ACTION:N, slow-disk:SECONDS, full-disk:N, "
    "clock-jump:SECONDS[:AFTER].",
)
@click.option(
    "--token",
    is_flag=True,
    help="Answer on the port to simpleflow's own clients of this user only: they send a token that lies, for this user "
    "alone, beside the socket.",
)
@click.option("--reset", is_flag=True, help="Delete the database's executions first; nothing but a database of ours.")
@click.option("--accept-damage", is_flag=True, help="Write to a database in which a check found damage.")
@click.option("--detach", is_flag=True, help="Return when it answers, and leave it running.")
@click.option("--stand-in", is_flag=True, hidden=True)
@click.option("--idle", type=click.FloatRange(min=0), hidden=True)
@context.command_options
@click.pass_obj
def start(
    state: context.State,
    port: int | None,
    host: str,
    credentials: str | None,
    db: str | None,
    limits: Literal["data", "aws", "none"],
    synchronous: Literal["full", "normal"],
    faults: tuple[str, ...],
    token: bool,
    reset: bool,
    accept_damage: bool,
    detach: bool,
    idle: float | None,
    stand_in: bool,
) -> int:
    """Run the embedded service: on the user's unix socket, and on TCP with --port.

    With --port any credentials are accepted, on loopback only: every user of this machine may run code as you. --token
    closes the port to all but simpleflow's own clients of this user; --credentials verifies signatures and allows other
    addresses. What it prints when it answers can be given to eval.

    A server that was killed is started again as it was when no options are given, here and by the first command that
    needs it.
    """
    if port is None and (credentials is not None or host != "127.0.0.1"):
        raise errors.UsageError("--host and --credentials are about TCP: give --port as well")
    if host not in ("127.0.0.1", "localhost", "::1") and credentials is None:
        raise errors.UsageError(
            f"--host {host} is reachable by others, and without --credentials any of them may start and end workflows: "
            "give --credentials FILE, or stay on 127.0.0.1"
        )
    from simpleflow.server.process import commands
    from simpleflow.server.process import options as started

    if token and (port is None or credentials is not None):
        raise errors.UsageError("--token is about a port without --credentials: give --port, and one of the two")
    log.configure()
    return commands.start(
        started.Options(
            port=port,
            host=host,
            credentials=None if credentials is None else str(Path(credentials).absolute()),
            database=_path(db),
            limits=limits,
            synchronous=synchronous,
            faults=faults,
            idle=idle,
            token=token,
        ),
        reset=reset,
        accept_damage=accept_damage,
        stand_in=stand_in,
        detach=detach,
        say=click.echo,
    )


def _path(db: str | None) -> str | None:
    if db is None or db == ":memory:":
        return db
    if not db:
        raise errors.UsageError("--db '' names no file: write a path, or :memory:")
    return str(folders.expanded(db).absolute())


@click.command("server.status")
@context.command_options
@click.pass_obj
def status(state: context.State) -> int:
    """Show whether the embedded service runs; exit code 1 when it does not."""
    from simpleflow.server.process import commands

    found = commands.status()
    if found is None:
        click.echo("The embedded service does not run; the first command that needs it starts it.", err=True)
        return 1
    output.one(state, found)
    return 0


@click.command("server.stop")
@context.command_options
@click.pass_obj
def stop(state: context.State) -> int:
    """Stop the embedded service; open executions go on when it is started again."""
    from simpleflow.server.process import commands

    if commands.stop():
        return 0
    click.echo("The embedded service does not run.", err=True)
    return 1


@click.command("server.backup")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--db", metavar="PATH", help="Default: the database of the server, or swf.db in the user's data directory."
)
@context.command_options
@click.pass_obj
def backup(state: context.State, path: Path, db: str | None) -> None:
    """Copy the database to PATH while the service runs or not."""
    from simpleflow.server.process import commands

    if path.exists():
        raise errors.UsageError(f"{path} exists: choose a new name, a backup replaces nothing")
    commands.backup(path, database=db)
    click.echo(str(path))


@click.command("server.restore")
@click.argument("backup", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option(
    "--db", metavar="PATH", help="Default: the database of the server, or swf.db in the user's data directory."
)
@click.option("--start/--no-start", default=True, help="Start the service afterwards, with this database.")
@context.command_options
@click.pass_obj
def restore(state: context.State, backup: Path, db: str | None, start: bool) -> None:
    """Put BACKUP in the database's place, while no server has it; the old files get other names.

    The backup is checked first, and stays as it is.
    """
    from simpleflow.server.process import commands

    place, aside = commands.restore(backup, database=_path(db))
    click.echo(f"{place} is restored from {backup}.")
    if aside is not None:
        click.echo(f"What was there is {aside} now.")
    if start:
        commands.start_with(place, click.echo)


@click.command("server.check")
@click.option(
    "--db", metavar="PATH", help="Default: the database of the server, or swf.db in the user's data directory."
)
@context.command_options
@click.pass_obj
def check(state: context.State, db: str | None) -> int:
    """Check the database, and the values in folders that it refers to.

    What is wrong is printed, a line each, and the exit code is 1.
    """
    from simpleflow.server.process import commands

    place, flaws = commands.check(database=db)
    wrong = list(flaws)
    for line in wrong or [f"Nothing is wrong with {folders.shown(place)}."]:
        click.echo(line)
    return 1 if wrong else 0
