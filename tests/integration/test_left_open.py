"""Activity tasks that people complete and fail, with the commands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from place_rig import Place, eventually

pytestmark = pytest.mark.needs_processes


def listed(place: Place) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(place.ok("activity.list", "--format", "json"))
    return found


def test_people_answer_tasks_by_their_tokens(place: Place) -> None:
    running = place.spawn("standalone", "-W", "1", "integration_flows.Approved")
    first, second = eventually(lambda: len(found := listed(place)) == 2 and found)
    assert (first["activity"], first["cancel_requested"]) == ("integration_flows.approve", False)
    place.ok("activity.complete", first["token"], "--result", '{"by": "Ada"}')
    place.ok("activity", "fail", second["token"], "--reason", "no")
    assert running.wait(60) == 0
    assert '[{"by":"Ada"},"TaskFailed"]' in place.logs()
    assert listed(place) == []
