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
    assert place.ok("activity.heartbeat", first["token"], "--details", "mail sent") == ""
    refused = place.run("activity.complete", first["token"], "--result", "{oops")
    assert (refused.returncode, "not JSON" in refused.stderr) == (64, True)
    place.ok("activity.complete", first["token"], "--result", '{"by": "Ada"}')
    assert [task["token"] for task in listed(place)] == [second["token"]]
    place.ok("activity", "fail", second["token"], "--reason", "no")
    assert running.wait(60) == 0
    assert '[{"by":"Ada"},"TaskFailed"]' in place.logs()
    assert listed(place) == []
    late = place.run("activity.complete", second["token"])
    assert (late.returncode, "no open task has this token" in late.stderr) == (1, True)
