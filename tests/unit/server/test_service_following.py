"""An answer that brings the next task: in one commit, fair, and given again to the one who lost it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from service_world import DOMAIN, World
from test_service_host import play, turns

from simpleflow.server.process import host
from simpleflow.server.requests import errors
from simpleflow.server.state import polls
from simpleflow.server.store import sqlite

POLL = {"domain": DOMAIN, "taskList": {"name": "x"}, "identity": "me"}


def prepared(world: World, *ids: str) -> Any:
    """Schedule activities and take the first; return its task."""
    world.start()
    world.decide(*(world.schedule(each) for each in ids))
    return world.work()


def follow(world: World, task: Any, claim: str = "c", *, again: bool = False, poll: Any = POLL) -> Any:
    request = {"taskToken": task["taskToken"], "result": "r"}
    return world.service.call("RespondActivityTaskCompleted", request, then=polls.Then(poll, claim, again))


def test_an_answer_brings_the_next_task_until_none_waits() -> None:
    world = World()
    first = prepared(world, "1", "2")
    second = follow(world, first)
    assert (second["activityId"], second["activityType"]["name"]) == ("2", "a")
    assert follow(world, second, "d") == {}
    run = {"workflowId": "one", "runId": first["workflowExecution"]["runId"]}
    assert world.attributes(run, "ActivityTaskStarted")["identity"] == "me"
    assert world.kinds(run).count("ActivityTaskCompleted") == 2
    assert world.service.open_polls == 0


@pytest.mark.parametrize("poll", [{**POLL, "taskList": {"name": "other"}}, {**POLL, "domain": "unknown"}])
def test_where_nothing_waits_an_answer_is_only_acknowledged(poll: dict[str, Any]) -> None:
    world = World()
    assert follow(world, prepared(world, "1", "2"), poll=poll) == {}
    assert world.work()["activityId"] == "2"


def test_who_waits_already_comes_first() -> None:
    world = World()
    first = prepared(world, "1")
    waiter = world.service.call("PollForActivityTask", POLL)
    assert isinstance(waiter, polls.Waiter)
    world.signal({"workflowId": "one"})
    task = world.poll()
    scheduled = {"taskToken": task["taskToken"], "decisions": [world.schedule("2")]}
    world.service.call("RespondDecisionTaskCompleted", scheduled, hold=True)  # nobody has its task yet
    assert follow(world, first) == {}
    assert waiter.answer is not None
    assert waiter.answer["activityId"] == "2"


def test_with_the_rates_of_aws_every_task_is_polled_for() -> None:
    world = World(limits="aws")
    assert follow(world, prepared(world, "1", "2")) == {}


def test_who_repeats_an_exchange_gets_its_task_again_also_from_a_new_server(tmp_path: Path) -> None:
    path = tmp_path / "swf.db"
    world = World(sqlite.open_file(path))
    first = prepared(world, "1", "2", "3")
    second = follow(world, first)
    assert follow(world, first, again=True) == second
    world.store.close()
    world = World(sqlite.open_file(path), fresh=False)
    try:
        assert follow(world, first, again=True) == second
        with pytest.raises(errors.Fault, match="UnknownResource"):
            follow(world, first, "another", again=True)
        with pytest.raises(errors.Fault, match="UnknownResource"):
            follow(world, first)
        third = follow(world, second, "d")
        assert third["activityId"] == "3"
        with pytest.raises(errors.Fault, match="UnknownResource"):
            follow(world, first, again=True)  # that task is answered by now
        run = {"workflowId": "one", "runId": first["workflowExecution"]["runId"]}
        assert world.kinds(run).count("ActivityTaskStarted") == 3
    finally:
        world.store.close()


def story_task(hosted: host.Host) -> Any:
    async def take() -> Any:
        await hosted.call(
            "StartWorkflowExecution",
            {"domain": DOMAIN, "workflowId": "one", "workflowType": {"name": "w", "version": "1"}},
        )
        task = await hosted.call("PollForDecisionTask", {"domain": DOMAIN, "taskList": {"name": "d"}})
        scheduled = [World.schedule(None, each) for each in ("1", "2")]  # type: ignore[arg-type]  # it uses no state
        await hosted.call("RespondDecisionTaskCompleted", {"taskToken": task["taskToken"], "decisions": scheduled})
        return await hosted.call("PollForActivityTask", POLL)

    return take()


def answering(hosted: host.Host, task: Any, *, again: bool = False) -> asyncio.Task[Any]:
    request = {"taskToken": task["taskToken"]}
    return asyncio.ensure_future(
        hosted.call("RespondActivityTaskCompleted", request, then=polls.Then(POLL, "c", again))
    )


def test_a_commit_that_fails_takes_back_the_answer_and_the_next_task() -> None:
    broken = [False]

    def full() -> None:
        if broken[0]:
            raise OSError(28, "No space left on device")

    async def story(hosted: host.Host) -> None:
        task = await story_task(hosted)
        broken[0] = True
        with pytest.raises(errors.Fault, match="nothing could be stored"):
            await answering(hosted, task)
        broken[0] = False
        assert (await answering(hosted, task, again=True))["activityId"] == "2"
        assert hosted.open_polls == 0

    play(story, before_commit=full)


def test_a_lost_acknowledgement_loses_no_task() -> None:
    lost: list[bool] = []

    def after() -> None:
        if lost:
            lost.pop()
            raise errors.unavailable("the answer was lost")

    async def story(hosted: host.Host) -> None:
        task = await story_task(hosted)
        lost.append(True)
        with pytest.raises(errors.Fault, match="lost"):
            await answering(hosted, task)
        assert (await answering(hosted, task, again=True))["activityId"] == "2"

    play(story, after_commit=after)


def test_a_client_that_left_before_the_commit_is_given_no_task() -> None:
    async def story(hosted: host.Host) -> None:
        task = await story_task(hosted)
        gone = answering(hosted, task)
        await asyncio.sleep(0)  # carried out, not committed
        gone.cancel()
        await turns()
        assert (await hosted.call("PollForActivityTask", POLL))["activityId"] == "2"

    play(story)
