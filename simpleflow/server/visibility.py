"""Lists and counts of executions, and of tasks that wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simpleflow.core import limits

from . import executions, tokens
from . import ledger as ledgers
from . import state as states
from .store import base


def _query(ledger: ledgers.Ledger, request: Mapping[str, Any], *, is_open: bool) -> dict[str, Any]:
    domain, kept_since = ledger.domain(request["domain"]).name, None
    if not is_open:
        kept_since = ledger.kept_since(domain)
        if not ledger.store.expired(domain, kept_since, 1):
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


def _list(ledger: ledgers.Ledger, action: str, request: Mapping[str, Any], *, is_open: bool) -> dict[str, Any]:
    found_by = _query(ledger, request, is_open=is_open)
    position = tokens.page(ledger, action, request)
    size = request.get("maximumPageSize") or limits.PAGE_SIZE
    query = base.Query(
        **found_by,
        ascending=bool(request.get("reverseOrder")),
        after=None if position is None else (position[0], position[1]),
        limit=size + 1,
    )
    found = ledger.store.find(query)
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
        answer["nextPageToken"] = tokens.next_page(ledger, action, request, [last.order, last.key])
    return answer


def list_open(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """ListOpenWorkflowExecutions: the latest start first."""
    return _list(ledger, "ListOpenWorkflowExecutions", request, is_open=True)


def list_closed(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """ListClosedWorkflowExecutions: the latest start or close first, whichever is asked for."""
    return _list(ledger, "ListClosedWorkflowExecutions", request, is_open=False)


def count_open(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """CountOpenWorkflowExecutions."""
    return {"count": ledger.store.count(base.Query(**_query(ledger, request, is_open=True))), "truncated": False}


def count_closed(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """CountClosedWorkflowExecutions."""
    return {"count": ledger.store.count(base.Query(**_query(ledger, request, is_open=False))), "truncated": False}


def _count_waiting(ledger: ledgers.Ledger, table: str, request: Mapping[str, Any]) -> dict[str, Any]:
    ledger.domain(request["domain"])
    place = f"{request['domain']}/{request['taskList']['name']}"
    return {"count": ledger.store.count_waiting(table, place), "truncated": False}


def count_decision_tasks(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """CountPendingDecisionTasks."""
    return _count_waiting(ledger, "states", request)


def count_activity_tasks(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """CountPendingActivityTasks."""
    return _count_waiting(ledger, "items", request)
