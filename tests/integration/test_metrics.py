"""What ``--metrics`` of deciders, workers and ``standalone`` serves."""

from __future__ import annotations

import json
import re
import urllib.request

import psutil
import pytest
from place_rig import Place, eventually

pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'simpleflow[prometheus]'")
pytestmark = pytest.mark.needs_processes


def page(place: Place, command: str) -> str:
    (log,) = place.folder.glob(f"log-*-{command}")
    url = eventually(lambda: re.search(r"^Metrics: (\S+)$", log.read_text(), re.MULTILINE))
    with urllib.request.urlopen(url[1], timeout=60) as answer:
        return str(answer.read().decode())


def test_deciders_and_workers_serve_their_metrics(place: Place) -> None:
    place.spawn("decider.start", "integration_flows.Doubles", "-t", "decisions", "-N", "2", "--metrics", "0")
    place.spawn("worker.start", "-t", "work", "-N", "1", "--metrics", "127.0.0.1:0")
    workflow_id = place.ok("workflow.start", "integration_flows.Doubles").split()[0]
    assert place.ok("workflow.wait", workflow_id) == "6"
    eventually(
        lambda: (
            'simpleflow_closed_total{decision="CompleteWorkflowExecution",workflow="doubles"} 1.0'
            in page(place, "decider.start")
        )
    )
    done = 'simpleflow_tasks_total{activity="integration_flows.double",outcome="completed",task_list="work"} 3.0'
    eventually(lambda: done in page(place, "worker.start"))
    refused = place.run("worker.start", "--metrics", "x:y")
    assert (refused.returncode, "write for example 9464" in refused.stderr) == (64, True)


def test_standalone_serves_the_metrics_of_its_processes(place: Place) -> None:
    """A worker that is killed runs no tasks, and what it counted stays."""
    gate = place.folder / "gate"
    running = place.spawn(
        "standalone", "integration_flows.Gated", "-i", json.dumps([str(gate)]), "-W", "2", "--metrics", "0"
    )
    one = re.compile(r'^simpleflow_tasks_running{task_list="standalone-[0-9a-f]{32}"} 1.0$', re.MULTILINE)
    eventually(lambda: one.search(page(place, "standalone")))
    for each in psutil.Process(running.pid).children():
        if "ActivityPoller" in " ".join(each.cmdline()):
            each.kill()
    eventually(lambda: not one.search(page(place, "standalone")))
    eventually(lambda: one.search(page(place, "standalone")))  # in the next worker
    gate.touch()
    assert running.wait(300) == 0
