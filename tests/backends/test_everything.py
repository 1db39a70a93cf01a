"""examples/everything.py: the same result and the same decisions on three backends."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from examples import everything
from tests.backends import everything_played, places


def test_everything_gives_the_same_on_three_backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in places.SIGNED.items():
        monkeypatch.setenv(name, value)
    (result, decisions), *others = [everything_played.played(name, tmp_path) for name in places.NAMES]
    assert result == everything_played.RESULT
    assert len(everything.FIRST + everything.SECOND) >= 20
    assert sum(decisions.values()) > 80
    for other, its in others:
        assert other == result
        assert its - decisions == decisions - its == Counter()
