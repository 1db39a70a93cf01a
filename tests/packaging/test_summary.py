"""What the summary says of skipped tests."""

from __future__ import annotations

from tests import conftest


def test_reasons_are_counted_in_few_lines() -> None:
    reasons = ["Skipped: no sshd"] * 3 + ["Skipped: no\n  root"] * 2 + [f"Skipped: reason {n}" for n in range(9)]
    assert conftest.told_skips(reasons) == [
        "3 skipped: no sshd",
        "2 skipped: no root",
        "1 skipped: reason 0",
        "1 skipped: reason 1",
        "7 skipped: other reasons (7): pytest -rs shows them",
    ]
    assert conftest.told_skips(reasons[:5]) == ["3 skipped: no sshd", "2 skipped: no root"]
    assert conftest.told_skips([]) == []
