"""What a person does with one machine, and with what dead clusters left: drain, exec, ssh, reap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from click.testing import CliRunner, Result

from simpleflow.cli import sfnodes
from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.data import files
from simpleflow.nodes import config, control, errors, stores
from simpleflow.nodes.cluster import cluster, leftovers
from simpleflow.nodes.manager import asked
from simpleflow.nodes.providers import base
from simpleflow.nodes.providers.process import ProcessProvider, node_folder
from simpleflow.nodes.providers.ssh import provider as ssh
from simpleflow.process import lock_lifeline

from . import fakes
from .world import World


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMPLEFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SIMPLEFLOW_RUNTIME_DIR", str(tmp_path / "run"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    CliRunner().invoke(sfnodes.cli, ["init", "--name", "demo"])
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sfnodes.cli, list(arguments))


# --- drain ------------------------------------------------------------------------------------------------------------


def test_a_machine_that_a_person_drains_goes_although_it_is_needed_and_another_takes_its_place() -> None:
    world = World()
    world.add("a", "b")
    while not (world.living() and world.living()[0].running):
        world.tick(task_time=60)
    [node] = world.living()
    had = tuple(node.running)
    asked.drain(world.store, "demo", node.id, world.clock)
    for _ in range(30):
        world.tick(task_time=20)
        if not world.queue:
            world.add("c")
    assert not node.alive
    assert set(had) <= set(world.done)
    assert (world.lost, world.terminated) == ([], [])
    assert [entry.reason for entry in world.ledger() if entry.instance == node.id] == [asked.REASON]
    assert any(each.alive for each in world.nodes.values()), "what is left is worked by another one"


def test_a_mark_that_a_person_asked_for_is_not_taken_back_when_the_machine_is_needed() -> None:
    for by_person in (False, True):
        world = World()
        world.add("a")
        while not (world.living() and world.living()[0].first_polled):
            world.tick(task_time=60)
        [node] = world.living()
        file = world.managers["m1"].file
        if by_person:
            asked.drain(world.store, "demo", node.id, world.clock)
        else:
            file.replace(control.drain(file.read(), node.id, "idle", world.clock.now()))
        plan = world.managers["m1"].look()
        assert (node.id in [each.instance for each in plan.unmarks]) is not by_person


def test_the_machines_that_could_drain_are_named(home: Path) -> None:
    store = stores.open_store(cluster.load("cluster.yaml").paths.store)
    row = documents.Row(instance="n-1", profile="small", attempt="a", price=0, since=0.0, until=0.0)
    store.put(documents.CONTROL_KEY, msgspec.json.encode(documents.Control(cluster="demo", rows=(row,))))
    done = run("drain", "n-2")
    assert (done.exit_code, done.stderr) == (
        64,
        "cluster 'demo' has no machine 'n-2' that could drain; those that live: n-1\n",
    )
    told = run("drain", "n-1")
    assert (told.exit_code, "no manager tells it before the cluster is up again" in told.stdout) == (0, True)
    again = json.loads(run("drain", "n-1", "--json").stdout)
    assert again == {"cluster": "demo", "node": "n-1", "drain": 1}


# --- exec and ssh -----------------------------------------------------------------------------------------------------


@pytest.fixture
def node(home: Path) -> Iterator[str]:
    """A local node that lives as far as its lock tells."""
    where = cluster.load("cluster.yaml").paths
    folder = node_folder.NodeFolder(where.folder / "nodes" / "n-1")
    folder.create(
        node_folder.Record(id="n-1", attempt="a", profile="small", launched=0.0, instance_type="process", tags={})
    )
    node_folder.write(where.folder / "metadata.url", b"http://127.0.0.1:9")
    setup = documents.NodeSetup(
        cluster="demo",
        domain="demo",
        profile="small",
        provider="process",
        store=where.store,
        task_lists=(),
        times={},
        environment={"COLOUR": "red"},
        directory=str(home),
    )
    node_folder.write(folder.setup, msgspec.json.encode(setup))
    with files.locked(folder.alive):
        yield "n-1"


@pytest.mark.needs_processes
def test_a_command_runs_as_the_nodes_workers_run_and_its_exit_code_is_handed_on(home: Path, node: str) -> None:
    script = (
        "import os; print(os.environ['SIMPLEFLOW_NODE_ID'], os.environ['COLOUR'], os.getcwd()); raise SystemExit(3)"
    )
    done = subprocess.run(
        [sys.executable, "-m", "simpleflow.cli.sfnodes", "exec", node, "--", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, f"n-1 red {home}\n", "")


def test_a_shell_of_a_local_node_is_the_users(home: Path, node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/some-shell")
    provider = ProcessProvider("demo", str(cluster.load("cluster.yaml").paths.folder), {})
    assert provider.session(node, ()).command == ("/bin/some-shell",)
    missing = run("ssh", node)
    assert (missing.exit_code, missing.stderr) == (
        64,
        "this needs the program '/bin/some-shell', which is not found here: install it\n",
    )
    assert "does not exist" in run("exec", "n-7", "true").stderr


def test_ssh_goes_to_the_nodes_machine_with_the_pinned_host_key(tmp_path: Path) -> None:
    profile = config.Profile(hosts=("10.0.0.7",), ssh=config.Ssh(user="me", port=2222, key="/k", known_hosts="/h"))
    provider = ssh.SshProvider("demo", str(tmp_path), {}, {"small": profile}, tasks=None, code=lambda: (b"", ""))
    provider._write(ssh.Placed(id="n-1", host="10.0.0.7", profile="small", attempt="a", launched=0.0, state="running"))
    shell = provider.session("n-1", ()).command
    assert (shell[0], shell[-2:]) == ("ssh", ("-t", "me@10.0.0.7"))
    assert {"StrictHostKeyChecking=yes", "UserKnownHostsFile=/h", "IdentitiesOnly=yes", "2222"} < set(shell)
    ran = provider.session("n-1", ("echo", "two words")).command
    assert ran[-2:] == ("me@10.0.0.7", "SIMPLEFLOW_NODE_ID=n-1 echo 'two words'")
    with pytest.raises(errors.ProviderRefused, match="does not live"):
        provider.session("n-2", ())


def test_machines_that_cannot_be_entered_are_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = fakes.virtual()
    from simpleflow.cli import sfnodes_machines
    from simpleflow.nodes.providers.fake import FakeProvider

    monkeypatch.setattr(sfnodes_machines, "provider_of", lambda target: FakeProvider("demo", fake))
    assert "cannot be entered: it has no method session" in run("ssh", "n-1").stderr
    assert isinstance(ProcessProvider("demo", str(home), {}), base.Sessions)


# --- reap -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def left(home: Path) -> Iterator[psutil.Process]:
    """A process that outlived the cluster 'demo', which came up here."""
    where = cluster.load("cluster.yaml").paths
    where.folder.mkdir(parents=True)
    where.file.write_bytes(msgspec.json.encode(config.load("cluster.yaml").config))
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "SIMPLEFLOW_CLUSTER_FOLDER": str(where.folder), "SIMPLEFLOW_NODE_ID": "n-1"},
    )
    assert child.stdout is not None
    child.stdout.readline()
    yield psutil.Process(child.pid)
    child.kill()
    child.communicate()


@pytest.mark.needs_processes
def test_what_outlived_its_cluster_is_shown_first_and_ended_when_that_is_wanted(left: psutil.Process) -> None:
    shown = run("reap")
    assert f"demo\tprocess\t{left.pid}\tnode n-1: " in shown.stdout
    assert "nothing was ended: repeat it with --yes" in shown.stdout
    assert left.is_running()
    found = json.loads(run("reap", "--yes", "--json").stdout)
    assert ([each["id"] for each in found["found"]], found["ended"], found["problems"]) == ([str(left.pid)], True, [])
    left.wait(60)
    assert run("reap").stdout == "nothing is left of dead clusters\n"


@pytest.mark.needs_processes
def test_what_belongs_to_a_cluster_that_lives_is_left_alone(left: psutil.Process) -> None:
    line = lock_lifeline.Lifeline(cluster.load("cluster.yaml").paths.lifeline)
    try:
        assert run("reap", "--yes").stdout == "nothing is left of dead clusters\n"
    finally:
        line.release()
    reaper = leftovers.Reaper(os.environ)
    found = reaper.find()
    line = lock_lifeline.Lifeline(cluster.load("cluster.yaml").paths.lifeline)
    try:
        assert reaper.end(found) == ("cluster 'demo' is up again: left alone",)
    finally:
        line.release()
    assert run("reap", "films").stdout == "nothing is left of dead clusters\n"
    assert left.is_running()


def test_machines_over_ssh_that_cannot_be_looked_at_are_told(home: Path, left: psutil.Process) -> None:
    folder = cluster.load("cluster.yaml").paths.folder
    (folder / "ssh-nodes").mkdir()
    (folder / "cluster.json").write_text("cluster: [")
    reaper = leftovers.Reaper(os.environ)
    reaper.find()
    assert [each.partition(":")[0] for each in reaper.notes] == ["the machines of cluster 'demo' cannot be looked at"]
    with pytest.raises(core_errors.UsageError):
        config.load(folder / "cluster.json")
