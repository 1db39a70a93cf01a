"""The conformance suite on the fake and on local processes; what only local processes promise."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from simpleflow.core import clock as clocks
from simpleflow.data import files
from simpleflow.nodes import errors, setups
from simpleflow.nodes.agent import metadata_client
from simpleflow.nodes.providers import fake
from simpleflow.nodes.providers.process import MetadataServer, ProcessProvider, node_folder
from simpleflow.nodes.providers.process import provider as process_module
from simpleflow.process import lock_lifeline
from simpleflow.testing import providers as suite

from . import fakes


class TestFake(suite.ProviderConformance):
    @pytest.fixture
    def harness(self) -> suite.ProviderHarness:
        clock = clocks.VirtualClock()
        provider = _KnowsProfiles("demo", clock, list_lag=3.0)
        return suite.ProviderHarness(
            provider=provider,
            cluster="demo",
            profile="small",
            now=clock.now,
            settle=lambda: clock.advance(5),
            marks=provider.drain_generation,
        )


class _KnowsProfiles(fake.FakeProvider):
    def launch(self, spec: suite.base.LaunchSpec) -> suite.base.Launched:
        if spec.profile != "small":
            raise errors.ProviderRefused(f"profile '{spec.profile}' is unknown")
        return super().launch(spec)


class Local:
    """The process provider in a folder, its metadata, and a lifeline that this test holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.line = lock_lifeline.Lifeline(folder / "lifeline.lock")
        self.metadata = MetadataServer(str(folder))
        self.metadata.start()
        cluster = fakes.cluster()
        setup = setups.node_setup(
            cluster,
            "small",
            store=f"file://{folder}/store",
            endpoint="unix:///nowhere.sock",
            lifeline=str(folder / "lifeline.lock"),
        )
        self.provider = ProcessProvider("demo", str(folder), {"small": setup})

    def see(self, node: str) -> metadata_client.Metadata:
        return metadata_client.Metadata({metadata_client.ENDPOINT_VARIABLE: f"{self.metadata.url}/{node}/"})

    def close(self) -> None:
        process_module.end_processes(process_module.node_processes(str(self.folder)), 0.2)
        self.provider.list()  # reaps
        self.metadata.stop()
        self.line.release()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    made = Local(tmp_path)
    yield made
    made.close()


@pytest.mark.needs_processes
class TestProcess(suite.ProviderConformance):
    @pytest.fixture
    def harness(self, local: Local) -> suite.ProviderHarness:
        return suite.ProviderHarness(
            provider=local.provider,
            cluster="demo",
            profile="small",
            now=time.time,
            settle=lambda: None,
            marks=lambda node: local.see(node).drain_generation(),
        )


def launch(local: Local, attempt: str = "a-1", units: int = 1) -> list[str]:
    spec = suite.base.LaunchSpec(
        cluster="demo", profile="small", attempt=attempt, units=units, not_after=time.time() + 30
    )
    return [each.id for each in local.provider.launch(spec).instances]


def state(local: Local, node: str) -> str:
    return next(each.state for each in local.provider.list().instances if each.id == node)


def wait_for(what: str, condition: object, seconds: float = 120.0) -> None:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.05)
    pytest.fail(f"not within {seconds} s: {what}")


@pytest.mark.needs_processes
def test_a_killed_node_is_terminated_in_the_next_list_whoever_asks(local: Local) -> None:
    node = launch(local)[0]
    pid = node_folder.NodeFolder(local.folder / "nodes" / node).pid
    assert pid is not None
    other = ProcessProvider("demo", str(local.folder), {})
    assert [each.state for each in other.list().instances] == ["running"]
    os.killpg(pid, signal.SIGKILL)
    wait_for("the node is terminated", lambda: state(local, node) == "terminated")
    assert [each.state for each in other.list().instances] == ["terminated"]


