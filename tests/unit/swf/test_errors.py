"""Faults by their names."""

from __future__ import annotations

import pytest

from simpleflow.swf import errors


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("com.amazonaws.swf.base.model#UnknownResourceFault", errors.UnknownResourceFault),
        ("ThrottlingException:http://internal/", errors.ThrottlingException),
        ("TypeAlreadyExistsFault", errors.TypeAlreadyExistsFault),
        ("ExpiredTokenException", errors.Refused),
    ],
)
def test_a_refusal_becomes_the_error_of_its_name(kind: str, expected: type[errors.SwfError]) -> None:
    error = errors.from_answer("CountOpenWorkflowExecutions", 400, kind, "why")
    assert type(error) is expected
    assert "CountOpenWorkflowExecutions" in str(error)
    assert "why" in str(error)


def test_what_has_no_class_is_named_and_told_apart_by_status() -> None:
    assert "ExpiredTokenException" in str(errors.from_answer("ListDomains", 400, "x#ExpiredTokenException", "old"))
    broken = errors.from_answer("ListDomains", 503, "", "")
    assert type(broken) is errors.ServiceFailure
    assert "503" in str(broken)
