"""What workflows and activities print and log: stdout of a command is the result alone, a log line is said once."""

from __future__ import annotations

import json

import pytest
from place_rig import Place, eventually

FLOWS = "integration_flows"
pytestmark = pytest.mark.needs_processes


@pytest.mark.parametrize("command", [("standalone", "-W", "1"), ("workflow.start", "--local")])
def test_stdout_holds_the_result_alone(place: Place, command: tuple[str, ...]) -> None:
    ended = place.run(*command, f"{FLOWS}.Speaks")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == '"said"\n'
    for words in ("printed by an activity", "written by a program", "printed by run()"):
        assert words in ended.stderr


def test_a_logger_without_handlers_is_formatted_and_a_replay_does_not_repeat_it(place: Place) -> None:
    place.env["SIMPLEFLOW_LOG_FORMAT"] = "json"
    first = place.spawn("decider.start", "-t", "decisions")
    run_id = place.ok("workflow.start", f"{FLOWS}.Logs", "--workflow-id", "l").split()[-1]
    log = place.folder / "log-0-decider.start"
    eventually(lambda: "before" in log.read_text())
    first.terminate()
    assert first.wait(60) == 0
    place.spawn("decider.start", "-t", "decisions")
    place.ok("workflow.signal", "go", "l")
    place.ok("workflow.wait", "l")
    lines = (log.read_text() + (place.folder / "log-1-decider.start").read_text()).splitlines()
    said = [json.loads(line) for line in lines if '"author"' in line]
    assert [(each["message"], each["level"]) for each in said] == [("before", "WARNING"), ("after", "WARNING")]
    assert {(each["workflow_id"], each["run_id"]) for each in said} == {("l", run_id)}
    assert not [line for line in lines if line in ("before", "after")]
