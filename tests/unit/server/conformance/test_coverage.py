"""Nothing was left out: what the other tests here saw is what the service model lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import conftest, coverage, seen

_HERE = Path(__file__).parent


def test_everything_that_can_be_produced_was_seen(request: pytest.FixtureRequest, recorded: seen.Seen) -> None:
    collected = {item.path for item in request.session.items}
    absent = [path.name for path in _HERE.glob("test_*.py") if path not in collected and "slow" not in path.name]
    if absent or request.config.option.keyword:
        pytest.skip(f"only a run of all conformance tests can tell; not run: {', '.join(absent) or 'by -k'}")
    if conftest.GIVEN:
        pytest.skip("a service that runs already: tests that fill its quotas were skipped")
    found = coverage.missing(recorded)
    assert not found, "\n".join(found)


def test_table_in_the_documentation_is_up_to_date() -> None:
    text = coverage.DOCUMENT.read_text()
    assert text == coverage.written(text), "run: python tests/unit/server/conformance/coverage.py"
