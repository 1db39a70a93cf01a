"""Lists and counts of executions, and of tasks that wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simpleflow.core import limits
from simpleflow.server.state import session as sessions
from simpleflow.server.state import state as states
from simpleflow.server.store import base

from . import executions, tokens


def _query(session: sessions.Session, request: Mapping[str, Any], *, is_open: bool) -> dict[str, Any]:
    domain, kept_since = session.domain(request["domain"]).name, None
    if not is_open:
        kept_since = session.kept_since(domain)
        if not session.store.expired(domain, kept_since, 1):
            kept_since = None
    by_close = "closeTimeFilter" in request
    times = request.get("closeTimeFilter" if by_close else "startTimeFilter") or {}
    kind = request.get("typeFilter") or {}
    return {
        "domain": domain,
        "open": is_open,
        "kept_since": kept_since,
        "by_close": by_close,
        "oldest": float(times.get("oldestDate", 0.0)),
        "latest": float(times["latestDate"]) if "latestDate" in times else None,
        "workflow_id": (request.get("executionFilter") or {}).get("workflowId"),
        "type_name": kind.get("name"),
        "type_version": kind.get("version") or None,
        "tag": (request.get("tagFilter") or {}).get("tag"),
        "status": (request.get("closeStatusFilter") or {}).get("status"),
    }


def _list(session: sessions.Session, action: str, request: Mapping[str, Any], *, is_open: bool) -> dict[str, Any]:
    found_by = _query(session, request, is_open=is_open)
    position = tokens.page(session, action, request)
    size = request.get("maximumPageSize") or limits.PAGE_SIZE
    query = base.Query(
        **found_by,
        ascending=bool(request.get("reverseOrder")),
        after=None if position is None else (position[0], position[1]),
        limit=size + 1,
    )
    found = session.store.find(query)
    answer: dict[str, Any] = {
        "executionInfos": [
            executions.info(
                states.decode_config(row.config),
                closed=row.closed,
                status=row.status,
                cancel_requested=bool(row.cancel_requested),
            )
            for row in found[:size]
        ]
    }
    if len(found) > size:
        last = found[size - 1]
        answer["nextPageToken"] = tokens.next_page(session, action, request, [last.order, last.key])
    return answer


def list_open(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """ListOpenWorkflowExecutions: the latest start first."""
    return _list(session, "ListOpenWorkflowExecutions", request, is_open=True)


def list_closed(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """ListClosedWorkflowExecutions: the latest start or close first, whichever is asked for."""
    return _list(session, "ListClosedWorkflowExecutions", request, is_open=False)


def count_open(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """CountOpenWorkflowExecutions."""
    return {"count": session.store.count(base.Query(**_query(session, request, is_open=True))), "truncated": False}


def count_closed(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """CountClosedWorkflowExecutions."""
    return {"count": session.store.count(base.Query(**_query(session, request, is_open=False))), "truncated": False}


def _count_waiting(session: sessions.Session, table: str, request: Mapping[str, Any]) -> dict[str, Any]:
    session.domain(request["domain"])
    place = f"{request['domain']}/{request['taskList']['name']}"
    return {"count": session.store.count_waiting(table, place), "truncated": False}


def count_decision_tasks(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """CountPendingDecisionTasks."""
    return _count_waiting(session, "states", request)


def count_activity_tasks(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """CountPendingActivityTasks."""
    return _count_waiting(session, "items", request)
