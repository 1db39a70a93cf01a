"""An answer that brings the next task: in one commit, fair, and given again to the one who lost it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import awaited_host
import pytest
from service_world import DOMAIN, World
from test_service_host import play, turns

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


def story_task(hosted: awaited_host.Host) -> Any:
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


def answering(hosted: awaited_host.Host, task: Any, *, again: bool = False) -> asyncio.Task[Any]:
    request = {"taskToken": task["taskToken"]}
    return asyncio.ensure_future(
        hosted.call("RespondActivityTaskCompleted", request, then=polls.Then(POLL, "c", again))
    )


def test_a_commit_that_fails_takes_back_the_answer_and_the_next_task() -> None:
    disk = awaited_host.Disk()

    async def story(hosted: awaited_host.Host) -> None:
        task = await story_task(hosted)
        disk.full = True
        with pytest.raises(errors.Fault, match="nothing could be stored"):
            await answering(hosted, task)
        disk.full = False
        assert (await answering(hosted, task, again=True))["activityId"] == "2"
        assert hosted.open_polls == 0

    play(story, before_commit=disk)


def test_a_lost_acknowledgement_loses_no_task() -> None:
    lost: list[bool] = []

    def after() -> None:
        if lost:
            lost.pop()
            raise errors.unavailable("the answer was lost")

    async def story(hosted: awaited_host.Host) -> None:
        task = await story_task(hosted)
        lost.append(True)
        with pytest.raises(errors.Fault, match="lost"):
            await answering(hosted, task)
        assert (await answering(hosted, task, again=True))["activityId"] == "2"

    play(story, after_commit=after)


def test_a_client_that_left_before_the_commit_is_given_no_task() -> None:
    async def story(hosted: awaited_host.Host) -> None:
        task = await story_task(hosted)
        gone = answering(hosted, task)
        await asyncio.sleep(0)  # carried out, not committed
        gone.cancel()
        await turns()
        assert (await hosted.call("PollForActivityTask", POLL))["activityId"] == "2"

    play(story)


# -- several answers and tasks with one call

QUICK = frozenset({("a", "1")})


def several(
    world: World, tasks: list[Any], claim: str = "c", *, most: int = 4, again: bool = False, quick: Any = QUICK
) -> tuple[list[str], list[str], list[Any]]:
    """Answer tasks in one call; return what each came to, the ids of the next tasks, and these."""
    answers = [("RespondActivityTaskCompleted", {"taskToken": each["taskToken"], "result": "r"}) for each in tasks]
    then = polls.Then(POLL, claim, again, most, quick)
    outcomes, given = world.service.answer(answers, then)
    woken: list[polls.Waiter] = []
    world.service.settle(woken)
    world.service.commit()
    if isinstance(given, polls.Waiter):
        assert woken == [given]
        given = [given.answer, *given.further] if given.answer else []
    codes = ["" if each is None else each.code for each in outcomes]
    return codes, [each["activityId"] for each in given], given


def test_several_answers_bring_half_of_the_tasks_that_wait() -> None:
    world = World()
    first = prepared(world, *map(str, range(1, 10)))
    _, ids, given = several(world, [first])
    assert ids == ["2", "3", "4", "5"]
    codes, ids, given = several(world, given, "d", most=9)
    assert (codes, ids) == ([""] * 4, ["6", "7", "8"])
    codes, ids, _ = several(world, given, "e")
    assert (codes, ids) == ([""] * 3, ["9"])
    run = {"workflowId": "one", "runId": first["workflowExecution"]["runId"]}
    assert world.kinds(run).count("ActivityTaskCompleted") == 8
    assert world.kinds(run).count("ActivityTaskStarted") == 9
    assert world.kinds(run).count("DecisionTaskScheduled") == 2


def test_those_who_wait_get_theirs_first_and_one_task_is_given_that_is_not_quick() -> None:
    world = World()
    first = prepared(world, *map(str, range(1, 10)))
    _, ids, given = several(world, [first], quick=frozenset({("other", "1")}))
    assert ids == ["2"]
    _, ids, given = several(world, given, most=1)
    assert ids == ["3"]
    waiter = world.service.call("PollForActivityTask", POLL, hold=True)
    other = world.service.call("PollForActivityTask", POLL, hold=True)
    assert isinstance(waiter, polls.Waiter)
    assert isinstance(other, polls.Waiter)
    answers = [("RespondActivityTaskCompleted", {"taskToken": given[0]["taskToken"]})]
    _, asked = world.service.answer(answers, polls.Then(POLL, "d", False, 4, QUICK))
    last = world.service.call("PollForActivityTask", POLL, hold=True)
    assert isinstance(asked, polls.Waiter)
    assert isinstance(last, polls.Waiter)
    world.service.settle()
    found = [each.answer and each.answer["activityId"] for each in (waiter, other, asked, last)]
    assert found == ["4", "5", "6", "7"]
    assert [each["activityId"] for each in asked.further] == ["8"]


def test_a_refused_answer_among_several_leaves_the_others_taken() -> None:
    world = World()
    tasks = [prepared(world, "1", "2", "3"), world.work(), world.work()]
    follow(world, tasks[1])
    wrong = {"taskToken": "nonsense"}
    codes, _, _ = several(world, [*tasks[:2], wrong, tasks[2]])
    assert codes == ["", "UnknownResourceFault", "ValidationException", ""]
    run = {"workflowId": "one", "runId": tasks[0]["workflowExecution"]["runId"]}
    assert world.kinds(run).count("ActivityTaskCompleted") == 3


def test_an_answer_that_cannot_be_stored_takes_no_other_with_it() -> None:
    world = World()
    tasks = [prepared(world, "1", "2", "3"), world.work(), world.work()]
    results = ("r", "\ud800", "r")
    answers = [
        ("RespondActivityTaskCompleted", {"taskToken": each["taskToken"], "result": result})
        for each, result in zip(tasks, results, strict=True)
    ]
    outcomes, _ = world.service.answer(answers, None)
    assert [each and each.code for each in outcomes] == [None, "SerializationException", None]
    world.service.commit()
    run = {"workflowId": "one", "runId": tasks[0]["workflowExecution"]["runId"]}
    assert world.kinds(run).count("ActivityTaskCompleted") == 2


def test_who_repeats_several_answers_gets_all_their_tasks_again_also_from_a_new_server(tmp_path: Path) -> None:
    path = tmp_path / "swf.db"
    world = World(sqlite.open_file(path))
    first = prepared(world, *map(str, range(1, 10)))
    _, ids, given = several(world, [first])
    world.store.close()
    world = World(sqlite.open_file(path), fresh=False)
    try:
        codes, again, tasks = several(world, [first], again=True)
        assert (codes, again) == (["UnknownResourceFault"], ids)
        assert [each["taskToken"] for each in tasks] == [each["taskToken"] for each in given]
        assert several(world, [first], "never", again=True)[1] == ["6", "7", "8"]
    finally:
        world.store.close()


def test_who_wants_no_new_task_gets_those_that_an_earlier_attempt_had_brought() -> None:
    world = World()
    first = prepared(world, *map(str, range(1, 10)))
    _, ids, given = several(world, [first])
    assert world.service.answer([], polls.Then(POLL, "c", True, 0, QUICK)) == ([], given)
    assert world.service.answer([], polls.Then(POLL, "other", True, 0, QUICK)) == ([], [])
    assert world.service.open_polls == 0
    assert world.work()["activityId"] not in ids


def test_the_host_gives_several_answers_and_tasks_after_their_commit() -> None:
    disk = awaited_host.Disk()

    async def story(hosted: awaited_host.Host) -> None:
        task = await story_task(hosted)
        answers = [("RespondActivityTaskCompleted", {"taskToken": task["taskToken"]})]
        disk.full = True
        with pytest.raises(errors.Fault, match="nothing could be stored"):
            await hosted.answer(answers, polls.Then(POLL, "c", most=4, quick=QUICK))
        disk.full = False
        outcomes, given = await hosted.answer(answers, polls.Then(POLL, "c", True, 4, QUICK))
        assert (outcomes, [each["activityId"] for each in given]) == ([None], ["2"])
        answers = [("RespondActivityTaskFailed", {"taskToken": given[0]["taskToken"]})]
        outcomes, given = await hosted.answer([*answers, *answers], None)
        assert ([each and each.code for each in outcomes], given) == ([None, "UnknownResourceFault"], [])
        assert hosted.open_polls == 0

    play(story, before_commit=disk)


# -- polls


def polled(world: World, action: str, name: str, *, again: bool = False) -> Any:
    """What a poll brings at once; the empty answer for none."""
    request = POLL if action == "PollForActivityTask" else {"domain": DOMAIN, "taskList": {"name": "d"}}
    answer = world.service.call(action, request, poll_id=name, again=again)
    if isinstance(answer, polls.Waiter):
        world.service.withdraw(answer)
        return answer.empty()
    return answer


@pytest.mark.parametrize("action", ["PollForActivityTask", "PollForDecisionTask"])
def test_who_repeats_a_poll_gets_its_task_again_also_from_a_new_server(tmp_path: Path, action: str) -> None:
    path = tmp_path / "swf.db"
    world = World(sqlite.open_file(path))
    world.start()
    if action == "PollForActivityTask":
        world.decide(world.schedule("1"))
    first = polled(world, action, "p#1")
    assert first["taskToken"]
    assert polled(world, action, "p#1", again=True) == first
    world.store.close()
    world = World(sqlite.open_file(path), fresh=False)
    try:
        assert polled(world, action, "p#1", again=True) == first
        assert polled(world, action, "p#1")["taskToken"] == ""
        assert polled(world, action, "p#2", again=True)["taskToken"] == ""
        answer = action.replace("PollFor", "Respond") + "Completed"
        world.call(answer, taskToken=first["taskToken"])
        found = polled(world, action, "p#1", again=True)
        assert found["taskToken"] == ""  # that task is answered by now
    finally:
        world.store.close()
