"""How pollers pace themselves, and how a response is repeated."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from simpleflow.core import retries
from simpleflow.runtime import retrying
from simpleflow.swf import errors


class Transport:
    """Fails with each of ``failures``, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def call(self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: object = None) -> Any:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)

    def revoke(self, poll_id: str) -> bool:
        return False

    def close(self) -> None: ...


def insist(transport: Transport, arrived: bool | None = None, *, patience: float = 60) -> tuple[bool, list[float]]:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    done = retrying.insist(
        transport,
        "RespondActivityTaskCompleted",
        {"taskToken": "t"},
        wait=wait,
        patience=patience,
        arrived=lambda: arrived,
    )
    return done, waits


def test_a_response_is_repeated_while_it_may_count_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kinds = (errors.TransportError, errors.NotSent, errors.ThrottlingException, errors.CredentialsRefused)
    transport = Transport(*(kind("no") for kind in kinds for _ in range(5)))
    done, waits = insist(transport, patience=600)
    assert done
    assert transport.calls == 21
    assert all(seconds > 0 for seconds in waits)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    assert "answered after 20 failures" in caplog.text


@pytest.mark.parametrize("verdict", [errors.ValidationException, errors.RequestTooLarge, errors.SerializationException])
def test_a_verdict_is_raised_at_once(verdict: type[errors.SwfError]) -> None:
    transport = Transport(verdict("result has 40000 characters"))
    with pytest.raises(verdict):
        insist(transport)
    assert transport.calls == 1


@pytest.mark.parametrize(("arrived", "expected"), [(True, True), (False, False), (None, False)])
def test_a_token_that_is_unknown_after_a_doubt_is_looked_up(arrived: bool | None, expected: bool) -> None:
    gone = errors.UnknownResourceFault("token")
    assert insist(Transport(errors.TransportError("cut"), gone), arrived)[0] is expected
    assert insist(Transport(gone), True)[0] is False  # nothing was lost before: the task timed out
    assert insist(Transport(errors.NotSent("nobody"), gone), True)[0] is False


def test_patience_ends(caplog: pytest.LogCaptureFixture) -> None:
    transport = Transport(*(errors.TransportError("no") for _ in range(100)))
    done, waits = insist(transport, patience=10)
    assert not done
    assert sum(waits) == pytest.approx(10)
    assert "was given up" in caplog.text


def test_pauses_grow_with_jitter_as_far_as_their_kind_allows() -> None:
    for kind, longest in retries.LONGEST.items():
        backoff = retries.Backoff()
        waits = [backoff.next(longest) for _ in range(12)]
        assert waits[0] <= retries.FIRST
        assert longest / 2 <= waits[-1] <= longest, kind
        assert len(set(waits[-4:])) > 1
        backoff.reset()
        assert backoff.next(longest) <= retries.FIRST


def test_a_service_in_trouble_gets_few_repetitions() -> None:
    budget = retries.Budget(size=2, share=0.5)
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    for _ in range(4):
        tries = retries.Attempts("x", retries.Patience.of(60), kind=errors.kind_of, wait=wait, budget=budget)
        assert not tries.gives_up(errors.ThrottlingException("slow down"))
    assert max(waits[:2]) < 1 < min(waits[2:])
    budget.give()
    budget.give()
    assert budget.take()
    assert not budget.take()


def test_polls_that_come_back_at_once_and_empty_are_backed_off_from() -> None:
    pace = retrying.PollPace("t")
    rests = []
    for _ in range(10):
        pace.opened()
        rests.append(pace.answered(empty=True))
    assert rests[-1] >= retrying.LAST_REST / 2
    assert sum(rests) > 3
    pace.opened()
    assert pace.answered(empty=False) == 0
    pace.opened()
    assert pace.answered(empty=True) <= retrying.FIRST_REST


def test_polls_that_fail_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pace = retrying.PollPace("t")
    for _ in range(5):
        pace.opened()
        assert pace.failed(errors.NotSent("nobody")) <= retries.LONGEST[retries.Kind.UNREACHED]
    pace.answered(empty=False)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_poll_has_a_name_of_its_own_until_it_is_known_to_have_ended() -> None:
    names = retrying.PollNames("me")
    assert (names.name, names.asked) == ("me#1", "me#1")
    names.failed(errors.NotSent("nobody listens"))
    assert names.asked == "me#1"
    names.failed(errors.TransportError("cut"))
    names.failed(errors.NotSent("nobody listens"))
    assert (names.name, names.asked) == ("me#1", "me#1; again")
    names.answered()
    assert (names.name, names.asked) == ("me#2", "me#2")


def test_a_name_belongs_to_the_tasks_that_came_by_it() -> None:
    names = retrying.PollNames("me")
    names.failed(errors.TransportError("cut"))
    names.answered(empty=True)
    assert (names.doubtful, names.asked) == (False, "me#1")
    names.answered(empty=False)
    assert names.asked == "me#2"


def test_an_answer_that_is_not_understood_is_not_asked_for_again() -> None:
    names = retrying.PollNames("me")
    names.failed(ValueError("an event of a later SWF"))
    assert names.asked == "me#2"


@pytest.mark.parametrize("error", [errors.ThrottlingException("slower"), errors.CredentialsRefused("no")])
def test_a_poll_that_was_not_carried_out_leaves_the_doubt_of_the_one_before(error: Exception) -> None:
    names = retrying.PollNames("me")
    names.failed(error)
    assert names.asked == "me#1"
    names.failed(errors.OddAnswer("a proxy's page"))
    names.failed(error)
    assert names.asked == "me#1; again"


def test_an_answer_that_nobody_can_read_is_given_up() -> None:
    names = retrying.PollNames("me")
    asked = []
    for _ in range(retrying.DOUBTS + 1):
        asked.append(names.asked)
        names.failed(errors.TransportError("the answer is none of this action"))
    assert asked == ["me#1", *["me#1; again"] * retrying.DOUBTS]
    assert names.asked == "me#2"
