"""Histories of runs from a cluster's coordinator, for ``sfnodes cost`` and ``sfnodes simulate``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from simpleflow.client import connect, executions
from simpleflow.core import errors as core_errors
from simpleflow.core import events
from simpleflow.nodes import config

from . import sfnodes_connect


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One run and its whole history."""

    workflow: str
    workflow_id: str
    run_id: str
    closed: bool
    events: tuple[events.Base, ...]


def runs(cluster: config.ClusterConfig, since: float) -> Iterator[Recorded]:
    """Yield every run that is open, or that closed at or after ``since`` (epoch seconds), oldest first.

    Raises SimpleflowError when the coordinator does not answer.
    """
    with sfnodes_connect.connection(cluster) as connection:
        for info in sorted(_listed(connection, since), key=lambda each: each.start_timestamp):
            run = executions.Run(
                domain=connection.domain, workflow_id=info.execution.workflow_id, run_id=info.execution.run_id
            )
            with contextlib.suppress(core_errors.SimpleflowError):  # deleted since it was listed
                yield Recorded(
                    workflow=info.workflow_type.name,
                    workflow_id=run.workflow_id,
                    run_id=run.run_id,
                    closed=info.execution_status == "CLOSED",
                    events=tuple(executions.history(connection, run)),
                )


def _listed(connection: connect.Connection, since: float) -> Iterator[Any]:
    for action, times in (
        ("ListOpenWorkflowExecutions", {"startTimeFilter": {"oldestDate": 0}}),
        ("ListClosedWorkflowExecutions", {"closeTimeFilter": {"oldestDate": since}}),
    ):
        yield from executions.listed(connection, action, {"domain": connection.domain, **times})


def node_of(identity: str | None) -> str:
    """Return the machine that a worker's identity names; '' for a worker outside of clusters."""
    try:
        found = json.loads(identity or "")
    except ValueError:
        return ""
    return str(found.get("node") or "") if isinstance(found, dict) else ""
