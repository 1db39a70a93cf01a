"""``workflow.replay``: saved histories against the code, without network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

from simpleflow.core import errors, events
from simpleflow.runtime import standalone

from . import context


class _File(msgspec.Struct, frozen=True):
    """As GetWorkflowExecutionHistory answers."""

    events: msgspec.Raw


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
    from simpleflow.testing import replay as replays

    sys.path.insert(0, os.getcwd())
    cls = standalone.check_workflows([workflow])[0]
    diverged = False
    for path in files:
        try:
            found = events.decode(bytes(msgspec.json.decode(path.read_bytes(), type=_File).events))
        except msgspec.DecodeError as error:
            raise errors.UsageError(
                f'--history {path} is no history ({error}): it must hold {{"events": [...]}} as '
                "GetWorkflowExecutionHistory answers; workflow.history writes it"
            ) from error
        outcome = replays.replay(cls, found)
        for point in outcome.points:
            line = {"startedEventId": point.started_event_id, "decisions": point.decisions}
            click.echo(msgspec.json.encode(line).decode())
        if outcome.divergence is not None:
            diverged = True
            click.echo(f"{path}: {outcome.divergence}", err=True)
    return 1 if diverged else 0
