"""``workflow.dump`` and ``workflow.replay``: histories into files, and saved ones against the code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

from simpleflow.client import executions
from simpleflow.core import errors
from simpleflow.core import text as safe_text
from simpleflow.runtime import standalone

from . import context, outcomes, output


@click.command("workflow.dump")
@click.argument("words", nargs=-1, metavar="WORKFLOW_ID [RUN_ID] FILE")
@context.domain_option
@click.option("--run-id", metavar="ID", help="Default: the open run of that id, else the latest.")
@context.command_options
@click.pass_obj
def dump(state: context.State, words: tuple[str, ...], domain: str | None, run_id: str | None) -> None:
    """Write the history of an execution to FILE as workflow.replay reads it, and SWF's API writes it; - is stdout."""
    if len(words) not in (2, 3):
        raise errors.UsageError(f"{len(words)} positional arguments given: write WORKFLOW_ID [RUN_ID] FILE")
    from simpleflow.testing.replaying import replay as replays

    *place, path = words
    target = context.target(place, domain_first=False, domain=domain, run_id=run_id)
    connection = state.connect(domain)
    run = outcomes.find(connection, target)
    text = replays.text(run.workflow_id, run.run_id, executions.history(connection, run))
    if path == "-":
        click.echo(safe_text.visible_json(text), nl=False)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise errors.UsageError(f"{path!r} cannot be written: {error}") from error


@click.command("workflow.replay")
@click.argument("workflow")
@click.option(
    "--history",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='A saved history ({"events": [...]}); may be repeated.',
)
@context.command_options
@click.pass_obj
def replay(state: context.State, workflow: str, files: tuple[Path, ...]) -> int:
    """Replay saved histories against WORKFLOW: prints its decisions at each decision point, one JSON object a line.

    Exits 1 on a divergence, with the two-column diff. No network, no credentials.
    """
    from simpleflow.testing.replaying import replay as replays

    sys.path.insert(0, os.getcwd())
    cls = standalone.check_workflows([workflow])[0]
    diverged = False
    for path in files:
        saved = replays.read(path)
        outcome = replays.replay(cls, saved.events, workflow_id=saved.workflow_id, run_id=saved.run_id)
        for point in outcome.points:
            line = {"startedEventId": point.started_event_id, "decisions": point.decisions}
            click.echo(safe_text.visible_json(msgspec.json.encode(line).decode()))
        if outcome.divergence is not None:
            diverged = True
            output.say(f"{path}: {outcome.divergence}", err=True)
    return 1 if diverged else 0
