"""Long polls: fair, revocable, withdrawn, limited."""

from __future__ import annotations

from typing import Any

import pytest
from service_world import DOMAIN, World

from simpleflow.server.requests import errors
from simpleflow.server.state import polls


def wait(
    world: World, task_list: str = "d", poll_id: str | None = None, action: str = "PollForDecisionTask"
) -> polls.Waiter:
    request = {"domain": DOMAIN, "taskList": {"name": task_list}}
    waiter = world.service.call(action, request, poll_id=poll_id)
    assert isinstance(waiter, polls.Waiter)
    return waiter


def workflow_of(waiter: polls.Waiter) -> Any:
    assert waiter.answer is not None
    return waiter.answer["workflowExecution"]["workflowId"]


def test_who_waits_longest_is_served_first() -> None:
    world = World()
    waiters = [wait(world) for _ in range(3)]
    for name in ("one", "two"):
        world.start(name)
    assert [workflow_of(waiter) for waiter in waiters[:2]] == ["one", "two"]
    assert waiters[2].answer is None
    assert world.service.open_polls == 1


def test_a_poll_is_woken_by_the_call_that_schedules_its_task() -> None:
    world = World()
    run = world.start()
    waiter = wait(world, "x", action="PollForActivityTask")
    world.decide(world.schedule())
    assert waiter.answer is not None
    assert waiter.answer["activityId"] == "1"
    assert world.kinds(run)[-2:] == ["ActivityTaskScheduled", "ActivityTaskStarted"]


def test_a_revoked_poll_is_empty_and_its_task_goes_to_another() -> None:
    world = World()
    first, second = wait(world, poll_id="p"), wait(world)
    assert world.service.revoke("p")
    assert not world.service.revoke("p")
    world.start()
    assert first.answer == {"taskToken": "", "startedEventId": 0, "previousStartedEventId": 0}
    assert workflow_of(second) == "one"


def test_a_poll_with_a_task_cannot_be_revoked() -> None:
    world = World()
    waiter = wait(world, poll_id="p")
    world.start()
    assert not world.service.revoke("p")
    assert workflow_of(waiter) == "one"


def test_a_withdrawn_poll_gets_nothing() -> None:
    world = World()
    withdrawn, second = wait(world), wait(world)
    assert world.service.withdraw(withdrawn)
    run = world.start()
    assert withdrawn.answer is None
    assert workflow_of(second) == "one"
    assert world.kinds(run).count("DecisionTaskStarted") == 1


def test_pollers_of_a_list_are_limited() -> None:
    world = World()
    for _ in range(1000):
        wait(world)
    with pytest.raises(errors.Fault, match="LimitExceededFault"):
        wait(world)
    wait(world, "other")


def test_a_poll_of_an_unknown_domain_is_refused() -> None:
    world = World()
    request = {"domain": "no", "taskList": {"name": "d"}}
    assert world.refused("PollForDecisionTask", **request) == "UnknownResourceFault"
    assert world.service.open_polls == 0
