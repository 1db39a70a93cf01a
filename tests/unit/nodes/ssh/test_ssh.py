"""The ssh provider against real sshds: the conformance suite, pinned host keys, silence, drain and power of nothing."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.nodes import control, errors, tags
from simpleflow.nodes.manager import observe, reconcile
from simpleflow.nodes.providers import base
from simpleflow.nodes.providers.ssh import SshProvider
from simpleflow.provisioning import bundle, tasks
from simpleflow.testing import providers as suite
from tests.unit.nodes import fakes

from . import machines

pytestmark = pytest.mark.needs_processes

_ATTEMPTS = itertools.count(1)
ADDRESSES = ("127.0.0.1", "127.0.0.2")


@dataclasses.dataclass(frozen=True)
class Lan:
    """Two machines, the key that opens them, and the code that goes there."""

    machines: list[machines.Machine]
    key: Path
    known_hosts: Path
    code: bundle.Bundle

    def provider(self, folder: Path) -> SshProvider:
        setup = documents.NodeSetup(
            cluster="demo", domain="demo", profile="small", provider="ssh", store="file:///nowhere", task_lists=(),
            times={}, environment={"GREETING": "two words"},
        )  # fmt: skip
        given = machines.profile(self.machines, self.key, self.known_hosts)
        return SshProvider(
            "demo", str(folder), {"small": setup}, {"small": given}, tasks=tasks,
            code=lambda: (self.code.data, self.code.sha256),
        )  # fmt: skip


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    machines.require()
    folder = tmp_path_factory.mktemp("lan")
    key = machines.new_key(folder / "client_key")
    port = machines.free_port(ADDRESSES)
    made = [machines.Machine(folder / address, address, port, key) for address in ADDRESSES]
    known = folder / "known_hosts"
    known.write_text("".join(each.pin for each in made))
    for each in made:
        each.start()
    yield Lan(made, key, known, bundle.code_bundle(wheels=[machines.wheel(folder)]))
    for each in made:
        each.stop()
    machines.end_processes(made)


@pytest.fixture
def provider(lan: Lan, tmp_path: Path) -> Iterator[SshProvider]:
    yield lan.provider(tmp_path / "state")
    machines.end_processes(lan.machines)


def spec(units: int = 1) -> base.LaunchSpec:
    # The machines outlive a test: no attempt is ever used twice, as in a cluster.
    attempt = f"ssh-{next(_ATTEMPTS):04d}"
    return base.LaunchSpec(cluster="demo", profile="small", attempt=attempt, units=units, not_after=time.time() + 60)


def states(provider: SshProvider) -> dict[str, str]:
    return {each.id: each.state for each in provider.list().instances}


def wait_for(what: str, holds: Callable[[], bool]) -> None:
    last = time.monotonic() + 120
    while not holds():
        if time.monotonic() > last:
            pytest.fail(f"not within 30 s: {what}")
        time.sleep(0.1)


class TestSsh(suite.ProviderConformance):
    @pytest.fixture
    def harness(self, provider: SshProvider, lan: Lan) -> suite.ProviderHarness:
        def marks(node: str) -> int:
            found = [path for each in lan.machines for path in each.home.glob(f".simpleflow/demo/nodes/{node}/tags")]
            return tags.drain_generation(each.name for each in found[0].iterdir())

        return suite.ProviderHarness(
            provider=provider, cluster="demo", profile="small", now=time.time, settle=lambda: None, marks=marks
        )


def test_a_marked_node_drains_and_its_machine_is_free_again(provider: SshProvider) -> None:
    first = provider.launch(spec(2)).instances
    assert {each.zone for each in first} == set(ADDRESSES)
    with pytest.raises(errors.ProviderRefused, match="2 hosts, 0 of them free"):
        provider.launch(spec())
    wait_for("the agent speaks", lambda: f"{first[0].id} greeting two words" in provider.diagnose(first[0].id))
    provider.mark(first[0].id, 1)
    wait_for("it drained", lambda: states(provider)[first[0].id] == "terminated")
    assert states(provider)[first[1].id] == "running"
    assert "drained\nthe agent ended with 0" in provider.diagnose(first[0].id)
    assert provider.launch(spec()).instances[0].zone == first[0].zone


def test_changed_code_goes_to_a_machine_when_the_node_with_the_older_one_has_drained(
    lan: Lan, provider: SshProvider, tmp_path: Path
) -> None:
    """`sfnodes up` after a change of code: the manager makes its provider anew, with the same folder."""
    old, other = provider.launch(spec(2)).instances
    code = bundle.code_bundle(wheels=[machines.wheel(tmp_path, machines.AGENT.replace("greeting", "salutation"))])
    assert code.sha256 != lan.code.sha256
    newer = dataclasses.replace(lan, code=code).provider(tmp_path / "state")
    with pytest.raises(errors.ProviderRefused, match="0 of them free"):
        newer.launch(spec())
    wait_for("the agent speaks", lambda: f"{old.id} greeting two words" in newer.diagnose(old.id))
    newer.mark(old.id, 1)
    wait_for("it drained", lambda: states(newer)[old.id] == "terminated")
    (fresh,) = newer.launch(spec()).instances
    assert fresh.zone == old.zone
    wait_for("the newer code speaks", lambda: f"{fresh.id} salutation two words" in newer.diagnose(fresh.id))
    assert states(newer)[other.id] == "running"
    assert f"{other.id} greeting two words" in newer.diagnose(other.id), "a node keeps the code that it began with"


def test_a_node_that_boots_when_the_cluster_goes_down_is_ended_and_its_machine_is_free(
    provider: SshProvider, tmp_path: Path
) -> None:
    """The real manager; the node's stand-in for an agent runs, and has stored no document yet."""
    text = "cluster: demo\nprofiles: {small: {}}\ntask_lists: {light: {profile: small, max: 1}}\n"
    cluster, store, coordinator = fakes.cluster(text), fakes.MemoryStore(), fakes.Coordinator()
    file = control.ControlFile(store, "demo", "m1", clocks.RealClock())
    manager = reconcile.Reconciler(cluster, file, provider, store, coordinator, clocks.RealClock())
    task = documents.TaskCount(task_list="light", activity="a", state="scheduled", count=1)
    row = documents.RunRow(
        run_id="r", workflow_id="w", workflow="jobs", started_event_id=1, changed=time.time(), tasks=(task,)
    )
    asked = documents.DemandDocument(decider="d", written=time.time(), runs=(row,))
    store.put("demand/d.json", fakes.encode(asked))
    coordinator.runs["r"] = observe.OpenRun(workflow_id="w", run_id="r", workflow="jobs")
    manager.run_pass()
    [node] = provider.list().instances
    wait_for("the agent speaks", lambda: f"{node.id} greeting two words" in provider.diagnose(node.id))
    manager.ending = True

    def down() -> bool:
        manager.run_pass()
        return not file.known.rows and not file.known.intents

    wait_for("the cluster is down", down)
    assert states(provider)[node.id] == "terminated"
    assert "drained" not in provider.diagnose(node.id), "it was not waited for"
    got = store.get(f"ledger/{node.id}.json")
    assert got is not None
    assert b"cancelled while it booted" in got[0]
    assert len(provider.launch(spec(2)).instances) == 2


