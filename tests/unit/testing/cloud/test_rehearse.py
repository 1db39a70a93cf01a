"""The rehearsal's own parts: what it refuses, that its stage leaves nothing, what its report says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from simpleflow.core import errors
from simpleflow.testing.rehearsal import play as rehearsals
from simpleflow.testing.rehearsal import report as reports
from simpleflow.testing.rehearsal import stage as stages

ROOT = Path(__file__).resolve().parents[4]
CLUSTER = ROOT / "examples" / "rehearsal" / "cluster.yaml"


def test_a_cluster_that_is_not_on_ec2_has_nothing_to_rehearse(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("cluster: c\nprofiles: {p: {}}\ntask_lists: {l: {profile: p, max: 1}}\n")
    with pytest.raises(errors.UsageError, match="write provider: ec2"):
        rehearsals.rehearse(file, rehearsals.Options(workflow="w"))


@pytest.mark.needs_processes
def test_a_stage_that_cannot_be_set_leaves_nothing(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    children = set(psutil.Process().children(recursive=True))
    monkeypatch.setattr(stages, "_SERVER_START", 0.0)
    with pytest.raises(stages.RehearsalFailed, match="did not start"):
        stages.Stage(CLUSTER).__enter__()
    assert list(short.iterdir()) == []
    assert set(psutil.Process().children(recursive=True)) <= children


@pytest.mark.needs_processes
@pytest.mark.parametrize(
    ("number", "seconds"), [(signal.SIGINT, 0.3), (signal.SIGINT, 3.5), (signal.SIGTERM, 2.0), (signal.SIGHUP, 1.5)]
)
def test_ctrl_c_leaves_nothing(short: Path, number: signal.Signals, seconds: float) -> None:
    """Whatever it was doing: the folder is gone, and so is every process below it."""
    own = {**os.environ, "TMPDIR": str(short)}
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.rehearsal"],
        cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        # whatever runs these tests in the background may have made them ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    time.sleep(seconds)
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode in (130, 1, -number), output
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    assert list(short.glob("simpleflow-rehearsal-*")) == []


def test_the_report_has_everything_that_was_asked_of_it() -> None:
    report = reports.Report(
        factor=20,
        took=61.2,
        shown=(reports.Shown(at=3.0, what="up", how="two stacks"),),
        machines=(
            reports.MachineBill(
                instance="i-1", profile="light", instance_type="m7i.large", market="spot", lived=20.0, cost=0.001,
                cost_at_factor=0.02,
            ),
        ),
        calls={"demo-LightRole": {"s3:PutObject": 7}},
        excess=(("demo-LightRole", "ec2:CreateVpc", "*", 1),),
        left=(),
    )  # fmt: skip
    text = report.text()
    assert "divided by 20" in text
    assert "3.0 s  up: two stacks" in text
    assert "0.0010 USD" in text
    assert "0.0200 USD" in text
    assert "s3:PutObject" in text
    assert "demo-LightRole: ec2:CreateVpc on *, 1 time" in text
    assert "that AWS accepts the template" in text
    assert text.endswith("Left behind: nothing")


def test_the_rehearsed_file_is_the_users_own_with_preset_and_coordinator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from simpleflow.nodes import config

    stage = stages.Stage(CLUSTER)
    stage.folder = tmp_path
    stage.swf_url = "http://127.0.0.1:9"
    play = rehearsals.Play(stage, rehearsals.Options(workflow="w"), print)
    mine, theirs = config.load(CLUSTER).config, config.load(play.file).config
    assert theirs.preset == "rehearsal"
    assert theirs.endpoint == "http://127.0.0.1:9"
    assert (theirs.profiles, theirs.task_lists, theirs.budget) == (mine.profiles, mine.task_lists, mine.budget)
    assert theirs.settings.lease == 60 / config.REHEARSAL_FACTOR
