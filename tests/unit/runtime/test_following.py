"""A worker whose answers bring the next task: fewer polls, and the same picture of what runs."""

from __future__ import annotations

import json

import pytest
from fake_swf import FakeSwf, task
from worker_fixtures import Start, answer, eventually, start, swf

__all__ = ["start", "swf"]
pytestmark = pytest.mark.needs_processes


def test_answers_bring_tasks_and_the_poller_rests(swf: FakeSwf, start: Start) -> None:
    swf.follows = True
    for number in range(5):
        swf.tasks.put(task("own_pid", token=f"t{number}"))
    worker = start()
    assert [answer(swf)[1]["taskToken"] for _ in range(5)] == [f"t{number}" for number in range(5)]
    eventually(lambda: worker.polling and not worker.running)
    assert swf.polls == 2  # for the first task, and after the last
    wanted = {"domain": "d", "taskList": {"name": "tl"}, "identity": "{}"}
    assert [json.loads(each.poll) for each in swf.followed] == [wanted] * 5
    assert len({each.claim for each in swf.followed}) == 5
    assert not any(each.again for each in swf.followed)


def test_a_lost_acknowledgement_is_asked_for_by_the_same_name(swf: FakeSwf, start: Start) -> None:
    swf.follows = True
    swf.failing["RespondActivityTaskCompleted"] = 2
    attempts = []
    exchange = swf.exchange

    def seen(action: str, request: object, following: object) -> object:
        attempts.append(following)
        return exchange(action, request, following)  # type: ignore[arg-type]  # as it came

    swf.exchange = seen  # type: ignore[method-assign, assignment]  # to see those that fail
    swf.tasks.put(task("own_pid", token="t0"))
    swf.tasks.put(task("own_pid", token="t1"))
    start()
    assert [answer(swf)[1]["taskToken"] for _ in range(2)] == ["t0", "t1"]
    eventually(lambda: len(attempts) == 4)
    assert [each.again for each in attempts] == [False, True, True, False]
    assert len({each.claim for each in attempts[:3]}) == 1


def test_a_drain_takes_no_further_task_and_shows_each_one_to_its_end(swf: FakeSwf, start: Start) -> None:
    swf.follows = True
    worker = start()
    exchange, shown = swf.exchange, []

    def watched(action: str, request: object, following: object) -> object:
        shown.append([each.id for each in worker.running])
        brought = exchange(action, request, following)  # type: ignore[arg-type]  # as it came
        worker.stop_polling()  # while the next task is on its way
        shown.append([each.id for each in worker.running])
        return brought

    swf.exchange = watched  # type: ignore[method-assign, assignment]  # to look at the worker meanwhile
    for number in range(3):
        swf.tasks.put(task("own_pid", token=f"t{number}"))
    assert [answer(swf)[1]["taskToken"] for _ in range(2)] == ["t0", "t1"]
    eventually(lambda: worker.acknowledged)
    assert swf.tasks.qsize() == 1
    assert shown == [["run/activity-own_pid-t0"]] * 2


@pytest.mark.parametrize("options", [{"one_task": True}, {"max_tasks": 1}])
def test_a_worker_or_runner_that_ends_with_its_task_asks_for_none(
    swf: FakeSwf, start: Start, options: dict[str, object]
) -> None:
    swf.follows = True
    start(**options)
    swf.tasks.put(task("own_pid"))
    answer(swf)
    eventually(lambda: swf.tasks.empty())
    assert swf.followed == []