def test_fewer_free_machines_than_asked_for(provider: SshProvider) -> None:
    launched = provider.launch(spec(3))
    assert len(launched.instances) == 2
    assert launched.refusals == ("profile 'small' has 2 hosts, 2 of them free: 1 of 3 nodes found no place",)


def test_a_changed_host_key_is_refused(provider: SshProvider, lan: Lan, tmp_path: Path) -> None:
    first, second = lan.machines
    node = provider.launch(spec()).instances[0]
    assert node.zone == first.address
    before = sorted(each.name for each in (first.home / ".simpleflow/demo/nodes").iterdir())
    old = [(first.folder / name).read_bytes() for name in ("host_key", "host_key.pub")]
    first.stop()
    first.reinstall()
    first.start()
    try:
        # What answers there now is told nothing: no mark, no launch; the node is as last seen.
        with pytest.raises(errors.ProviderRefused, match="another host key"):
            provider.mark(node.id, 1)
        assert states(provider)[node.id] == "running"
        moved = lan.provider(tmp_path / "other").launch(spec())
        assert [each.zone for each in moved.instances] == [second.address]
        assert any("another host key" in each for each in moved.refusals) or moved.refusals == ()
        assert sorted(each.name for each in (first.home / ".simpleflow/demo/nodes").iterdir()) == before
    finally:
        first.stop()
        for name, content in zip(("host_key", "host_key.pub"), old, strict=True):
            (first.folder / name).write_bytes(content)
        first.start()
    provider.mark(node.id, 1)
    assert tags.drain(1) in provider.list().instances[0].tags


