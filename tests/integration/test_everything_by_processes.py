"""examples/everything.py with deciders, workers and an embedded service: as in one process and in virtual time."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from conftest import Place

from simpleflow.client import Client
from tests.backends import everything_played

pytestmark = pytest.mark.needs_processes


def test_everything_gives_and_decides_the_same_with_processes_and_the_real_clock(place: Place, tmp_path: Path) -> None:
    argv = ("examples.everything.Everything", "-i", '["tea"]', "--workflow-id", "one")
    assert json.loads(place.ok("standalone", "-W", "2", "-D", "2", *argv)) == everything_played.RESULT
    with Client(endpoint_url=f"unix://{place.folder}/run/swf.sock") as client:
        decisions = everything_played.decided(everything_played.histories(client, "one"))
    _, its = everything_played.played("local", tmp_path)
    assert its - decisions == decisions - its == Counter()
