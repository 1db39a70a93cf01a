"""A worker that takes several quick tasks with one call, and gives their answers together."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_swf import FakeSwf, task
from worker_fixtures import Start, answer, eventually, start, swf

from simpleflow.core import clock
from simpleflow.runtime import answering, paces, slots, spare, values
from simpleflow.swf import errors

__all__ = ["start", "swf"]
pytestmark = pytest.mark.needs_processes


@pytest.fixture(autouse=True)
def quick(swf: FakeSwf, monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is: tasks are quick when the first one was seen, and answers wait for each other."""
    monkeypatch.setattr(paces, "QUICK", 1e9)
    monkeypatch.setattr(paces, "KNOWN", 1)
    monkeypatch.setattr(answering, "HOLD", 1e9)
    monkeypatch.setattr(slots, "SHARE_SECONDS", 1e9)
    monkeypatch.setattr(slots, "TURN_SECONDS", 1e9)
    swf.follows = swf.takes_several = True


def tokens(swf: FakeSwf, count: int) -> list[str]:
    return [answer(swf)[1]["taskToken"] for _ in range(count)]


def test_quick_tasks_come_together_and_are_answered_together(swf: FakeSwf, start: Start) -> None:
    for number in range(6):
        swf.tasks.put(task("add", 1, number, token=f"t{number}"))
    worker = start()
    assert tokens(swf, 6) == [f"t{number}" for number in range(6)]
    assert swf.together == [["t0"], ["t1", "t2", "t3", "t4", "t5"]]
    assert [each.most for each in swf.followed] == [paces.MOST] * 2
    assert swf.followed[0].quick == (("runtime_activities.add", "1"),)
    eventually(lambda: worker.polling and not worker.running)
    assert sum(each.count for each in worker.finished) == 6


def test_one_that_fails_and_one_whose_runner_dies_are_answered_among_the_others(swf: FakeSwf, start: Start) -> None:
    swf.tasks.put(task("add", 1, 1, token="t0"))
    swf.tasks.put(task("fail", "no", token="t1"))
    swf.tasks.put(task("die", 9, token="t2"))
    swf.tasks.put(task("add", 1, 1, token="t3"))
    start()
    found = {request["taskToken"]: action for action, request in (answer(swf) for _ in range(4))}
    assert [found[f"t{number}"].removeprefix("RespondActivityTask") for number in range(4)] == [
        "Completed",
        "Failed",
        "Failed",
        "Completed",
    ]
    assert swf.together == [["t0"], ["t1", "t2"], ["t3"]]  # nobody waits for a new runner


def test_behind_a_long_task_answers_are_sent_and_tasks_handed_back(
    swf: FakeSwf, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "go"
    swf.tasks.put(task("add", 1, 1, token="t0"))
    swf.tasks.put(task("add", 1, 1, token="t1"))
    swf.tasks.put(task("wait_for", str(path), token="t2"))
    swf.tasks.put(task("add", 1, 1, token="t3"))
    monkeypatch.setattr(answering, "HOLD", 0.2)
    monkeypatch.setattr(slots, "SHARE_SECONDS", 0.1)
    monkeypatch.setattr(slots, "TURN_SECONDS", 0.2)
    worker = start(heartbeat=1000.0)
    answered = dict(reversed(each) for each in ((action, request["taskToken"]) for action, request in _take(swf, 3)))
    assert answered == {
        "t0": "RespondActivityTaskCompleted",
        "t1": "RespondActivityTaskCompleted",
        "t3": "RespondActivityTaskFailed",
    }
    assert [each.activity for each in worker.running] == ["runtime_activities.wait_for"]
    path.write_text("go")
    assert tokens(swf, 1) == ["t2"]


def test_the_run_times_that_are_learnt_begin_when_the_task_does(swf: FakeSwf, start: Start, tmp_path: Path) -> None:
    """Not when the worker took it: the tasks behind a long one wait for that."""
    swf.tasks.put(task("add", 1, 1, token="t0"))
    swf.tasks.put(task("wait_for", str(tmp_path / "go"), token="t1"))
    swf.tasks.put(task("long_text", 1, token="t2"))
    swf.tasks.put(task("write", str(tmp_path / "last"), token="t3"))
    worker = start(heartbeat=1000.0)
    eventually(lambda: [each.activity for each in worker.running] == ["runtime_activities.wait_for"])
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 0.3)
    (tmp_path / "go").touch()
    tokens(swf, 4)
    eventually(lambda: not worker.running)
    learnt = {each.activity.rpartition(".")[2]: each for each in worker.finished}
    assert swf.together[-1] == ["t1", "t2", "t3"]
    assert learnt["wait_for"].longest >= 0.3
    assert learnt["long_text"].longest < learnt["wait_for"].longest
    assert learnt["write"].longest < learnt["wait_for"].longest


