"""The breaker: evidence about launches is ordered by the launches, whoever looks at it and when."""

from __future__ import annotations

import pytest

from simpleflow.core import documents
from simpleflow.nodes import config
from simpleflow.nodes.policy import guards
from simpleflow.nodes.providers import base

from . import fakes
from .test_reconcile import run_until_empty
from .world import World

ONE_SLOT = """
cluster: demo
policy: boundary
profiles: {small: {billing: {period: 1, minimum: 2, price: 0.36}, boot: 2}}
task_lists: {light: {profile: small, slots: 1, max: 4}}
times: {metadata: 0.2}
"""


def broken_beside_an_old_one(text: str = ONE_SLOT) -> World:
    """One busy machine that works for ever; every later one fails at boot."""
    world = World(fakes.cluster(text))
    world.add("old")
    for _ in range(5):
        world.tick(task_time=1e9)
    assert len(world.living()) == 1
    world.boots_work = False
    world.add("b", "c", "d")
    return world


def test_a_machine_launched_before_the_failures_clears_none() -> None:
    """18 launches in 3 minutes, and no end: the old one counted as proof each time that it was the youngest."""
    world = broken_beside_an_old_one()
    for _ in range(400):
        world.tick(task_time=1e9)
    failed = len(world.nodes) - 1
    assert failed == 3, "the three of one launch fail together, and no fourth comes"
    assert guards.paused(world.cluster, world.document(), "small")
    assert next(node.running for node in world.living()), "the old one works on"


def test_failures_one_after_the_other_add_up_beside_an_old_machine() -> None:
    world = broken_beside_an_old_one(ONE_SLOT.replace("max: 4", "max: 2"))
    for _ in range(400):
        world.tick(task_time=1e9)
    assert len(world.nodes) - 1 == world.cluster.breaker.pause
    (failure,) = world.document().failures
    assert (failure.count, failure.orders) == (3, (2, 3, 4))


def test_failures_add_up_across_managers() -> None:
    """Each manager dies after a while; the next one finds the old machine's document, and learns nothing from it."""
    world = broken_beside_an_old_one(ONE_SLOT.replace("max: 4", "max: 2"))
    for second in range(600):
        if second % 17 == 0:
            world.managers.clear()
            world.manager(f"m{second}")
        world.tick(task_time=1e9)
    assert len(world.nodes) - 1 == world.cluster.breaker.pause


def test_every_launch_stops_at_the_sum_of_all_profiles() -> None:
    text = """
cluster: demo
policy: boundary
profiles: {small: {boot: 2}, other: {boot: 2}, third: {boot: 2}}
task_lists:
  light: {profile: small, slots: 1, max: 2}
  more: {profile: other, max: 1}
  most: {profile: third, max: 1}
breaker: {pause: 3, stop: 4}
times: {metadata: 0.2}
"""
    world = World(fakes.cluster(text))
    world.add("old")
    for _ in range(5):
        world.tick(task_time=1e9)
    world.boots_work = False
    tasks = tuple(
        documents.TaskCount(task_list=name, activity="a", state="scheduled", count=2)
        for name in ("light", "more", "most")
    )
    row = documents.RunRow(
        run_id="r", workflow_id="w", workflow="demo", started_event_id=10**6, changed=0.0, tasks=tasks
    )
    world.store.put("demand/e.json", fakes.encode(documents.DemandDocument(decider="e", written=0.0, runs=(row,))))
    for _ in range(600):
        world.tick(task_time=1e9)
    counts = {each.profile: each.count for each in world.document().failures}
    assert 4 <= sum(counts.values()) <= 6, counts
    assert "every launch is stopped" in guards.paused(world.cluster, world.document(), "small")


def test_a_later_machine_that_works_clears_them_and_the_failure_of_an_older_one_says_nothing_any_more() -> None:
    control = fakes.control_of(launched=9)
    for order in (2, 3):
        control = guards.failed(control, "small", "", "log", order=order)
    control = guards.worked(control, "small", "", order=2)
    assert [each.count for each in control.failures] == [2], "a machine of the same launch is not a later one"
    control = guards.worked(control, "small", "", order=5)
    assert control.failures == ()
    control = guards.failed(control, "small", "", "log", order=4)
    assert control.failures == (), "it was launched before one that works"
    control = guards.failed(control, "small", "", "log", order=5)
    assert [each.count for each in control.failures] == [1], "one that worked may stop"


def test_success_between_two_failures_leaves_the_later_one() -> None:
    control = fakes.control_of(launched=9)
    for order in (2, 7):
        control = guards.failed(control, "small", "", "log", order=order)
    control = guards.worked(control, "small", "", order=5)
    assert [each.orders for each in control.failures] == [(7,)]


def test_success_of_one_profile_or_image_says_nothing_of_another() -> None:
    control = guards.failed(fakes.control_of(launched=9), "small", "ami-1", "log", order=2)
    for profile, image in (("other", "ami-1"), ("small", "ami-2")):
        assert guards.worked(control, profile, image, order=5).failures == control.failures


def test_up_forgets_failures_and_those_still_to_come_of_machines_that_were_launched_before_it() -> None:
    control = guards.failed(fakes.control_of(launched=3), "small", "", "log", order=2)
    control = guards.mended(control)
    assert control.failures == ()
    assert guards.failed(control, "small", "", "log", order=3).failures == ()
    control = fakes.with_launch(control)
    assert control.intents[-1].order == control.launched
    assert guards.failed(control, "small", "", "log", order=control.launched).failures[0].count == 1


def test_an_orphan_of_an_unknown_launch_proves_nothing() -> None:
    world = broken_beside_an_old_one(ONE_SLOT.replace("max: 4", "max: 2"))
    world.boots_work = True
    stray = base.LaunchSpec(cluster="demo", profile="small", attempt="stray", units=1, not_after=1e12)
    world.provider.launch(stray)
    world.boots_work = False
    for _ in range(400):
        world.tick(task_time=1e9)
    assert world.document().failures[0].count == world.cluster.breaker.pause


@pytest.mark.parametrize("managers", [1, 2])
def test_after_the_cause_is_gone_up_resumes_and_everything_is_worked(managers: int) -> None:
    world = broken_beside_an_old_one()
    if managers == 2:
        world.manager("m2")
    for _ in range(200):
        world.tick(task_time=1e9)
    assert guards.paused(world.cluster, world.document(), "small")
    world.boots_work = True
    for each in world.managers.values():
        each.resume = True
    run_until_empty(world)
    assert sorted(world.done) == ["b", "c", "d", "old"]
    assert not world.document().failures


def test_settings_are_those_of_the_file() -> None:
    assert (config.Breaker().pause, config.Breaker().stop) == (3, 10)
