"""A queue of decision tasks on the emulated account: a second decider machine comes, and goes when it is too many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from simpleflow.testing.rehearsal import play as rehearsals
from simpleflow.testing.rehearsal import stage as stages

ROOT = Path(__file__).resolve().parents[4]
#: more than one decider is expected to take at once
RUNS = 15


@pytest.mark.slow
@pytest.mark.needs_processes
@pytest.mark.timeout(900)
def test_a_second_decider_comes_with_the_queue_and_goes_without_it(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.chdir(ROOT)
    plain = yaml.safe_load((ROOT / "examples" / "rehearsal" / "cluster.yaml").read_text())
    plain["deciders"]["max"] = 2
    plain["code"] = {"path": os.fspath(ROOT / "examples")}
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(plain, sort_keys=False))
    with stages.Stage(file) as stage:
        play = rehearsals.Play(stage, rehearsals.Options(workflow="stdlib-report"), lambda line: None)
        play._class()
        play._up()
        runs = []
        for number in range(RUNS):
            play._show("start", str(number))  # names the run
            runs.append(play._start((), {"limit": 1, "ranges": 1}, announced=False))
        stage.until("a second decider machine", lambda: len(stage.deciders()) == 2, 120)
        stage.until("every workflow", lambda: all(play._closed(run) for run in runs), 240)
        assert {play._closed(run) for run in runs} == {"COMPLETED"}
        stage.until("one decider left", lambda: sum(each.alive for each in stage.deciders()) == 1, 120)
        stage.until("the group at 0", lambda: play._group()["DesiredCapacity"] == 0, 120)
        stage.until("no decider left", lambda: not any(each.alive for each in stage.deciders()), 120)
        assert len(stage.deciders()) == 2, "none was launched in the place of the one that went"
        play._down()
