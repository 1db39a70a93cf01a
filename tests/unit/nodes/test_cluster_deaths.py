"""A workflow is started on a cluster at rest; client or decider dies (kill -9) at each step. No run is lost.

After each the cluster goes back to zero deciders and machines, and the next run finds it so.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from simpleflow.client import connect
from simpleflow.nodes.cluster import cluster

from . import deaths
from .rig import FROM_ZERO, ROOT, WIDE, Rig

pytestmark = [pytest.mark.needs_processes, pytest.mark.slow, pytest.mark.timeout(1200)]

WORKFLOW = "tests.unit.nodes.jobs.Squares"
GIVEN = json.dumps({"args": [3, 0.05], "kwargs": {}})
EXPECTED = 0 + 1 + 4


class Trial:
    """One cluster, at rest between the runs."""

    def __init__(self, folder: Path) -> None:
        text = FROM_ZERO.replace("examples.stdlib_report.workflow.StdlibReport", WORKFLOW)
        self.rig = Rig(folder, text.replace("loop: 0.5", "loop: 0.2, poll: 1"))
        self.death = folder / "death"
        self.rig.environment |= {
            "SIMPLEFLOW_INTERCEPTORS": "tests.unit.nodes.deaths.Dies",
            deaths.VARIABLE: str(self.death),
        }
        self.rig.cluster = cluster.load(self.rig.file, self.rig.environment)

    def command(self, name: str) -> list[str]:
        where = ("workflow.start", "--cluster", self.rig.cluster.config.cluster, "--workflow-id", name)
        return [sys.executable, "-m", "simpleflow.cli.main", *where, "--input", GIVEN, WORKFLOW]

    def start(self, name: str) -> int:
        return subprocess.run(
            self.command(name), env=self.rig.environment, cwd=ROOT, capture_output=True, timeout=WIDE
        ).returncode

    def known(self, name: str) -> bool:
        """Whether the service has a run of this id."""
        domain = self.rig.cluster.config.swf_domain
        with connect.connect(domain=domain, endpoint_url=self.rig.cluster.paths.endpoint) as connection:
            filters = {"domain": domain, "executionFilter": {"workflowId": name}}
            times = {"startTimeFilter": {"oldestDate": 0}}
            found = [
                *connection.transport.call("ListOpenWorkflowExecutions", {**filters, **times}).execution_infos,
                *connection.transport.call("ListClosedWorkflowExecutions", {**filters, **times}).execution_infos,
            ]
        return bool(found)

    def completes(self, name: str) -> None:
        where = ("--endpoint-url", self.rig.cluster.paths.endpoint)
        domain = ("--domain", self.rig.cluster.config.swf_domain)
        done = self.rig.command(*where, "workflow.wait", *domain, name)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{self.rig.cluster.logs()}"
        done = self.rig.command(*where, "workflow.result", *domain, name)
        assert json.loads(done.stdout) == EXPECTED

    def deciders(self) -> list[psutil.Process]:
        return [each for each in self.rig.cluster.processes() if "decider.start" in _command(each)]

    def rests(self) -> None:
        """Wait until there is neither a decider nor a machine."""
        self.rig.until("no decider is left", lambda: not self.deciders())
        self.rig.until("no machine is left", lambda: all(node.ended for node in self.rig.cluster.status().nodes))


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    made = Trial(tmp_path_factory.mktemp("deaths"))
    made.rig.cluster.bring_up(directory=str(ROOT))
    yield made
    made.rig.close()


@pytest.mark.parametrize("step", deaths.CLIENT)
def test_a_client_that_dies_has_started_a_run_that_completes_or_none(trial: Trial, step: str) -> None:
    name = step.replace(": ", "-").replace(" ", "-")
    trial.death.write_text(step)
    assert trial.start(name) == -9
    assert not trial.death.exists()
    assert trial.known(name) == ("after" in step)
    if not trial.known(name):
        assert trial.start(name) == 0
    trial.completes(name)
    trial.rests()


def test_a_client_that_dies_at_any_moment_has_started_a_run_that_completes_or_none(trial: Trial) -> None:
    dice = random.Random(7)
    for number in range(8):
        name = f"anywhere-{number}"
        client = subprocess.Popen(
            trial.command(name), env=trial.rig.environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            client.wait(dice.uniform(0.2, 1.5))
        except subprocess.TimeoutExpired:
            client.kill()
        printed, _ = client.communicate()
        if trial.known(name):
            trial.completes(name)
        else:
            assert not printed, "it said that it had started one"
    trial.rests()


@pytest.mark.parametrize("more", ["", ", with its supervisor"])
@pytest.mark.parametrize("step", deaths.DECIDER)
def test_a_decider_that_dies_loses_no_run(trial: Trial, step: str, more: str) -> None:
    name = f"{step} {more}".replace(" ", "-").replace(",", "")
    trial.death.write_text(f"decider: {step}{more}")
    assert trial.start(name) == 0
    trial.completes(name)
    trial.rests()
    assert not trial.death.exists(), "it died"