def test_another_slot_takes_the_tasks_that_wait_behind_a_long_one(
    swf: FakeSwf, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(slots, "SHARE_SECONDS", 0.0)
    monkeypatch.setattr(answering, "HOLD", 0.0)
    first, other = tmp_path / "first", tmp_path / "other"
    swf.tasks.put(task("wait_for", str(other), token="other"))
    worker = start(processes=2, heartbeat=1000.0)
    eventually(lambda: [each.activity for each in worker.running] == ["runtime_activities.wait_for"])
    swf.tasks.put(task("wait_for", str(first), token="t1"))
    eventually(lambda: len(worker.running) == 2)
    for token in ("t2", "t3", "t4"):
        swf.tasks.put(task("add", 1, 1, token=token))
    swf.tasks.put(task("wait_for", str(first), token="long"))
    for token in ("t5", "t6"):
        swf.tasks.put(task("add", 1, 1, token=token))
    other.write_text("go")  # its slot takes all that waits, and stops at the second long one
    assert set(tokens(swf, 4)) == {"other", "t2", "t3", "t4"}
    first.write_text("go")
    assert set(tokens(swf, 4)) == {"t1", "long", "t5", "t6"}
    eventually(lambda: not worker.running)


def test_what_is_lent_is_taken_once_or_comes_back() -> None:
    lent: spare.Spare[str, int] = spare.Spare()
    assert not lent
    lent.lend("a", [1, 2])
    lent.lend("b", [3])
    assert lent
    assert lent.take() == ("a", 1)
    assert lent.reclaim("a") == [2]
    assert lent.reclaim("a") == []
    assert (lent.take(), lent.take()) == (("b", 3), None)


def _take(swf: FakeSwf, count: int) -> list[tuple[str, dict[str, object]]]:
    found = [answer(swf) for _ in range(count)]
    for _, request in found:
        if request["taskToken"] == "t3":
            assert request["reason"] == values.INTERRUPTED
            assert json.loads(str(request["details"]))["error"] == "NotBegun"
    return found


def test_a_call_without_an_answer_is_repeated_by_the_same_name(swf: FakeSwf, start: Start) -> None:
    for number in range(3):
        swf.tasks.put(task("add", 1, number, token=f"t{number}"))
    swf.failing["RespondActivityTasks"] = 2
    start()
    assert tokens(swf, 3) == ["t0", "t1", "t2"]
    eventually(lambda: len(swf.followed) == 2)
    assert [each.again for each in swf.followed] == [True, False]


def test_a_refused_answer_is_given_by_itself_and_then_as_a_failure(swf: FakeSwf, start: Start) -> None:
    swf.refused = {"t1"}
    for number in range(3):
        swf.tasks.put(task("add", 1, number, token=f"t{number}"))
    start()
    found = [answer(swf) for _ in range(3)]
    by_token = {request["taskToken"]: (action, request) for action, request in found}
    action, request = by_token["t1"]
    assert action == "RespondActivityTaskFailed"
    assert json.loads(request["details"])["error"] == "AnswerRefused"
    assert by_token["t2"][0] == "RespondActivityTaskCompleted"


class LosesTheFirst:
    """A service that has all answers after the first call, whose acknowledgement is lost, and then takes one a call."""

    def __init__(self, then: Exception | None) -> None:
        self._calls = [errors.TransportError("cut"), then]
        self.asked: list[str] = []

    def exchange_several(self, *_: object) -> None:
        found = self._calls.pop(0)
        if found is not None:
            raise found

    def call(self, action: str, request: object) -> Any:
        self.asked.append(action)
        if action == "GetWorkflowExecutionHistory":
            done = SimpleNamespace(id=9, attributes=SimpleNamespace(started_event_id=3))
            return SimpleNamespace(events=[done], next_page_token=None)
        raise errors.UnknownResourceFault("Unknown activity")


@pytest.mark.parametrize("then", [None, errors.ValidationException("odd")])
def test_answers_that_may_have_arrived_together_are_looked_for_one_by_one(
    then: Exception | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(answering, "patiently", lambda stop, seconds: False)
    transport = LosesTheFirst(then)
    sender: Any = SimpleNamespace(transport=transport, time=clock.RealClock(), stop=None)
    held = answering.Answering(sender)
    about = {"version": "1", "workflow_id": "w", "run_id": "r", "domain": "d", "task_list": "t"}
    for number in range(2):
        one = values.Task(activity_id=str(number), name="a", started_event_id=3, **about)
        held.add(one, f"t{number}", values.Completed(result="1"))
    held.send(None)
    assert transport.asked == ["RespondActivityTaskCompleted", "GetWorkflowExecutionHistory"] * 2
    assert "too late" not in caplog.text


def test_a_service_that_takes_one_answer_a_call_gets_each_by_itself(swf: FakeSwf, start: Start) -> None:
    swf.takes_several = False
    for number in range(3):
        swf.tasks.put(task("add", 1, number, token=f"t{number}"))
    start()
    assert tokens(swf, 3) == ["t0", "t1", "t2"]
    assert swf.together == []
