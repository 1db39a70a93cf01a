"""stdout of a command holds its result alone, whatever workflows and activities print."""

from __future__ import annotations

import pytest
from place_rig import Place

FLOWS = "integration_flows"
pytestmark = pytest.mark.needs_processes


@pytest.mark.parametrize("command", [("standalone", "-W", "1"), ("workflow.start", "--local")])
def test_stdout_holds_the_result_alone(place: Place, command: tuple[str, ...]) -> None:
    ended = place.run(*command, f"{FLOWS}.Speaks")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == '"said"\n'
    for words in ("printed by an activity", "written by a program", "printed by run()"):
        assert words in ended.stderr
