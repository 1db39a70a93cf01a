"""Faults by their names."""

from __future__ import annotations

import pytest
from botocore.retries import standard

from simpleflow.core import retries
from simpleflow.swf import errors


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("com.amazonaws.swf.base.model#UnknownResourceFault", errors.UnknownResourceFault),
        ("ThrottlingException:http://internal/", errors.ThrottlingException),
        ("TypeAlreadyExistsFault", errors.TypeAlreadyExistsFault),
        ("ExpiredTokenException", errors.CredentialsRefused),
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


def test_what_botocore_repeats_is_no_verdict() -> None:
    throttled = standard.ThrottledRetryableChecker._THROTTLED_ERROR_CODES
    transient = standard.TransientRetryableChecker._TRANSIENT_ERROR_CODES
    assert set(throttled) <= retries.THROTTLING
    for code in (*throttled, *transient):
        assert errors.from_answer("ListDomains", 400, code, "").kind is not retries.Kind.VERDICT


def test_only_the_services_own_word_is_a_verdict() -> None:
    verdicts = {
        code
        for code in (*errors._CLASSES, "ExpiredToken", "Throttling", "404", "", "SomethingNew")
        if errors.from_answer("ListDomains", 400, f"x#{code}", "").kind is retries.Kind.VERDICT
    }
    assert verdicts == set(errors._CLASSES) - {"OperationNotPermittedFault"}
    for status in (302, 400, 403, 404, 408, 413, 429, 500, 503):
        assert errors.from_answer("ListDomains", status, "", "<html>").kind is not retries.Kind.VERDICT
    assert errors.from_answer("ListDomains", 502, "UnknownResourceFault", "").kind is retries.Kind.UNCLEAR
    assert type(errors.from_answer("ListDomains", 413, "SomeLimit", "")) is errors.RequestTooLarge


def test_what_others_wrote_is_shown_on_one_line() -> None:
    text = str(errors.from_answer("ListDomains", 404, "", "<html>\n\x1b[2Jno\tpage\r\n"))
    assert text.endswith("<html> ?[2Jno page")
