"""How clients and deciders join a cluster."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents, interceptors
from simpleflow.core import errors as core_errors
from simpleflow.nodes import config, connect, ensure, setups, stores
from simpleflow.nodes.cluster import cluster as clusters
from simpleflow.nodes.manager import assemble
from simpleflow.nodes.providers import base, fake
from simpleflow.process import lock_lifeline

from . import fakes

TEXT = """\
cluster: demo
profiles: {small: {}}
task_lists: {light: {profile: small, max: 1}}
deciders: {task_list: decisions}
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "c.yaml").write_text(TEXT)
    return {"SIMPLEFLOW_DATA_DIR": str(tmp_path / "data"), "SIMPLEFLOW_RUNTIME_DIR": str(tmp_path / "run")}


def test_a_client_of_a_cluster_that_is_not_up_is_told_how_to_bring_it_up(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with pytest.raises(core_errors.UsageError, match=r"is not up; bring it up first: `sfnodes up .*c\.yaml`"):
        connect.client(config.load(tmp_path / "c.yaml"), environment)


def test_a_client_learns_where_to_start(tmp_path: Path, environment: dict[str, str]) -> None:
    line = lock_lifeline.Lifeline(clusters.load(tmp_path / "c.yaml", environment).paths.lifeline)
    try:
        joined = connect.client(config.load(tmp_path / "c.yaml"), environment)
    finally:
        line.release()
    assert (joined.cluster, joined.domain, joined.task_list) == ("demo", "demo", "decisions")
    assert joined.endpoint == f"unix://{tmp_path}/run/swf.sock"
    assert joined.interceptors == ()


class Group:
    def ensure_one(self) -> None: ...


def test_a_cluster_elsewhere_needs_no_supervisor_here_and_a_group_is_ensured(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "c.yaml").write_text(f"{TEXT}endpoint: http://127.0.0.1:1\n")
    joined = connect.client(config.load(tmp_path / "c.yaml"), environment, Group())
    assert joined.endpoint == "http://127.0.0.1:1"
    assert [type(each) for each in joined.interceptors] == [ensure.EnsureDecider]


def test_a_decider_of_no_cluster_publishes_nothing() -> None:
    assert connect.decider({}) == ()


def test_a_decider_publishes_what_its_runs_ask_for_under_a_name_of_its_own(tmp_path: Path) -> None:
    store = f"file://{tmp_path}/store"
    path = tmp_path / "decider.json"
    path.write_bytes(msgspec.json.encode(setups.decider_setup(fakes.cluster(), store=store)))
    (publisher,) = connect.decider({connect.SETUP_VARIABLE: str(path), "SIMPLEFLOW_NODE_ID": "n-1"})
    publisher.polling()
    execution = interceptors.Execution(
        domain="demo", workflow_id="w", run_id="r", workflow_name="jobs.Nightly", workflow_version="1"
    )
    publisher.received(interceptors.DecisionReceived(execution=execution, started_event_id=3, received=0.0))
    publisher.stopping()
    (blob,) = stores.open_store(store).list(documents.DEMAND_PREFIX)
    assert blob.key.startswith(f"demand/n-1-{os.getpid()}-")
    (held, *_) = connect.decider({connect.SETUP_VARIABLE: str(path)}, Group())
    assert isinstance(held, ensure.HoldGroup)


def test_a_plug_in_provider_is_found_by_its_entry_point_and_one_that_is_not_installed_is_refused(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.yaml").write_text(f"{TEXT}provider: mine\n")
    cluster = clusters.load(tmp_path / "c.yaml", environment)
    with pytest.raises(core_errors.UsageError, match="provider 'mine' is not installed"):
        assemble.provider_of(cluster.config, cluster.paths, str(tmp_path))
    made: list[base.ProviderContext] = []

    def create(context: base.ProviderContext) -> base.NodeProvider:
        made.append(context)
        return fake.FakeProvider(context.cluster.cluster, clocks.VirtualClock())

    class Point:
        load = staticmethod(lambda: create)

    monkeypatch.setattr(
        assemble.package_metadata, "entry_points", lambda **asked: [Point] if asked["name"] == "mine" else []
    )
    assert isinstance(assemble.provider_of(cluster.config, cluster.paths, str(tmp_path)), fake.FakeProvider)
    (context,) = made
    assert context.setups["small"].task_lists == (("light", 1),)
    assert context.folder == str(cluster.paths.folder)