def test_a_machine_without_a_pinned_key_is_refused(lan: Lan, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.write_text("")
    stranger = Lan(lan.machines, lan.key, empty, lan.code).provider(tmp_path / "state")
    with pytest.raises(errors.ProviderRefused, match=r"no host key of 127\.0\.0\.1 is pinned.*ssh-keyscan"):
        stranger.launch(spec())
    assert stranger.list().instances == ()


def test_a_wrong_key_is_refused_with_what_to_do(lan: Lan, tmp_path: Path) -> None:
    other = machines.new_key(tmp_path / "other")
    with pytest.raises(errors.ProviderRefused, match="authorized_keys"):
        Lan(lan.machines, other, lan.known_hosts, lan.code).provider(tmp_path / "state").launch(spec())


def test_silence_is_no_death(provider: SshProvider, lan: Lan) -> None:
    node = provider.launch(spec()).instances[0]
    lan.machines[0].stop()
    try:
        assert states(provider)[node.id] == "running"
        with pytest.raises(errors.ProviderRefused, match="cannot be reached"):
            provider.terminate(node.id)
    finally:
        lan.machines[0].start()
    provider.terminate(node.id)
    assert states(provider)[node.id] == "terminated"


def test_another_manager_with_the_same_folder_sees_the_nodes(lan: Lan, provider: SshProvider, tmp_path: Path) -> None:
    node = provider.launch(spec()).instances[0]
    assert states(lan.provider(tmp_path / "state")) == {node.id: "running"}


def test_code_that_cannot_be_installed_is_a_definite_refusal(lan: Lan, tmp_path: Path) -> None:
    broken = bundle.code_bundle(requirements=["no-such-package-anywhere==1"], index=True)
    with pytest.raises(errors.ProviderRefused, match="could not be provisioned"):
        Lan(lan.machines, lan.key, lan.known_hosts, broken).provider(tmp_path / "state").launch(spec())


def test_a_thread_that_cannot_be_had_is_no_answer_of_a_machine(
    lan: Lan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = lan.provider(tmp_path)
    provider.launch(
        base.LaunchSpec(cluster="demo", profile="small", attempt="demo-t", units=1, not_after=time.time() + 600)
    )
    [node] = provider.list().instances

    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        with pytest.raises(errors.ProviderUnclear, match="can't start new thread"):
            provider.list()
    provider.terminate(node.id)


def test_a_person_enters_a_nodes_machine_with_the_pinned_host_key(provider: SshProvider, tmp_path: Path) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("no ssh client; sudo scripts/test-setup installs what tests use")
    [node] = provider.launch(spec()).instances
    session = provider.session(node.id, ("sh", "-c", 'echo "$SIMPLEFLOW_NODE_ID two  words"; exit 3'))
    done = subprocess.run(session.command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (3, f"{node.id} two  words\n"), done.stderr
    empty = tmp_path / "nobody"
    empty.touch()
    changed = [f"UserKnownHostsFile={empty}" if "UserKnownHostsFile" in word else word for word in session.command]
    refused = subprocess.run(changed, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr
