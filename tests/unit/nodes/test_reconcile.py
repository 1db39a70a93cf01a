"""The manager's pass on a fake provider: whole lives, crashes between any two steps, two managers, orphans, breaker."""

from __future__ import annotations

import pytest

from simpleflow.core import documents
from simpleflow.nodes import boot
from simpleflow.nodes.manager import observe
from simpleflow.nodes.policy import guards
from simpleflow.nodes.providers import base

from . import fakes
from .world import World


def run_until_empty(world: World, limit: int = 200) -> None:
    for _ in range(limit):
        world.tick()
        if not world.queue and not world.living() and not world.document().rows and not world.document().intents:
            return
    raise AssertionError(f"not empty after {limit} s: {world.document()}, queue {world.queue}")


def test_nodes_come_with_tasks_and_go_without_them() -> None:
    world = World()
    world.tick()
    assert not world.nodes
    world.add(*(f"t{number}" for number in range(8)))
    run_until_empty(world)
    assert sorted(world.done) == sorted(f"t{number}" for number in range(8))
    assert len(world.nodes) == 3  # max
    assert not world.lost
    assert not world.terminated
    assert {entry.instance for entry in world.ledger()} == set(world.nodes)
    spent = {each.window: each.amount for each in world.document().spent}
    assert spent["hour"] == pytest.approx(sum(entry.cost for entry in world.ledger()), abs=3)
    assert all(entry.cost > 0 for entry in world.ledger())


def test_a_manager_may_die_after_any_step() -> None:
    """Each run drops the manager after another number of steps, once; nothing is launched twice, nothing is lost."""
    for steps in range(1, 60):
        world = World()
        world.add("a", "b", "c")
        taken = 0
        dead = False
        for second in range(150):
            if not dead:
                generator = world.managers["m1"].steps()
                for _ in generator:
                    taken += 1
                    if taken == steps:
                        generator.close()
                        dead = True
                        world.manager("m1")
                        break
            world.tick()
            if second > 5 and not world.living() and not world.queue and not world.document().rows:
                break
        assert sorted(world.done) == ["a", "b", "c"], steps
        assert not world.lost, steps
        assert len(world.nodes) == 2, f"after {steps} steps: {sorted(world.nodes)}"
        if not dead:
            assert steps > 20
            return


def test_of_two_managers_one_acts_and_the_other_takes_over_when_it_is_silent() -> None:
    world = World()
    world.manager("m2")
    world.add("a")
    for _ in range(4):
        world.tick()
    assert world.managers["m1"].leading
    assert not world.managers["m2"].leading
    assert len(world.provider.attempts) == 1
    del world.managers["m1"]
    for _ in range(10):
        world.tick()
    assert world.managers["m2"].leading
    run_until_empty(world)
    assert len(world.provider.attempts) == 1


def test_the_paused_managers_next_replacement_fails_and_it_launches_nothing() -> None:
    world = World()
    world.add("a")
    paused = world.managers.pop("m1").steps()
    for step in paused:
        if step == "decide":
            break
    world.manager("m2")
    for _ in range(10):
        world.tick()
    assert world.managers["m2"].leading
    attempts = list(world.provider.attempts)
    with pytest.raises(Exception, match="was not replaced"):
        next(paused)
    assert world.provider.attempts == attempts


def test_a_lost_answer_of_a_launch_is_found_by_its_tag_and_not_sent_again() -> None:
    world = World()
    world.provider.faults = ["unclear"]
    world.add("a")
    run_until_empty(world)
    assert len(world.provider.attempts) == 1
    assert world.done == ["a"]


def test_a_definite_refusal_is_void_and_tried_again_as_another_attempt() -> None:
    world = World()
    world.provider.faults = ["refused"]
    world.add("a")
    run_until_empty(world)
    assert world.done == ["a"]


def test_lists_that_lag_launch_nothing_twice() -> None:
    world = World()
    world.provider.list_lag = 1.0
    world.add("a", "b", "c")
    run_until_empty(world)
    assert len(world.nodes) == 2


def test_an_orphan_gets_a_row_at_the_second_look_is_drained_then_ends() -> None:
    world = World()
    world.tick()
    spec = base.LaunchSpec(cluster="demo", profile="small", attempt="stray", units=1, not_after=1e12)
    world.provider.launch(spec)
    for node in world.living():
        node.boot = boot.BootState.ADMITTED  # it works already: one that begins so ends itself
    world.tick()
    assert not world.document().rows
    for _ in range(3):
        world.tick()
    assert world.document().rows[0].drain == 1
    run_until_empty(world)
    assert not world.terminated
    assert world.ledger()[0].reason.startswith("orphan")


