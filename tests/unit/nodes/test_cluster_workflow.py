"""The main job, over 20 modules, on a cluster that starts with zero nodes; and another with each process killed.

One cluster for all tests of this file, which run in their order: the first finds no node, the last takes it down.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from simpleflow.client import connect
from simpleflow.nodes.cluster import supervisor
from simpleflow.process import tree

from .rig import FROM_ZERO, ROOT, WIDE, Gate, Rig

WORKFLOW = "examples.stdlib_report.workflow.StdlibReport"
INPUT = json.dumps({"args": [20, 2], "kwargs": {}})

pytestmark = [pytest.mark.needs_processes, pytest.mark.timeout(900)]

#: what of a command line names each kind of process; the manager last: with it go its deciders, for a lease time
WORDS = {
    "decider": "decider.start",
    "worker": "worker.start",
    "service": "server start",
    "node": "simpleflow.nodes.agent",
    "manager": "simpleflow.cli.sfnodes manager",
}


@pytest.fixture(scope="module")
def expected() -> object:
    """The same job in one process."""
    done = subprocess.run(
        [sys.executable, "-m", "simpleflow.cli.main", "workflow.start", "--local", "--input", INPUT, WORKFLOW],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WIDE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("cluster"), FROM_ZERO)
    made.cluster.bring_up(directory=str(ROOT))
    yield made
    made.close()


def connection_of(rig: Rig) -> connect.Connection:
    return connect.connect(domain=rig.cluster.config.swf_domain, endpoint_url=rig.cluster.paths.endpoint)


def start(rig: Rig, name: str, given: str = INPUT, workflow: str = WORKFLOW, *, cluster: str = "") -> str:
    """Start a job under this workflow id, on the cluster of the file or of a name; return its run id."""
    done = rig.command(
        *("workflow.start", "--cluster", cluster or str(rig.file), "--workflow-id", name, "--input", given),
        *("--decision-tasks-timeout", "10", workflow),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1]


def result(rig: Rig, name: str) -> object:
    """Wait for the end of the job; return its result."""
    rig.until("the service answers", lambda: supervisor.reachable(rig.cluster.paths.endpoint))
    where = ("--endpoint-url", rig.cluster.paths.endpoint)
    domain = ("--domain", rig.cluster.config.swf_domain)
    done = rig.command(*where, "workflow.wait", *domain, name)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{rig.cluster.logs()}"
    done = rig.command(*where, "workflow.result", *domain, name)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def until_a_task_runs(rig: Rig, connection: connect.Connection, name: str, run: str) -> None:
    """Wait until an activity task of a run has started."""
    request = {"domain": connection.domain, "execution": {"workflowId": name, "runId": run}}

    def begun() -> bool:
        events = connection.transport.call("GetWorkflowExecutionHistory", request).events
        return any(type(each).__name__ == "ActivityTaskStarted" for each in events)

    rig.until(f"a task of {name} began", begun)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def kill(rig: Rig, victim: str) -> None:
    """End one process of that kind by SIGKILL (of a node: everything below it too)."""
    found: list[psutil.Process] = []

    def there() -> bool:
        found[:] = [each for each in rig.cluster.processes() if WORDS[victim] in _command(each)]
        return bool(found)

    rig.until(f"there is a {victim}", there)  # one may be starting again since the kill before
    chosen = min(found, key=lambda each: each.pid)
    for each in [chosen, *(chosen.children(recursive=True) if victim == "node" else [])]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    rig.until("it is dead", lambda: not tree.lives(chosen))
    if victim == "service":
        # The threads of a process that is dead already may hold its socket a moment longer.
        rig.until("its socket is closed", lambda: not supervisor.reachable(rig.cluster.paths.endpoint))


def test_nodes_of_both_profiles_come_work_and_go(rig: Rig, expected: object) -> None:
    assert rig.cluster.status().nodes == ()
    start(rig, "from-zero", cluster=rig.cluster.config.cluster)
    assert result(rig, "from-zero") == expected
    rig.until("every node is gone", lambda: all(node.ended for node in rig.cluster.status().nodes))
    nodes = rig.cluster.status().nodes
    assert {node.profile for node in nodes if node.busy} == {"small", "large"}
    # One that still booted when the other had taken the last task was cancelled.
    worked = [node for node in nodes if not node.reason.startswith("cancelled while it booted")]
    assert all(node.cost > 0 and node.first_poll for node in worked), nodes
    assert all(node.drained for node in nodes), nodes


def test_standalone_on_the_same_service_gives_the_same_result(rig: Rig, expected: object) -> None:
    done = rig.command(
        *("--endpoint-url", rig.cluster.paths.endpoint, "standalone", "--domain", "alone", "--nb-workers", "2"),
        *("--input", INPUT, WORKFLOW),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


def test_kill_9_of_each_process_changes_no_result(rig: Rig) -> None:
    """Each has a run of its own whose tasks are held until the kill; the others' runs go on meanwhile."""
    for victim in WORDS:
        rig.until("the service answers", lambda: supervisor.reachable(rig.cluster.paths.endpoint))
        gate = Gate(rig.file.with_name(f"gate-{victim}"))
        given = json.dumps({"args": [3, 1, str(gate.path)], "kwargs": {}})
        run = start(rig, victim, given, "tests.unit.nodes.jobs.Held")
        with connection_of(rig) as connection:
            until_a_task_runs(rig, connection, victim, run)
            kill(rig, victim)
        gate.open()
    for victim in WORDS:
        assert result(rig, victim) == [3, 0, 1, 2], f"of the run whose {victim} was killed"


def test_down_leaves_no_process(rig: Rig) -> None:
    seen = rig.cluster.processes()
    assert seen
    done = rig.sfnodes("down", str(rig.file))
    assert done.returncode == 0, done.stderr
    assert not rig.cluster.processes()
    rig.until("each has ended", lambda: not any(tree.lives(each) for each in seen))
    assert all(node.ended for node in rig.cluster.status().nodes)
