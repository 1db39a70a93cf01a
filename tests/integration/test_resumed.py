"""A stopped execution that ``standalone --repair`` goes on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from place_rig import Place

pytestmark = pytest.mark.needs_processes
NIGHT = ("standalone", "-W", "1", "integration_flows.Night")


def test_standalone_repairs_what_it_could_not_finish(place: Place, tmp_path: Path) -> None:
    begun = place.run(*NIGHT, "--workflow-id", "night", "--tags", "first", "-i", json.dumps([2, str(tmp_path)]))
    assert (begun.returncode, (tmp_path / "loaded").read_text()) == (1, "0 1 ")
    stopped = json.loads(place.ok("workflow.info", "night", "--format", "json"))
    (tmp_path / "repaired").touch()
    (tmp_path / "input").write_text(json.dumps([3, str(tmp_path)]))
    named = f"night {stopped['run_id']}"
    refused = place.run(*NIGHT, "--repair", named, "--workflow-id", "other")
    assert (refused.returncode, "leave out --workflow-id" in refused.stderr) == (64, True)
    for wrong in ("", "night a b"):
        refused = place.run(*NIGHT, "--repair", wrong)
        assert (refused.returncode, "names no execution" in refused.stderr) == (64, True)
    repair = ("--repair", named, "--tags", "second", "--input-file", str(tmp_path / "input"))
    assert place.ok(*NIGHT, *repair).strip() == "30"
    assert (tmp_path / "loaded").read_text() == "0 1 1 2 "
    shown = json.loads(place.ok("workflow.info", "night", "--format", "json"))
    assert (shown["tag_list"], shown["status"]) == ("second", "COMPLETED")