def test_machines_that_boot_and_never_work_open_the_breaker_whatever_their_state_is_called() -> None:
    """CloudStack launched 30,000 machines from a group of 4: its guard counted one state name and not another."""
    for ending in ("hang", "power off"):
        world = World()
        world.boots_work = False
        world.add("a")
        for _ in range(200):
            for node in world.living():
                world.provider.write_log(node.id, "boot: no such module")
                if ending == "power off" and world.clock.now() - node.booted > 3:
                    node.alive = False
                    world.provider.power_off(node.id)
            world.tick()
        assert len(world.nodes) == world.cluster.breaker.pause == 3, ending
        assert "no such module" in world.document().failures[0].last_log
        assert "never worked" in world.managers["m1"].plan.notes[0]


def test_the_breaker_is_a_setting_and_stops_every_profile_at_its_sum() -> None:
    text = """
cluster: demo
policy: boundary
profiles: {small: {}, other: {}}
task_lists: {light: {profile: small, slots: 2, max: 3}, more: {profile: other, max: 3}}
breaker: {pause: 2, stop: 3}
times: {metadata: 0.2}
"""
    world = World(fakes.cluster(text))
    world.boots_work = False
    world.add("a")
    for _ in range(200):
        world.tick()
    assert len(world.nodes) == 2
    assert "in a row booted and never worked" in world.managers["m1"].plan.notes[0]
    document = guards.failed(world.document(), "other", "", "")
    assert "every launch is stopped" in guards.paused(world.cluster, document, "other")


def test_one_boot_that_works_closes_the_breaker_again() -> None:
    world = World()
    world.boots_work = False
    world.add("a")
    for _ in range(25):
        world.tick()
    assert world.document().failures
    world.boots_work = True
    run_until_empty(world)
    assert not world.document().failures


def test_a_busy_node_whose_worker_works_for_long_is_left_alone() -> None:
    world = World()
    world.add("a")
    for _ in range(300):
        world.tick(task_time=1e9)
    assert len(world.living()) == 1
    assert not world.terminated
    run_until_empty(world)


def test_going_down_drains_and_waits_for_running_tasks() -> None:
    world = World()
    world.add("a", "b", "c", "d")
    for _ in range(4):
        world.tick(task_time=20)
    assert any(node.running for node in world.living())
    world.managers["m1"].ending = True
    for _ in range(60):
        world.tick(task_time=20)
    assert not world.living()
    assert not world.lost
    assert not world.terminated
    assert not world.document().rows


def test_a_task_that_comes_between_the_look_and_the_mark_is_worked() -> None:
    """StarCluster looked, then killed, as two steps; here the node itself has the last word."""
    world = World()
    world.add("a")
    for _ in range(30):
        world.tick()
        if world.done:
            break
    (node,) = world.living()
    world.clock.advance(3)
    node.turn(world)
    for step in world.managers["m1"].steps():
        if step == "decide":
            assert world.managers["m1"].plan.drains
            world.add("b")
            world.hand_out()
            assert "b" in node.running
    assert world.document().rows[0].drain == 1
    run_until_empty(world)
    assert (sorted(world.done), world.lost, world.terminated) == (["a", "b"], [], [])
    assert len(world.nodes) == 1


def test_going_down_copes_with_machines_that_were_deleted_by_hand() -> None:
    world = World()
    world.add("a", "b", "c")
    for _ in range(4):
        world.tick(task_time=1000)
    gone, kept = world.living()
    gone.die(world)
    world.provider.forget(gone.id)
    world.queue.clear()
    world.managers["m1"].ending = True
    for _ in range(60):
        world.tick()
    assert not world.document().rows
    assert {entry.instance for entry in world.ledger()} == {gone.id, kept.id}
    world.tick()  # and again: nothing is left to do


def test_the_budget_is_held_through_the_ledger() -> None:
    """Spent and committed never exceed the cap while new machines are wanted all the time."""
    text = """
cluster: demo
policy: boundary
profiles: {small: {billing: {period: 1, minimum: 2, price: 36}, boot: 2}}
task_lists: {light: {profile: small, slots: 1, max: 5}}
budget: {per_hour: 1.5}
times: {metadata: 0.2}
"""
    world = World(fakes.cluster(text))
    world.add(*(f"t{number}" for number in range(200)))
    for _ in range(300):
        world.tick()
        purse = guards.purses(world.cluster, world.document(), world.clock.now())[0]
        assert purse.committed <= purse.cap
    assert 0 < len(world.done) < 200
    assert any("budget per hour" in note for note in world.managers["m1"].plan.notes)


