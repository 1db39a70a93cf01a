"""``sfnodes why``: what was decided, by whom ever, kept small and told soon."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from simpleflow.cli import sfnodes
from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.nodes import stores
from simpleflow.nodes.cluster import cluster
from simpleflow.nodes.manager import decisions, report
from simpleflow.nodes.policy import decide

from . import fakes
from .world import World


def kinds(found: Sequence[documents.Decision]) -> list[str]:
    return [each.kind for each in found]


def test_a_machines_life_is_explained_from_its_launch_to_its_drain() -> None:
    world = World()
    world.add("a", "b")
    for _ in range(8):
        world.tick()
    (name,) = world.nodes
    world.manager("m2")
    del world.managers["m1"]
    for _ in range(200):
        world.tick()
    assert not world.living()
    found = decisions.about(world.cluster, world.store, name)
    assert (kinds(found)[0], kinds(found)[-1]) == ("launch", "keep")
    assert "drain" in kinds(found)
    assert all(each.reason for each in found)
    by_list = decisions.about(world.cluster, world.store, "light")
    assert {each.at for each in found} <= {each.at for each in by_list}
    assert [each.at for each in by_list] == sorted(each.at for each in by_list)
    assert len(by_list) < 20, "what holds for many passes is written once"


def test_a_machine_that_ends_by_itself_is_explained_with_the_last_line_of_its_log() -> None:
    world = World()
    world.add("a")
    for _ in range(8):
        world.tick(task_time=1e9)
    (name,) = world.nodes
    world.provider.write_log(name, "all is well\nkernel: out of memory, killed the agent")
    world.nodes[name].die(world)
    world.provider.power_off(name)
    for _ in range(200):
        world.tick()
    last = decisions.about(world.cluster, world.store, name)[-1]
    said = "ended by itself: nobody drained or ended it; last line of its log: kernel: out of memory, killed the agent"
    assert (last.kind, last.instances, last.reason) == ("note", (name,), said)
    [gone] = [each for each in report.look(world.cluster, world.store, lambda _: None).nodes if each.node == name]
    assert gone.reason == said


def test_what_is_unknown_names_the_known() -> None:
    world = World()
    world.add("a")
    world.tick()
    with pytest.raises(core_errors.UsageError, match=r"'i-9' is none of this cluster's .* known: .*light"):
        decisions.about(world.cluster, world.store, "i-9")
    with pytest.raises(core_errors.UsageError):
        decisions.about(world.cluster, world.store, "../control")


def test_the_command_shows_them_and_refuses_what_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMPLEFLOW_DATA_DIR", str(tmp_path / "data"))
    file = tmp_path / "cluster.yaml"
    file.write_text("cluster: demo\nprofiles: {small: {}}\ntask_lists: {light: {profile: small, max: 2}}\n")
    store = stores.open_store(cluster.load(file).paths.store)
    decisions.Log(store, "demo").note(decide.Plan(notes=("light waits",)), (), 1767225600.0)
    shown = CliRunner().invoke(sfnodes.cli, ["why", "light", str(file), "--json"])
    assert [each["reason"] for each in json.loads(shown.stdout)["decisions"]] == ["light waits"]
    assert "note\t\t\tlight waits" in CliRunner().invoke(sfnodes.cli, ["why", "light", str(file)]).stdout
    assert CliRunner().invoke(sfnodes.cli, ["why", "i-9", str(file)]).exit_code == 64


def test_notes_about_a_list_are_shown_with_it_and_others_are_not() -> None:
    store = fakes.MemoryStore()
    log = decisions.Log(store, "demo")
    notes = ("3 tasks wait on task list 'lighter', which no profile serves", "light: none launched: budget per hour")
    log.note(decide.Plan(notes=notes), (), 1.0)
    (found,) = decisions.about(fakes.cluster(), store, "light")
    assert "none launched" in found.reason


def test_amounts_alone_write_nothing_and_a_return_is_written_again() -> None:
    store = fakes.MemoryStore()
    log = decisions.Log(store, "demo")
    for number, text in enumerate(["3 wait", "4 wait", "", "5 wait"]):
        log.note(decide.Plan(notes=(text,) if text else ()), (), float(number))
    assert [each.reason for each in decisions.read(store, "demo")] == ["3 wait", "5 wait"]
    assert decisions.read(store, "films") == ()


def test_a_write_that_fails_is_made_up_for_and_the_newest_are_kept() -> None:
    store = fakes.MemoryStore()
    old = documents.Decision(at=0.0, kind="note", reason="old")
    document = documents.DecisionsDocument(cluster="demo", decisions=(old,) * decisions.MOST)
    store.put(documents.DECISIONS_KEY, msgspec.json.encode(document))
    log = decisions.Log(store, "demo")
    plan = decide.Plan(notes=("the disk is full",))
    store.lose = 1
    with pytest.raises(core_errors.SimpleflowError):
        log.note(plan, (), 1.0)
    log.note(plan, (), 2.0)
    kept = decisions.read(store, "demo")
    assert (len(kept), kept[-1].reason, kept[-1].at) == (decisions.MOST, "the disk is full", 2.0)
    begun = time.process_time()
    decisions.about(fakes.cluster(), store, "light")
    assert time.process_time() - begun < 1.0


def test_a_document_that_cannot_be_read_is_written_anew() -> None:
    store = fakes.MemoryStore()
    store.put(documents.DECISIONS_KEY, b"{")
    decisions.Log(store, "demo").note(decide.Plan(notes=("x",)), (), 1.0)
    assert kinds(decisions.read(store, "demo")) == ["note"]


def test_the_newest_thousand_decisions_are_explained_in_under_a_second() -> None:
    store, cluster = fakes.MemoryStore(), fakes.cluster()
    names = [f"demo-{number:04d}-1" for number in range(1000)]
    rows = tuple(
        documents.Row(instance=name, profile="small", attempt=name[:-2], price=1, since=0.0, until=0.0)
        for name in names
    )
    store.put(documents.CONTROL_KEY, fakes.encode(documents.Control(cluster="demo", rows=rows)))
    found = tuple(
        documents.Decision(
            at=1.0, kind="keep", profile="small", instances=tuple(names[at : at + 20]), reason="busy" * 20
        )
        for at in range(1000)
    )
    store.put(documents.DECISIONS_KEY, fakes.encode(documents.DecisionsDocument(cluster="demo", decisions=found)))
    begun = time.process_time()
    assert len(decisions.about(cluster, store, "light")) == 1000
    assert len(decisions.about(cluster, store, names[500])) == 20
    assert time.process_time() - begun < 1.0


def test_a_list_that_nobody_serves_is_explained_by_the_notes_about_it() -> None:
    world = World()
    world.add("a")
    task = documents.TaskCount(task_list="lihgt", activity="a", state="scheduled", count=3)
    row = documents.RunRow(run_id="x", workflow_id="x", workflow="w", started_event_id=1, changed=0.0, tasks=(task,))
    world.store.put(
        "demand/e.json", msgspec.json.encode(documents.DemandDocument(decider="e", written=0.0, runs=(row,)))
    )
    world.coordinator.runs["x"] = fakes.observe.OpenRun(workflow_id="x", run_id="x", workflow="w")
    world.tick()
    [note] = decisions.about(world.cluster, world.store, "lihgt")
    assert note.reason.startswith("3 tasks wait on task list 'lihgt', which no profile serves")
    with pytest.raises(core_errors.UsageError):
        decisions.about(world.cluster, world.store, "lihg")
