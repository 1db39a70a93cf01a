"""Clients that are slow, broken, or many: they harm nobody."""

from __future__ import annotations

import time

import pytest
import skin_rig

from simpleflow.server import http_connection

COUNT = "SimpleWorkflowService.CountPendingActivityTasks"
POLL = "SimpleWorkflowService.PollForActivityTask"
BODY = b'{"domain":"d","taskList":{"name":"l"}}'


def until(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


@pytest.mark.parametrize("half", [False, True], ids=["closed", "half closed"])
def test_a_poll_ends_with_its_client(served: skin_rig.Served, half: bool) -> None:
    made = served.connect()
    made.sendall(skin_rig.head(POLL, len(BODY), "X-Simpleflow-Poll: gone\r\n") + BODY)
    assert served.host.opened.wait(10)
    made.shutdown(1) if half else made.close()
    assert served.host.withdrawn.wait(10)
    assert served.host.cancelled == ["gone"]
    made.close()
    until(lambda: served.app.open_polls == 0)
    assert served.post(COUNT, BODY)[0] == 200


def test_a_truncated_body_is_never_carried_out(served: skin_rig.Served) -> None:
    with served.connect() as made:
        made.sendall(skin_rig.head(COUNT, len(BODY) + 5) + BODY)
        time.sleep(0.05)
    until(lambda: served.connections == 0)
    assert served.host.calls == []


def test_a_slow_request_is_ended_and_others_are_served_meanwhile(
    served: skin_rig.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = [served.connect() for _ in range(20)]
    for number, each in enumerate(slow):
        each.sendall((skin_rig.head(COUNT, len(BODY)) + BODY)[: number * 7])
    assert served.post(COUNT, BODY)[0] == 200
    monkeypatch.setattr(http_connection, "REQUEST_SECONDS", 0.5)
    answers = [skin_rig.receive(each) for each in slow]
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers), answers
    for each in slow:
        each.close()
    until(lambda: served.connections == 0)


def test_an_open_poll_is_not_a_slow_request(served: skin_rig.Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "REQUEST_SECONDS", 0.2)
    with served.connect() as made:
        made.sendall(skin_rig.head(POLL, len(BODY), "X-Simpleflow-Poll: p\r\nConnection: close\r\n") + BODY)
        assert served.host.opened.wait(10)
        time.sleep(1.4)
        assert served.post("SimpleflowEmbedded.RevokePoll", b'{"pollId":"p"}')[1] == {"revoked": True}
        assert skin_rig.receive(made).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_reads_nothing_is_dropped(served: skin_rig.Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "STUCK_SECONDS", 0.5)
    served.host.answers["CountPendingActivityTasks"] = {"count": 1, "padding": "x" * 900_000}
    made = served.connect()
    made.sendall((skin_rig.head(COUNT, len(BODY)) + BODY) * 20)
    until(lambda: served.connections == 0)
    made.close()
    assert served.post(COUNT, BODY)[0] == 200


def test_a_thousand_open_polls(served: skin_rig.Served) -> None:
    made = [served.connect() for _ in range(1000)]
    for number, each in enumerate(made):
        each.sendall(skin_rig.head(POLL, len(BODY), f"X-Simpleflow-Poll: p{number}\r\n") + BODY)
    until(lambda: len(served.host.polls) == 1000)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1, "open polls cost next to nothing"
    assert served.post(COUNT, BODY)[0] == 200
    for each in made:
        each.close()
    until(lambda: len(served.host.cancelled) == 1000)
