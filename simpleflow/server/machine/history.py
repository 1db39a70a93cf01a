"""Pages of an execution's history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from simpleflow.core import limits
from simpleflow.server.requests import errors
from simpleflow.server.state import session as sessions
from simpleflow.server.store import base

from . import tokens


def unknown(workflow_id: str, run_id: str | None) -> errors.Fault:
    """Return the fault for an unknown execution."""
    return errors.unknown_resource(
        f"Unknown execution: WorkflowExecution=[workflowId={workflow_id}, runId={run_id or 'null'}]"
    )


def fill(
    session: sessions.Session,
    answer: dict[str, Any],
    action: str,
    request: Mapping[str, Any],
    key: int,
    first: int,
    last: int,
    extra: list[Any],
) -> None:
    """Put one page of the events from first to last into an answer, and the token of the next page.

    A page ends at its size, or before it grows over the bytes of one response.
    """
    descending = bool(request.get("reverseOrder"))
    size = request.get("maximumPageSize") or limits.PAGE_SIZE
    high = key << base.EVENT_BITS
    bodies = session.store.events(high | first, high | last, descending=descending, limit=size)
    total = 0
    for count, body in enumerate(bodies):
        total += len(body) + 1
        if total > limits.RESPONSE_BYTES and count:
            del bodies[count:]
            break
    answer["events"] = [msgspec.Raw(body) for body in bodies]
    got = len(bodies)
    if 0 < got < last - first + 1:
        bounds = [first, last - got] if descending else [first + got, last]
        config = answer.get("workflowExecution") or request["execution"]
        position = [key, *bounds, *extra, config["runId"], config["workflowId"]]
        answer["nextPageToken"] = tokens.next_page(session, action, request, position)


def get(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """GetWorkflowExecutionHistory."""
    session.domain(request["domain"])
    asked = request["execution"]
    position = tokens.page(session, "GetWorkflowExecutionHistory", request)
    run = session.any_run(request["domain"], asked["workflowId"], asked["runId"])
    if run is None:
        raise unknown(asked["workflowId"], asked["runId"])
    first, last = (1, run.state.events) if position is None else position[1:3]
    if position is not None and not request.get("reverseOrder"):
        last = run.state.events
    answer: dict[str, Any] = {}
    fill(session, answer, "GetWorkflowExecutionHistory", request, run.key, first, last, [])
    return answer