def test_a_service_that_does_not_answer_scales_nothing_down_at_first() -> None:
    world = World()
    world.coordinator.down = True
    world.add("a")
    for _ in range(30):
        world.tick()
    assert world.done == ["a"]
    assert world.living()
    world.coordinator.down = False
    run_until_empty(world)


def test_runs_without_a_document_are_read_from_their_histories() -> None:
    world = World()
    world.add("a")
    row = fakes.documents.DemandDocument(decider="d", written=0.0)
    world.coordinator.histories["r"] = fakes.documents.RunRow(
        run_id="r",
        workflow_id="w",
        workflow="demo",
        started_event_id=3,
        changed=0.0,
        tasks=(fakes.documents.TaskCount(task_list="light", activity="a", state="scheduled", count=1),),
    )
    world.store.put("demand/d.json", fakes.encode(row))
    for _ in range(4):
        world.tick()
    assert len(world.nodes) == 1


def test_a_closed_run_as_the_api_shows_it_ends_its_demand() -> None:
    world = World()
    world.add("a")
    for _ in range(3):
        world.tick()
    world.queue.clear()
    for node in world.living():
        node.running.clear()
    world.coordinator.runs.clear()  # terminated by hand: no decision ever says so
    run_until_empty(world)


def test_documents_of_closed_machines_and_deciders_are_forgotten_after_a_while_and_the_ledger_is_not() -> None:
    world = World()
    world.add("a")
    run_until_empty(world)
    world.coordinator.runs.clear()
    for _ in range(20):
        world.tick()
    assert [key for key in world.store.objects if key.startswith(("nodes/", "demand/"))]
    world.clock.advance(world.cluster.settings.keep_documents)
    world.tick()
    left = sorted(world.store.objects)
    assert not [key for key in left if key.startswith(("nodes/", "demand/"))], left
    assert [key for key in left if key.startswith("ledger/")]


def test_whether_nothing_is_open_is_looked_up_anew_each_time() -> None:
    """The leave's second look (docs/design/control.md): what a list showed a minute ago says nothing about now."""
    coordinator, clock = fakes.Coordinator(), fakes.virtual()
    observer = observe.Observer(fakes.cluster(), fakes.MemoryStore(), coordinator, clock)
    clock.advance(1.0)
    observer.read_runs()
    assert observer.nothing_open()
    coordinator.runs["r"] = observe.OpenRun(workflow_id="w", run_id="r", workflow="jobs.Nightly")
    coordinator.histories["r"] = documents.RunRow(
        run_id="r", workflow_id="w", workflow="jobs.Nightly", started_event_id=0, changed=0.0
    )
    assert not observer.nothing_open()
    coordinator.runs.clear()
    assert observer.nothing_open()
    coordinator.down = True
    assert not observer.nothing_open()


def test_a_decider_and_a_manager_that_start_anew_scale_nothing_down_before_they_know_every_run() -> None:
    """The run's decider is dead and its document with it; the new one speaks only of the run that it was handed."""
    world = World()
    world.add("a", "b", "c")
    for _ in range(4):
        world.tick(task_time=1e9)
    assert len(world.living()) == 2
    world.store.delete("demand/d.json")
    world.store.put("demand/e.json", fakes.encode(documents.DemandDocument(decider="e", written=world.clock.now())))
    for node in world.living():
        world.queue += sorted(node.running)  # the machines stand idle; their tasks wait to be handed out again
        node.running.clear()
        node.poll_open = False
    world.manager("m1")
    world.coordinator.down = True
    for _ in range(20):
        world.clock.advance(1.0)
        world.managers["m1"].run_pass()
        for node in world.living():
            node.turn(world)
    assert not world.managers["m1"].plan.drains
    assert "open runs are still being read" in world.managers["m1"].plan.keeps[0].reason
    world.coordinator.histories["r"] = documents.RunRow(
        run_id="r",
        workflow_id="w",
        workflow="demo",
        started_event_id=9,
        changed=0.0,
        tasks=(documents.TaskCount(task_list="light", activity="a", state="scheduled", count=3),),
    )
    world.coordinator.down = False
    for _ in range(5):
        world.clock.advance(1.0)
        world.managers["m1"].run_pass()
        for node in world.living():
            node.turn(world)
    assert not world.managers["m1"].plan.drains
    assert all(row.drain is None for row in world.document().rows)
    assert "3 tasks on 'light'" in world.managers["m1"].plan.keeps[0].reason