@pytest.mark.needs_processes
def test_nodes_end_when_the_lifeline_is_let_go(local: Local) -> None:
    nodes = launch(local, units=2)
    wait_for("both run their agent", lambda: all(local.provider.diagnose(node) or True for node in nodes))
    local.line.release()
    wait_for("both are gone", lambda: all(state(local, node) == "terminated" for node in nodes))
    assert process_module.node_processes(str(local.folder)) == []
    local.line = lock_lifeline.Lifeline(local.folder / "lifeline.lock")


@pytest.mark.needs_processes
def test_a_successor_cannot_give_an_attempt_up_while_its_creator_is_inside_the_call(local: Local) -> None:
    (local.folder / "attempts").mkdir()
    with files.locked(local.folder / "attempts" / "a-9.lock"):
        assert local.provider.attempt_over("a-9") is False
    assert local.provider.attempt_over("a-9") is True


def test_metadata_needs_a_token_and_follows_tags_and_notices(local: Local) -> None:
    folder = node_folder.NodeFolder(local.folder / "nodes" / "n-1")
    folder.create(
        node_folder.Record(
            id="n-1",
            attempt="a",
            profile="small",
            launched=0.0,
            instance_type="process",
            tags={"simpleflow:attempt": "a"},
        )
    )
    import urllib3

    bare = urllib3.request("GET", f"{local.metadata.url}/n-1/latest/meta-data/instance-id", retries=False)
    assert bare.status == 401
    seen = local.see("n-1")
    assert seen.instance_id() == "n-1"
    assert seen.tag("simpleflow:attempt") == "a"
    assert seen.tag("absent") is None
    assert (seen.drain_generation(), seen.notice(90.0)) == (0, None)
    folder.set_tag("simpleflow:drain.3", "1")
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 30))
    node_folder.write(folder.notice, f'{{"action":"terminate","time":"{soon}"}}'.encode())
    assert (seen.drain_generation(), seen.notice(90.0)) == (3, pytest.approx(30.0, abs=5.0))
    assert seen.notice(20.0) == 20.0
    assert "instance-id" in (seen.get("latest/meta-data") or "")
    with pytest.raises(errors.NodesError, match="no instance-id"):
        local.see("n-2").instance_id()


def test_an_expired_token_is_renewed(local: Local) -> None:
    folder = node_folder.NodeFolder(local.folder / "nodes" / "n-1")
    folder.create(
        node_folder.Record(id="n-1", attempt="a", profile="p", launched=0.0, instance_type="process", tags={})
    )
    seen = local.see("n-1")
    assert seen.instance_id() == "n-1"
    local.metadata._tokens.clear()
    assert seen.instance_id() == "n-1"


def test_lifelines_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "line"
    assert not lock_lifeline.held(path)
    line = lock_lifeline.Lifeline(path)
    assert lock_lifeline.held(path)
    with pytest.raises(BlockingIOError):
        lock_lifeline.Lifeline(path)
    line.release()
    assert not lock_lifeline.held(path)


def test_no_thread_of_the_metadata_server_stays(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    made = Local(tmp_path)
    made.close()
    assert not [each for each in set(threading.enumerate()) - before if each.is_alive()]


def test_a_connection_that_was_dropped_meanwhile_is_made_anew_and_silence_is_an_error(local: Local) -> None:
    folder = node_folder.NodeFolder(local.folder / "nodes" / "n-1")
    folder.create(
        node_folder.Record(id="n-1", attempt="a", profile="p", launched=0.0, instance_type="process", tags={})
    )
    seen = local.see("n-1")
    assert seen.instance_id() == "n-1"
    mine, other = socket.socketpair()
    seen._connection.sock = mine
    other.close()
    assert seen.instance_id() == "n-1"
    nowhere = metadata_client.Metadata({metadata_client.ENDPOINT_VARIABLE: "http://127.0.0.1:9/n-1"})
    with pytest.raises(errors.NodesError, match="does not answer"):
        nowhere.instance_id()
