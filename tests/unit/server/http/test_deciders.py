"""When a decider counts as gone, and what is given to the others then."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from simpleflow.server.http import deciders

STICKY = {"domain": "d", "taskList": {"name": "mine"}, "startAtPreviousStartedEvent": True}
SHARED = {"domain": "d", "taskList": {"name": "all"}}


class FakeConnection:
    def __init__(self) -> None:
        self.when_lost: dict[str, Callable[[], object]] = {}

    def lose(self) -> None:
        for function in self.when_lost.values():
            function()


class Rig:
    def __init__(self) -> None:
        self.left: list[tuple[list[str], list[str]]] = []
        self.known = deciders.Deciders(self._leave)

    def _leave(self, lists: Iterable[str], tokens: Iterable[str]) -> None:
        self.left.append((list(lists), list(tokens)))

    def poll(self, poll_id: str, request: Any) -> FakeConnection:
        made = FakeConnection()
        self.known.polls(poll_id, request, made)
        return made


def test_it_is_gone_when_its_last_connection_is() -> None:
    rig = Rig()
    first, second = rig.poll("one/a", STICKY), rig.poll("one/b", SHARED)
    other = rig.poll("two/a", SHARED)
    rig.known.got("one", "t1", gone=False)
    rig.known.got("one", "t2", gone=False)
    rig.known.got("two", "t3", gone=False)
    rig.known.answered("t1")
    first.lose()
    assert rig.left == []
    second.lose()
    assert rig.left == [(["d/mine"], ["t2"])]
    other.lose()
    assert rig.left[1:] == [([], ["t3"])]


def test_a_connection_for_one_poll_says_nothing_of_it() -> None:
    rig, here = Rig(), FakeConnection()
    assert rig.known.polls("one/a", STICKY, here, last=True) is None
    assert not here.when_lost


def test_a_task_that_came_too_late_for_it_is_given_to_the_others() -> None:
    rig = Rig()
    rig.poll("one/a", SHARED).lose()
    assert rig.left == []
    rig.known.got("one", "t1", gone=True)
    assert rig.left == [([], ["t1"])]


def test_the_last_revoked_poll_of_a_sticky_list_gives_it_up() -> None:
    rig = Rig()
    rig.poll("one/a", STICKY)
    rig.poll("one/b", STICKY)
    rig.poll("one/c", SHARED)
    rig.known.revoked("one/c")
    rig.known.revoked("one/a")
    assert rig.left == []
    rig.known.revoked("one/b")
    assert rig.left == [(["d/mine"], [])]


def test_each_poll_of_a_poller_has_a_number() -> None:
    rig = Rig()
    for number in range(3):
        rig.poll(f"one/a#{number}", STICKY)
        rig.poll(f"one/b#{number}", STICKY)
    rig.known.revoked("one/a#2")
    assert rig.left == []
    rig.known.revoked("one/b#2")
    assert rig.left == [(["d/mine"], [])]


def test_other_clients_and_the_end_of_the_service_change_nothing() -> None:
    rig = Rig()
    assert rig.known.polls("anybody", STICKY, FakeConnection()) is None
    polling = rig.poll("one/a", STICKY)
    rig.known.stopped = True
    polling.lose()
    rig.known.revoked("anybody")
    assert rig.left == []
