from __future__ import annotations

import pytest

from simpleflow.local import latency


def test_time_is_added_up_inside_and_ignored_outside() -> None:
    latency.takes(5)
    with latency.measured() as outer:
        latency.takes(1)
        with latency.measured() as inner:
            latency.takes(7)
        latency.takes(2)
    assert (outer.seconds, inner.seconds) == (3, 7)


def test_hanging_and_dying_belong_into_an_environment() -> None:
    for function in (latency.hang, latency.dies):
        with pytest.raises(RuntimeError, match="Environment"):
            function()
    with latency.measured():
        with pytest.raises(latency.Hangs) as hangs:
            latency.hang(heartbeats=False)
        with pytest.raises(latency.Dies) as dies:
            latency.dies()
    assert (hangs.value.alive, dies.value.number) == (False, 9)


def test_no_negative_time() -> None:
    with pytest.raises(ValueError, match="-1"):
        latency.takes(-1)
