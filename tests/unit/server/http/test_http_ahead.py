"""A task that goes ahead of the disk: all of the answer but its last byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
import skin_rig
from test_http_clients import until

from simpleflow.server.requests import errors

POLL = "SimpleWorkflowService.PollForActivityTask"
BODY = b'{"domain":"d","taskList":{"name":"l"}}'
TASK = {"taskToken": "t", "input": "x" * 300_000}


def opened(served: skin_rig.Served, more: str = "") -> socket.socket:
    made = served.connect()
    made.sendall(skin_rig.head(POLL, len(BODY), f"X-Simpleflow-Poll: mine\r\nX-Simpleflow-Ahead: 1\r\n{more}") + BODY)
    assert served.host.opened.wait(10)
    until(lambda: hasattr(served.host.waiter, "tell"))
    return made


def on_loop(served: skin_rig.Served, function: Callable[[], object]) -> None:
    served.loop.call_soon_threadsafe(function)


def came(made: socket.socket) -> tuple[bytes, bytes, int]:
    """Head, what there is of the body while one byte is missing, and the announced length."""
    answer = b""
    while True:
        head, end, body = answer.partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]) if end else 0
        if end and len(body) >= length - 1:
            return head, body, length
        answer += made.recv(65_536)


def test_the_last_byte_follows_when_the_task_holds(served: skin_rig.Served) -> None:
    with opened(served) as made:
        on_loop(served, lambda: served.host.waiter.tell(TASK))
        head, body, length = came(made)
        assert b"x-simpleflow-ahead: 1" in head
        assert (json.loads(body), length) == (TASK, len(body) + 1)
        made.settimeout(0.1)
        with pytest.raises(TimeoutError):
            made.recv(1)
        made.settimeout(60)
        on_loop(served, lambda: served.host.polls.pop("mine")(TASK))
        assert made.recv(10) == b"\n"
        until(lambda: served.app.open_polls == 0)
        made.sendall(skin_rig.head("SimpleWorkflowService.CountPendingActivityTasks", len(BODY)) + BODY)
        assert made.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_task_that_does_not_hold_is_cut(served: skin_rig.Served) -> None:
    with opened(served) as made:
        on_loop(served, lambda: served.host.waiter.tell(TASK))
        _, body, _ = came(made)
        on_loop(served, lambda: served.host.polls.pop("mine")(errors.unavailable("the disk failed")))
        assert skin_rig.receive(made) == b""
        assert json.loads(body) == TASK


def test_a_client_that_goes_away_meanwhile_harms_nobody(served: skin_rig.Served) -> None:
    with opened(served) as made:
        on_loop(served, lambda: served.host.waiter.tell({"taskToken": "t"}))
        came(made)
    assert served.host.withdrawn.wait(10)
    until(lambda: served.app.open_polls == 0)
    assert served.post(POLL.replace("PollForActivityTask", "CountPendingActivityTasks"), BODY)[0] == 200


def test_who_did_not_ask_is_told_nothing(served: skin_rig.Served) -> None:
    with served.connect() as made:
        made.sendall(skin_rig.head(POLL, len(BODY), "X-Simpleflow-Poll: mine\r\nConnection: close\r\n") + BODY)
        assert served.host.opened.wait(10)
        on_loop(served, lambda: served.host.polls.pop("mine")(TASK))
        assert skin_rig.parse(skin_rig.receive(made))[2] == json.dumps(TASK, separators=(",", ":")).encode()
    assert not hasattr(served.host.waiter, "tell")


@pytest.mark.parametrize("more", ["Connection: close\r\n", ""])
def test_an_answer_that_went_ahead_closes_as_any_other(serve: skin_rig.Serve, more: str) -> None:
    served = serve()
    with opened(served, more) as made:
        on_loop(served, lambda: served.host.waiter.tell({"taskToken": "t"}))
        head, _, _ = came(made)
        assert (b"connection: close" in head) == bool(more)
        on_loop(served, lambda: served.host.polls.pop("mine")({"taskToken": "t"}))
        if not more:
            assert made.recv(1) == b"\n"
            on_loop(served, served.server.end)
        assert skin_rig.receive(made) == (b"\n" if more else b"")


def test_the_end_of_the_service_does_not_confirm(served: skin_rig.Served) -> None:
    """The client sees the connection close, and never the last byte."""
    with opened(served) as made:

        def end(given: Any = None) -> None:
            served.host.waiter.tell({"taskToken": "t"})
            served.server.shared.give_up()

        on_loop(served, end)
        came(made)
        assert skin_rig.receive(made) == b""
