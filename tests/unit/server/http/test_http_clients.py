"""Clients that are slow, broken, or many: they harm nobody."""

from __future__ import annotations

import contextlib
import gc
import threading
import time

import msgspec
import pytest
import skin_rig

from simpleflow.core import limits
from simpleflow.server.http import connection

COUNT = "SimpleWorkflowService.CountPendingActivityTasks"
POLL = "SimpleWorkflowService.PollForActivityTask"
BODY = b'{"domain":"d","taskList":{"name":"l"}}'


def until(condition: object, seconds: float = 120.0) -> None:
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


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("how", ["behind it", "its first byte behind it", "later", "later, its first byte", "a poll"])
def test_a_request_on_the_connection_of_an_open_poll_closes_it(
    served: skin_rig.Served, tcp: bool, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Two processes that were forked share a connection: both read its end, and both repeat their requests."""
    poll = skin_rig.head(POLL, len(BODY), "X-Simpleflow-Poll: shared\r\n") + BODY
    other = skin_rig.head(POLL if how == "a poll" else COUNT, len(BODY)) + BODY
    with served.connect(tcp=tcp) as made:
        made.sendall(poll + {"behind it": other, "its first byte behind it": other[:1]}.get(how, b""))
        if how != "behind it":
            assert served.host.opened.wait(10)
            with contextlib.suppress(BrokenPipeError):  # it is closed at the first byte already
                made.sendall(
                    {"its first byte behind it": other[1:], "later, its first byte": other[:1]}.get(how, other)
                )
        assert skin_rig.receive(made) == b""
    assert [action for action, _ in served.host.calls] in (["PollForActivityTask"], [])
    until(lambda: not served.host.polls and served.app.open_polls == 0 and served.connections == 0)
    gc.collect()
    assert not caplog.records
    assert served.post(COUNT, BODY)[0] == 200


def test_a_task_that_is_on_its_way_is_sent_before_the_connection_is_closed(
    served: skin_rig.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll, other = skin_rig.head(POLL, len(BODY), "X-Simpleflow-Poll: mine\r\n"), skin_rig.head(COUNT, len(BODY))
    refused = threading.Event()

    def revoke(poll_id: str) -> bool:
        refused.set()
        return False

    monkeypatch.setattr(served.host, "revoke", revoke)
    with served.connect() as made:
        made.sendall(poll + BODY)
        assert served.host.opened.wait(10)
        made.sendall(other + BODY + other + BODY)
        assert refused.wait(10)
        task = {"taskToken": "token", "startedEventId": 5}
        served.loop.call_soon_threadsafe(served.host.polls["mine"], task)
        status, headers, body = skin_rig.parse(skin_rig.receive(made))
    assert (status, headers["connection"], msgspec.json.decode(body)) == (200, "close", task)
    assert [action for action, _ in served.host.calls] == ["PollForActivityTask"]


def test_line_ends_behind_a_poll_are_not_a_request(served: skin_rig.Served) -> None:
    """Old clients end a body with a line end that its length does not count."""
    with served.connect() as made:
        made.sendall(
            skin_rig.head(POLL, len(BODY), "X-Simpleflow-Poll: mine\r\nConnection: close\r\n") + BODY + b"\r\n"
        )
        assert served.host.opened.wait(10)
        made.sendall(b"\r\n")
        assert served.post("SimpleflowEmbedded.RevokePoll", b'{"pollId":"mine"}') == (200, {"revoked": True})
        assert skin_rig.parse(skin_rig.receive(made))[0] == 200


def test_the_next_page_of_a_decision_task_is_not_a_long_poll(served: skin_rig.Served) -> None:
    target = "SimpleWorkflowService.PollForDecisionTask"
    page = b'{"domain":"d","taskList":{"name":"l"},"nextPageToken":"t"}'
    served.host.pages = True
    one, two = skin_rig.head(target, len(page)) + page, skin_rig.head(COUNT, len(BODY), "Connection: close\r\n") + BODY
    assert served.raw(one + one + two).count(b"200 OK") == 3


def test_a_client_that_sends_on_and_on_waits_for_its_answers(served: skin_rig.Served) -> None:
    """What waits here is what came in one piece; the rest stays with its client."""
    one, count = skin_rig.head(COUNT, len(BODY)) + BODY, 20_000
    with served.connect() as made:
        sender = threading.Thread(target=made.sendall, args=(one * count,))
        sender.start()
        most = answers = 0
        while answers < count:
            data = made.recv(1 << 16)
            assert data
            answers += data.count(b"HTTP/1.1 200 OK")
            most = max(most, *(len(each.behind) for each in list(served.server.shared.connections)))
        sender.join(10)
    assert len(served.host.calls) == count
    assert most < 2 * (1 << 18) / len(one)


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
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.5)
    answers = [skin_rig.receive(each) for each in slow]
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers), answers
    for each in slow:
        each.close()
    until(lambda: served.connections == 0)


def test_an_open_poll_is_not_a_slow_request(served: skin_rig.Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.2)
    with served.connect() as made:
        made.sendall(skin_rig.head(POLL, len(BODY), "X-Simpleflow-Poll: p\r\nConnection: close\r\n") + BODY)
        assert served.host.opened.wait(10)
        time.sleep(1.4)
        assert served.post("SimpleflowEmbedded.RevokePoll", b'{"pollId":"p"}')[1] == {"revoked": True}
        assert skin_rig.receive(made).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_reads_nothing_is_dropped(served: skin_rig.Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STUCK_SECONDS", 0.5)
    served.host.answers["CountPendingActivityTasks"] = {"count": 1, "padding": "x" * 900_000}
    made = served.connect()
    made.sendall((skin_rig.head(COUNT, len(BODY)) + BODY) * 20)
    until(lambda: served.connections == 0)
    made.close()
    assert served.post(COUNT, BODY)[0] == 200


def test_the_end_does_not_wait_for_what_is_still_to_come(serve: skin_rig.Serve) -> None:
    served = serve()
    clients = [served.connect() for _ in range(3)]
    for each, cut in zip(clients, (20, -5, None), strict=True):
        each.sendall((skin_rig.head(COUNT, len(BODY)) + BODY)[:cut])
    assert skin_rig.parse(clients[2].recv(1000))[0] == 200
    until(lambda: served.connections == 3)
    time.sleep(0.1)
    begun = time.monotonic()
    served.stop()
    assert time.monotonic() - begun < 3
    assert [skin_rig.receive(each)[:13] for each in clients] == [b"", b"HTTP/1.1 503 ", b""]
    for each in clients:
        each.close()


def test_the_end_drops_who_reads_nothing_without_a_word(
    serve: skin_rig.Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve()
    served.server.grace = 1.0
    served.host.answers["CountPendingActivityTasks"] = {"count": 1, "padding": "x" * 900_000}
    with served.connect() as made:
        made.sendall((skin_rig.head(COUNT, len(BODY)) + BODY) * 20)
        time.sleep(0.3)
        served.stop()
    assert [record for record in caplog.records if record.exc_info] == []


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


def give(served: skin_rig.Served, number: int = 0) -> None:
    served.loop.call_soon_threadsafe(served.host.held[number], {"count": 1})


def test_what_waits_behind_a_slow_call_is_carried_out_in_order(served: skin_rig.Served) -> None:
    served.host.hold = {"CountPendingDecisionTasks"}
    served.host.answers["CountPendingActivityTasks"] = {"count": 2}
    slow = skin_rig.head("SimpleWorkflowService.CountPendingDecisionTasks", len(BODY)) + BODY
    quick, last = (
        skin_rig.head(COUNT, len(BODY)) + BODY,
        skin_rig.head(COUNT, len(BODY), "Connection: close\r\n") + BODY,
    )
    with served.connect() as made:
        made.sendall(slow + quick * 1500 + last + quick)
        assert served.host.opened.wait(10)
        assert len(served.host.calls) == 1
        give(served)
        bodies = [part.rpartition(b"\r\n\r\n")[2] for part in skin_rig.receive(made).split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b'{"count":1}'] + [b'{"count":2}'] * 1501
    assert len(served.host.calls) == 1502, "what lies behind the last request is not carried out"


@pytest.mark.parametrize(
    "behind", [b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\nA: " + b"x" * 40_000], ids=["bad", "long"]
)
def test_what_is_no_request_is_refused_after_the_one_before_it_is_answered(
    served: skin_rig.Served, behind: bytes
) -> None:
    served.host.hold = {"CountPendingActivityTasks"}
    with served.connect() as made:
        made.sendall(skin_rig.head(COUNT, len(BODY)) + BODY)
        assert served.host.opened.wait(10)
        made.sendall(behind)
        (here,) = served.server.shared.connections
        until(lambda: here.behind)
        give(served)
        answer = skin_rig.receive(made)
    assert [answer.split(b"HTTP/1.1 ")[n][:3] for n in (1, 2)] in ([b"200", b"400"], [b"200", b"431"])


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_a_client_that_ends_its_side_reads_the_answer_to_its_call(served: skin_rig.Served, tcp: bool) -> None:
    served.host.hold = {"CountPendingActivityTasks"}
    with served.connect(tcp=tcp) as made:
        made.sendall(skin_rig.head(COUNT, len(BODY)) + BODY)
        until(lambda: served.host.held)
        (here,) = served.server.shared.connections
        made.shutdown(1)
        until(lambda: here._deaf)
        give(served)
        status, headers, body = skin_rig.parse(skin_rig.receive(made))
    assert (status, headers["connection"], body) == (200, "close", b'{"count":1}')


def test_a_client_that_ends_its_side_behind_more_than_one_request_counts_as_gone(served: skin_rig.Served) -> None:
    """The second one could open a poll, and nobody would notice that its client is gone."""
    served.host.hold = {"CountPendingActivityTasks"}
    poll = skin_rig.head(POLL, len(BODY), "X-Simpleflow-Poll: mine\r\n") + BODY
    with served.connect() as made:
        made.sendall(skin_rig.head(COUNT, len(BODY)) + BODY + poll)
        until(lambda: served.host.held)
        made.shutdown(1)
        until(lambda: served.connections == 0)
        give(served)
        assert skin_rig.receive(made) == b""
    assert not served.host.polls


def test_a_client_that_asks_first_is_told_to_go_on_when_its_turn_comes(served: skin_rig.Served) -> None:
    served.host.hold = {"CountPendingDecisionTasks"}
    slow = skin_rig.head("SimpleWorkflowService.CountPendingDecisionTasks", len(BODY)) + BODY
    asks = skin_rig.head(COUNT, len(BODY), "Expect: 100-continue\r\nConnection: close\r\n")
    with served.connect() as made:
        made.sendall(slow + asks)
        assert served.host.opened.wait(10)
        give(served)
        answer = b""
        while not answer.endswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
            answer += made.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200 ")
        made.sendall(BODY)
        assert skin_rig.parse(skin_rig.receive(made))[0] == 200
    with served.connect() as made:
        made.sendall(asks)
        assert made.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        made.sendall(BODY)
        assert skin_rig.parse(skin_rig.receive(made))[0] == 200


def test_a_long_body_behind_a_slow_call_waits_with_its_client(served: skin_rig.Served) -> None:
    served.host.hold = {"CountPendingDecisionTasks"}
    slow = skin_rig.head("SimpleWorkflowService.CountPendingDecisionTasks", len(BODY)) + BODY
    body = BODY + b" " * (limits.REQUEST_BYTES - len(BODY))
    long = skin_rig.head(COUNT, len(body), "Connection: close\r\n") + body
    with served.connect() as made:
        sender = threading.Thread(target=made.sendall, args=(slow + long,))
        sender.start()
        assert served.host.opened.wait(10)
        (here,) = served.server.shared.connections
        until(lambda: here.behind and here.behind[-1].size > connection.WAITING_BYTES)
        assert here.behind[-1].size < limits.REQUEST_BYTES
        give(served)
        assert skin_rig.receive(made).count(b"HTTP/1.1 200 ") == 2
        sender.join(10)


def test_an_idle_connection_is_closed_and_an_open_poll_is_not_idle(
    served: skin_rig.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.5)
    with served.connect() as made, served.connect() as polls:
        polls.sendall(skin_rig.head(POLL, len(BODY), "X-Simpleflow-Poll: mine\r\n") + BODY)
        for _ in range(2):
            made.sendall(skin_rig.head(COUNT, len(BODY)) + BODY)
            assert made.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert made.recv(1000) == b""
        assert list(served.host.polls) == ["mine"]


def test_the_end_answers_what_came_and_closes(serve: skin_rig.Serve) -> None:
    served = serve()
    served.host.hold = {"CountPendingActivityTasks"}
    with served.connect() as made:
        made.sendall((skin_rig.head(COUNT, len(BODY)) + BODY) * 2)
        until(lambda: served.host.held)
        served.loop.call_soon_threadsafe(served.server.end)
        until(lambda: served.server.shared.ending)
        give(served)
        until(lambda: len(served.host.held) == 2)
        give(served, 1)
        answer = skin_rig.receive(made)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.count(b"connection: close") == 1
    served.stop()


def test_the_end_does_not_wait_for_ever_for_a_call(serve: skin_rig.Serve) -> None:
    served = serve()
    served.server.grace = 0.2
    served.host.hold = {"CountPendingActivityTasks"}
    with served.connect() as made:
        made.sendall(skin_rig.head(COUNT, len(BODY)) + BODY)
        until(lambda: served.host.held)
        served.stop()
        assert skin_rig.parse(skin_rig.receive(made))[0] == 503
