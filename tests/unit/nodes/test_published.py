"""A changed cluster file, changed code: what living managers, deciders and machines make of it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.nodes import config, errors, model, published, setups
from simpleflow.nodes.cluster import cluster as clusters
from simpleflow.nodes.policy import decide
from simpleflow.nodes.policy import snapshot as snapshots

from . import fakes
from .rig import FLOORS, Rig

TEXT = """\
cluster: demo
profiles:
  small: {billing: {price: 0.1}}
  large: {billing: {price: 0.4}}
task_lists:
  light: {profile: small, slots: 2, max: 2}
  heavy: {profile: large, max: 1}
"""


def changed(text: str, new: str) -> config.ClusterConfig:
    assert text in TEXT
    return config.loads(TEXT.replace(text, new))


def test_a_published_file_is_read_once_and_again_when_it_changed() -> None:
    store, cluster = fakes.MemoryStore(), config.loads(TEXT)
    watch = published.Watch(store, "demo")
    assert watch.look() is None
    assert published.write(store, cluster, "c1", 1.0)
    assert not published.write(store, cluster, "c1", 2.0)
    first = watch.look()
    assert first is not None
    assert (first.config, first.code, set(first.versions)) == (cluster, "c1", {"", "small", "large"})
    assert watch.look() is None
    assert published.write(store, cluster, "c2", 3.0)
    found = watch.look()
    assert found is not None
    assert found.code == "c2"
    watch.forget()
    assert watch.look() == found


def test_another_clusters_document_is_neither_read_nor_replaced() -> None:
    store = fakes.MemoryStore()
    published.write(store, config.loads(TEXT.replace("cluster: demo", "cluster: other")), "", 1.0)
    before = store.get(documents.CLUSTER_KEY)
    for act in (
        lambda: published.read(store, "demo"),
        lambda: published.write(store, config.loads(TEXT), "", 2.0),
        published.Watch(store, "demo").look,
    ):
        with pytest.raises(errors.NodesError, match="belongs to cluster 'other', not to 'demo'"):
            act()
    assert store.get(documents.CLUSTER_KEY) == before


@pytest.mark.parametrize(
    ("text", "new", "key"),
    [
        ("cluster: demo\n", "cluster: demo\nprovider: ssh\n", "provider"),
        ("cluster: demo\n", "cluster: demo\ndomain: films\n", "domain"),
        ("cluster: demo\n", "cluster: demo\nstore: file:///elsewhere\n", "store"),
        ("cluster: demo\n", "cluster: demo\nendpoint: http://there:1\n", "endpoint"),
        ("cluster: demo\n", "cluster: demo\ndeciders: {task_list: others}\n", "deciders.task_list"),
    ],
)
def test_what_cannot_change_under_living_machines_is_refused_with_the_reason(text: str, new: str, key: str) -> None:
    new = new.replace("provider: ssh", "provider: fake")
    with pytest.raises(core_errors.UsageError, match=f"(?s){re.escape(key)}: .* while the cluster is up: .*down"):
        published.refuse_fixed(config.loads(TEXT), changed(text, new))


def test_hosts_of_ssh_stay_while_machines_may_work_there() -> None:
    one = changed("small: {billing", "small: {hosts: [a, b], billing")
    with pytest.raises(core_errors.UsageError, match=r"profiles\.small\.hosts: b cannot be taken out"):
        published.refuse_fixed(one, changed("small: {billing", "small: {hosts: [a], billing"))
    published.refuse_fixed(one, changed("small: {billing", "small: {hosts: [a, b, c], billing"))
    published.refuse_fixed(one, one)


@pytest.mark.parametrize(
    ("text", "new", "same"),
    [
        ("price: 0.1", "price: 0.2", True),
        ("max: 2}", "max: 9}", True),
        ("cluster: demo\n", "cluster: demo\nbudget: {per_day: 10}\n", True),
        ("profile: large, max: 1", "profile: large, slots: 3, max: 1", True),
        ("small: {billing", "small: {environment: {A: b}, billing", False),
        ("small: {billing", "small: {image: ami-1, billing", False),
        ("slots: 2", "slots: 3", False),
        ("  heavy:", "  more: {profile: small, max: 1}\n  heavy:", False),
        ("cluster: demo\n", "cluster: demo\ncode: {modules: [jobs]}\n", False),
        ("cluster: demo\n", "cluster: demo\ntimes: {poll: 7}\n", False),
    ],
)
def test_machines_are_made_anew_by_what_is_built_into_them(text: str, new: str, same: bool) -> None:
    before = setups.version_of(config.loads(TEXT), "small", "c1")
    after = setups.version_of(changed(text, new), "small", "c1")
    assert (before == after) is same
    assert before != setups.version_of(config.loads(TEXT), "small", "c2")


def snapshot(version: str, wanted: str, running: bool = False) -> snapshots.Snapshot:
    tasks = (documents.RunningTask(id="r/a-1", started=0.0),) if running else ()
    document = documents.NodeDocument(
        node="n1", profile="small", attempt="a", state="working", booted=0.0, written=100.0, first_polled=1.0,
        version=version, task_lists=(documents.ListStatus(task_list="light", slots=2, running=tasks),),
    )  # fmt: skip
    row = documents.Row(instance="n1", profile="small", attempt="a", price=0, since=0.0, until=1e6)
    node = model.Node(row=row, state=model.NodeState.WORKING, running=True, document=document)
    return snapshots.Snapshot(
        now=100.0,
        cluster=changed("cluster: demo\n", "cluster: demo\npolicy: boundary\n"),
        nodes=(node,),
        demand=(snapshots.Demand(task_list="light", scheduled=1),),
        versions={"small": wanted},
    )


@pytest.mark.parametrize("running", [False, True])
def test_a_machine_of_an_older_file_or_code_drains_and_another_takes_its_place(running: bool) -> None:
    assert decide.decide(snapshot("s1-c1", "s1-c1", running)).drains == ()
    # Not told, as by a machine of an older release, is not different.
    assert decide.decide(snapshot("", "s1-c1", running)).drains == ()
    plan = decide.decide(snapshot("s1-c1", "s1-c2", running))
    assert [(each.instance, each.reason) for each in plan.drains] == [
        ("n1", "`sfnodes up` changed the code since it was made")
    ]
    assert plan.terminates == ()
    assert sum(each.units for each in plan.launches) == 1
    [drained] = decide.decide(snapshot("s1-c1", "s2-c2", running)).drains
    assert "its settings and the code" in drained.reason


def test_equal_code_has_one_name_and_what_is_no_program_none(tmp_path: Path) -> None:
    cluster = config.loads(TEXT)
    for name in ("jobs.py", "below/more.py", ".hidden/x.py", "env/lib/y.py", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "env" / "pyvenv.cfg").touch()
    first = published.code_of(cluster, tmp_path, tmp_path)
    for name, same in (("notes.txt", True), (".hidden/x.py", True), ("env/lib/y.py", True), ("below/more.py", False)):
        (tmp_path / name).write_text("changed")
        assert (published.code_of(cluster, tmp_path, tmp_path) == first) is same, name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "_MOST_MODULES", 1)
        assert published.code_of(cluster, tmp_path, tmp_path) == ""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, FLOORS + "code: {path: code}\n")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "jobs.py").write_text("# 1\n")
    yield made
    made.close()


def nodes(rig: Rig) -> dict[str, str]:
    return {each.node: each.reason for each in rig.cluster.status().nodes if each.ended is None}


@pytest.mark.needs_processes
def test_up_reaches_a_living_manager_with_a_new_file_and_new_code(rig: Rig) -> None:
    assert rig.sfnodes("up", str(rig.file)).returncode == 0
    rig.works()
    first, manager = set(nodes(rig)), rig.cluster.up.manager
    # A profile is taken out, and its list: its machine drains, nothing else does.
    text = rig.file.read_text()
    rig.file.write_text(
        "".join(line for line in text.splitlines(True) if "heavy:" not in line and "large:" not in line)
    )
    changed_file = clusters.load(rig.file, rig.environment)
    assert f"{rig.file} differs from what the cluster works by (profiles, task_lists)" in changed_file.status().notes[0]
    done = rig.sfnodes("up", str(rig.file))
    assert (done.returncode, "it works by" in done.stdout) == (0, True), done.stderr
    assert changed_file.status().notes == ()
    rig.until("the machine of the removed profile is gone", lambda: len(nodes(rig)) == 1)
    kept = set(nodes(rig))
    assert kept < first
    assert rig.sfnodes("up", str(rig.file)).returncode == 64, "nothing changed: it is up already"
    # The code changes: the machine is replaced.
    (rig.file.parent / "code" / "jobs.py").write_text("# 2\n")
    assert rig.sfnodes("up", str(rig.file)).returncode == 0
    rig.until("another machine works in its place", lambda: nodes(rig).keys() and not kept & nodes(rig).keys())
    gone = next(each for each in rig.cluster.status().nodes if each.node in kept)
    assert gone.reason == "`sfnodes up` changed the code since it was made"
    assert rig.cluster.up.manager == manager
    # What cannot change is refused, and nothing is.
    rig.file.write_text(rig.file.read_text() + "domain: another\n")
    refused = rig.sfnodes("up", str(rig.file))
    assert (refused.returncode, "domain: trial cannot become another" in refused.stderr) == (64, True)


def test_what_this_user_may_not_read_is_not_part_of_the_code(tmp_path: Path) -> None:
    """`up` from a folder with such modules ended with a traceback."""
    (tmp_path / "mine.py").write_text("x = 1")
    wanted = published.code_of(config.loads(TEXT), tmp_path, tmp_path)
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "theirs.py").write_text("x = 2")
    closed.chmod(0)
    tmp_path.chmod(0o755)
    (tmp_path / "mine.py").chmod(0o644)
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.chdir(tmp_path)  # the folders above it are not for everybody
            if os.getuid() == 0:
                os.setuid(65534)  # who may read everything sees no difference
            os._exit(0 if published.code_of(config.loads(TEXT), Path(), Path()) == wanted else 1)
        os._exit(2)
    status = os.waitpid(child, 0)[1]
    closed.chmod(0o700)
    assert os.waitstatus_to_exitcode(status) == 0
