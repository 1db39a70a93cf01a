"""A worker whose answers bring the next task: fewer polls, and the same picture of what runs."""

from __future__ import annotations

import json

import pytest
from fake_swf import FakeSwf, task
from worker_fixtures import Start, answer, eventually, start, swf

from simpleflow.runtime import slots
from simpleflow.runtime import worker as workers
from simpleflow.swf import errors

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


def test_a_slot_that_works_alone_sends_its_poll_with_its_answer(
    swf: FakeSwf, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "NEAR", 0.0)
    swf.follows = swf.joins = True
    worker = start()
    for number in range(6):
        swf.tasks.put(task("own_pid", token=f"t{number}"))
        assert answer(swf)[1]["taskToken"] == f"t{number}"
        eventually(lambda: worker.polling and not worker.running)
    assert len(swf.followed) == 1  # it brought nothing: from then on polls go with answers
    assert len(swf.joined) == 5
    assert len({each.poll_id for each in swf.joined}) == 5
    assert all(each.poll_id.endswith("; first") for each in swf.joined)
    worker.stop_polling()
    eventually(lambda: worker.acknowledged)


def test_no_poll_goes_with_an_answer_once_the_polls_are_ended(
    swf: FakeSwf, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = start()
    eventually(lambda: worker.polling)
    worker.alone = True

    class Ended:
        """The lock of the slot that sends a poll: the polls are ended, and revoked, while it is taken."""

        def __init__(self) -> None:
            self.held = False

        def acquire(self, blocking: bool = True) -> bool:
            self.held = True
            worker.stop_polling()
            eventually(lambda: worker.acknowledged)
            return True

        def release(self) -> None:
            self.held = False

    ended = Ended()
    monkeypatch.setattr(worker, "_beside", ended)
    assert worker.joined(slots.Slot(worker, 9)) is None
    assert not ended.held
    assert worker.acknowledged


def test_a_lost_answer_opens_its_poll_once_more(swf: FakeSwf, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "NEAR", 0.0)
    swf.follows = swf.joins = True
    worker = start()
    polls = []
    carried = swf.answer_and_poll

    def seen(action: str, request: object, poll: object) -> object:
        polls.append(poll)
        return carried(action, request, poll)  # type: ignore[arg-type]  # as it came

    swf.answer_and_poll = seen  # type: ignore[method-assign, assignment]  # to see those that fail
    for number in range(3):
        swf.failing["RespondActivityTaskCompleted"] = 2 if number == 1 else 0
        swf.tasks.put(task("own_pid", token=f"t{number}"))
        assert answer(swf)[1]["taskToken"] == f"t{number}"
        eventually(lambda: worker.polling and not worker.running)
    names = [each.poll_id for each in polls]  # type: ignore[attr-defined]  # of base.Poll
    assert [name.partition(";")[2] for name in names] == [" first", " again; first", " again; first", " first"]
    assert len({name.partition(";")[0] for name in names}) == 2


def test_a_poll_that_is_cut_off_behind_its_answer_is_opened_again_by_its_name(
    swf: FakeSwf, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "NEAR", 0.0)
    swf.follows = swf.joins = True
    start()
    asked: list[str | None] = []
    call = swf.call

    def seen(action: str, request: object, *, poll_id: str | None = None, ahead: object = None) -> object:
        if action == "PollForActivityTask":
            asked.append(poll_id)
            if str(poll_id).endswith("first"):
                raise errors.TransportError("cut")
        return call(action, request, poll_id=poll_id)  # type: ignore[arg-type]  # as it came

    swf.call = seen  # type: ignore[method-assign, assignment]  # to cut it
    for number in range(3):
        swf.tasks.put(task("own_pid", token=f"t{number}"))
        assert answer(swf)[1]["taskToken"] == f"t{number}"
    named = [each for each in asked if each is not None]
    cut = next(index for index, each in enumerate(named) if each.endswith("first"))
    assert f"{named[cut].partition(';')[0]}; again" in named[cut + 1 :]


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
