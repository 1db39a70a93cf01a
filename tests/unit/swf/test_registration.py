"""Types are registered once, whoever was first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from simpleflow.core import retries, types
from simpleflow.swf import errors, registration


class Recorder:
    """A transport that notes calls and raises what it was given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.error = error

    def call(self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: object = None) -> Any:
        self.calls.append((action, request))
        if self.error is not None:
            raise self.error

    def revoke(self, poll_id: str) -> bool:
        return False

    def close(self) -> None:
        self.calls.clear()


@pytest.mark.parametrize("error", [None, errors.TypeAlreadyExistsFault("there")])
def test_each_type_is_registered_once(error: Exception | None) -> None:
    transport = Recorder(error)
    registrar = registration.Registrar(transport, "d")
    for _ in range(2):
        registrar.ensure_workflow("w", "1")
        registrar.ensure_activity("w", "1")
    kind = {"domain": "d", "name": "w", "version": "1"}
    assert transport.calls == [("RegisterWorkflowType", kind), ("RegisterActivityType", kind)]


def test_what_a_decision_needs_is_registered_once() -> None:
    transport = Recorder()
    registrar = registration.Registrar(transport, "d")
    needed = [
        types.RegisteredType(kind="workflow", name="w", version="1"),
        types.RegisteredType(kind="activity", name="a", version="2"),
    ]
    registrar.ensure(iter(needed))
    registrar.ensure(needed)
    assert [action for action, _ in transport.calls] == ["RegisterWorkflowType", "RegisterActivityType"]
    assert transport.calls[1][1] == {"domain": "d", "name": "a", "version": "2"}


def test_a_domain_that_exists_is_registered() -> None:
    transport = Recorder(errors.DomainAlreadyExistsFault("there"))
    registrar = registration.Registrar(transport, "d")
    registrar.ensure_domain(7)
    registrar.ensure_domain(7)
    assert transport.calls == [("RegisterDomain", {"name": "d", "workflowExecutionRetentionPeriodInDays": "7"})]


def test_a_failure_is_raised_and_tried_again() -> None:
    transport = Recorder(errors.ThrottlingException("slow down"))
    registrar = registration.Registrar(transport, "d", patience=retries.Patience.of(0))
    with pytest.raises(errors.ThrottlingException):
        registrar.ensure_workflow("w", "1")
    transport.error = None
    registrar.ensure_workflow("w", "1")
    assert len(transport.calls) == 2
