"""Processes that the system refuses to start: whoever wanted them lives on, says so, and tries again."""

from __future__ import annotations

import logging
import os
import resource
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from simpleflow.nodes import errors, setups
from simpleflow.nodes.agent import channel as channels
from simpleflow.nodes.providers.process import MetadataServer, ProcessProvider
from simpleflow.process import Supervisor, kept
from simpleflow.testing import providers as suite

from . import fakes
from .test_agent import Node

pytestmark = pytest.mark.needs_processes

TWO_LISTS = """
cluster: demo
profiles: {small: {}}
task_lists: {heavy: {profile: small, max: 1}, light: {profile: small, max: 1}}
times: {metadata: 0.2}
"""
#: longer than the kernel takes with a new process: E2BIG
TOO_LONG = {"TOO_LONG": "x" * (3 << 20)}


def test_a_child_whose_folder_is_gone_is_told_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = fakes.virtual()
    folder = tmp_path / "code"
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    child = kept.Tethered("worker of 'light'", command, dict(os.environ), clock.monotonic, directory=str(folder))
    with caplog.at_level(logging.ERROR):
        assert not child.keep()
    assert "worker of 'light' cannot be started" in caplog.text
    assert str(folder) in child.refusal
    folder.mkdir()
    assert not child.keep(), "it backs off"
    clock.advance(0.5)
    assert child.keep()
    assert (child.refusal, child.deaths) == ("", 0)
    child.end(5.0)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "code").mkdir()
    made = Node(tmp_path, TWO_LISTS, str(tmp_path / "code"))
    yield made
    made.agent.close()
    made.server.stop()


def test_a_worker_that_cannot_be_started_leaves_the_other_lists_tasks_alone(node: Node) -> None:
    node.touch("task")
    node.until(
        lambda: all(each.running for each in node.document().task_lists) and len(node.document().task_lists) == 2
    )
    heavy, light = node.agent._workers
    shutil.rmtree(node.folder / "code")
    assert heavy.child.pid
    os.kill(heavy.child.pid, signal.SIGKILL)
    node.until(lambda: "cannot be started" in node.document().health)
    assert light.child.alive()
    assert node.document().task_lists[1].running
    (node.folder / "code").mkdir()
    node.until(lambda: heavy.child.alive() and "cannot be started" not in node.document().health)


def test_nodes_that_cannot_be_started_are_refused_and_leave_nothing_behind(tmp_path: Path) -> None:
    metadata = MetadataServer(str(tmp_path))
    metadata.start()
    setup = setups.node_setup(fakes.cluster(), "small", store=f"file://{tmp_path}/store")
    provider = ProcessProvider("demo", str(tmp_path), {"small": msgspec.structs.replace(setup, environment=TOO_LONG)})
    spec = suite.base.LaunchSpec(cluster="demo", profile="small", attempt="a-1", units=2, not_after=time.time() + 30)
    with pytest.raises(errors.ProviderRefused, match="2 of 2 nodes were not started"):
        provider.launch(spec)
    assert provider.list().instances == ()
    metadata.stop()


def test_the_supervisor_of_deciders_and_workers_survives_a_start_that_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environment = {**os.environ, **TOO_LONG}
    supervisor = Supervisor([sys.executable, "-c", "import time; time.sleep(60)"], background=True, env=environment)
    supervisor.start()
    limit = time.monotonic() + 120
    while caplog.text.count("cannot be started") < 2:
        assert time.monotonic() < limit
        time.sleep(0.01)
    environment.pop("TOO_LONG")
    while not supervisor.pids:
        assert time.monotonic() < limit
        time.sleep(0.01)
    supervisor.stop()


def test_an_agent_without_a_free_file_descriptor_accepts_its_worker_later(tmp_path: Path) -> None:
    selector = selectors.DefaultSelector()
    channel = channels.Channel(tmp_path / "s", selector)
    worker = socket.socket(socket.AF_UNIX)
    worker.connect(str(tmp_path / "s"))
    worker.sendall(b'{"pid": 1, "task_list": "light", "polling": true}\n')
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(worker.fileno())
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        for key, _ in selector.select(5.0):
            key.data()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert channel.status is None
    while channel.status is None:
        for key, _ in selector.select(5.0):
            key.data()
    worker.close()
    channel.close()
    selector.close()
