"""What a runner knows of its worker's tasks, and how that reaches the service when the worker is gone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from fake_swf import FakeSwf, task

from simpleflow.core import retries
from simpleflow.runtime import failures, frames, last_answers, unanswered, values
from simpleflow.swf import errors

REACH = frames.Reach(endpoint_url="unix:///s", domain="d", task_list="l")
SHORT = retries.Patience.of(0.0)


def noted(reach: frames.Reach | None = REACH) -> unanswered.Unanswered:
    return unanswered.Unanswered(frames.Setup(reach=reach, claim="w-0#1"))


def begin(notes: unanswered.Unanswered, token: str, batch: frames.Batch | None = None) -> None:
    given = values.Task.of(task("add", token=token), domain="d", task_list="l")
    notes.begin(given, batch)


def told(notes: unanswered.Unanswered) -> tuple[str, dict[str, str]]:
    """The name of the call, and each token with its answer in a word."""
    left = notes.left()
    assert left is not None
    words = {
        token: json.loads(answer.details)["error"] if isinstance(answer, values.Failed) else type(answer).__name__
        for token, answer in left.answers
    }
    return left.claim, words


def test_what_was_run_is_answered_and_what_waits_is_handed_back() -> None:
    notes = noted()
    assert told(notes) == ("w-0#1", {})
    begin(notes, "a", frames.Batch(claim="w-0#2", behind=("b", "c", "d")))
    notes.end(values.Completed(result="1"))
    begin(notes, "b")
    assert told(notes) == ("w-0#2", {"a": "Completed", "b": "Interrupted", "c": "NotBegun", "d": "NotBegun"})
    notes.end(values.Canceled())
    notes.forget("c")
    assert told(notes) == ("w-0#2", {"a": "Completed", "b": "Canceled", "d": "NotBegun"})


def test_answers_before_those_tasks_that_came_last_are_sent() -> None:
    notes = noted()
    begin(notes, "a", frames.Batch(claim="w-0#2", behind=("b",)))
    notes.end(values.Completed())
    begin(notes, "c", frames.Batch(claim="w-0#3"))
    assert told(notes) == ("w-0#3", {"c": "Interrupted"})


def test_a_task_that_fails_as_its_worker_ends_counts_as_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = noted()
    begin(notes, "a", frames.Batch(claim="w-0#2", behind=("b",)))
    notes.progress("[3]")
    notes.end(failures.of_words("BrokenPipeError", "nobody reads"))
    assert told(notes) == ("w-0#2", {"a": "Interrupted", "b": "NotBegun"})
    monkeypatch.setattr(unanswered, "RECENTLY", 0.0)
    assert told(notes) == ("w-0#2", {"a": "BrokenPipeError", "b": "NotBegun"})


def test_a_task_that_is_left_open_is_not_answered() -> None:
    notes = noted()
    begin(notes, "a", frames.Batch(claim="w-0#2"))
    notes.end(values.Later())
    assert told(notes) == ("w-0#2", {})


def test_the_next_attempt_gets_what_the_ended_one_reported() -> None:
    notes = noted()
    begin(notes, "a")
    notes.progress("[3]")
    left = notes.left()
    assert left is not None
    ((_, answer),) = left.answers
    assert isinstance(answer, values.Failed)
    assert answer.reason == values.INTERRUPTED
    assert json.loads(answer.details)["last_heartbeat"] == "[3]"
    begin(notes, "b")
    left = notes.left()
    assert left is not None
    assert "last_heartbeat" not in str(left.answers)


def test_a_task_that_declares_a_clean_up_is_answered_after_that() -> None:
    notes = noted()
    begin(notes, "a")
    notes.cleanup = True
    left = notes.left()
    assert left is not None
    assert left.answers == []
    assert left.ended is not None
    assert (left.ended.task.token, left.ended.answer.reason) == ("a", values.INTERRUPTED)
    begin(notes, "b")
    assert told(notes) == ("w-0#1", {"b": "Interrupted"})


def test_amazon_gave_no_tasks_beside_those_that_are_known() -> None:
    notes = noted(frames.Reach(endpoint_url=None, domain="d", task_list="l"))
    assert notes.left() is None
    begin(notes, "a", frames.Batch(claim="w-0#2"))
    assert told(notes) == ("", {"a": "Interrupted"})


def test_without_a_service_nothing_is_told() -> None:
    notes = noted(None)
    begin(notes, "a")
    assert notes.left() is None


# -- telling it


def left(*answers: tuple[str, unanswered.Answer], claim: str = "w-0#2") -> unanswered.Left:
    return unanswered.Left(setup=frames.Setup(), reach=REACH, claim=claim, answers=list(answers))


def sent(swf: FakeSwf) -> list[tuple[str, str]]:
    found = []
    while not swf.answers.empty():
        action, request = swf.answers.get()
        found.append((action.removeprefix("RespondActivityTask"), request["taskToken"]))
    return found


class Embedded(FakeSwf):
    """The embedded service: it takes several answers, and gives the tasks of a call once more."""

    def __init__(self) -> None:
        super().__init__()
        self.takes_several = True
        self.given: dict[str, list[Any]] = {}

    def exchange_several(self, answers: Any, following: Any) -> Any:
        exchanged = super().exchange_several(answers, following)
        if exchanged is None or following is None:
            return exchanged
        assert (following.again, following.most) == (True, 0)
        assert json.loads(following.poll) == {"domain": "d", "taskList": {"name": "l"}}
        return exchanged._replace(tasks=tuple(self.given.get(following.claim, ())))


def test_the_service_gets_the_answers_and_back_what_was_not_handed_on() -> None:
    swf = Embedded()
    swf.tasks.put(task("add", token="another's"))
    swf.given["w-0#2"] = [task("add", token="on its way")]
    swf.failing["RespondActivityTasks"] = 1
    last_answers.tell(swf, left(("a", values.Completed()), ("b", unanswered.not_begun())))
    assert sent(swf) == [("Completed", "a"), ("Failed", "b"), ("Failed", "on its way")]
    assert swf.revoked == 1
    assert swf.tasks.qsize() == 1


def test_elsewhere_each_answer_goes_alone() -> None:
    swf = FakeSwf()
    last_answers.tell(swf, left(("a", values.Completed()), ("b", values.Canceled()), claim=""))
    assert sent(swf) == [("Completed", "a"), ("Canceled", "b")]
    assert swf.revoked == 0


@pytest.mark.parametrize("several", [True, False])
def test_an_answer_that_is_refused_fails_its_task(several: bool) -> None:
    swf = FakeSwf()
    swf.takes_several, swf.refused = several, {"a"}
    last_answers.tell(swf, left(("a", values.Completed()), ("b", values.Completed())))
    assert sorted(sent(swf)) == [("Completed", "b"), ("Failed", "a")]


class Answered(FakeSwf):
    """Knows no task any more."""

    def call(self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None) -> Any:
        self.answers.put((action, dict(request)))
        raise errors.UnknownResourceFault("unknown token")


@pytest.mark.parametrize("several", [True, False])
def test_what_has_an_answer_is_left_alone(several: bool) -> None:
    swf = Answered()
    swf.takes_several = several
    last_answers.tell(swf, left(("a", values.Completed())))
    assert sent(swf) == [("Completed", "a")]


def test_a_service_that_refuses_a_failure_too_ends_it() -> None:
    class Refuses(FakeSwf):
        def call(self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None) -> Any:
            self.answers.put((action, dict(request)))
            raise errors.ValidationException("no")

    swf = Refuses()
    last_answers.tell(swf, left(("a", failures.of_words("E", "m"))))
    assert sent(swf) == [("Failed", "a"), ("Failed", "a")]


def test_a_service_that_does_not_answer_is_not_waited_for_without_end() -> None:
    swf = FakeSwf()
    swf.failing["RespondActivityTaskCompleted"] = 1000
    with pytest.raises(errors.TransportError):
        last_answers.tell(swf, left(("a", values.Completed()), claim=""), SHORT)


def test_a_task_that_is_held_is_handed_back_and_needs_no_clean_up() -> None:
    notes = noted()
    notes.begin(values.Task.of(task("add", token="t0"), domain="d", task_list="l"), None, held=True)
    notes.cleanup = True
    assert told(notes) == ("w-0#1", {"t0": "NotBegun"})
    notes.cleanup = False
    notes.go(frames.Batch(claim="w-0#2", behind=("t1",)))
    assert told(notes) == ("w-0#2", {"t0": "Interrupted", "t1": "NotBegun"})
