from __future__ import annotations

from simpleflow.server.state import polls

PLACE = ("items", "d/l")


def test_pollers_are_served_as_they_came_but_for_those_that_go_first() -> None:
    line = polls.Polls()
    old, new, first, newer = (polls.Waiter(PLACE, {}, name) for name in ("old", "new", "first", "newer"))
    line.add(old)
    line.add(new)
    line.add(first, first=True)
    line.add(newer)
    served = []
    while (waiter := line.first(PLACE)) is not None:
        served.append(waiter.poll_id)
        assert line.remove(waiter)
    assert served == ["first", "old", "new", "newer"]
    assert line.open == 0
