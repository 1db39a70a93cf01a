"""Calls in the same process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from simpleflow.swf import errors
from simpleflow.swf.transport import inprocess


class Refused(Exception):
    code, message, status = "UnknownResourceFault", "no domain d", 400


def test_answers_are_typed_and_requests_are_copies() -> None:
    given: list[Mapping[str, Any]] = []

    def service(action: str, request: Mapping[str, Any]) -> Any:
        given.append(request)
        return {"count": 3} if action.startswith("Count") else {}

    transport = inprocess.InProcess(service)
    request = {"domain": "d", "taskList": {"name": "t"}}
    assert transport.call("CountPendingActivityTasks", request).count == 3
    assert given == [request]
    assert given[0]["taskList"] is not request["taskList"]
    assert transport.call("RegisterDomain", {"name": "d"}) is not None
    with pytest.raises(TypeError):
        transport.call("RegisterDomain", {"name": object()})


def test_a_poll_that_would_wait_comes_back_empty() -> None:
    waiter, withdrawn = object(), []
    transport = inprocess.InProcess(lambda action, request: waiter, withdraw=withdrawn.append)
    assert transport.call("PollForDecisionTask", {}, poll_id="p").task_token == ""
    assert withdrawn == [waiter]
    assert transport.revoke("p") is False


def test_faults_become_errors_of_their_name_and_bugs_stay_bugs() -> None:
    def refuse(action: str, request: Mapping[str, Any]) -> Any:
        raise Refused if action == "DescribeDomain" else ZeroDivisionError

    closed: list[bool] = []
    transport = inprocess.InProcess(refuse, close=lambda: closed.append(True))
    with pytest.raises(errors.UnknownResourceFault, match="no domain d"):
        transport.call("DescribeDomain", {})
    with pytest.raises(ZeroDivisionError):
        transport.call("ListDomains", {})
    transport.close()
    assert closed == [True]
